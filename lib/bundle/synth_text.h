#pragma once
// The tokenizer and the prompts of a bundle without a trained model: one token per byte, and prompts of meaningless
// words.

#include <cstdint>
#include <string>

namespace secondsource {

/// Ids of the byte tokenizer: bytes 0..255, then these special tokens, then unused entries up to the vocabulary's size.
inline constexpr std::int32_t kByteEndOfText = 256;     ///< <|endoftext|>
inline constexpr std::int32_t kByteMessageStart = 257;  ///< <|im_start|>
inline constexpr std::int32_t kByteMessageEnd = 258;    ///< <|im_end|>
inline constexpr std::int64_t kByteVocabularyMin = 259;

/// Returns a tokenizer.json: byte-level BPE without merges, ChatML's special tokens, and `vocab_size` >=
/// kByteVocabularyMin ids.
[[nodiscard]] std::string byte_tokenizer_json(std::int64_t vocab_size);
/// Returns the tokenizer_config.json that belongs to it.
[[nodiscard]] std::string byte_tokenizer_config_json(std::int64_t max_seq_len);

/// Returns a suite of seeded prompts for a model of this context length: `smoke` prompts of up to 256 tokens and longer
/// `full` ones.
[[nodiscard]] std::string synthetic_prompts_yaml(std::uint64_t seed, std::int64_t max_seq_len);

}  // namespace secondsource
