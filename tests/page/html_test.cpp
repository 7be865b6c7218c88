#include "tercet/page/html.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace tercet::page {
namespace {

TEST(Html, IsMadeOfTextByEscapingIt) {
  EXPECT_EQ(Html("a < b && \"c\" > 'd'").markup(), "a &lt; b &amp;&amp; &quot;c&quot; &gt; &#39;d&#39;");
  EXPECT_EQ(Html("<script>alert(1)</script>").markup(), "&lt;script&gt;alert(1)&lt;/script&gt;");
}

TEST(Html, ReplacesWhatCannotBeShown) {
  const std::string unknown = "\xEF\xBF\xBD";
  EXPECT_EQ(Html(std::string("a\0b", 3)).markup(), "a" + unknown + "b");
  EXPECT_EQ(Html("\x1b[31m").markup(), unknown + "[31m");
  EXPECT_EQ(Html("\xff\xfe").markup(), unknown + unknown);                  // no UTF-8
  EXPECT_EQ(Html("gpj\xE2\x80\xAEtxt").markup(), "gpj" + unknown + "txt");  // U+202E turns the rest around
  EXPECT_EQ(Html("\xEF\xBF\xBE").markup(), unknown);                        // U+FFFE is in no XML
  EXPECT_EQ(Html("caf\xC3\xA9\n\ttab").markup(), "caf\xC3\xA9\n\ttab");     // all else stays
}

TEST(Elements, EscapeTheirAttributes) {
  EXPECT_EQ(element("a", {{"href", "\"><b>"}}, "x").markup(), "<a href=\"&quot;&gt;&lt;b&gt;\">x</a>");
}

TEST(Elements, NestWithoutBeingEscapedTwice) {
  EXPECT_EQ(element("p", {}, Html("1 & ") + element("b", {}, "2")).markup(), "<p>1 &amp; <b>2</b></p>");
}

TEST(Elements, ThatHoldNothingAreClosedAsHtmlWantsIt) {
  EXPECT_EQ(element("div", {}).markup(), "<div></div>");
  EXPECT_EQ(element("meta", {{"charset", "utf-8"}}).markup(), "<meta charset=\"utf-8\"/>");
}

TEST(Figures, KeepTheExactNumberBesideTheShownOne) {
  EXPECT_EQ(figure_value("/results/x", 0.1, "0.1").markup(), "<data data-key=\"/results/x\" value=\"0.1\">0.1</data>");
  EXPECT_EQ(figure_value("", 27.206309618093265, "27.206").markup(),
            "<data value=\"27.206309618093265\">27.206</data>");
  EXPECT_NE(figure_value("", std::numeric_limits<double>::infinity(), "inf").markup().find("value=\"inf\""),
            std::string::npos);
}

TEST(Shortened, CutsBetweenLettersAndSaysSo) {
  EXPECT_EQ(shortened("short", 5), "short");
  EXPECT_EQ(shortened("abcdef", 3), "abc\xE2\x80\xA6");
  EXPECT_EQ(shortened("a\xC3\xA9z", 2), "a\xE2\x80\xA6");  // not inside the e with its accent
}

TEST(Document, LoadsNothingAndRunsNothing) {
  const std::string page = document("<title>", element("p", {}, "text"));
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_NE(page.find("<title>&lt;title&gt;</title>"), std::string::npos);
  EXPECT_NE(page.find("default-src &#39;none&#39;"), std::string::npos);
  for (const char* word : {"<script", "http://", "https://", "url(", "@import", "src="})
    EXPECT_EQ(page.find(word), std::string::npos) << word;
}

TEST(Table, AlignsNumbersAndHeadsItsRows) {
  const std::string markup = table({{"name", false}, {"value"}}, {{"a", "1"}, {"b<", "2"}}).markup();
  EXPECT_NE(markup.find("<th scope=\"row\">b&lt;</th><td class=\"n\">2</td>"), std::string::npos) << markup;
}

}  // namespace
}  // namespace tercet::page
