#pragma once
// Text to token ids and back: byte-level BPE (GPT-2, Llama 3, Qwen, ...), SentencePiece-style BPE (Llama 2, Phi-3, ...)
// and Unigram (T5, ALBERT, XLM-RoBERTa, ...), from a Hugging Face tokenizer.json or from the vocabulary of a GGUF file.
// encode() gives the same ids as the Hugging Face `tokenizers` package. Parts of a file that this reader does not
// support are refused by name.
//
//   SS_TRY(const Tokenizer tokenizer, Tokenizer::from_json(json_text, "tokenizer.json"));
//   SS_TRY(const std::vector<std::int32_t> ids, tokenizer.encode("Hello", {}));
//   StreamingDecoder decoder = tokenizer.stream({.skip_special = true});
//   for (const std::int32_t id : ids) out += decoder.push(id);
//   out += decoder.finish();

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

namespace tokenizer {
struct TokenizerParts;
struct TokenizerState;
}  // namespace tokenizer

struct EncodeOptions {
  /// Adds the tokens of the file's post-processor (a begin-of-text token, ...).
  bool add_special_tokens = true;
  /// Special tokens that are written out in the text become their ids. Turn it off for untrusted text: then
  /// "<|im_end|>" is encoded as ordinary characters.
  bool parse_special = true;
};

struct DecodeOptions {
  /// Leaves special tokens out.
  bool skip_special = false;
};

/// Converts ids to text, one at a time. It emits whole UTF-8 characters and never takes anything back, and all pieces
/// together equal the result of decode() for the whole list. Byte-fallback tokens ("<0xE2>") are held back until their
/// run ends, because a run that is not valid UTF-8 decodes differently as a whole. The Tokenizer must outlive it; not
/// thread-safe.
class StreamingDecoder {
 public:
  ~StreamingDecoder();
  StreamingDecoder(StreamingDecoder&&) noexcept;
  StreamingDecoder& operator=(StreamingDecoder&&) noexcept;

  /// The text that is certain after this id; often empty. Ids outside the vocabulary add no text.
  [[nodiscard]] std::string push(std::int32_t id);
  /// The rest of the text; call it once, after the last id.
  [[nodiscard]] std::string finish();

 private:
  friend class Tokenizer;
  struct State;
  explicit StreamingDecoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A tokenizer. It is movable, and its const functions may be called from several threads at once: each call takes
/// working memory (with its own word cache) from a small pool behind a lock.
class Tokenizer {
 public:
  /// Reads the text of a tokenizer.json. Every error line begins with `name_for_messages`.
  /// Errors: kInvalidInput for a text that is not such a file; kUnsupported for a valid file with an unknown part.
  static Result<Tokenizer> from_json(std::string_view json_text, std::string_view name_for_messages);

  /// Assembles the parts that a reader has read; for the readers in this folder.
  /// Errors: kInvalidInput when the parts do not fit together.
  static Result<Tokenizer> from_parts(tokenizer::TokenizerParts parts);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// The ids of a text. Errors: kInvalidInput for a text that is not UTF-8 or is larger than 1 GiB, or on which a
  /// regular expression of the file exceeds its limits.
  Result<std::vector<std::int32_t>> encode(std::string_view utf8_text, const EncodeOptions& options = {}) const;

  /// The text of the ids, always valid UTF-8. Ids outside the vocabulary are left out.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids, const DecodeOptions& options = {}) const;

  /// A decoder that takes ids one by one.
  [[nodiscard]] StreamingDecoder stream(const DecodeOptions& options = {}) const;

  /// The largest id plus one; a model's logits may have more columns than this.
  [[nodiscard]] std::int64_t vocab_size() const;
  /// A token as the file writes it; nullopt for an id without a token.
  [[nodiscard]] std::optional<std::string_view> token(std::int32_t id) const;
  /// The id of a token as the file writes it.
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const;

  /// True if decode() with skip_special leaves this id out.
  [[nodiscard]] bool is_special(std::int32_t id) const;
  /// The ids of all special tokens, ascending.
  [[nodiscard]] std::vector<std::int32_t> special_ids() const;
  /// The ids that encode() puts before and after the text when it adds special tokens.
  [[nodiscard]] std::span<const std::int32_t> prefix_ids() const;
  [[nodiscard]] std::span<const std::int32_t> suffix_ids() const;
  /// The begin-of-text token: the first of prefix_ids(), otherwise the one named by the GGUF file; nullopt if there is
  /// neither.
  [[nodiscard]] std::optional<std::int32_t> bos_id() const;
  /// The special tokens that end a text or a turn, ascending: those with a usual name ("</s>", "<|endoftext|>",
  /// "<|im_end|>", ...) and the one named by the GGUF file. Where generation stops is decided by the model's
  /// configuration.
  [[nodiscard]] std::vector<std::int32_t> end_ids() const;

  /// "byte-level BPE", "SentencePiece-style BPE" or "Unigram", for messages to users.
  [[nodiscard]] std::string_view kind() const;
  /// The number of merges, for messages to users.
  [[nodiscard]] std::int64_t n_merges() const;

 private:
  explicit Tokenizer(std::unique_ptr<tokenizer::TokenizerState> state);
  std::unique_ptr<tokenizer::TokenizerState> state_;
};

}  // namespace secondsource
