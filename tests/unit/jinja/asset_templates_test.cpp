// Renders published chat templates, which are read in place among the assets: each with many conversations, compared with
// what transformers' apply_chat_template makes of them (tests/data/jinja/chat_vectors.json, by make_chat_vectors.py), and
// the test cases of huggingface.js' own implementation.
#include <map>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/hash.h"
#include "jinja/template.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource::jinja {
namespace {

using Json = nlohmann::ordered_json;

Json read_json(const std::filesystem::path& path) {
  const Result<std::string> text = read_file(path);
  REQUIRE_OK(text);
  return Json::parse(*text);
}

/// The published templates among the assets by name; empty without assets.
std::map<std::string, std::string> asset_templates() {
  std::map<std::string, std::string> templates;
  const auto hfjs = test::asset("chat-templates/hfjs_jinja_e2e_cases.json");
  const auto llama_cpp = test::asset("chat-templates/llamacpp_chat_template_cases.json");
  const auto phi3 = test::asset("tokenizers/hf/phi-3-mini/tokenizer_config.json");
  if (!hfjs || !llama_cpp || !phi3) return templates;
  const Json hfjs_cases = read_json(*hfjs)["cases"];
  for (const auto& [name, one] : hfjs_cases.items()) templates["hfjs: " + name] = one["chat_template"];
  const Json llama_cpp_cases = read_json(*llama_cpp)["cases"];
  for (const Json& one : llama_cpp_cases) {
    templates["llama.cpp: " + one["name"].get<std::string>()] = one["template_str"];
  }
  templates["phi-3-mini"] = read_json(*phi3)["chat_template"];
  return templates;
}

TEST_CASE("published templates render conversations as transformers does") {
  const std::map<std::string, std::string> templates = asset_templates();
  if (templates.empty()) return;
  const Json file = read_json(test::data_file("jinja/chat_vectors.json"));
  CHECK(file["templates"].size() == templates.size());
  for (const auto& [name, hashes] : file["templates"].items()) {
    REQUIRE(templates.contains(name));
    const Result<Template> parsed = Template::parse(templates.at(name), name);
    REQUIRE_OK(parsed);
    REQUIRE(hashes.size() == file["contexts"].size());
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      CAPTURE(name, i, file["contexts"][i].dump());
      const Result<std::string> text = parsed->render(file["contexts"][i], {.date = file["date"]});
      const std::string found = text ? sha256_hex(*text).substr(0, 16) : "refused";
      CHECK(found == hashes[i].get<std::string>());
    }
  }
}

TEST_CASE("the chat templates of huggingface.js' tests give the texts that they expect") {
  const auto path = test::asset("chat-templates/hfjs_jinja_e2e_cases.json");
  if (!path) return;
  const Json cases = read_json(*path)["cases"];
  for (const auto& [name, one] : cases.items()) {
    CAPTURE(name);
    const Result<Template> parsed = Template::parse(one["chat_template"].get<std::string>(), name);
    REQUIRE_OK(parsed);
    const Result<std::string> text = parsed->render(one["data"], {.date = "2025-07-10"});
    REQUIRE_OK(text);
    CHECK(*text == one["target"].get<std::string>());
  }
}

TEST_CASE("the other cases of huggingface.js give the same text, but where it departs from Python") {
  const auto path = test::asset("chat-templates/hfjs_jinja_syntax_cases.json");
  if (!path) return;
  // Some expected texts follow JavaScript instead of Jinja2: true for True, null for None and JSON for lists; a length for
  // generators; untrimmed white space; a + that joins numbers and texts. vectors.json has Jinja2's output for each construct.
  const Json file = read_json(*path);
  const Json departures = read_json(test::data_file("jinja/huggingface_departures.json"))["cases"];
  int n_equal = 0;
  for (const auto& [name, one] : file["cases"].items()) {
    CAPTURE(name);
    const Result<Template> parsed = Template::parse(one["template"].get<std::string>(), name);
    const Result<std::string> text = parsed ? parsed->render(one["context"]) : Result<std::string>(parsed.error());
    if (departures.contains(name)) {
      CHECK((text ? *text : "refused") == departures[name].get<std::string>());
      continue;
    }
    REQUIRE_OK(text);
    CHECK(*text == one["expected"].get<std::string>());
    ++n_equal;
  }
  CHECK(n_equal > 30);
}

}  // namespace
}  // namespace secondsource::jinja
