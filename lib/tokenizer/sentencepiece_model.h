#pragma once
// The file `tokenizer.model` of SentencePiece: a protobuf message ModelProto of sentencepiece_model.proto
// (github.com/google/sentencepiece). Its wire format is read here, because it is a page of code for the dozen fields that a
// tokenizer needs, while the protobuf library would be a further dependency of every build.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tokenizer/gguf_vocabulary.h"

namespace secondsource {

/// TrainerSpec.ModelType.
enum class SentencePieceAlgorithm : std::uint8_t { kUnigram = 1, kBpe = 2, kWord = 3, kCharacter = 4 };

struct SentencePieceModel {
  std::vector<std::string> pieces;  ///< the text of each id, a space written as U+2581; no text twice
  std::vector<float> scores;        ///< one per piece, finite; of a BPE the pair that forms the best one merges first
  std::vector<std::int32_t> types;  ///< as GgufVocabulary::token_types, which has taken SentencePiece's numbers
  SentencePieceAlgorithm algorithm = SentencePieceAlgorithm::kUnigram;
  bool whitespace_is_suffix = false;
  std::int64_t unk_id = 0;  ///< the piece of the unknown type, of which there is one
  std::int64_t bos_id = 1;  ///< -1 if there is none, as for the next one
  std::int64_t eos_id = 2;
  std::string character_map;  ///< by which characters are replaced, as CharacterMap reads it; empty for none
  bool adds_dummy_prefix = true;
  bool removes_extra_whitespace = true;
  bool escapes_whitespace = true;
};

/// Reads the content of a tokenizer.model. Error messages begin with `name_for_messages`. Errors: kInvalidInput for
/// content that is no such message: truncated, without pieces, of more than 2^24 of them, with scores that are not
/// finite or types that are unknown, with two pieces of one text, another number of unknown pieces than one, or pieces for some
/// bytes only.
Result<SentencePieceModel> parse_sentencepiece_model(std::string_view content, std::string_view name_for_messages);

/// The vocabulary of a BPE or Unigram model, which gguf_tokenizer_json() writes as a tokenizer.json with the same ids as
/// SentencePiece's (lib/tokenizer/README.md lists the exceptions). Errors: kUnsupported for models of words or characters, for
/// spaces that are not marks before words, and for a Unigram with pieces that are not used; kInvalidInput for ids that are no
/// pieces.
Result<GgufVocabulary> sentencepiece_vocabulary(const SentencePieceModel& model, std::string_view name_for_messages);

}  // namespace secondsource
