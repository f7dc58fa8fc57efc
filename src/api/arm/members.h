#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What becomes of each member of a document that a client sends: one table for all types. It decides what is
/// refused, keeps what is given back as it was sent, and docs/wire/arm-members.md is written from it.
/// Source of the names: the REST documents of Compute 2025-04-01 and Network 2025-01-01.
namespace berth::arm {

class JsonText;

enum class Use {
  honoured,  ///< does here what it does on Azure; a value that cannot be is refused where it is read
  kept,      ///< given back as it was sent, without effect here
  told,      ///< what the region says itself; passed over when a client sends it back
  refused,   ///< passing over it would open a port, lose data or change what runs
};
struct Member {
  std::string_view path;  ///< "properties.osProfile.secrets"; covers all below it that has no line of its own
  Use use = Use::honoured;
  std::string_view why = {};  ///< for `refused`: "it has no key vault"
};

/// A type, or a part of one that has a name of its own in lists ("…/ipConfigurations").
struct Document {
  std::string_view type;
  std::span<const Member> members;
  bool resource = true;  ///< has the members of every resource besides
};
std::span<const Document> documents();

/// Checks `body` against the table of `type` and returns what is to be kept of it: JSON text, "" for nothing.
/// Throws Error(invalid): "OperationNotAllowed" for what is refused, unless it is empty or false;
/// "BadRequest" for a member that the type has not. `path` is where the body stands, for messages. A type
/// without a table keeps nothing and refuses nothing.
std::string kept_members(std::string_view type, const nlohmann::json& body, const std::string& path = {});

/// One object, written by `write` into the JsonText that it gets, with `kept` put into it. Kept members win:
/// they are what the client sent.
template <class Write>
void write_with_kept(JsonText& out, std::string_view kept, Write write);

/// `object` and `kept` are JSON text of objects.
std::string with_kept(const std::string& object, std::string_view kept);

/// The ids of other resources that kept members name ("properties.routeTable.id").
std::vector<std::string> kept_references(std::string_view kept);

}  // namespace berth::arm

#include "api/arm/json_text.h"

template <class Write>
void berth::arm::write_with_kept(JsonText& out, std::string_view kept, Write write) {
  if (kept.empty()) return write(out);
  JsonText alone;
  write(alone);
  out.raw_item(with_kept(alone.take(), kept));
}
