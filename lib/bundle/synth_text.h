#pragma once
// The tokenizer and the prompts of a bundle without a trained model: a byte a token, and words that mean nothing.

#include <cstdint>
#include <string>

namespace secondsource {

/// Ids of the byte tokenizer: bytes 0..255, then these, then entries that no text becomes, up to the vocabulary's size.
inline constexpr std::int32_t kByteEndOfText = 256;     ///< <|endoftext|>
inline constexpr std::int32_t kByteMessageStart = 257;  ///< <|im_start|>
inline constexpr std::int32_t kByteMessageEnd = 258;    ///< <|im_end|>
inline constexpr std::int64_t kByteVocabularyMin = 259;

/// A tokenizer.json: byte-level BPE without merges, ChatML's special tokens, `vocab_size` >= kByteVocabularyMin ids.
[[nodiscard]] std::string byte_tokenizer_json(std::int64_t vocab_size);
/// The tokenizer_config.json beside it.
[[nodiscard]] std::string byte_tokenizer_config_json(std::int64_t max_seq_len);

/// A suite of seeded prompts for a model of this context length: `smoke` ones of up to 256 tokens, `full` ones longer.
[[nodiscard]] std::string synthetic_prompts_yaml(std::uint64_t seed, std::int64_t max_seq_len);

}  // namespace secondsource
