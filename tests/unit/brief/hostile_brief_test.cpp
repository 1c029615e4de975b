// The documents of a brief with every hostile text in every field.
#include "brief/brief_json.h"
#include "brief_inputs.h"
#include "report/brief_document.h"
#include "support/hostile_output.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

Brief hostile_brief(const std::string& text) {
  auto built = build_brief(hand_made_inputs());
  REQUIRE_OK(built);
  Brief brief = std::move(built).value();
  brief.decision.unasked = "an option";
  brief.options.front().not_costed = "a reason";
  brief.apis.push_back({.name = "an API", .source = "a page", .date = "undated"});
  brief.inputs = {{"a file", "a hash"}};
  const std::string date = brief.date;
  fill_texts(brief, text);
  brief.date = date;  // build_brief() refuses any other text here
  brief.apis.front().date = "undated";
  return brief;
}

}  // namespace

TEST_CASE("no text of a brief reaches a reader's browser, editor or page of a repository as a command") {
  const std::string text = GENERATE(from_range(hostile_texts()));
  CAPTURE(shown(text, 60));
  const Brief brief = hostile_brief(text);
  const Document document = brief_document(brief);
  const std::string page = render_html(document);
  const std::string markdown = render_markdown(document);
  check_page(page);
  CHECK(acting_sequence(markdown) == std::nullopt);
  check_markdown(without_code(markdown));
  // A name of 100 KB is shortened everywhere except in the commands, which a reader may paste: the brief's own and that of its
  // run, with three words. JSON shortens nothing and would take 100 MB.
  CHECK(page.size() < 4 * 100'000 + 400'000);
  CHECK(markdown.size() < 4 * 100'000 + 300'000);
  if (text.size() < 100'000) check_json_output(to_json(brief), text);
}
