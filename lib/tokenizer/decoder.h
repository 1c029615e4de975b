#pragma once
// How token texts become text again: the decoders of Hugging Face tokenizers, written as a chain that takes one token
// at a time. Decoding everything at once runs the same chain, so streamed and whole results are equal by construction.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "tokenizer/pattern.h"

namespace secondsource::tokenizer {

/// Byte alphabet to bytes; bytes that are not UTF-8 become U+FFFD.
struct ByteLevelDecoder {};
/// "<0xE2>" to its byte; a run of such bytes that is not UTF-8 as a whole becomes one U+FFFD a byte. So a run is held
/// back until it ends.
struct ByteFallbackDecoder {};
/// All tokens become one.
struct FuseDecoder {};
struct ReplaceDecoder {
  Pattern pattern;
  std::string content;
};
/// Drops up to `start` times `content` in front of a token and up to `stop` times after it.
struct StripDecoder {
  char32_t content = U' ';
  std::size_t start = 0;
  std::size_t stop = 0;
};
/// `replacement` to a space; in the first token it is dropped, unless nothing is ever prepended.
struct MetaspaceDecoder {
  char32_t replacement = 0x2581;
  bool drops_in_first = true;
};

/// A Sequence is several steps.
using DecoderStep =
    std::variant<ByteLevelDecoder, ByteFallbackDecoder, FuseDecoder, ReplaceDecoder, StripDecoder, MetaspaceDecoder>;

/// Refuses steps whose replacements could make a text more than 4096 times as long: a few ids must not fill the memory.
/// Errors: kInvalidInput.
Result<void> check_growth(const std::vector<DecoderStep>& steps);

/// Where a stage sends its text: pieces of a token, the last of them marked.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void put(std::string_view piece, bool ends_token) = 0;
  /// Nothing more will come.
  virtual void finish() = 0;
};

/// The steps as a running chain. Every put() is one token; text comes out in whole UTF-8 characters.
class DecoderChain {
 public:
  /// `steps` outlives the chain. Without steps tokens are joined by spaces, as Hugging Face tokenizers do it.
  DecoderChain(const std::vector<DecoderStep>& steps, bool has_decoder);
  ~DecoderChain();
  DecoderChain(DecoderChain&&) noexcept;
  DecoderChain& operator=(DecoderChain&&) noexcept;

  void put(std::string_view token);
  void finish();
  /// The text that is ready; it is handed out once.
  [[nodiscard]] std::string take();

 private:
  struct Stages;
  std::unique_ptr<Stages> stages_;
};

}  // namespace secondsource::tokenizer
