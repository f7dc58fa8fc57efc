#include "base/xml_text.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(XmlText, LeavesNoMarkupInIt) {
  EXPECT_EQ(xml_escaped("a<b>&\"c\"'"), "a&lt;b&gt;&amp;&quot;c&quot;'");
}

TEST(XmlText, KeepsLinesAndReplacesWhatXmlCannotCarry) {
  EXPECT_EQ(xml_escaped("a\tb\nc\rd\x01\x1f"), "a\tb\nc&#13;d??");
}

}  // namespace
}  // namespace berth
