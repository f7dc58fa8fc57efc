#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/classic/requests.h"
#include "api/classic/xml_reader.h"
#include "base/error.h"

/// Whatever a client of the classic API sends: an Error(invalid), or a document that has been read.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view xml(reinterpret_cast<const char*>(data), size);
  const auto read = [&](auto&& parse) {
    try {
      parse(xml);
    } catch (const berth::Error& error) {
      if (error.kind != berth::ErrorKind::invalid) std::abort();
    }
  };
  if (berth::classic::mend(xml).size() > 8 * size + 64) std::abort();
  read(berth::classic::parse_create_hosted_service);
  read(berth::classic::parse_update_hosted_service);
  read(berth::classic::parse_create_storage_service);
  read(berth::classic::parse_update_storage_service);
  read(berth::classic::parse_regenerate_key);
  read(berth::classic::parse_subscription_certificate);
  read(berth::classic::parse_deployment);
  read(berth::classic::parse_role);
  read(berth::classic::parse_role_operation);
  read(berth::classic::parse_certificate_file);
  read(berth::classic::parse_data_disk);
  read(berth::classic::parse_load_balanced_set);
  return 0;
}
