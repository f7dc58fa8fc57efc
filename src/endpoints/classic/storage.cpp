#include "endpoints/classic/storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/classic/documents.h"
#include "api/classic/requests.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/mapping.h"
#include "endpoints/classic/removal.h"
#include "model/catalog.h"
#include "model/names.h"

/// Storage accounts: kept and shown. Disks are files of the region, whatever account they are said to be in.
namespace berth::classic {
namespace {

using nlohmann::json;

constexpr const char* disk_account =
    "portalvhds";  ///< how the names begin of those that disks are said to be in
constexpr const char* account_type = "Microsoft.Storage/storageAccounts";

std::vector<const InertResource*> accounts(const Region& region) {
  return region.inert().list(account_type);
}

const InertResource* find_account(const Region& region, const std::string& name) {
  for (const InertResource* account : accounts(region))
    if (same_name(account->name, name)) return account;
  return nullptr;
}

const InertResource& get_account(const Region& region, const std::string& name) {
  const InertResource* account = find_account(region, name);
  if (!account) throw not_found(fmt::format("The storage account '{}' was not found.", name));
  return *account;
}

std::string account_name_problem(const Region& region, const std::string& name) {
  const bool fits = name.size() >= 3 && name.size() <= 24 && std::ranges::all_of(name, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
                    });
  if (!fits)
    return fmt::format("'{}' is not a valid storage account name: use 3 to 24 lower case letters and digits.",
                       name.substr(0, 64));
  if (find_account(region, name)) return fmt::format("The storage account named {} is already taken.", name);
  return {};
}

json parsed(const std::string& text) {
  const json value = json::parse(text.empty() ? "{}" : text, nullptr, false);
  return value.is_object() ? value : json::object();
}

StorageView view_of(const Classic& classic, const Request& request, const InertResource& account) {
  StorageView view;
  view.url = url_of(classic, request, "services/storageservices/" + account.name);
  view.name = account.name;
  view.location = display_location(account.location);
  const auto tag = [&](const char* name, const std::string& otherwise) {
    const auto found = account.tags.find(name);
    return found == account.tags.end() ? otherwise : found->second;
  };
  view.label = tag("label", account.name);
  view.description = tag("description", "");
  const json sku = parsed(account.sku);
  view.type = sku.value("name", "Standard_LRS");
  view.created = utc_seconds(account.created);
  // A name that never resolves: nothing of this region may end up in the public service of the same name.
  for (const char* service : {"blob", "queue", "table"})
    view.endpoints.push_back(fmt::format("https://{}.{}.region.invalid/", account.name, service));
  return view;
}

void put_account(Classic& classic, const StorageOrder& order, const std::string& location) {
  Region& region = classic.region;
  const std::string group = "Default-Storage-" + display_location(location);
  std::string group_name = group;
  std::erase(group_name, ' ');
  if (!region.groups().find(group_name))
    region.groups().put(group_name, location, {{service_tag, group_name}});
  InertResource account;
  account.group = group_name;
  account.name = order.name;
  account.location = location;
  account.type = account_type;
  account.kind = R"("Storage")";
  account.sku = json{{"name", order.type.empty() ? "Standard_LRS" : order.type}}.dump();
  if (!order.label.empty()) account.tags["label"] = order.label;
  if (!order.description.empty()) account.tags["description"] = order.description;
  account.properties = json{{"provisioningState", "Succeeded"}}.dump();
  region.inert().put(std::move(account));
}

std::string key_of(Classic& classic, const InertResource& account, const char* which) {
  json keys = read_document(classic.region, storage_key_table, account.ref().key());
  if (!keys.contains(which)) {
    keys[which] = base64_encode(random_bytes(64));
    classic.region.documents().keep(storage_key_table, account.ref().key(), keys.dump());
  }
  return keys[which].get<std::string>();
}

/// Clients ask for the keys of that account to send it the blobs of disks and images.
void check_has_keys(const InertResource& account) {
  if (account.name.starts_with(disk_account))
    throw bad_request("This region has no blob service: a disk file cannot be uploaded to it.",
                      "Berth's own azure adds it: 'azure vm image create NAME FILE'.");
}

Response keys_response(Classic& classic, const Request& request, const InertResource& account) {
  const std::string primary = key_of(classic, account, "primary"),
                    secondary = key_of(classic, account, "secondary");
  return xml_response(
      200, storage_keys_xml(url_of(classic, request, "services/storageservices/" + account.name), primary,
                            secondary));
}

}  // namespace

std::size_t count_storage_accounts(const Classic& classic) {
  return accounts(classic.region).size();
}

void ensure_disk_account(Classic& classic, const std::string& location) {
  for (const InertResource* account : accounts(classic.region))
    if (same_name(account->location, location) && account->name.starts_with(disk_account)) return;
  StorageOrder order;
  order.name = disk_account + random_hex(14);
  order.description = "Where this region says that disks are";
  put_account(classic, order, location);
}

asio::awaitable<Response> list_storage_services(Classic& classic, const Request& request) {
  std::vector<StorageView> views;
  for (const InertResource* account : accounts(classic.region))
    views.push_back(view_of(classic, request, *account));
  co_return xml_response(200, storage_services_xml(views));
}

asio::awaitable<Response> post_storage_service(Classic& classic, const Request& request) {
  const StorageOrder order = parse_create_storage_service(request.body);
  if (!order.affinity_group.empty())
    throw not_found(fmt::format("The affinity group '{}' does not exist.", order.affinity_group));
  const Location* location = find_location(order.location);
  if (!location)
    throw bad_request(fmt::format("The location '{}' is not available.", order.location.substr(0, 100)));
  if (const std::string problem = account_name_problem(classic.region, order.name); !problem.empty())
    throw find_account(classic.region, order.name) ? conflict(problem) : bad_request(problem);
  put_account(classic, order, std::string(location->name));
  co_return done_at_once(classic.region, OperationKind::storage_account_create,
                         "storageServices/" + order.name);
}

asio::awaitable<Response> get_storage_service(Classic& classic, const Request& request) {
  const InertResource& account = get_account(classic.region, param(request, "account"));
  co_return xml_response(200, storage_service_xml(view_of(classic, request, account)));
}

asio::awaitable<Response> put_storage_service(Classic& classic, const Request& request) {
  InertResource account = get_account(classic.region, param(request, "account"));
  const StorageOrder order = parse_update_storage_service(request.body);
  if (!order.label.empty()) account.tags["label"] = order.label;
  if (!order.description.empty()) account.tags["description"] = order.description;
  if (!order.type.empty()) account.sku = json{{"name", order.type}}.dump();
  classic.region.inert().put(std::move(account));
  co_return no_body(200);
}

asio::awaitable<Response> delete_storage_service(Classic& classic, const Request& request) {
  const Ref ref = get_account(classic.region, param(request, "account")).ref();
  classic.region.inert().remove(account_type, ref);
  classic.region.documents().drop(storage_key_table, ref.key());
  co_await drop_group_if_empty(classic, ref.group);
  co_return no_body(200);
}

asio::awaitable<Response> get_storage_keys(Classic& classic, const Request& request) {
  const InertResource& account = get_account(classic.region, param(request, "account"));
  check_has_keys(account);
  co_return keys_response(classic, request, account);
}

asio::awaitable<Response> regenerate_storage_key(Classic& classic, const Request& request) {
  const InertResource& account = get_account(classic.region, param(request, "account"));
  const std::string which = lower(parse_regenerate_key(request.body));
  json keys = read_document(classic.region, storage_key_table, account.ref().key());
  keys.erase(which);
  classic.region.documents().keep(storage_key_table, account.ref().key(), keys.dump());
  co_return keys_response(classic, request, account);
}

asio::awaitable<Response> is_storage_available(Classic& classic, const Request& request) {
  co_return xml_response(200, availability_xml(account_name_problem(classic.region, param(request, "name"))));
}

}  // namespace berth::classic
