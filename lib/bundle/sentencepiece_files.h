#pragma once
// The tokenizer of a folder that has SentencePiece's model (tokenizer.model, or spiece.model in T5) and no
// tokenizer.json, converted as transformers converts it: the pieces, the tokens that were added later, and the ids at
// the beginning and the end of every text.

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "bundle/chat_files.h"
#include "core/result.h"

namespace secondsource {

inline constexpr std::string_view kSentencePieceFile = "tokenizer.model";
inline constexpr std::string_view kOtherSentencePieceFile = "spiece.model";
/// The names that a tokenizer's model may have in a folder without tokenizer.json; the first one that exists is read. A
/// tiktoken file (under its families' names, or as tokenizer.model) is accepted if its family is known
/// (tiktoken_files.h).
inline constexpr std::array<std::string_view, 5> kTokenizerModelFiles = {
    kSentencePieceFile, kOtherSentencePieceFile, "qwen.tiktoken", "cl100k_base.tiktoken", "o200k_base.tiktoken"};

/// The text of the tokenizer.json that stands for the model, with the added tokens and the settings add_bos_token and
/// add_eos_token of tokenizer_config.json (or added_tokens.json), and what its tokenizer_class adds; nullopt if the folder has
/// neither file. Errors: kInvalidInput for a damaged file and for added tokens whose ids have gaps; kUnsupported for a model
/// that is neither BPE nor Unigram, and for a class that gives the pieces other ids or changes the text before the model does.
Result<std::optional<std::string>> tokenizer_json_of_sentencepiece(const ChatFileReader& read,
                                                                   const std::string& folder_name);

}  // namespace secondsource
