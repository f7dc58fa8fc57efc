#include "cli/vm/own_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "crypto/encoding.h"

namespace berth {

using nlohmann::json;

std::string own_address(Session& session, const std::string& option) {
  // A kept one may be of another network that this machine was in an hour ago.
  const AccessToken token = session.arm().endpoint().tokens->get(true, {}, session.listener());
  const std::string own = address_in_token(token.text);
  if (own.empty())
    throw Error(ErrorKind::invalid, "AddressUnknown",
                "From which address you will reach the host is not known: Azure tells it to people alone who "
                "signed in.",
                fmt::format("Name it: {}.", option));
  session.out.info(fmt::format("Opened to {} alone, where Azure saw you; name others by {}", own, option));
  return own;
}

std::string address_in_token(const Secret& token) {
  const std::string& text_of_token = token.reveal();
  const std::size_t first = text_of_token.find('.');
  if (first == std::string::npos) return {};
  const auto claims =
      base64url_decode(text_of_token.substr(first + 1, text_of_token.find('.', first + 1) - first - 1));
  const std::string address = text(json::parse(claims.value_or(""), nullptr, false), {"ipaddr"});
  in_addr parsed{};
  return ::inet_pton(AF_INET, address.c_str(), &parsed) == 1 ? address : std::string();
}

}  // namespace berth
