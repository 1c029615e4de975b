// Broken input must never crash the reader: every file of JSONTestSuite (assets hostile/json), by itself and as a part
// of a tokenizer.json, and every prefix and many corruptions of a good file.
#include "core/file.h"
#include "core/random.h"
#include "support/assets.h"
#include "support/result.h"
#include "support/source_path.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {
namespace {

/// Reads a tokenizer and uses it if that succeeds; an error must be one line that begins with the name.
void must_survive(const std::string& json) {
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(json, "t.json");
  if (!tokenizer) {
    CHECK(tokenizer.error().message.starts_with("t.json: "));
    CHECK(tokenizer.error().message.find('\n') == std::string::npos);
    return;
  }
  const Result<std::vector<std::int32_t>> ids = tokenizer->encode("Hello <|start|> w\u00f6rld \U0001f999 12");
  if (ids) (void)tokenizer->decode(*ids);
}

TEST_CASE("every hostile JSON file is refused or read, never a crash") {
  const auto folder = test::asset("hostile/json");
  if (!folder) return;
  int n_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder)) {
    if (entry.path().extension() != ".json") continue;
    const Result<std::string> content = read_file(entry.path());
    REQUIRE_OK(content);
    CAPTURE(entry.path().filename().string());
    const Result<Tokenizer> tokenizer = Tokenizer::from_json(*content, "t.json");
    CHECK_FALSE(tokenizer);  // none of the files is a tokenizer
    must_survive(*content);
    for (const char* key : {"model", "normalizer", "pre_tokenizer", "decoder", "post_processor", "added_tokens"}) {
      must_survive(R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, ")" + std::string(key) +
                   "\": " + *content + "}");
    }
    ++n_files;
  }
  CHECK(n_files > 180);
}

TEST_CASE("every broken form of a good tokenizer.json is survived") {
  const Result<std::string> good = read_file(test::data_file("tokenizer/byte_level.json"));
  REQUIRE_OK(good);
  for (std::size_t length = 0; length < good->size(); length += 97) must_survive(good->substr(0, length));
  RandomStream random(5);
  for (int round = 0; round < 300; ++round) {
    std::string broken = *good;
    for (std::uint64_t n = 1 + random.next_below(4); n > 0; --n) {
      broken[random.next_below(broken.size())] = static_cast<char>(random.next_below(256));
    }
    must_survive(broken);
  }
}

}  // namespace
}  // namespace secondsource
