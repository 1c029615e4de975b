#pragma once
// The parts of a tokenizer, as a reader (tokenizer.json, GGUF) produces them and Tokenizer::from_parts assembles them.

#include <cstdint>
#include <optional>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe_model.h"
#include "tokenizer/decoder.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/unigram_model.h"
#include "tokenizer/vocabulary.h"

namespace secondsource::tokenizer {

struct TokenizerParts {
  Vocabulary vocabulary;
  MergeTable merges;
  BpeOptions bpe;                         // byte_level is set by from_parts()
  std::optional<UnigramOptions> unigram;  // of a Unigram model; then merges and bpe are not used
  AddedTokens added_tokens;
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;
  bool has_decoder = false;
  std::vector<std::int32_t> prefix_ids;
  std::vector<std::int32_t> suffix_ids;
  std::optional<std::int32_t> bos_id;
  std::vector<std::int32_t> end_ids;
};

}  // namespace secondsource::tokenizer
