#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/terminal/phases.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/hosts.h"
#include "cli/vm/image_list.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto copy_limit = 3600s;

std::string path_of(const std::string& image) {
  return "providers/Berth.Local/osImages/" + image;
}

ordered_json to_json(const ImageView& image) {
  return {{"name", image.name},
          {"label", image.label},
          {"category", image.category},
          {"os", image.os},
          {"publisher", image.publisher},
          {"offer", image.offer},
          {"sku", image.sku},
          {"version", image.version},
          {"family", image.family},
          {"docker", image.docker},
          {"built", image.built},
          {"sizeGiB", image.size_gib},
          {"template", image.template_state}};
}

ImageView get_image(ArmClient& arm, const std::string& name) {
  for (ImageView& image : list_images(arm))
    if (same_name(image.name, name)) return std::move(image);
  throw Error(ErrorKind::not_found, "ImageNotFound", fmt::format("Image \"{}\" not found", name),
              "'azure vm image list' shows the images that there are.");
}

// --- vm image list, vm image show

void list_vm_images(Session& session) {
  session.out.info("Fetching VM images");
  const std::vector<ImageView> images = list_images(session.arm());
  if (session.out.json_mode()) {
    ordered_json all = ordered_json::array();
    for (const ImageView& image : images) all.push_back(to_json(image));
    return session.out.json(all);
  }
  if (images.empty()) return session.out.info("No VM images found");
  std::vector<std::vector<std::string>> rows;
  for (const ImageView& image : images)
    rows.push_back({image.name, image.category, image.os, image.publisher, image.template_state});
  session.out.table({"Name", "Category", "OS", "Publisher", "Template"}, rows);
}

void vm_image_list(CommandLine& app, Session& session) {
  app.callback([&session] { list_vm_images(session); });
}

void show_image(Session& session, const ImageView& image) {
  if (session.out.json_mode()) return session.out.json(to_json(image));
  std::vector<std::pair<std::string, std::string>> rows{
      {"Name", image.name},
      {"Label", image.label},
      {"Category", image.category},
      {"OS", image.family.empty() ? image.os : image.family},
      {"Docker", image.docker                 ? "installed"
                 : image.category == "Public" ? "not installed"
                                              : "not known"},
      {"Size", fmt::format("{} GiB", image.size_gib)}};
  if (!image.publisher.empty())
    rows.emplace_back("URN",
                      fmt::format("{}:{}:{}:{}", image.publisher, image.offer, image.sku, image.version));
  rows.emplace_back("Files", image.built ? "there" : "built for the first host that needs them");
  rows.emplace_back("Template", image.template_state == "ready"    ? "there: machines are restored from it"
                                : image.template_state == "making" ? "being made"
                                                                   : "none");
  session.out.pairs(rows);
}

void vm_image_show(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name of the image")->required();
  app.callback([name, &session] { show_image(session, get_image(session.arm(), *name)); });
}

// --- vm image create

struct CreateOptions {
  std::string name, file, label, os = "linux";
};

void make_image(Session& session, const std::string& name, const json& properties) {
  PhaseDisplay phases(session.out);
  session.persist([&] {
    phases.restart();
    session.arm().wait(session.arm().put(path_of(name), {{"properties", properties}}), path_of(name),
                       copy_limit, [&phases](const std::vector<Phase>& news) { phases.update(news); });
  });
  show_image(session, get_image(session.arm(), name));
}

void create_image(Session& session, const CreateOptions& options) {
  const std::filesystem::path file = std::filesystem::absolute(options.file);
  std::error_code none;
  if (!std::filesystem::is_regular_file(file, none))
    throw Error(ErrorKind::not_found, "FileNotFound", fmt::format("{} is not a file", file.string()),
                "Give a disk image: qcow2, raw, or a fixed VHD.");
  if (!same_name(options.os, "linux"))
    throw Error(
        ErrorKind::invalid, "NotSupported",
        fmt::format("--os {} cannot be used here: the local region runs Linux images only", options.os));
  make_image(session, options.name,
             {{"file", file.string()}, {"label", options.label.empty() ? options.name : options.label}});
}

void vm_image_create(CommandLine& app, Session& session) {
  auto options = std::make_shared<CreateOptions>();
  app.add_option("name", options->name, "Name of the new image")->required();
  app.add_option("source-path", options->file,
                 "Disk file with the Azure Linux Agent installed: qcow2, raw or a fixed VHD; it is copied")
      ->required();
  app.add_option("-L,--label", options->label, "A description for people [the name]")->type_name("<text>");
  app.add_option("-o,--os", options->os, "Operating system [linux]")->type_name("<os>");
  app.callback([options, &session] { create_image(session, *options); });
}

// --- vm image warm

void warm_image(Session& session, const std::string& name, const std::string& size) {
  const ImageView image = get_image(session.arm(), name);
  PhaseDisplay phases(session.out);
  session.persist([&] {
    phases.restart();
    const json body = size.empty() ? json::object() : json{{"vmSize", size}};
    session.arm().wait(session.arm().post(path_of(image.name) + "/warm", body), path_of(image.name),
                       copy_limit, [&phases](const std::vector<Phase>& news) { phases.update(news); });
  });
  show_image(session, get_image(session.arm(), image.name));
}

void vm_image_warm(CommandLine& app, Session& session) {
  struct Options {
    std::string name, size;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the image")->required();
  app.add_option("-z,--vm-size", options->size, "Size of the machines to come [Standard_B2s]")
      ->type_name("<size>");
  app.callback([options, &session] { warm_image(session, options->name, options->size); });
}

// --- vm image delete

void vm_image_delete(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name of the image")->required();
  app.callback([name, &session] {
    const ImageView image = get_image(session.arm(), *name);
    session.arm().wait(session.arm().remove(path_of(image.name)), path_of(image.name), 60s);
    if (session.out.json_mode()) session.out.json({{"deleted", image.name}});
  });
}

// --- vm capture: a host's disk becomes an image

void capture(Session& session, const std::string& name, const std::string& image, const std::string& group) {
  session.out.info("Getting virtual machines");
  const HostView host = get_host(session.arm(), name, group);
  session.out.help(
      "A machine that is to be a template forgets its name, users and keys before it is shut down:");
  session.out.help("  sudo waagent -deprovision+user -force");
  make_image(session, image, {{"sourceVirtualMachine", {{"id", host.id}}}, {"label", image}});
}

void vm_capture(CommandLine& app, Session& session) {
  struct Options {
    std::string name, image, group;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the virtual machine, which is shut down")->required();
  app.add_option("image", options->image, "Name of the new image")->required();
  app.add_group(options->group);
  app.callback([options, &session] { capture(session, options->name, options->image, options->group); });
}

// --- vm image alias: images by the names that templates use

void list_aliases(Session& session) {
  ordered_json all = ordered_json::array();
  std::vector<std::vector<std::string>> rows;
  for (const json& alias : session.arm().list("providers/Berth.Local/imageAliases")) {
    const json& properties = alias.at("properties");
    all.push_back({{"pattern", properties.at("pattern")}, {"image", properties.at("image")}});
    rows.push_back({properties.at("pattern").get<std::string>(), properties.at("image").get<std::string>()});
  }
  if (session.out.json_mode()) return session.out.json(all);
  if (rows.empty()) return session.out.info("No image aliases: images are found by their own names only");
  session.out.table({"Pattern", "Image"}, rows);
}

void vm_image_alias_list(CommandLine& app, Session& session) {
  app.callback([&session] { list_aliases(session); });
}

void vm_image_alias_add(CommandLine& app, Session& session) {
  struct Options {
    std::string pattern, image;
  };
  auto options = std::make_shared<Options>();
  app.add_option("pattern", options->pattern,
                 "PUBLISHER:OFFER:SKU that clients ask for, each with '*': 'Canonical:*:*'")
      ->required();
  app.add_option("image", options->image, "An image of 'azure vm image list'")->required();
  app.callback([options, &session] {
    const std::string warning = add_image_alias(session.arm(), options->pattern, options->image);
    if (session.out.json_mode())
      return session.out.json({{"pattern", options->pattern}, {"image", options->image}});
    session.out.warn(warning);
  });
}

void vm_image_alias_remove(CommandLine& app, Session& session) {
  auto pattern = std::make_shared<std::string>();
  app.add_option("pattern", *pattern, "The pattern, as the list shows it")->required();
  app.callback([pattern, &session] {
    session.arm().remove(image_alias_path(*pattern));
    if (session.out.json_mode()) session.out.json({{"removed", *pattern}});
  });
}

constexpr Command vm_image_table[] = {
    {"vm image list", "List the images that virtual machines are made from", &vm_image_list},
    {"vm image show", "Show one image", &vm_image_show},
    {"vm image create", "Make an image of a disk file", &vm_image_create},
    {"vm image warm", "Make the template that machines of an image are restored from", &vm_image_warm},
    {"vm image delete", "Delete an image of your own", &vm_image_delete},
    {"vm image alias list", "List what stands for images that this region has not", &vm_image_alias_list},
    {"vm image alias add", "Let an image stand for those that clients ask for by other names",
     &vm_image_alias_add},
    {"vm image alias remove", "Take that back", &vm_image_alias_remove},
    {"vm capture", "Make an image of a virtual machine that is shut down", &vm_capture},
};

}  // namespace

std::span<const Command> vm_image_commands() {
  return vm_image_table;
}

}  // namespace berth
