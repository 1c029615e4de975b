#include "tokenizer/gguf_tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/gguf_pre_tokenizer.h"
#include "tokenizer/sentencepiece_steps.h"
#include "tokenizer/unicode.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

enum GgufTokenKind : std::int32_t { kUnknownToken = 2, kControlToken = 3, kUserToken = 4, kByteToken = 6 };

std::int32_t kind_of(const GgufVocabulary& vocabulary, std::size_t id) {
  return vocabulary.token_types.empty() ? 1 : vocabulary.token_types[id];
}

/// The ids by the texts of the tokens; if several tokens have one text, the first id.
using IdsByText = std::unordered_map<std::string_view, std::size_t>;

IdsByText ids_by_text(const GgufVocabulary& vocabulary) {
  IdsByText ids;
  ids.reserve(vocabulary.tokens.size());
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) ids.try_emplace(vocabulary.tokens[id], id);
  return ids;
}

OrderedJson added_tokens(const GgufVocabulary& vocabulary, const IdsByText& ids) {
  OrderedJson list = OrderedJson::array();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::int32_t kind = kind_of(vocabulary, id);
    const bool is_added = kind == kControlToken || kind == kUserToken || kind == kUnknownToken;
    if (!is_added || vocabulary.tokens[id].empty() || ids.at(vocabulary.tokens[id]) != id) continue;
    list.push_back({{"id", id},
                    {"content", vocabulary.tokens[id]},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", false},
                    {"special", kind != kUserToken}});
  }
  return list;
}

/// Every cut of a token into two tokens is a merge; the token with the best score first, as transformers converts a
/// SentencePiece model.
OrderedJson merges_by_score(const GgufVocabulary& vocabulary, const IdsByText& ids) {
  std::vector<std::tuple<float, std::size_t, std::size_t, std::size_t>> merges;  // -score, token, left, right
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::int32_t kind = kind_of(vocabulary, id);
    const std::string_view text = vocabulary.tokens[id];
    if (kind == kControlToken || kind == kByteToken || kind == kUnknownToken || text.empty() || ids.at(text) != id) {
      continue;
    }
    for (std::size_t cut = tokenizer::character_length(text[0]); cut < text.size();
         cut += tokenizer::character_length(text[cut])) {
      const auto left = ids.find(text.substr(0, cut));
      const auto right = ids.find(text.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.emplace_back(-vocabulary.scores[id], id, left->second, right->second);
    }
  }
  std::ranges::sort(merges);
  OrderedJson list = OrderedJson::array();
  for (const auto& [score, id, left, right] : merges) {
    list.push_back(OrderedJson::array({vocabulary.tokens[left], vocabulary.tokens[right]}));
  }
  return list;
}

OrderedJson merges_as_listed(const GgufVocabulary& vocabulary) {
  OrderedJson list = OrderedJson::array();
  for (const std::string& merge : vocabulary.merges) {
    const std::size_t space = merge.find(' ', 1);  // either side may begin with one; the tokenizer has checked it
    list.push_back(OrderedJson::array({merge.substr(0, space), merge.substr(space + 1)}));
  }
  return list;
}

/// The ids that stand before and after every text, as a TemplateProcessing; null for none.
OrderedJson post_processor(const GgufVocabulary& vocabulary, bool adds_bos) {
  const bool has_bos = vocabulary.add_bos.value_or(adds_bos) && vocabulary.bos_id;
  const bool has_eos = vocabulary.add_eos.value_or(false) && vocabulary.eos_id;
  if (!has_bos && !has_eos) return nullptr;
  OrderedJson single = OrderedJson::array();
  OrderedJson pair = OrderedJson::array();
  OrderedJson tokens = OrderedJson::object();
  const auto add_special = [&](OrderedJson& list, std::int64_t id, int type) {
    const std::string& text = vocabulary.tokens[static_cast<std::size_t>(id)];
    list.push_back({{"SpecialToken", {{"id", text}, {"type_id", type}}}});
    tokens[text] = {{"id", text}, {"ids", OrderedJson::array({id})}, {"tokens", OrderedJson::array({text})}};
  };
  if (has_bos) {
    add_special(single, *vocabulary.bos_id, 0);
    add_special(pair, *vocabulary.bos_id, 0);
  }
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  pair.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  if (has_eos) {
    add_special(single, *vocabulary.eos_id, 0);
    add_special(pair, *vocabulary.eos_id, 1);
  }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
}

OrderedJson byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
}

/// The parts that differ between the kinds of models.
struct TokenizerSteps {
  OrderedJson normalizer = nullptr;
  OrderedJson pre_tokenizer = nullptr;
  OrderedJson decoder = nullptr;
  OrderedJson model = nullptr;
  bool adds_bos = true;
};

/// The vocabulary of a BPE: {"token": id, ...}.
OrderedJson vocabulary_object(const GgufVocabulary& vocabulary, const IdsByText& ids) {
  OrderedJson vocab = OrderedJson::object();
  OrderedJson::object_t& entries = vocab.get_ref<OrderedJson::object_t&>();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    // Not operator[], which searches an ordered object from its beginning.
    if (ids.at(vocabulary.tokens[id]) == id) entries.emplace_back(vocabulary.tokens[id], id);
  }
  return vocab;
}

struct BpeSettings {
  OrderedJson unk_token = nullptr;
  bool is_from_scores = false;
  bool ignore_merges = false;
};

OrderedJson bpe_model(BpeSettings settings, OrderedJson vocab, OrderedJson merges) {
  OrderedJson model = {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", std::move(settings.unk_token)},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", settings.is_from_scores},
                       {"byte_fallback", settings.is_from_scores},
                       {"ignore_merges", settings.ignore_merges}};
  model["vocab"] = std::move(vocab);
  model["merges"] = std::move(merges);
  return model;
}

Result<TokenizerSteps> byte_level_steps(const GgufVocabulary& vocabulary, const IdsByText& ids) {
  SS_TRY(const tokenizer::GgufPrePatterns pre, tokenizer::gguf_pre_patterns(vocabulary.pre));
  OrderedJson steps = OrderedJson::array();
  for (const std::string_view pattern : pre.patterns) {
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  steps.push_back(byte_level());
  return TokenizerSteps{.pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", steps}},
                        .decoder = byte_level(),
                        .model = bpe_model({.ignore_merges = pre.ignore_merges || vocabulary.takes_whole_words},
                                           vocabulary_object(vocabulary, ids), merges_as_listed(vocabulary)),
                        .adds_bos = pre.add_bos};
}

TokenizerSteps sentencepiece_bpe_steps(const GgufVocabulary& vocabulary, const IdsByText& ids) {
  BpeSettings settings{.is_from_scores = true};
  if (vocabulary.unk_id) settings.unk_token = vocabulary.tokens[static_cast<std::size_t>(*vocabulary.unk_id)];
  return {
      .normalizer = tokenizer::sentencepiece_normalizer(vocabulary),
      .decoder = tokenizer::sentencepiece_decoder(vocabulary, true),
      .model = bpe_model(std::move(settings), vocabulary_object(vocabulary, ids), merges_by_score(vocabulary, ids))};
}

TokenizerSteps unigram_steps(const GgufVocabulary& vocabulary) {
  const bool has_bytes = has_byte_tokens(vocabulary);
  OrderedJson pieces = OrderedJson::array();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    // A double prints differently from the float, but is the same number.
    pieces.push_back(OrderedJson::array({vocabulary.tokens[id], double{vocabulary.scores[id]}}));
  }
  OrderedJson model = {{"type", "Unigram"}, {"unk_id", nullptr}, {"byte_fallback", has_bytes}};
  if (vocabulary.unk_id) model["unk_id"] = *vocabulary.unk_id;
  model["vocab"] = std::move(pieces);
  return {.normalizer = tokenizer::sentencepiece_normalizer(vocabulary),
          .pre_tokenizer = tokenizer::sentencepiece_pre_tokenizer(vocabulary),
          .decoder = tokenizer::sentencepiece_decoder(vocabulary, has_bytes),
          .model = std::move(model)};
}

}  // namespace

Result<std::string> gguf_tokenizer_json(const GgufVocabulary& vocabulary, std::string_view name_for_messages) {
  // It checks all that is relied on below: sizes, ids, kinds, merges, the names of the model and the pre-tokenizer.
  SS_TRY_VOID(tokenizer_from_gguf(vocabulary, name_for_messages));
  const IdsByText ids = ids_by_text(vocabulary);
  TokenizerSteps steps;
  if (vocabulary.model == "gpt2") {
    SS_TRY(steps, byte_level_steps(vocabulary, ids));
  } else {
    steps = vocabulary.model == "unigram" ? unigram_steps(vocabulary) : sentencepiece_bpe_steps(vocabulary, ids);
  }
  OrderedJson root = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  root["added_tokens"] = added_tokens(vocabulary, ids);
  root["normalizer"] = std::move(steps.normalizer);
  root["pre_tokenizer"] = std::move(steps.pre_tokenizer);
  root["post_processor"] = post_processor(vocabulary, steps.adds_bos);
  root["decoder"] = std::move(steps.decoder);
  root["model"] = std::move(steps.model);
  return root.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace secondsource
