#include "tokenizer/sentencepiece_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kMaxPieces = std::size_t{1} << 24;
constexpr std::int32_t kLastType = 6;
constexpr std::int32_t kNormalType = 1;
constexpr std::int32_t kUnknownType = 2;
constexpr std::int32_t kUnusedType = 5;
constexpr std::int32_t kByteType = 6;

/// protobuf.dev/programming-guides/encoding: how a field's value is stored.
enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// One field of a message.
struct WireField {
  std::uint64_t number = 0;
  WireType type = WireType::kVarint;
  std::uint64_t integer = 0;  ///< kVarint and the fixed ones
  std::string_view bytes;     ///< kBytes
};

/// Reads the fields of a message one after the other.
class WireReader {
 public:
  WireReader(std::string_view message, std::string_view name) : rest_(message), n_bytes_(message.size()), name_(name) {}

  /// The next field; nullopt at the end.
  Result<std::optional<WireField>> next() {
    if (rest_.empty()) return std::optional<WireField>();
    WireField field;
    SS_TRY(const std::uint64_t key, varint());
    field.number = key >> 3U;
    switch (key & 7U) {
      case 0: {
        SS_TRY(field.integer, varint());
        break;
      }
      case 1: {
        field.type = WireType::kFixed64;
        SS_TRY(field.integer, fixed(8));
        break;
      }
      case 2: {
        field.type = WireType::kBytes;
        SS_TRY(const std::uint64_t size, varint());
        if (size > rest_.size()) return damaged(fmt::format("{} more bytes, found {}", size, rest_.size()));
        field.bytes = rest_.substr(0, static_cast<std::size_t>(size));
        rest_.remove_prefix(static_cast<std::size_t>(size));
        break;
      }
      case 5: {
        field.type = WireType::kFixed32;
        SS_TRY(field.integer, fixed(4));
        break;
      }
      default:
        return damaged(fmt::format("a field of wire type 0, 1, 2 or 5, found {}", key & 7U));
    }
    return std::optional(field);
  }

  [[nodiscard]] Error damaged(std::string_view expected) const {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: SentencePiece model: byte {} of a message: expected {}",
                                                       name_, n_bytes_ - rest_.size(), expected)};
  }

 private:
  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return damaged("the rest of an integer, found the end");
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    return damaged("an integer of at most 10 bytes, found a longer one");
  }
  Result<std::uint64_t> fixed(std::size_t n_bytes) {
    if (rest_.size() < n_bytes) return damaged(fmt::format("{} more bytes, found {}", n_bytes, rest_.size()));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < n_bytes; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(rest_[i])} << (8 * i);
    }
    rest_.remove_prefix(n_bytes);
    return value;
  }

  std::string_view rest_;
  std::size_t n_bytes_;
  std::string_view name_;
};

/// Calls take(field) for each field; `take` returns the wire type that the message defines for it, or nullopt if it
/// does not know the field. Another wire type is an error, since the file is then not one of SentencePiece.
template <typename Take>
Result<void> for_each_field(std::string_view message, std::string_view name, const Take& take) {
  WireReader reader(message, name);
  while (true) {
    SS_TRY(const std::optional<WireField> field, reader.next());
    if (!field) return {};
    const std::optional<WireType> expected = take(*field);
    if (expected && *expected != field->type)
      return reader.damaged(fmt::format("another type of field {}", field->number));
  }
}

Result<void> add_piece(std::string_view message, std::string_view name, SentencePieceModel& model) {
  std::string_view text;
  float score = 0.0F;
  std::int64_t type = kNormalType;
  SS_TRY_VOID(for_each_field(message, name, [&](const WireField& field) -> std::optional<WireType> {
    switch (field.number) {
      case 1:
        text = field.bytes;
        return WireType::kBytes;
      case 2:
        score = std::bit_cast<float>(static_cast<std::uint32_t>(field.integer));
        return WireType::kFixed32;
      case 3:
        type = std::bit_cast<std::int64_t>(field.integer);
        return WireType::kVarint;
      default:
        return std::nullopt;
    }
  }));
  const auto refuse = [&](std::string_view expected) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: SentencePiece model: piece {}: expected {}", name, model.pieces.size(), expected)};
  };
  if (model.pieces.size() >= kMaxPieces) return refuse(fmt::format("at most {} pieces", kMaxPieces));
  if (text.empty()) return refuse("a text, found none");
  if (find_invalid_utf8(text)) return refuse("UTF-8");
  if (!std::isfinite(score)) return refuse("a finite score");
  if (type < kNormalType || type > kLastType) return refuse(fmt::format("a type of 1 to 6, found {}", type));
  model.pieces.emplace_back(text);
  model.scores.push_back(score);
  model.types.push_back(static_cast<std::int32_t>(type));
  return {};
}

Result<void> read_trainer(std::string_view message, std::string_view name, SentencePieceModel& model) {
  std::int64_t algorithm = 1;
  SS_TRY_VOID(for_each_field(message, name, [&](const WireField& field) -> std::optional<WireType> {
    const auto integer = std::bit_cast<std::int64_t>(field.integer);
    switch (field.number) {
      case 3:
        algorithm = integer;
        return WireType::kVarint;
      case 24:
        model.whitespace_is_suffix = integer != 0;
        return WireType::kVarint;
      case 41:
        model.bos_id = integer;
        return WireType::kVarint;
      case 42:
        model.eos_id = integer;
        return WireType::kVarint;
      default:
        return std::nullopt;
    }
  }));
  if (algorithm < 1 || algorithm > 4) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: SentencePiece model: expected a model type of 1 to 4, found {}", name, algorithm)};
  }
  model.algorithm = static_cast<SentencePieceAlgorithm>(algorithm);
  return {};
}

Result<void> read_normalizer(std::string_view message, std::string_view name, SentencePieceModel& model) {
  return for_each_field(message, name, [&](const WireField& field) -> std::optional<WireType> {
    switch (field.number) {
      case 2:
        model.character_map = field.bytes;
        return WireType::kBytes;
      case 3:
        model.adds_dummy_prefix = field.integer != 0;
        return WireType::kVarint;
      case 4:
        model.removes_extra_whitespace = field.integer != 0;
        return WireType::kVarint;
      case 5:
        model.escapes_whitespace = field.integer != 0;
        return WireType::kVarint;
      default:
        return std::nullopt;
    }
  });
}

/// Checks what SentencePiece itself checks when it loads a model: no two pieces have the same text, and exactly one is
/// the unknown piece, whose id is stored in `model`. A tokenizer.json could not hold two pieces with one text, because
/// there a text has one id.
Result<void> check_pieces(std::string_view name, SentencePieceModel& model) {
  const auto refuse = [&](std::size_t id, std::string_view expected) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: SentencePiece model: piece {}: expected {}, found {}", name,
                                                       id, expected, in_quotes(model.pieces[id]))};
  };
  std::unordered_map<std::string_view, std::size_t> ids;
  ids.reserve(model.pieces.size());
  std::optional<std::size_t> unknown;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto [first, is_new] = ids.try_emplace(model.pieces[id], id);
    if (!is_new) return refuse(id, fmt::format("another text than that of piece {}", first->second));
    if (model.types[id] != kUnknownType) continue;
    if (unknown) return refuse(id, fmt::format("one unknown piece, which is piece {}", *unknown));
    unknown = id;
  }
  if (!unknown) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: SentencePiece model: expected an unknown piece (type 2), found none", name)};
  }
  model.unk_id = static_cast<std::int64_t>(*unknown);
  return {};
}

/// Checks that there are byte pieces for all 256 bytes or none, since only then every text can fall back to them.
Result<void> check_byte_pieces(std::string_view name, const SentencePieceModel& model) {
  if (std::ranges::find(model.types, kByteType) == model.types.end()) return {};
  const auto refuse = [&](std::string_view what) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: SentencePiece model: {}", name, what)};
  };
  std::set<std::string, std::less<>> missing;
  for (unsigned byte = 0; byte < 256; ++byte) missing.insert(fmt::format("<0x{:02X}>", byte));
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.types[id] != kByteType || missing.erase(model.pieces[id]) == 1) continue;
    return refuse(fmt::format("piece {}: expected a byte such as \"<0x0A>\", found {}", id,
                              in_quotes(std::string_view(model.pieces[id]).substr(0, 80))));
  }
  if (missing.empty()) return {};
  return refuse(fmt::format("expected pieces for all bytes or for none, found none for {}", *missing.begin()));
}

/// The piece with this id; none for -1.
Result<std::optional<std::int64_t>> piece_id(const SentencePieceModel& model, std::int64_t id, std::string_view what,
                                             std::string_view name) {
  if (id == -1) return std::optional<std::int64_t>();
  if (id >= 0 && id < static_cast<std::int64_t>(model.pieces.size())) return std::optional(id);
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: SentencePiece model: {}: expected -1 or an id below {}, found {}", name, what,
                           model.pieces.size(), id)};
}

}  // namespace

Result<SentencePieceModel> parse_sentencepiece_model(std::string_view content, std::string_view name_for_messages) {
  SentencePieceModel model;
  WireReader reader(content, name_for_messages);
  while (true) {
    SS_TRY(const std::optional<WireField> field, reader.next());
    if (!field) break;
    const bool is_known = field->number >= 1 && field->number <= 3;
    if (is_known && field->type != WireType::kBytes) return reader.damaged("a message of pieces or settings");
    if (field->number == 1) SS_TRY_VOID(add_piece(field->bytes, name_for_messages, model));
    if (field->number == 2) SS_TRY_VOID(read_trainer(field->bytes, name_for_messages, model));
    if (field->number == 3) SS_TRY_VOID(read_normalizer(field->bytes, name_for_messages, model));
  }
  if (model.pieces.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: SentencePiece model: expected pieces, found none", name_for_messages)};
  }
  SS_TRY_VOID(check_pieces(name_for_messages, model));
  SS_TRY_VOID(check_byte_pieces(name_for_messages, model));
  return model;
}

Result<GgufVocabulary> sentencepiece_vocabulary(const SentencePieceModel& model, std::string_view name_for_messages) {
  const auto unsupported = [&](std::string_view what) {
    return Error{ErrorCode::kUnsupported, fmt::format("{}: SentencePiece model: {}", name_for_messages, what)};
  };
  const bool is_unigram = model.algorithm == SentencePieceAlgorithm::kUnigram;
  if (!is_unigram && model.algorithm != SentencePieceAlgorithm::kBpe) {
    return unsupported(fmt::format("expected a BPE or Unigram model, found a {} model",
                                   model.algorithm == SentencePieceAlgorithm::kWord ? "word" : "character"));
  }
  const auto unused = std::ranges::find(model.types, kUnusedType);
  if (is_unigram && unused != model.types.end()) {
    return unsupported(fmt::format("piece {}: expected a piece that is used, since a tokenizer.json cannot forbid one",
                                   unused - model.types.begin()));
  }
  if (!model.escapes_whitespace || model.whitespace_is_suffix) {
    return unsupported("expected spaces as marks before words, found them otherwise");
  }
  GgufVocabulary vocabulary;
  vocabulary.model = is_unigram ? "unigram" : "llama";
  vocabulary.tokens = model.pieces;
  vocabulary.scores = model.scores;
  vocabulary.token_types = model.types;
  vocabulary.unk_id = model.unk_id;
  SS_TRY(vocabulary.bos_id, piece_id(model, model.bos_id, "the first piece of a text", name_for_messages));
  SS_TRY(vocabulary.eos_id, piece_id(model, model.eos_id, "the last piece of a text", name_for_messages));
  vocabulary.add_space_prefix = model.adds_dummy_prefix;
  vocabulary.removes_extra_spaces = model.removes_extra_whitespace;
  vocabulary.character_map = model.character_map;
  return vocabulary;
}

}  // namespace secondsource
