#include "api/wire/goal_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <set>

#include "crypto/encoding.h"
#include "http/message.h"
#include "model/names.h"

namespace berth::wire {
namespace {

constexpr std::size_t base64_width = 64;  // openssl in the guest cannot read one long line

/// A document under construction: elements are added to, then it becomes text.
class Xml {
 public:
  explicit Xml(const char* root) {
    pugi::xml_node declaration = document_.append_child(pugi::node_declaration);
    declaration.append_attribute("version") = "1.0";
    declaration.append_attribute("encoding") = "utf-8";
    root_ = document_.append_child(root);
  }
  pugi::xml_node root() const { return root_; }
  std::string text() const {
    struct Writer final : pugi::xml_writer {
      std::string text;
      void write(const void* data, size_t size) override {
        text.append(static_cast<const char*>(data), size);
      }
    } writer;
    document_.save(writer, "  ");
    return std::move(writer.text);
  }

 private:
  pugi::xml_document document_;
  pugi::xml_node root_;
};

pugi::xml_node add(pugi::xml_node parent, const char* name, const std::string& text) {
  pugi::xml_node node = parent.append_child(name);
  node.text() = text.c_str();
  return node;
}

struct Attribute {
  const char* name;
  std::string value;
};
pugi::xml_node add(pugi::xml_node parent, const char* name, const std::vector<Attribute>& attributes) {
  pugi::xml_node node = parent.append_child(name);
  for (const Attribute& each : attributes) node.append_attribute(each.name) = each.value.c_str();
  return node;
}

std::string number(const GuestView& view) {
  return std::to_string(view.incarnation);
}
std::string braced(const std::string& guid) {
  return "{" + guid + "}";
}
std::string instance(const GuestView& view) {
  return "_" + view.role;
}

void add_deployment(pugi::xml_node parent, const GuestView& view) {
  pugi::xml_node deployment = add(
      parent, "Deployment",
      {{"name", view.deployment_id}, {"guid", braced(view.deployment_id)}, {"incarnation", number(view)}});
  add(deployment, "Service", {{"name", view.role}, {"guid", "{00000000-0000-0000-0000-000000000000}"}});
  add(deployment, "ServiceInstance",
      {{"name", view.deployment_id + ".0"}, {"guid", braced(view.deployment_id)}});
  add(parent, "Incarnation",
      {{"number", number(view)}, {"instance", instance(view)}, {"guid", braced(view.deployment_id)}});
}

/// The JSON that becomes config/N.settings in the guest.
std::string runtime_settings(const GuestPlugin& plugin, std::string_view thumbprint) {
  nlohmann::ordered_json settings;
  settings["publicSettings"] = nlohmann::ordered_json::parse(plugin.settings, nullptr, false);
  if (!settings["publicSettings"].is_object()) settings["publicSettings"] = nlohmann::ordered_json::object();
  if (!plugin.protected_settings.empty()) {
    settings["protectedSettings"] = plugin.protected_settings;
    settings["protectedSettingsCertThumbprint"] = thumbprint;
  }
  nlohmann::ordered_json all;
  all["runtimeSettings"] = {{{"handlerSettings", std::move(settings)}}};
  return all.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

std::vector<const GuestPlugin*> one_for_each_handler(const GuestView& view) {
  std::vector<const GuestPlugin*> plugins;
  std::set<std::string, NameLess> seen;
  for (const GuestPlugin& plugin : view.plugins)
    if (seen.insert(plugin.handler).second) plugins.push_back(&plugin);
  return plugins;
}

std::string url(const std::string& path) {
  return std::string(server_url) + path;
}

}  // namespace

std::string instance_id(const GuestView& view) {
  return view.deployment_id + "." + instance(view);
}

std::string versions_xml() {
  const Xml xml("Versions");
  add(xml.root().append_child("Preferred"), "Version", std::string("2015-04-05"));
  pugi::xml_node supported = xml.root().append_child("Supported");
  add(supported, "Version", std::string("2015-04-05"));
  add(supported, "Version", std::string("2012-11-30"));
  return xml.text();
}

std::string goal_state_xml(const GuestView& view, bool with_certificates) {
  const Xml xml("GoalState");
  pugi::xml_node root = xml.root();
  root.append_attribute("xmlns:xsi") = "http://www.w3.org/2001/XMLSchema-instance";
  root.append_attribute("xmlns:xsd") = "http://www.w3.org/2001/XMLSchema";
  root.append_attribute("xsi:noNamespaceSchemaLocation") = "goalstate10.xsd";
  add(root, "Version", std::string("2012-11-30"));
  add(root, "Incarnation", number(view));

  pugi::xml_node machine = root.append_child("Machine");
  add(machine, "ExpectedState", std::string("Started"));
  add(machine, "StopRolesDeadlineHint", std::string("300000"));
  add(machine.append_child("LBProbePorts"), "Port", std::string("16001"));
  add(machine, "ExpectHealthReport", std::string("FALSE"));

  pugi::xml_node container = root.append_child("Container");
  add(container, "ContainerId", view.container_id);
  pugi::xml_node role = container.append_child("RoleInstanceList").append_child("RoleInstance");
  add(role, "InstanceId", instance_id(view));
  add(role, "State", std::string("Started"));

  pugi::xml_node configuration = role.append_child("Configuration");
  const std::string machine_url =
      url("/machine/" + percent_encode(view.container_id) + "/" + percent_encode(instance_id(view)));
  const auto add_config = [&](const char* element, const char* type) {
    add(configuration, element, machine_url + "?comp=config&type=" + type + "&incarnation=" + number(view));
  };
  add_config("HostingEnvironmentConfig", "hostingEnvironmentConfig");
  add_config("SharedConfig", "sharedConfig");
  add_config("ExtensionsConfig", "extensionsConfig");
  add_config("FullConfig", "fullConfig");
  if (with_certificates)
    add(configuration, "Certificates", machine_url + "?comp=certificates&incarnation=" + number(view));
  const std::string part = view.deployment_id + "." + number(view) + ".";
  add(configuration, "ConfigName", part + part + instance(view) + ".1.xml");
  return xml.text();
}

std::string hosting_environment_xml(const GuestView& view, std::string_view thumbprint) {
  const Xml xml("HostingEnvironmentConfig");
  pugi::xml_node root = xml.root();
  root.append_attribute("version") = "1.0.0.0";
  root.append_attribute("goalStateIncarnation") = number(view).c_str();
  if (!thumbprint.empty())
    add(root.append_child("StoredCertificates"), "StoredCertificate",
        {{"name", "TenantEncryptionCert"},
         {"certificateId", "sha1:" + std::string(thumbprint)},
         {"storeName", "My"},
         {"configurationLevel", "System"}});
  add_deployment(root, view);
  add(root, "Role",
      {{"guid", braced(view.deployment_id)},
       {"name", view.role},
       {"hostingEnvironmentVersion", "1"},
       {"software", ""},
       {"softwareType", "ApplicationPackage"},
       {"entryPoint", ""},
       {"parameters", ""},
       {"settleTimeSeconds", "0"}});
  return xml.text();
}

std::string shared_config_xml(const GuestView& view) {
  const Xml xml("SharedConfig");
  pugi::xml_node root = xml.root();
  root.append_attribute("version") = "1.0.0.0";
  root.append_attribute("goalStateIncarnation") = number(view).c_str();
  add_deployment(root, view);
  add(root, "Role", {{"guid", braced(view.deployment_id)}, {"name", view.role}, {"settleTimeSeconds", "0"}});
  pugi::xml_node instance_node =
      add(root.append_child("Instances"), "Instance",
          {{"id", instance(view)}, {"address", view.nics.empty() ? "" : view.nics.front().address}});
  add(instance_node, "FaultDomains", {{"randomId", "0"}, {"updateId", "0"}, {"updateCount", "0"}});
  return xml.text();
}

std::string extensions_config_xml(const GuestView& view, std::string_view thumbprint) {
  const Xml xml("Extensions");
  pugi::xml_node root = xml.root();
  root.append_attribute("version") = "1.0.0.0";
  root.append_attribute("goalStateIncarnation") = number(view).c_str();

  pugi::xml_node agent = root.append_child("GuestAgentExtension");
  agent.append_attribute("xmlns:i") = "http://www.w3.org/2001/XMLSchema-instance";
  agent.append_child("GAFamilies");  // empty: no other agent is offered
  add(agent, "Location", view.agent_location);
  add(agent, "ServiceName", std::string("CRP"));

  const std::vector<const GuestPlugin*> plugins = one_for_each_handler(view);
  if (!plugins.empty()) {
    pugi::xml_node list = root.append_child("Plugins");
    pugi::xml_node settings = root.append_child("PluginSettings");
    for (const GuestPlugin* plugin : plugins) {
      const std::string manifest = url(manifest_path(plugin->handler));
      add(list, "Plugin",
          {{"name", plugin->handler},
           {"version", plugin->version},
           {"location", manifest},
           {"failoverlocation", manifest},
           {"state", plugin->state},
           {"autoUpgrade", "false"},
           {"runAsStartupTask", "false"},
           {"isJson", "true"},
           {"useExactVersion", "true"}});
      pugi::xml_node own = add(settings, "Plugin", {{"name", plugin->handler}, {"version", plugin->version}});
      if (plugin->level > 0) {
        pugi::xml_node after = add(own, "DependsOn", {{"dependencyLevel", std::to_string(plugin->level)}});
        for (const std::string& handler : plugin->after)
          add(after, "DependsOnExtension", {{"handler", handler}});
      }
      add(own, "RuntimeSettings", runtime_settings(*plugin, thumbprint)).append_attribute("seqNo") =
          plugin->sequence;
    }
  }

  add(root, "StatusUploadBlob", url("/status/" + percent_encode(view.role) + ".status"))
      .append_attribute("statusBlobType") = "BlockBlob";
  // The agent compares ticks only between documents of one VM; these rise with the incarnation.
  add(root, "InVMGoalStateMetaData",
      {{"inSvdSeqNo", number(view)},
       {"createdOnTicks", std::to_string(638'000'000'000'000'000 + std::int64_t{view.incarnation})},
       {"activityId", view.deployment_id},
       {"correlationId", view.container_id}});
  return xml.text();
}

std::string certificates_xml(const GuestView& view, std::string_view cms) {
  const Xml xml("CertificateFile");
  pugi::xml_node root = xml.root();
  root.append_attribute("xmlns:xsi") = "http://www.w3.org/2001/XMLSchema-instance";
  root.append_attribute("xsi:noNamespaceSchemaLocation") = "certificates10.xsd";
  add(root, "Version", std::string("2010-12-15"));
  add(root, "Incarnation", number(view));
  add(root, "Format", std::string("Pkcs7BlobWithPfxContents"));
  std::string data = base64_encode(cms, base64_width);
  while (data.ends_with('\n')) data.pop_back();
  add(root, "Data", data);
  return xml.text();
}

std::string manifest_path(std::string_view handler) {
  return "/pkg/" + percent_encode(handler) + "_manifest.xml";
}

std::string package_path(std::string_view handler, std::string_view version) {
  return "/pkg/" + percent_encode(handler) + "__" + percent_encode(version) + ".zip";
}

PackageQuery parse_package_path(std::string_view path) {
  constexpr std::string_view folder = "/pkg/", manifest = "_manifest.xml", zip = ".zip";
  if (!path.starts_with(folder)) return {};
  path.remove_prefix(folder.size());
  if (path.find('/') != path.npos) return {};
  if (path.ends_with(manifest)) return {percent_decode(path.substr(0, path.size() - manifest.size())), ""};
  const auto underscores = path.rfind("__");
  if (!path.ends_with(zip) || underscores == path.npos) return {};
  path.remove_suffix(zip.size());
  if (underscores + 2 >= path.size()) return {};
  return {percent_decode(path.substr(0, underscores)), percent_decode(path.substr(underscores + 2))};
}

std::string manifest_xml(std::string_view handler, const std::vector<std::string>& versions) {
  const Xml xml("PluginVersionManifest");
  xml.root().append_attribute("xmlns:i") = "http://www.w3.org/2001/XMLSchema-instance";
  pugi::xml_node plugins = xml.root().append_child("Plugins");
  for (const std::string& version : versions) {
    pugi::xml_node plugin = plugins.append_child("Plugin");
    add(plugin, "Version", version);
    add(plugin.append_child("Uris"), "Uri", url(package_path(handler, version)));
  }
  xml.root().append_child("InternalPlugins");
  return xml.text();
}

}  // namespace berth::wire
