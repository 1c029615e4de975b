#pragma once
// Turns token texts back into text: the decoders of Hugging Face tokenizers, as a chain that takes one token at a time.
// Decoding a whole list runs the same chain, so that streamed and whole results are equal by construction.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"
#include "tokenizer/pattern.h"

namespace secondsource::tokenizer {

/// Converts the byte alphabet to bytes; bytes that are not UTF-8 become U+FFFD.
struct ByteLevelDecoder {};
/// Converts "<0xE2>" to its byte. If a run of such bytes is not valid UTF-8 as a whole, each of its bytes becomes
/// U+FFFD, so a run is held back until it ends.
struct ByteFallbackDecoder {};
/// Joins all tokens into one.
struct FuseDecoder {};
struct ReplaceDecoder {
  Pattern pattern;
  std::string content;
};
/// Removes `content` up to `start` times from the start of a token and up to `stop` times from its end.
struct StripDecoder {
  char32_t content = U' ';
  std::size_t start = 0;
  std::size_t stop = 0;
};
/// Converts `replacement` to a space; in the first token it is dropped, unless the encoder never prepends one.
struct MetaspaceDecoder {
  char32_t replacement = 0x2581;
  bool drops_in_first = true;
};

/// A Sequence becomes several steps.
using DecoderStep =
    std::variant<ByteLevelDecoder, ByteFallbackDecoder, FuseDecoder, ReplaceDecoder, StripDecoder, MetaspaceDecoder>;

/// Refuses steps whose replacements could make a text more than 4096 times as long, so that a few ids cannot fill the
/// memory. Errors: kInvalidInput.
Result<void> check_growth(const std::vector<DecoderStep>& steps);

/// Receives the text of a stage: the pieces of a token, of which the last one is marked.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void put(std::string_view piece, bool ends_token) = 0;
  /// Called once, after the last piece.
  virtual void finish() = 0;
};

/// The steps as a running chain. Each put() is one token; text comes out in whole UTF-8 characters.
class DecoderChain {
 public:
  /// `steps` must outlive the chain. Without a decoder, tokens are joined by spaces, as Hugging Face tokenizers do.
  DecoderChain(const std::vector<DecoderStep>& steps, bool has_decoder);
  ~DecoderChain();
  DecoderChain(DecoderChain&&) noexcept;
  DecoderChain& operator=(DecoderChain&&) noexcept;

  void put(std::string_view token);
  void finish();
  /// The text that is ready. Each piece of text is returned only once.
  [[nodiscard]] std::string take();

 private:
  struct Stages;
  std::unique_ptr<Stages> stages_;
};

}  // namespace secondsource::tokenizer
