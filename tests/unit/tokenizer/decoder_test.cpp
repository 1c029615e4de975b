#include "tokenizer/decoder.h"

#include "core/file.h"
#include "core/random.h"
#include "core/utf8.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {
namespace {

using Ids = std::vector<std::int32_t>;

Tokenizer small_tokenizer(const std::string& file) {
  const Result<std::string> text = read_file(test::data_file("tokenizer/" + file));
  REQUIRE_OK(text);
  Result<Tokenizer> tokenizer = Tokenizer::from_json(*text, file);
  REQUIRE_OK(tokenizer);
  return std::move(tokenizer).value();
}

/// Decodes a list of tokens and checks that the text comes out in whole characters.
std::string decode(const std::vector<tokenizer::DecoderStep>& steps, const std::vector<std::string>& tokens) {
  tokenizer::DecoderChain chain(steps, true);
  std::string text;
  for (const std::string& token : tokens) {
    chain.put(token);
    const std::string piece = chain.take();
    CHECK_FALSE(find_invalid_utf8(piece));
    text += piece;
  }
  chain.finish();
  return text + chain.take();
}

TEST_CASE("whatever ids come, streamed text is whole characters and equals the text decoded at once") {
  RandomStream random(11);
  for (const std::string file : {"byte_level.json", "sentencepiece.json"}) {
    const Tokenizer tokenizer = small_tokenizer(file);
    const auto vocab_size = static_cast<std::uint64_t>(tokenizer.vocab_size());
    for (int round = 0; round < 500; ++round) {
      Ids ids;
      // Low ids are single bytes, so most lists contain broken characters.
      const std::uint64_t bound = round % 2 == 0 ? 260 : vocab_size + 3;
      for (std::uint64_t n = random.next_below(24); n > 0; --n)
        ids.push_back(static_cast<std::int32_t>(random.next_below(bound)));
      const DecodeOptions options{.skip_special = round % 3 == 0};
      StreamingDecoder decoder = tokenizer.stream(options);
      std::string streamed;
      for (const std::int32_t id : ids) {
        const std::string piece = decoder.push(id);
        REQUIRE_FALSE(find_invalid_utf8(piece));
        streamed += piece;
      }
      streamed += decoder.finish();
      CAPTURE(file, ids);
      REQUIRE(streamed == tokenizer.decode(ids, options));
    }
  }
}

TEST_CASE("a byte-level tokenizer gives back every text, wherever the stream is read") {
  const Tokenizer tokenizer = small_tokenizer("byte_level.json");
  for (const std::string text :
       {"plain", " \n\t ", "\U0001f999\U0001f468\u200d\U0001f469 \u65e5\u672c", "e\u0301\u00e9\u0938"}) {
    const Result<Ids> ids = tokenizer.encode(text, {.parse_special = false});
    REQUIRE_OK(ids);
    CHECK(tokenizer.decode(*ids) == text);
    StreamingDecoder decoder = tokenizer.stream();
    std::string streamed;
    for (const std::int32_t id : *ids) {
      streamed += decoder.push(id);
      CHECK(text.starts_with(streamed));  // no text ever has to be taken back
    }
    CHECK(streamed + decoder.finish() == text);
  }
}

TEST_CASE("an emoji of four byte tokens comes out with its last byte, not before") {
  const Tokenizer tokenizer = small_tokenizer("byte_level.json");
  StreamingDecoder decoder = tokenizer.stream();
  const std::vector<std::string> letters = {"\u00f0", "\u0141", "\u00a6",
                                            "\u013b"};  // F0 9F A6 99 in the byte alphabet
  std::vector<std::string> pieces;
  for (const std::string& letter : letters) {
    const std::optional<std::int32_t> id = tokenizer.id_of(letter);
    REQUIRE(id);
    pieces.push_back(decoder.push(*id));
  }
  CHECK(pieces == std::vector<std::string>{"", "", "", "\U0001f999"});
  CHECK(decoder.finish().empty());
}

TEST_CASE("a run of byte tokens that is not UTF-8 becomes one U+FFFD a byte") {
  // As in ByteFallback of Hugging Face tokenizers, one bad byte spoils the whole run.
  const std::vector<tokenizer::DecoderStep> steps = [] {
    std::vector<tokenizer::DecoderStep> result;
    result.emplace_back(tokenizer::ByteFallbackDecoder{});
    result.emplace_back(tokenizer::FuseDecoder{});
    return result;
  }();
  CHECK(decode(steps, {"<0xC3>", "<0xA9>", "x"}) == "\u00e9x");
  CHECK(decode(steps, {"<0xC3>", "<0xA9>", "<0xFF>", "x"}) == "\ufffd\ufffd\ufffdx");
  CHECK(decode(steps, {"<0xf0>", "<0x9F>"}) == "\ufffd\ufffd");
  CHECK(decode(steps, {"<0x4>", "<0x4G>", "<0x41>"}) == "<0x4><0x4G>A");
}

TEST_CASE("Strip works at both ends of a token, however its pieces arrive") {
  const auto strip = [](std::size_t start, std::size_t stop, bool fused) {
    std::vector<tokenizer::DecoderStep> steps;
    if (fused) steps.emplace_back(tokenizer::FuseDecoder{});
    steps.emplace_back(tokenizer::StripDecoder{.content = U'_', .start = start, .stop = stop});
    return decode(steps, {"__a_", "_b__", "_"});
  };
  CHECK(strip(1, 0, false) == "_a_b__");
  CHECK(strip(0, 1, false) == "__a_b_");
  CHECK(strip(2, 2, false) == "ab");
  CHECK(strip(1, 0, true) == "_a__b___");
  CHECK(strip(0, 2, true) == "__a__b_");
  CHECK(strip(5, 5, true) == "a__b");
}

TEST_CASE("Replace finds a literal text that spans pieces of a fused token") {
  std::vector<tokenizer::DecoderStep> steps;
  steps.emplace_back(tokenizer::FuseDecoder{});
  steps.emplace_back(tokenizer::ReplaceDecoder{tokenizer::Pattern(std::string("aab")), "X"});
  CHECK(decode(steps, {"a", "a", "a", "b", "aa", "b", "a"}) == "aXXa");
  CHECK(decode(steps, {"aa", "c", "a"}) == "aaca");
}

}  // namespace
}  // namespace secondsource
