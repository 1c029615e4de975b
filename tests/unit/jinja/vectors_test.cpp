// Compares templates with what Jinja2 makes of them in the environment of transformers: tests/data/jinja/vectors.json,
// written by make_vectors.py beside it.
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "jinja/template.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource::jinja {
namespace {

using Json = nlohmann::ordered_json;

TEST_CASE("a template gives the text that Jinja2 gives, or is refused where Jinja2 refuses it") {
  const Result<std::string> text = read_file(test::data_file("jinja/vectors.json"));
  REQUIRE_OK(text);
  const Json file = Json::parse(*text);
  REQUIRE(file["cases"].size() > 2000);
  int n_refused = 0;
  for (const Json& one : file["cases"]) {
    const std::string source = one["template"];
    CAPTURE(source);
    const Result<Template> parsed = Template::parse(source, "vectors");
    const Result<std::string> found =
        parsed ? parsed->render(file["context"], {.date = file["date"]}) : Result<std::string>(parsed.error());
    if (one.contains("refused")) {
      ++n_refused;
      CHECK_FALSE(found);
      if (!found) CHECK(found.error().message.find('\n') == std::string::npos);
      continue;
    }
    REQUIRE_OK(found);
    CHECK(*found == one["text"].get<std::string>());
  }
  CHECK(n_refused > 500);
}

}  // namespace
}  // namespace secondsource::jinja
