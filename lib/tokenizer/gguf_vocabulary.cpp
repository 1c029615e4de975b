#include "tokenizer/gguf_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/utf8.h"
#include "tokenizer/gguf_pre_tokenizer.h"
#include "tokenizer/sentencepiece_steps.h"
#include "tokenizer/tokenizer_json_steps.h"
#include "tokenizer/tokenizer_parts.h"
#include "tokenizer/unicode.h"

namespace secondsource {
namespace {

using tokenizer::AddedToken;
using tokenizer::Merge;
using tokenizer::TokenizerParts;
using tokenizer::Vocabulary;

enum TokenType : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// Limit on the bytes hashed to cut every token in two at every position; the largest real vocabulary needs about 2^26.
constexpr std::uint64_t kMaxCutBytes = std::uint64_t{1} << 31;

Error invalid(std::string text) {
  return Error{ErrorCode::kInvalidInput, std::move(text)};
}

std::int32_t type_of(const GgufVocabulary& vocabulary, std::size_t id) {
  return vocabulary.token_types.empty() ? kNormal : vocabulary.token_types[id];
}

Result<void> check_sizes(const GgufVocabulary& vocabulary) {
  const std::size_t n_tokens = vocabulary.tokens.size();
  if (n_tokens == 0 || n_tokens > static_cast<std::size_t>(tokenizer::kMaxTokenId) + 1) {
    return invalid(
        fmt::format("tokenizer.ggml.tokens: expected 1 to {} tokens, found {}", tokenizer::kMaxTokenId + 1, n_tokens));
  }
  if (!vocabulary.token_types.empty() && vocabulary.token_types.size() != n_tokens) {
    return invalid(fmt::format("tokenizer.ggml.token_type: expected {} values, found {}", n_tokens,
                               vocabulary.token_types.size()));
  }
  if (vocabulary.model != "gpt2" && vocabulary.scores.size() != n_tokens) {
    return invalid(
        fmt::format("tokenizer.ggml.scores: expected {} values, found {}", n_tokens, vocabulary.scores.size()));
  }
  const auto check_id = [&](std::string_view key, const std::optional<std::int64_t>& id) -> Result<void> {
    if (!id || (*id >= 0 && *id < static_cast<std::int64_t>(n_tokens))) return {};
    return invalid(fmt::format("tokenizer.ggml.{}: expected an id in [0, {}), found {}", key, n_tokens, *id));
  };
  SS_TRY_VOID(check_id("bos_token_id", vocabulary.bos_id));
  SS_TRY_VOID(check_id("eos_token_id", vocabulary.eos_id));
  return check_id("unknown_token_id", vocabulary.unk_id);
}

/// Adds every token to the vocabulary, and control and user-defined tokens to the added tokens as well.
Result<void> add_tokens(const GgufVocabulary& vocabulary, TokenizerParts& parts) {
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& text = vocabulary.tokens[id];
    if (const std::optional<std::size_t> offset = find_invalid_utf8(text)) {
      return invalid(
          fmt::format("tokenizer.ggml.tokens[{}]: expected UTF-8, found an invalid byte at offset {}", id, *offset));
    }
    // In a tokenizer.json, the pieces of a Unigram are a list without repetitions.
    const bool may_repeat = vocabulary.model != "unigram";
    const Result<void> added = parts.vocabulary.add(text, static_cast<std::int64_t>(id), may_repeat);
    if (!added) return added.error().with_context(fmt::format("tokenizer.ggml.tokens[{}]", id));
    const std::int32_t type = type_of(vocabulary, id);
    if (type < kNormal || type > kByte) {
      return invalid(fmt::format("tokenizer.ggml.token_type[{}]: expected 1 to 6, found {}", id, type));
    }
    const bool is_added = type == kControl || type == kUserDefined || type == kUnknown;
    if (!is_added || text.empty() || parts.vocabulary.id_of(text) != static_cast<std::int32_t>(id)) continue;
    AddedToken token;
    token.id = static_cast<std::int32_t>(id);
    token.content = text;
    token.special = type != kUserDefined;
    SS_TRY_VOID(parts.added_tokens.add(std::move(token)));
  }
  return {};
}

/// Parses "left right". The separator is the first space after the first byte, since either side may begin with a
/// space.
Result<void> add_merges(const GgufVocabulary& vocabulary, TokenizerParts& parts) {
  for (std::size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const std::string_view merge = vocabulary.merges[i];
    const std::size_t space = merge.find(' ', 1);
    const auto refuse = [&](std::string_view expected) {
      return invalid(
          fmt::format("tokenizer.ggml.merges[{}]: expected {}, found {}", i, expected, in_quotes(merge.substr(0, 80))));
    };
    if (merge.empty() || space == std::string_view::npos) return refuse("\"left right\"");
    const std::string_view left_text = merge.substr(0, space);
    const std::string_view right_text = merge.substr(space + 1);
    const std::optional<std::int32_t> left = parts.vocabulary.id_of(left_text);
    const std::optional<std::int32_t> right = parts.vocabulary.id_of(right_text);
    const std::optional<std::int32_t> merged = parts.vocabulary.id_of(std::string(left_text).append(right_text));
    if (!left || !right || !merged) return refuse("two tokens that make a third");
    parts.merges.set(*left, *right, Merge{.rank = static_cast<std::uint32_t>(i), .merged_id = *merged});
  }
  return {};
}

/// Converts scores to ranks: the best score has rank 0, and equal scores have equal ranks (the leftmost pair then goes
/// first).
Result<std::vector<std::uint32_t>> ranks_of_scores(const std::vector<float>& scores) {
  std::vector<float> distinct = scores;
  for (const float score : distinct) {
    if (std::isnan(score)) return invalid("tokenizer.ggml.scores: expected numbers, found NaN");
  }
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<std::uint32_t> ranks;
  ranks.reserve(scores.size());
  for (const float score : scores) {
    const auto place = std::lower_bound(distinct.begin(), distinct.end(), score, std::greater<>());
    ranks.push_back(static_cast<std::uint32_t>(place - distinct.begin()));
  }
  return ranks;
}

/// SentencePiece merges any two neighbours whose joined text is a token, so every cut of a token into two tokens is a
/// merge.
Result<void> add_merges_by_score(const GgufVocabulary& vocabulary, TokenizerParts& parts) {
  SS_TRY(const std::vector<std::uint32_t> ranks, ranks_of_scores(vocabulary.scores));
  std::uint64_t cut_bytes = 0;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::int32_t type = type_of(vocabulary, id);
    if (type == kControl || type == kByte || type == kUnknown) continue;
    const std::string_view text = vocabulary.tokens[id];
    if (parts.vocabulary.id_of(text) != static_cast<std::int32_t>(id)) continue;
    cut_bytes += static_cast<std::uint64_t>(text.size()) * text.size();
    if (cut_bytes > kMaxCutBytes) {
      return invalid(fmt::format("tokenizer.ggml.tokens: expected shorter tokens, found one of {} bytes", text.size()));
    }
    for (std::size_t cut = text.empty() ? 0 : tokenizer::character_length(text[0]); cut < text.size();
         cut += tokenizer::character_length(text[cut])) {
      const std::optional<std::int32_t> left = parts.vocabulary.id_of(text.substr(0, cut));
      if (!left) continue;
      const std::optional<std::int32_t> right = parts.vocabulary.id_of(text.substr(cut));
      if (!right) continue;
      parts.merges.set(*left, *right, Merge{.rank = ranks[id], .merged_id = static_cast<std::int32_t>(id)});
    }
  }
  return {};
}

/// Refuses the id of a token whose text an earlier token has. In a tokenizer.json, and where the unknown token is
/// looked up by its text, a text has only the first id, so the other id would be lost.
Result<void> check_is_first(const Vocabulary& tokens, std::string_view key, std::int64_t id) {
  const std::string_view text = *tokens.text_of(static_cast<std::int32_t>(id));
  const std::int32_t first = *tokens.id_of(text);
  if (first == id) return {};
  return invalid(fmt::format("tokenizer.ggml.{}: expected the first token with the text {}, which is {}, found {}", key,
                             in_quotes(text), first, id));
}

Result<void> make_gpt2(const GgufVocabulary& vocabulary, TokenizerParts& parts, bool& add_bos) {
  Result<tokenizer::GgufPreTokenizer> pre = tokenizer::gguf_pre_tokenizer(vocabulary.pre);
  if (!pre) return pre.error();
  parts.pre_tokenizer = std::move(pre->steps);
  parts.bpe.ignore_merges = pre->ignore_merges || vocabulary.takes_whole_words;
  add_bos = pre->add_bos;
  parts.decoder.emplace_back(tokenizer::ByteLevelDecoder{});
  return add_merges(vocabulary, parts);
}

/// The steps around the model. They are read from the JSON that a tokenizer.json would contain, so that both are the
/// same.
Result<void> add_sentencepiece_steps(const GgufVocabulary& vocabulary, bool has_bytes, TokenizerParts& parts) {
  using Json = nlohmann::json;
  SS_TRY_VOID(tokenizer::read_normalizer(Json(tokenizer::sentencepiece_normalizer(vocabulary)), "normalizer",
                                         parts.normalizer));
  return tokenizer::read_decoder(Json(tokenizer::sentencepiece_decoder(vocabulary, has_bytes)), "decoder",
                                 parts.decoder);
}

Result<void> make_llama(const GgufVocabulary& vocabulary, TokenizerParts& parts) {
  SS_TRY_VOID(add_sentencepiece_steps(vocabulary, true, parts));
  parts.bpe.byte_fallback = true;
  parts.bpe.fuse_unk = true;
  if (vocabulary.unk_id) {
    SS_TRY_VOID(check_is_first(parts.vocabulary, "unknown_token_id", *vocabulary.unk_id));
    parts.bpe.unk_token = vocabulary.tokens[static_cast<std::size_t>(*vocabulary.unk_id)];
  }
  return add_merges_by_score(vocabulary, parts);
}

Result<void> make_unigram(const GgufVocabulary& vocabulary, TokenizerParts& parts) {
  tokenizer::UnigramOptions& unigram = parts.unigram.emplace();
  unigram.byte_fallback = has_byte_tokens(vocabulary);
  unigram.scores.assign(vocabulary.scores.begin(), vocabulary.scores.end());
  if (vocabulary.unk_id) unigram.unk_id = static_cast<std::int32_t>(*vocabulary.unk_id);
  SS_TRY_VOID(add_sentencepiece_steps(vocabulary, unigram.byte_fallback, parts));
  const nlohmann::json pre_tokenizer = tokenizer::sentencepiece_pre_tokenizer(vocabulary);
  if (pre_tokenizer.is_null()) return {};
  return tokenizer::read_pre_tokenizer(pre_tokenizer, "pre_tokenizer", parts.pre_tokenizer);
}

/// The ids that are added before and after every text.
Result<void> set_frame(const GgufVocabulary& vocabulary, bool adds_bos, TokenizerParts& parts) {
  if (vocabulary.bos_id) parts.bos_id = static_cast<std::int32_t>(*vocabulary.bos_id);
  if (vocabulary.eos_id) parts.end_ids.push_back(static_cast<std::int32_t>(*vocabulary.eos_id));
  if (vocabulary.add_bos.value_or(adds_bos) && vocabulary.bos_id) {
    SS_TRY_VOID(check_is_first(parts.vocabulary, "bos_token_id", *vocabulary.bos_id));
    parts.prefix_ids.push_back(*parts.bos_id);
  }
  if (vocabulary.add_eos.value_or(false) && vocabulary.eos_id) {
    SS_TRY_VOID(check_is_first(parts.vocabulary, "eos_token_id", *vocabulary.eos_id));
    parts.suffix_ids = parts.end_ids;
  }
  return {};
}

Result<Tokenizer> make_tokenizer(const GgufVocabulary& vocabulary) {
  if (vocabulary.model != "gpt2" && vocabulary.model != "llama" && vocabulary.model != "unigram") {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("tokenizer.ggml.model {}: expected gpt2 or llama", in_quotes(vocabulary.model))};
  }
  SS_TRY_VOID(check_sizes(vocabulary));
  TokenizerParts parts;
  parts.has_decoder = true;
  SS_TRY_VOID(add_tokens(vocabulary, parts));
  bool add_bos = true;
  if (vocabulary.model == "gpt2") {
    SS_TRY_VOID(make_gpt2(vocabulary, parts, add_bos));
  } else if (vocabulary.model == "unigram") {
    SS_TRY_VOID(make_unigram(vocabulary, parts));
  } else {
    SS_TRY_VOID(make_llama(vocabulary, parts));
  }
  SS_TRY_VOID(set_frame(vocabulary, add_bos, parts));
  return Tokenizer::from_parts(std::move(parts));
}

}  // namespace

bool has_byte_tokens(const GgufVocabulary& vocabulary) {
  return std::ranges::find(vocabulary.token_types, kByte) != vocabulary.token_types.end();
}

Result<Tokenizer> tokenizer_from_gguf(const GgufVocabulary& vocabulary, std::string_view name_for_messages) {
  Result<Tokenizer> tokenizer = make_tokenizer(vocabulary);
  if (!tokenizer) return tokenizer.error().with_context(name_for_messages);
  return tokenizer;
}

}  // namespace secondsource
