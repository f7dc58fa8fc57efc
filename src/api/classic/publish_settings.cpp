#include "api/classic/publish_settings.h"

#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::classic {

std::string publish_settings_xml(const PublishedSubscription& subscription) {
  pugi::xml_document document;
  pugi::xml_node declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version") = "1.0";
  declaration.append_attribute("encoding") = "utf-8";
  pugi::xml_node profile = document.append_child("PublishData").append_child("PublishProfile");
  profile.append_attribute("SchemaVersion") = "2.0";
  profile.append_attribute("PublishMethod") = "AzureServiceManagementAPI";
  pugi::xml_node node = profile.append_child("Subscription");
  node.append_attribute("ServiceManagementUrl") = subscription.url.c_str();
  node.append_attribute("Id") = subscription.id.c_str();
  node.append_attribute("Name") = subscription.name.c_str();
  node.append_attribute("ManagementCertificate") = base64_encode(subscription.pfx.reveal()).c_str();
  std::ostringstream text;
  document.save(text, "  ");
  return text.str();
}

std::vector<PublishedSubscription> parse_publish_settings(std::string_view xml, std::string_view what) {
  pugi::xml_document document;
  const pugi::xml_node profile = document.load_buffer(xml.data(), xml.size())
                                     ? document.child("PublishData").child("PublishProfile")
                                     : pugi::xml_node();
  const auto wrong = [&](const std::string& why) {
    return Error(ErrorKind::invalid, "InvalidPublishSettings",
                 fmt::format("{} is no publish-settings file: {}.", what, why),
                 "'azure account download' names that of the local region.");
  };
  if (!profile) throw wrong("it has no PublishProfile");
  std::vector<PublishedSubscription> found;
  for (const pugi::xml_node node : profile.children("Subscription")) {
    const auto attribute = [&](const char* own, const char* common) {
      const std::string value = node.attribute(own).value();
      return value.empty() ? std::string(profile.attribute(common).value()) : value;
    };
    PublishedSubscription subscription{.id = node.attribute("Id").value(),
                                       .name = node.attribute("Name").value(),
                                       .url = attribute("ServiceManagementUrl", "Url"),
                                       .pfx = {}};
    if (subscription.id.empty()) throw wrong("a Subscription in it has no Id");
    auto pfx = base64_decode(attribute("ManagementCertificate", "ManagementCertificate"));
    if (!pfx || pfx->empty()) throw wrong("its ManagementCertificate is not base64");
    subscription.pfx = Secret(std::move(*pfx));
    found.push_back(std::move(subscription));
  }
  if (found.empty()) throw wrong("it names no Subscription");
  return found;
}

}  // namespace berth::classic
