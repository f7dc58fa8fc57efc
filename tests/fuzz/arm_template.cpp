#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "api/arm/document.h"
#include "api/arm/template.h"
#include "base/error.h"
#include "cost.h"

namespace {

using nlohmann::json;

/// The secret that must come out nowhere.
constexpr const char* secret = "S3cret-value-of-a-parameter";

void must_hide(const std::string& text) {
  if (text.find(secret) != std::string::npos) std::abort();
}

}  // namespace

/// Whatever a client sends as a template: an Error that names no secret, or resources with documents.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::arm;
  const CostLimit limit(4);
  try {
    const json document = parse_lenient_document({reinterpret_cast<const char*>(data), size});
    if (dump(document).find(secret) != std::string::npos) return 0;  // it is in clear already
    json parameters = json::object();
    if (document.is_object() && document.contains("parameters") && document["parameters"].is_object())
      for (const auto& [name, definition] : document["parameters"].items())
        if (definition.is_object() && (definition.value("type", json()) == json("securestring")))
          parameters[name] = {{"value", secret}};
    const DeploymentPlace place{.subscription = "S",
                                .subscription_name = "Local",
                                .tenant = "T",
                                .group = "G",
                                .group_location = "westus",
                                .group_tags = {},
                                .name = "D",
                                .origin = "https://h"};
    const TemplateRuntime runtime{.reference =
                                      [](const std::string& id, bool) {
                                        return json{{"id", id}, {"list", {1, 2}}};
                                      },
                                  .list =
                                      [](const std::string&, const std::string&, const std::string&) {
                                        return json{{"keys", {"k"}}};
                                      }};
    const Template plan = Template::plan(document, parameters, place);
    must_hide(dump(plan.shown_parameters()));
    for (std::size_t i = 0; i < plan.resources().size() && i < 8; ++i) {
      try {
        plan.body(i, runtime);
        if (plan.resources()[i].is_deployment()) plan.nested(i, place, runtime);
      } catch (const berth::Error& error) {
        must_hide(error.what());
      }
    }
    must_hide(dump(plan.outputs(runtime)));
  } catch (const berth::Error& error) {
    must_hide(error.what());
  }
  return 0;
}
