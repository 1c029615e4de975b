// Compares every normalizer, pre-tokenizer, decoder and kind of added token with the output of the Hugging Face
// `tokenizers` package 0.23.3 for the same file: tests/data/tokenizer/vectors.json, made by make_vectors.py beside it.
#include "core/file.h"
#include "support/source_path.h"
#include "vector_file.h"

namespace secondsource {
namespace {

TEST_CASE("each part of a tokenizer.json does what Hugging Face tokenizers do") {
  const Result<std::string> text = read_file(test::data_file("tokenizer/vectors.json"));
  REQUIRE_OK(text);
  const auto vectors = nlohmann::json::parse(*text);
  REQUIRE(vectors["cases"].size() > 40);
  for (const nlohmann::json& one : vectors["cases"]) {
    const std::string file = one["file"];
    const Result<std::string> base = read_file(test::data_file("tokenizer/" + file));
    REQUIRE_OK(base);
    auto json = nlohmann::json::parse(*base);
    json.merge_patch(one["patch"]);
    CAPTURE(one["name"].get<std::string>());
    const Result<Tokenizer> tokenizer = Tokenizer::from_json(json.dump(), file);
    REQUIRE_OK(tokenizer);
    test::check_rows(*tokenizer, one);
  }
}

}  // namespace
}  // namespace secondsource
