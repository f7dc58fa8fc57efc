#include "api/arm/operations.h"

#include "api/arm/errors.h"
#include "api/arm/json_text.h"
#include "api/arm/run_commands.h"

namespace berth::arm {

std::string operation_body(const Operation& operation, std::string_view id, const std::vector<Phase>& phases,
                           const std::vector<Problem>& details) {
  JsonText out;
  out.open().put("id", id).put("name", operation.id).put("status", to_string(operation.status));
  out.put("startTime", operation.began).put_if("endTime", operation.ended);
  if (operation.problem) {
    Problem problem = *operation.problem;
    if (!details.empty()) problem.details = details;
    write_error(out, "error", problem);
  }
  out.open("properties");
  if (!operation.output.empty()) write_run_command_result(out, "output", operation.output);
  out.open_list("phases");
  for (const Phase& phase : phases)
    out.open()
        .put("name", phase.name)
        .put("detail", phase.detail)
        .put("began", phase.began)
        .put("ended", phase.ended)
        .close();
  out.close_list().close().close();
  return out.take();
}

}  // namespace berth::arm
