// Tokenizer::from_json: the reader of tokenizer.json, the format of the Hugging Face `tokenizers` package. The file is
// untrusted: types, sizes and ids are checked, and unknown parts are refused by name.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json_steps.h"
#include "tokenizer/tokenizer_parts.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;
using tokenizer::AddedToken;
using tokenizer::Merge;
using tokenizer::TokenizerParts;

constexpr std::size_t kMaxTemplatePieces = 64;

/// Refuses a part that would change the ids and is not implemented. Absent, null or empty is accepted.
Result<void> refuse_if_set(const JsonFields& fields, std::string_view key) {
  const Json* value = fields.find(key);
  const bool is_empty = value == nullptr || (value->is_string() && value->get_ref<const std::string&>().empty()) ||
                        (value->is_number() && value->get<double>() == 0.0) ||
                        (value->is_boolean() && !value->get<bool>());
  if (is_empty) return {};
  Error error = fields.mismatch(key, "nothing (not supported)");
  error.code = ErrorCode::kUnsupported;
  return error;
}

Result<void> read_vocabulary(const JsonFields& model, TokenizerParts& parts) {
  const Json* vocabulary = model.find("vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) return model.mismatch("vocab", "an object of token: id");
  for (const auto& [text, id] : vocabulary->items()) {
    const bool is_integer =
        id.is_number_integer() && (!id.is_number_unsigned() || id.get<std::uint64_t>() <= (1U << 31));
    if (!is_integer) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: vocab: token {}: expected an integer id, found {}",
                                                         model.name(), in_quotes(text), id.type_name())};
    }
    const Result<void> added = parts.vocabulary.add(text, id.get<std::int64_t>());
    if (!added) return added.error().with_context(fmt::format("{}: vocab", model.name()));
  }
  return {};
}

/// The two sides of a merge: ["a", "b"] or "a b".
Result<std::pair<std::string_view, std::string_view>> read_merge(const Json& value) {
  const auto refuse = [&](std::string_view found) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected [\"left\", \"right\"] or \"left right\", found {}", found)};
  };
  if (value.is_string()) {
    const std::string_view text = value.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return refuse(fmt::format("{}", in_quotes(text.substr(0, 80))));
    }
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  if (!value.is_array() || value.size() != 2 || !value[0].is_string() || !value[1].is_string()) {
    return refuse(value.is_array() ? fmt::format("an array of {}", value.size()) : value.type_name());
  }
  return std::pair<std::string_view, std::string_view>(value[0].get_ref<const std::string&>(),
                                                       value[1].get_ref<const std::string&>());
}

Result<void> add_merge(const Json& value, std::uint32_t rank, TokenizerParts& parts) {
  SS_TRY(const auto sides, read_merge(value));
  const auto id_of = [&](std::string_view text) -> Result<std::int32_t> {
    if (const std::optional<std::int32_t> id = parts.vocabulary.id_of(text)) return *id;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected a token of the vocabulary, found {}", in_quotes(text.substr(0, 80)))};
  };
  SS_TRY(const std::int32_t left, id_of(sides.first));
  SS_TRY(const std::int32_t right, id_of(sides.second));
  SS_TRY(const std::int32_t merged, id_of(std::string(sides.first).append(sides.second)));
  parts.merges.set(left, right, Merge{.rank = rank, .merged_id = merged});
  return {};
}

Result<void> read_merges(const JsonFields& model, TokenizerParts& parts) {
  const Json* merges = model.find("merges");
  // Some hand-written files have {} instead of an empty list.
  if (merges != nullptr && merges->is_object() && merges->empty()) return {};
  if (merges == nullptr || !merges->is_array()) return model.mismatch("merges", "an array");
  if (merges->size() >= Merge::kNone) return model.mismatch("merges", "fewer than 2^32 - 1 of them");
  for (std::size_t i = 0; i < merges->size(); ++i) {
    const Result<void> added = add_merge((*merges)[i], static_cast<std::uint32_t>(i), parts);
    if (!added) return added.error().with_context(fmt::format("{}: merges[{}]", model.name(), i));
  }
  return {};
}

/// Reads the pieces of a Unigram model with their scores; ids are their places.
Result<void> read_unigram(const JsonFields& model, TokenizerParts& parts) {
  const Json* pieces = model.find("vocab");
  if (pieces == nullptr || !pieces->is_array()) return model.mismatch("vocab", "an array of [piece, score]");
  tokenizer::UnigramOptions& unigram = parts.unigram.emplace();
  for (std::size_t id = 0; id < pieces->size(); ++id) {
    const Json& piece = (*pieces)[id];
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: vocab[{}]: expected [piece, score], found {}", model.name(), id,
                               piece.is_array() ? "another array" : piece.type_name())};
    }
    const Result<void> added =
        parts.vocabulary.add(piece[0].get_ref<const std::string&>(), static_cast<std::int64_t>(id));
    if (!added) return added.error().with_context(fmt::format("{}: vocab", model.name()));
    unigram.scores.push_back(piece[1].get<double>());
  }
  if (model.has("unk_id")) {
    SS_TRY(const std::int64_t unk_id, model.integer("unk_id", {.min = 0, .max = tokenizer::kMaxTokenId}));
    unigram.unk_id = static_cast<std::int32_t>(unk_id);
  }
  SS_TRY(unigram.byte_fallback, model.boolean_or("byte_fallback", false));
  return {};
}

/// A phrase for the type of a tokenizer model that is not read.
std::string description_of_type(std::string_view type) {
  if (type == "WordPiece") return "WordPiece, the model of BERT and its like";
  return type.empty() ? "no type" : fmt::format("\"{}\"", printable(type.substr(0, 80)));
}

Result<void> read_model(const JsonFields& model, TokenizerParts& parts) {
  // Files from before the field existed are BPE if they have merges and Unigram if they have an unk_id, because no other
  // type has them.
  const std::string_view unnamed = model.has("merges") ? "BPE" : model.has("unk_id") ? "Unigram" : "";
  SS_TRY(const std::string type, model.string_or("type", unnamed));
  if (type == "Unigram") return read_unigram(model, parts);
  if (type != "BPE") {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{} type: expected BPE or Unigram, found {}", model.name(), description_of_type(type))};
  }
  for (const std::string_view key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    SS_TRY_VOID(refuse_if_set(model, key));
  }
  SS_TRY_VOID(read_vocabulary(model, parts));
  SS_TRY_VOID(read_merges(model, parts));
  if (model.has("unk_token")) {
    SS_TRY(parts.bpe.unk_token, model.string("unk_token"));
  }
  SS_TRY(parts.bpe.fuse_unk, model.boolean_or("fuse_unk", false));
  SS_TRY(parts.bpe.byte_fallback, model.boolean_or("byte_fallback", false));
  SS_TRY(parts.bpe.ignore_merges, model.boolean_or("ignore_merges", false));
  return {};
}

Result<AddedToken> read_added_token(const JsonFields& fields) {
  AddedToken token;
  SS_TRY(const std::int64_t id, fields.integer("id", {.min = 0, .max = tokenizer::kMaxTokenId}));
  token.id = static_cast<std::int32_t>(id);
  SS_TRY(token.content, fields.string("content"));
  SS_TRY(token.special, fields.boolean_or("special", false));
  SS_TRY(token.single_word, fields.boolean_or("single_word", false));
  SS_TRY(token.lstrip, fields.boolean_or("lstrip", false));
  SS_TRY(token.rstrip, fields.boolean_or("rstrip", false));
  SS_TRY(token.normalized, fields.boolean_or("normalized", !token.special));
  return token;
}

Result<void> read_added_tokens(const JsonFields& root, TokenizerParts& parts) {
  const Json* tokens = root.find("added_tokens");
  if (tokens == nullptr) return {};
  if (!tokens->is_array()) return root.mismatch("added_tokens", "an array");
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    SS_TRY(const JsonFields fields, JsonFields::of((*tokens)[i], fmt::format("{}: added_tokens[{}]", root.name(), i)));
    SS_TRY(AddedToken token, read_added_token(fields));
    const Result<void> added = parts.added_tokens.add(std::move(token));
    if (!added) return added.error().with_context(fields.name());
  }
  return {};
}

/// Appends the ids that "special_tokens" defines for the name in {"SpecialToken": {"id": NAME}}.
Result<void> append_special(const JsonFields& post_processor, const JsonFields& piece, std::vector<std::int32_t>& ids) {
  SS_TRY(const std::string token_name, piece.string("id"));
  SS_TRY(const JsonFields definitions, post_processor.object("special_tokens"));
  SS_TRY(const JsonFields definition, definitions.object(token_name));
  const Json* values = definition.find("ids");
  if (values == nullptr || !values->is_array() || values->size() > kMaxTemplatePieces) {
    return definition.mismatch("ids", fmt::format("an array of at most {} ids", kMaxTemplatePieces));
  }
  for (const Json& value : *values) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > tokenizer::kMaxTokenId) {
      return definition.mismatch("ids", fmt::format("ids in [0, {}]", tokenizer::kMaxTokenId));
    }
    ids.push_back(value.get<std::int32_t>());
  }
  return {};
}

/// Reads a TemplateProcessing for one sequence: the special tokens before and after it.
Result<void> read_template(const JsonFields& fields, TokenizerParts& parts) {
  const Json* pieces = fields.find("single");
  if (pieces == nullptr || !pieces->is_array() || pieces->size() > kMaxTemplatePieces) {
    return fields.mismatch("single", fmt::format("an array of at most {} pieces", kMaxTemplatePieces));
  }
  bool text_was_seen = false;
  for (std::size_t i = 0; i < pieces->size(); ++i) {
    const std::string name = fmt::format("{}: single[{}]", fields.name(), i);
    SS_TRY(const JsonFields piece, JsonFields::of((*pieces)[i], name));
    if (piece.has("Sequence")) {
      if (text_was_seen) return piece.mismatch("Sequence", "one Sequence in all");
      text_was_seen = true;
      continue;
    }
    SS_TRY(const JsonFields special, piece.object("SpecialToken"));
    SS_TRY_VOID(append_special(fields, special, text_was_seen ? parts.suffix_ids : parts.prefix_ids));
  }
  if (!text_was_seen) return fields.mismatch("single", "a Sequence in it");
  return {};
}

Result<void> read_post_processor(const Json& value, const std::string& name, TokenizerParts& parts) {
  SS_TRY(const JsonFields fields, JsonFields::of(value, name));
  SS_TRY(const std::string type, fields.string("type"));
  if (type == "ByteLevel") return {};  // it only changes offsets
  if (type == "TemplateProcessing") {
    if (!parts.prefix_ids.empty() || !parts.suffix_ids.empty()) {
      return Error{ErrorCode::kUnsupported, fmt::format("{}: expected one TemplateProcessing, found a second", name)};
    }
    return read_template(fields, parts);
  }
  if (type == "Sequence") {
    const Json* processors = fields.find("processors");
    if (processors == nullptr || !processors->is_array()) return fields.mismatch("processors", "an array");
    for (std::size_t i = 0; i < processors->size(); ++i) {
      SS_TRY_VOID(read_post_processor((*processors)[i], fmt::format("{}[{}]", name, i), parts));
    }
    return {};
  }
  return Error{
      ErrorCode::kUnsupported,
      fmt::format("{} type {}: expected one of Sequence, TemplateProcessing, ByteLevel", name, in_quotes(type))};
}

/// Checks that all ids of the template are tokens.
Result<void> check_template_ids(const TokenizerParts& parts, std::string_view name) {
  for (const std::vector<std::int32_t>* ids : {&parts.prefix_ids, &parts.suffix_ids}) {
    for (const std::int32_t id : *ids) {
      if (parts.vocabulary.text_of(id) || parts.added_tokens.vocabulary().text_of(id)) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: post_processor: expected ids of the vocabulary, found {}", name, id)};
    }
  }
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view json_text, std::string_view name_for_messages) {
  const std::string name(name_for_messages);
  SS_TRY(const Json document, parse_json(json_text, name));
  SS_TRY(const JsonFields root, JsonFields::of(document, name));
  SS_TRY(const JsonFields model, root.object("model"));
  TokenizerParts parts;
  SS_TRY_VOID(read_model(model, parts));
  SS_TRY_VOID(read_added_tokens(root, parts));
  if (const Json* value = root.find("normalizer")) {
    SS_TRY_VOID(tokenizer::read_normalizer(*value, fmt::format("{}: normalizer", name), parts.normalizer));
  }
  if (const Json* value = root.find("pre_tokenizer")) {
    SS_TRY_VOID(tokenizer::read_pre_tokenizer(*value, fmt::format("{}: pre_tokenizer", name), parts.pre_tokenizer));
  }
  if (const Json* value = root.find("decoder")) {
    SS_TRY_VOID(tokenizer::read_decoder(*value, fmt::format("{}: decoder", name), parts.decoder));
    parts.has_decoder = true;
  }
  if (const Json* value = root.find("post_processor")) {
    SS_TRY_VOID(read_post_processor(*value, fmt::format("{}: post_processor", name), parts));
  }
  SS_TRY_VOID(check_template_ids(parts, name));
  Result<Tokenizer> tokenizer = from_parts(std::move(parts));
  if (!tokenizer) return tokenizer.error().with_context(name);
  return tokenizer;
}

}  // namespace secondsource
