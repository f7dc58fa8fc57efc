#include "cli/arm/token_cache.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/json_file.h"

namespace berth {
namespace {

using nlohmann::json;

/// A damaged cache is an empty one.
void drop_if_damaged(const std::filesystem::path& file) {
  try {
    read_json_file(file);
  } catch (const Error& error) {
    std::error_code none;
    if (error.kind == ErrorKind::invalid) std::filesystem::remove(file, none);
  }
}

}  // namespace

std::optional<CachedToken> find_token(const std::filesystem::path& file, const std::string& account) {
  drop_if_damaged(file);
  const json all = read_json_file(file);
  const json& one = at(all, {account.c_str()});
  const json& until = at(one, {"goodUntil"});
  CachedToken cached{Secret(text(one, {"accessToken"})), {}, Secret(text(one, {"refreshToken"}))};
  if (until.is_number_integer())
    cached.good_until = std::chrono::sys_seconds(std::chrono::seconds(until.get<std::int64_t>()));
  if (cached.token.empty() && cached.refresh.empty()) return std::nullopt;
  return cached;
}

std::string keep_token(const std::filesystem::path& file, const std::string& account,
                       const CachedToken& token) {
  try {
    drop_if_damaged(file);
    change_json_file(file, [&](json& all) {
      json one = {{"accessToken", token.token.reveal()},
                  {"goodUntil", token.good_until.time_since_epoch().count()}};
      if (!token.refresh.empty()) one["refreshToken"] = token.refresh.reveal();
      all[account] = std::move(one);
    });
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

std::size_t forget_cached_tokens(const std::filesystem::path& file,
                                 const std::function<bool(const std::string&)>& which) {
  std::error_code none;
  if (!std::filesystem::exists(file, none)) return 0;
  drop_if_damaged(file);
  std::size_t forgotten = 0;
  change_json_file(file, [&](json& all) {
    for (auto one = all.begin(); one != all.end();) {
      const bool goes = which(one.key());
      forgotten += goes ? 1 : 0;
      one = goes ? all.erase(one) : std::next(one);
    }
  });
  return forgotten;
}

}  // namespace berth
