#include "dashboard/pages.hpp"

#include <gtest/gtest.h>

#include "dashboard/runs.hpp"
#include "dashboard/settings_text.hpp"

namespace tercet::dashboard {
namespace {

using namespace std::chrono_literals;

class Pages : public test::WithRuns {
 protected:
  std::string part(const Page& page, const std::string& id) {
    for (const Part& part : page.parts)
      if (part.id == id) return part.content.markup();
    ADD_FAILURE() << "no part " << id;
    return "";
  }
  void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& wanted : parts)
      EXPECT_NE(text.find(wanted), std::string::npos) << wanted << " in:\n" << text;
  }
  void expect_harmless(const Page& page) {
    const std::string file = whole_page(marked(page), "/x?y=1");
    EXPECT_EQ(file.find("<script>alert"), std::string::npos);
    EXPECT_EQ(file.find("<img"), std::string::npos);
    EXPECT_EQ(file.find(" style="), std::string::npos);  // the page's policy forbids it
    EXPECT_NE(file.find("&lt;script&gt;alert"), std::string::npos);
  }
};

TEST_F(Pages, IndexShowsWhatRunsAndAllRuns) {
  finished("a");
  running("b");
  family("nightly");
  Catalogue catalogue(folder());
  const auto listing = catalogue.listing(10s);
  const Page page = index_page(*listing, {read_family(folder() / "nightly", "nightly")}, 0);
  expect_parts(part(page, "running"), {"named", "fine-tune", "<progress value=\"10\" max=\"40\"", "10 of 40"});
  expect_parts(part(page, "families"), {"/family?path=nightly", "2026-11-26"});
  expect_parts(part(page, "runs"), {"href=\"/run?path=a\"", "7.63x", "value=\"20\">20.000", "action=\"/compare\""});
}

TEST_F(Pages, IndexListsManyRunsInPieces) {
  Listing listing;
  for (int i = 0; i < 600; ++i) {
    listing.runs.push_back({"r" + std::to_string(i), {}, {}, true});
    listing.runs.back().summary.name = "n" + std::to_string(i);
  }
  expect_parts(part(index_page(listing, {}, 0), "runs"), {"1 to 250 of 600", "/?from=250"});
  expect_parts(part(index_page(listing, {}, 250), "runs"), {"251 to 500 of 600", "/?from=0", "/?from=500", ">n250<"});
  expect_parts(part(index_page(listing, {}, 9999), "runs"), {">n0<"});
  expect_parts(part(index_page(Listing(), {}, 0), "runs"), {"no run here yet"});
}

TEST_F(Pages, ARunUnderWayShowsWhereItIs) {
  running("b");
  Catalogue catalogue(folder());
  const Page page = run_page(*catalogue.open("b")->look());
  expect_parts(part(page, "now"), {"running, for", "fine-tune", "data-key=\"/done\" value=\"10\"",
                                   "data-key=\"/values/training~1loss/value\" value=\"0.1\">0.1000", "at step 30"});
  expect_parts(part(page, "gates"), {"Gates so far", "pass so far", "not measured yet"});
  expect_parts(part(page, "ranks"), {"2.00 GB", "computes", "fine-tune 10/40", "ago"});
  expect_parts(part(page, "warnings"), {"1 steps were not finite"});
  expect_parts(part(page, "training"), {"<svg", "Loss"});
  expect_parts(part(page, "layers"), {"model.layers.0.up_proj"});
}

TEST_F(Pages, ARunThatEndedShowsWhatItsReportShows) {
  finished("a");
  Catalogue catalogue(folder());
  const Page page = run_page(*catalogue.open("a")->look());
  EXPECT_EQ(part(page, "now"), "");
  EXPECT_EQ(part(page, "ranks"), "");
  expect_parts(part(page, "heading"), {"passed", "data-key=\"/results/packed/perplexity\" value=\"21\""});
  expect_parts(part(page, "gates"), {"data-key=\"/gates/0/value\""});
}

TEST_F(Pages, HaveTheSamePartsWhateverIsKnown) {
  finished("a");
  running("b");
  Catalogue catalogue(folder());
  const Page one = run_page(*catalogue.open("a")->look()), other = run_page(*catalogue.open("b")->look());
  ASSERT_EQ(one.parts.size(), other.parts.size());
  for (std::size_t i = 0; i < one.parts.size(); ++i) EXPECT_EQ(one.parts[i].id, other.parts[i].id);
}

TEST_F(Pages, TwoRunsStandSideBySide) {
  finished("a");
  running("b");
  test::write_text_file(folder() / "a" / "config.resolved.yaml", "name: other\ntraining:\n  tokens: 5\n");
  Catalogue catalogue(folder());
  const Page page = compare_page(*catalogue.listing(10s), {catalogue.open("a")->look(), catalogue.open("b")->look()});
  expect_parts(part(page, "figures"), {"perplexity, packed", "21.000", "+0.00 %"});
  expect_parts(part(page, "settings"), {"training.tokens", ">5<"});
  expect_parts(part(page, "curves"), {"Loss", "<svg"});
  expect_parts(part(page, "heading"), {"<select", "selected=\"selected\""});
  expect_parts(part(compare_page(*catalogue.listing(), {}), "heading"), {"<select"});
}

TEST_F(Pages, AFamilyShowsItsNights) {
  family("nightly");
  Catalogue catalogue(folder());
  const auto listing = catalogue.listing(10s);
  const Family family = read_family(folder() / "nightly", "nightly");
  EXPECT_EQ(family.nights, (std::vector<std::string>{"2026-11-26", "2026-11-25", "2026-11-24"}));
  const Page page = family_page(family, *listing);
  expect_parts(part(page, "nights"), {"regressed", "14.250", "12.500", "/run?path=nightly/runs/2026-11-25/small-g32",
                                      "/element?family=nightly&amp;name=small-g32"});
  expect_parts(part(page, "history"), {"<svg", "Smaller by"});
  const Page night = night_page(family, "2026-11-26", read_night(folder() / "nightly", "2026-11-26"), *listing);
  expect_parts(part(night, "elements"), {"small-g32", "running", "broken-g32", "unreadable"});
  const Page element = element_page(family, *family.element("small-g32"), *listing);
  expect_parts(part(element, "nights"), {"2026-11-24-abc", "regressed", "50.00 %"});
}

TEST_F(Pages, ANightIsAFolderOfItsFamily) {
  family("nightly");
  EXPECT_EQ(read_night(folder() / "nightly", "2026-11-24").size(), 2u);
  for (const char* night : {"..", "../nights/2026-11-24", ".", "", "nowhere"})
    EXPECT_TRUE(read_night(folder() / "nightly", night).empty()) << night;
}

TEST_F(Pages, MarkupInNamesStaysText) {
  using test::kHostile;
  finished("a", kHostile);
  running("b", kHostile);
  test::write_text_file(folder() / "b" / "log" / "rank-0000.log", kHostile);
  Catalogue catalogue(folder());
  Listing listing = *catalogue.listing(10s);
  for (ListedRun& run : listing.runs) run.summary.name = run.summary.state = run.summary.started = kHostile;
  Family family{
      kHostile, {kHostile}, {{kHostile, {{kHostile, kHostile, kHostile, kHostile, 0, {}, 1.5, {}, {}, {}}}, ""}}};
  expect_harmless(index_page(listing, {family}, 0));
  expect_harmless(run_page(*catalogue.open("a")->look()));
  expect_harmless(run_page(*catalogue.open("b")->look()));
  expect_harmless(family_page(family, listing));
  expect_harmless(night_page(family, kHostile, {{kHostile, kHostile, kHostile, kHostile, 1}}, listing));
  expect_harmless(element_page(family, family.elements[0], listing));
  expect_harmless(unreadable_page(kHostile, kHostile));
  RunLook look = *catalogue.open("a")->look();
  look.view.name = look.path = look.view.config = std::string(kHostile) + ": " + kHostile;
  const auto hostile = std::make_shared<const RunLook>(look);
  expect_harmless(compare_page(listing, {hostile, catalogue.open("b")->look()}));
}

TEST_F(Pages, MarksFollowTheContent) {
  const Page one = marked({"", {{"a", "x"}, {"b", "x"}, {"c", "y"}}});
  EXPECT_EQ(one.parts[0].mark, one.parts[1].mark);
  EXPECT_NE(one.parts[0].mark, one.parts[2].mark);
}

TEST(Addresses, TakeAnyValue) {
  EXPECT_EQ(address_of("/run", {{"path", "a b/c&d=\xC3\xA9\"\r\n"}}), "/run?path=a%20b/c%26d%3D%C3%A9%22%0D%0A");
  EXPECT_EQ(address_of("/compare", {{"run", "a"}, {"run", "b"}}), "/compare?run=a&run=b");
}

TEST(Settings, AreReadAsLines) {
  const auto settings =
      settings_in("name: x\n# note\ntraining:\n  tokens: 5\n  list:\n    - a\n    - b: 1\nlist:\n- c\nlast: y\n");
  EXPECT_EQ(settings.at("name"), "x");
  EXPECT_EQ(settings.at("training.tokens"), "5");
  EXPECT_EQ(settings.at("training.list"), "- a - b: 1");
  EXPECT_EQ(settings.at("list"), "- c");
  EXPECT_EQ(settings.at("last"), "y");
  EXPECT_TRUE(settings_in("\n   \n::::\n- \n\t").size() < 5);
}

}  // namespace
}  // namespace tercet::dashboard
