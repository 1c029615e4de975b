// Compares every normalizer, pre-tokenizer, decoder and kind of added token with the output of the Hugging Face
// `tokenizers` package 0.23.3 for the same file: vectors.json and unigram_vectors.json in tests/data/tokenizer, made by
// make_vectors.py and make_unigram.py beside them.
#include "core/file.h"
#include "support/source_path.h"
#include "vector_file.h"

namespace secondsource {
namespace {

/// Checks all cases in a file of vectors and returns their number.
std::size_t check_vectors(const std::string& name) {
  const Result<std::string> text = read_file(test::data_file("tokenizer/" + name));
  REQUIRE_OK(text);
  const auto vectors = nlohmann::json::parse(*text);
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
  return vectors["cases"].size();
}

TEST_CASE("each part of a tokenizer.json does what Hugging Face tokenizers do") {
  CHECK(check_vectors("vectors.json") > 40);
}

TEST_CASE("Unigram models and the maps of characters of SentencePiece do what Hugging Face tokenizers do") {
  CHECK(check_vectors("unigram_vectors.json") == 3);
}

}  // namespace
}  // namespace secondsource
