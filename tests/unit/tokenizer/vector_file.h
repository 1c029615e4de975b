#pragma once
// Reads the vector files of tests/data/tokenizer, which contain texts with the ids and decoded texts given by the
// Hugging Face `tokenizers` package 0.23.3 (made by make_vectors.py there), and checks a Tokenizer against them.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/result.h"
#include "tokenizer/tokenizer.h"

namespace secondsource::test {

/// Checks every row of a case: the ids with and without recognised special tokens, and the text decoded whole and
/// streamed, with and without special tokens.
inline void check_rows(const Tokenizer& tokenizer, const nlohmann::json& one) {
  for (const nlohmann::json& row : one["rows"]) {
    const std::string text = row["text"];
    const std::vector<std::int32_t> expected = row["ids"];
    CAPTURE(text);
    const Result<std::vector<std::int32_t>> ids = tokenizer.encode(text, {});
    REQUIRE_OK(ids);
    CHECK(*ids == expected);
    const Result<std::vector<std::int32_t>> plain = tokenizer.encode(text, {.parse_special = false});
    REQUIRE_OK(plain);
    CHECK(*plain == row.value("plain_ids", expected));
    for (const bool skip_special : {false, true}) {
      const std::string decoded = row.value(skip_special ? "decoded_skip" : "decoded", text);
      CHECK(tokenizer.decode(expected, {.skip_special = skip_special}) == decoded);
      StreamingDecoder decoder = tokenizer.stream({.skip_special = skip_special});
      std::string streamed;
      for (const std::int32_t id : expected) streamed += decoder.push(id);
      streamed += decoder.finish();
      CHECK(streamed == decoded);
    }
  }
}

}  // namespace secondsource::test
