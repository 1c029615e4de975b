#include "bundle/gguf_tokenizer.h"

#include <fmt/format.h>

#include <limits>

namespace secondsource {
namespace {

/// Returns the value of "tokenizer.ggml.KEY" as a T; nullptr when the key is absent.
template <typename T>
Result<const T*> find(const GgufHeader& header, std::string_view key, std::string_view expected) {
  const std::string full_key = fmt::format("tokenizer.ggml.{}", key);
  const auto found = header.metadata.find(full_key);
  if (found == header.metadata.end()) return static_cast<const T*>(nullptr);
  const T* value = std::get_if<T>(&found->second.value);
  if (value != nullptr) return value;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected {}, found {}", full_key, expected, found->second.type)};
}

/// Reads a token id. Files without such a token may have 2^32 - 1 instead.
Result<std::optional<std::int64_t>> find_id(const GgufHeader& header, std::string_view key) {
  SS_TRY(const std::int64_t* id, find<std::int64_t>(header, key, "an integer"));
  if (id == nullptr || *id == std::numeric_limits<std::uint32_t>::max()) return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(*id);
}

Result<std::optional<bool>> find_flag(const GgufHeader& header, std::string_view key) {
  SS_TRY(const std::int64_t* flag, find<std::int64_t>(header, key, "a boolean"));
  if (flag == nullptr) return std::optional<bool>();
  return std::optional<bool>(*flag != 0);
}

Result<void> read_token_types(const GgufHeader& header, GgufVocabulary& vocabulary) {
  SS_TRY(const GgufIntegers* types, find<GgufIntegers>(header, "token_type", "an array of integers"));
  if (types == nullptr) return {};
  for (const std::int64_t type : *types) {
    // The tokenizer rejects values out of range and names the position.
    const bool fits =
        type >= std::numeric_limits<std::int32_t>::min() && type <= std::numeric_limits<std::int32_t>::max();
    vocabulary.token_types.push_back(fits ? static_cast<std::int32_t>(type) : -1);
  }
  return {};
}

}  // namespace

Result<GgufVocabulary> gguf_vocabulary_of(const GgufHeader& header) {
  GgufVocabulary vocabulary;
  SS_TRY(const std::string_view* model, find<std::string_view>(header, "model", "a string"));
  SS_TRY(const GgufStrings* tokens, find<GgufStrings>(header, "tokens", "an array of strings"));
  if (model == nullptr || tokens == nullptr) {
    return Error{ErrorCode::kInvalidInput, "expected a tokenizer (tokenizer.ggml.model and .tokens), found none"};
  }
  vocabulary.model = *model;
  vocabulary.tokens.assign(tokens->begin(), tokens->end());
  SS_TRY(const std::string_view* pre, find<std::string_view>(header, "pre", "a string"));
  if (pre != nullptr) vocabulary.pre = *pre;
  SS_TRY(const GgufFloats* scores, find<GgufFloats>(header, "scores", "an array of floats"));
  if (scores != nullptr) {
    for (const double score : *scores) vocabulary.scores.push_back(static_cast<float>(score));
  }
  SS_TRY_VOID(read_token_types(header, vocabulary));
  SS_TRY(const GgufStrings* merges, find<GgufStrings>(header, "merges", "an array of strings"));
  if (merges != nullptr) vocabulary.merges.assign(merges->begin(), merges->end());
  SS_TRY(vocabulary.bos_id, find_id(header, "bos_token_id"));
  SS_TRY(vocabulary.eos_id, find_id(header, "eos_token_id"));
  SS_TRY(vocabulary.unk_id, find_id(header, "unknown_token_id"));
  SS_TRY(vocabulary.add_bos, find_flag(header, "add_bos_token"));
  SS_TRY(vocabulary.add_eos, find_flag(header, "add_eos_token"));
  SS_TRY(vocabulary.add_space_prefix, find_flag(header, "add_space_prefix"));
  return vocabulary;
}

}  // namespace secondsource
