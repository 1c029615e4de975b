#include "tokenizer/sentencepiece_steps.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base64.h"

namespace secondsource::tokenizer {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581

OrderedJson replace(std::string_view kind, std::string_view pattern, std::string_view content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

OrderedJson sequence(std::string_view key, OrderedJson steps) {
  return {{"type", "Sequence"}, {key, std::move(steps)}};
}

/// A literal mark at the end of a text is removed like a space, because SentencePiece removes it after spaces have become marks.
/// The look-behind keeps the search linear in a long run of marks within the text.
constexpr std::string_view kMarksAtEnd = "(?<!\xe2\x96\x81)(?:\xe2\x96\x81)+\\z";

/// If spaces are removed, a decoded text begins with none. Strip needs a number, and this is the largest that the
/// reader accepts.
constexpr int kAllSpaces = 1024;

}  // namespace

OrderedJson sentencepiece_normalizer(const GgufVocabulary& vocabulary) {
  OrderedJson steps = OrderedJson::array();
  if (!vocabulary.character_map.empty()) {
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(vocabulary.character_map)}});
  }
  if (vocabulary.removes_extra_spaces) {
    steps.push_back(replace("Regex", "\\A +", ""));
    steps.push_back(replace("Regex", " {2,}", " "));
  }
  if (vocabulary.add_space_prefix.value_or(true)) steps.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  steps.push_back(replace("String", " ", kSpaceMark));
  if (vocabulary.removes_extra_spaces) steps.push_back(replace("Regex", kMarksAtEnd, ""));
  return sequence("normalizers", std::move(steps));
}

OrderedJson sentencepiece_pre_tokenizer(const GgufVocabulary& vocabulary) {
  const auto has_mark_within = [](const std::string& piece) { return piece.find(kSpaceMark, 1) != std::string::npos; };
  const bool splits = std::ranges::find(vocabulary.tokens, kSpaceMark) != vocabulary.tokens.end() &&
                      std::ranges::none_of(vocabulary.tokens, has_mark_within);
  if (!splits) return nullptr;
  return {{"type", "Metaspace"}, {"replacement", kSpaceMark}, {"prepend_scheme", "never"}, {"split", true}};
}

OrderedJson sentencepiece_decoder(const GgufVocabulary& vocabulary, bool has_bytes) {
  OrderedJson steps = OrderedJson::array();
  steps.push_back(replace("String", kSpaceMark, " "));
  if (has_bytes) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  const bool has_prefix = vocabulary.add_space_prefix.value_or(true);
  if (has_prefix || vocabulary.removes_extra_spaces) {
    const int n_spaces = vocabulary.removes_extra_spaces ? kAllSpaces : 1;
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", n_spaces}, {"stop", 0}});
  }
  return sequence("decoders", std::move(steps));
}

}  // namespace secondsource::tokenizer
