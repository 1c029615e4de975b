#pragma once
// Text to token ids and back: byte-level BPE (GPT-2, Llama 3, Qwen, ...) and SentencePiece-style BPE (Llama 2, Phi-3,
// ...), from a Hugging Face tokenizer.json or from the vocabulary of a GGUF file. encode() gives the ids that the
// Hugging Face `tokenizers` package gives; what this reader does not know is refused by name.
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
  /// Adds what the file's post-processor adds (a begin-of-text token, ...).
  bool add_special_tokens = true;
  /// Special tokens that are written out in the text become their ids. Off for text of strangers: then "<|im_end|>" is
  /// nine ordinary characters and more.
  bool parse_special = true;
};

struct DecodeOptions {
  /// Leaves special tokens out.
  bool skip_special = false;
};

/// Ids to text, one at a time. Emits whole UTF-8 characters, never takes anything back, and all pieces together are
/// what decode() gives for the whole list. Byte-fallback tokens ("<0xE2>") wait until their run ends, since a run that
/// turns out not to be UTF-8 decodes differently as a whole. Outlived by its Tokenizer; not shared between threads.
class StreamingDecoder {
 public:
  ~StreamingDecoder();
  StreamingDecoder(StreamingDecoder&&) noexcept;
  StreamingDecoder& operator=(StreamingDecoder&&) noexcept;

  /// The text that is certain after this id; often empty. Ids outside the vocabulary give nothing.
  [[nodiscard]] std::string push(std::int32_t id);
  /// The rest; call it once, after the last id.
  [[nodiscard]] std::string finish();

 private:
  friend class Tokenizer;
  struct State;
  explicit StreamingDecoder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// A tokenizer. Movable; const functions may be called from several threads at once: each call takes working memory
/// (with its own word cache) from a small locked pool.
class Tokenizer {
 public:
  /// Reads the text of a tokenizer.json. `name_for_messages` begins every error line.
  /// Errors: kInvalidInput for text that is not such a file; kUnsupported for a valid one with a part this reader
  /// lacks.
  static Result<Tokenizer> from_json(std::string_view json_text, std::string_view name_for_messages);

  /// Puts the parts that a reader made together; for the readers in this folder.
  /// Errors: kInvalidInput when they do not fit.
  static Result<Tokenizer> from_parts(tokenizer::TokenizerParts parts);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// The ids of a text. Errors: kInvalidInput for a text that is not UTF-8 or larger than 1 GiB, and for one on which a
  /// regular expression of the file exceeds its limits.
  Result<std::vector<std::int32_t>> encode(std::string_view utf8_text, const EncodeOptions& options = {}) const;

  /// The text of ids; always UTF-8. Ids outside the vocabulary are left out.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids, const DecodeOptions& options = {}) const;

  /// A decoder that takes ids one by one.
  [[nodiscard]] StreamingDecoder stream(const DecodeOptions& options = {}) const;

  /// One more than the largest id; a model's logits may have more columns than this.
  [[nodiscard]] std::int64_t vocab_size() const;
  /// A token as the file writes it; nullopt for an id that is none.
  [[nodiscard]] std::optional<std::string_view> token(std::int32_t id) const;
  /// The id of a token as the file writes it.
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const;

  /// Whether decode() with skip_special leaves this id out.
  [[nodiscard]] bool is_special(std::int32_t id) const;
  /// All special tokens' ids, ascending.
  [[nodiscard]] std::vector<std::int32_t> special_ids() const;
  /// What encode() puts in front and after the text when it adds special tokens.
  [[nodiscard]] std::span<const std::int32_t> prefix_ids() const;
  [[nodiscard]] std::span<const std::int32_t> suffix_ids() const;
  /// The begin-of-text token: the first of prefix_ids(), or else what the GGUF says; nullopt where neither says.
  [[nodiscard]] std::optional<std::int32_t> bos_id() const;
  /// Special tokens that end a text or a turn by their usual names ("</s>", "<|endoftext|>", "<|im_end|>", ...), and
  /// what the GGUF says; ascending. A model's configuration has the last word on where generation stops.
  [[nodiscard]] std::vector<std::int32_t> end_ids() const;

  /// "byte-level BPE" or "SentencePiece-style BPE", for people.
  [[nodiscard]] std::string_view kind() const;
  /// The number of merges, for people.
  [[nodiscard]] std::int64_t n_merges() const;

 private:
  explicit Tokenizer(std::unique_ptr<tokenizer::TokenizerState> state);
  std::unique_ptr<tokenizer::TokenizerState> state_;
};

}  // namespace secondsource
