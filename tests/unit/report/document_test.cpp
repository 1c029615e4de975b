#include "report/document.h"

#include "report/chart/bars.h"
#include "support/catch.h"
#include "support/text_parts.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::string kHostile = "</td><script>alert(1)</script>|[x](javascript:y)*`";

Document every_block() {
  const TextTable table{{"a|b", kHostile}, {false, true}, {{kHostile, "1"}, {"x", "2"}}, std::nullopt};
  const std::vector<Bar> bars = {{.label = kHostile, .value = 2, .low = 1.0, .high = 3.0}};
  return {kHostile,
          kHostile,
          {Section{"one", kHostile}, Subheading{kHostile}, Paragraph{kHostile}, Callout{Tone::kGood, kHostile},
           Bullets{{kHostile}}, CaptionedTable{kHostile, table}, FoldedTable{kHostile, table},
           Charts{{bar_chart(kHostile, "USD", bars)}}}};
}

}  // namespace

TEST_CASE("what looks like markup in a text is escaped, in both forms") {
  const std::string html = render_html(every_block());
  CHECK(count_of(html, "<script") == 0);
  CHECK(count_of(html, "&lt;script&gt;") >= 9);
  const std::string markdown = render_markdown(every_block());
  CHECK(count_of(markdown, "<script") == 0);
  CHECK(count_of(markdown, "[x](") == 0);
  CHECK(count_of(markdown, "&lt;script>") >= 9);
}

TEST_CASE("the blocks become sections, tables with captions and a chart, in their order") {
  const std::string html = render_html(
      {"T",
       "L",
       {Section{"s", "S"}, Paragraph{"P"}, CaptionedTable{"C", {{"c"}, {false}, {{"v"}}, std::nullopt}},
        Charts{{bar_chart("B", "USD", std::vector<Bar>{{.label = "b", .value = 1}})}}, Command{"secondsource brief"}}});
  const char* parts[] = {"<h1>T</h1>",         "L",
                         "<section id=\"s\"",  "<p>P</p>",
                         "C</span></caption>", "<th scope=\"row\">v</th>",
                         "<figure>",           "secondsource brief"};
  std::size_t at = 0;
  for (const char* part : parts) {
    CAPTURE(part);
    at = html.find(part, at);
    REQUIRE(at != std::string::npos);
  }
  CHECK(count_of(html, "size: A4") == 1);
}
