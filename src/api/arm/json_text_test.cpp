#include "api/arm/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace berth::arm {
namespace {

using nlohmann::json;

TEST(JsonText, WritesNestedDocuments) {
  JsonText out;
  out.open()
      .put("a", 1)
      .open("b")
      .close()
      .open_list("c")
      .item("x")
      .open()
      .put("y", true)
      .close()
      .close_list();
  out.put("d", "e").raw("f", "null").close();

  EXPECT_EQ(out.take(), R"({"a":1,"b":{},"c":["x",{"y":true}],"d":"e","f":null})");
}

TEST(JsonText, EscapesEveryByteSoThatOthersReadIt) {
  std::string text;
  for (int i = 0; i < 128; ++i) text += static_cast<char>(i);
  text += "äöü €𝄞";
  JsonText out;
  out.open().put("key\"\n", text).close();

  EXPECT_EQ(json::parse(out.take())["key\"\n"], text);
}

TEST(JsonText, EscapesWhereverItStands) {
  for (int byte = 0; byte < 256; ++byte)
    for (std::size_t at = 0; at < 17; ++at) {
      std::string text(17, 'x');
      text[at] = static_cast<char>(byte);
      JsonText out;
      out.open_list().item(text).close_list();
      const json read = json::parse(out.take());
      EXPECT_EQ(read[0], byte < 0x80 ? text : text.substr(0, at) + "\uFFFD" + text.substr(at + 1))
          << byte << ' ' << at;
    }
}

TEST(JsonText, MendsWhatIsNotUtf8) {
  for (const std::string bad :
       {"\xff", "\xc3", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "\xc0\xaf", "a\xe2\x82"}) {
    JsonText out;
    out.open_list().item(bad).close_list();
    EXPECT_TRUE(json::accept(out.take()));
  }
}

}  // namespace
}  // namespace berth::arm
