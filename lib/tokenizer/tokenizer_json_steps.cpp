#include "tokenizer/tokenizer_json_steps.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/base64.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource::tokenizer {
namespace {

using Json = nlohmann::json;

// Real files have at most six steps.
constexpr std::size_t kMaxSteps = 32;

Error unsupported(const JsonFields& fields, std::string_view type, std::string_view supported) {
  return Error{ErrorCode::kUnsupported,
               fmt::format("{} type \"{}\": expected one of {}", fields.name(), printable(type), supported)};
}

/// Calls `read(element, name)` for each element of a Sequence.
template <typename Read>
Result<void> read_sequence(const JsonFields& fields, std::string_view key, Read read) {
  const Json* elements = fields.find(key);
  if (elements == nullptr || !elements->is_array()) return fields.mismatch(key, "an array");
  if (elements->size() > kMaxSteps) return fields.mismatch(key, fmt::format("at most {} steps", kMaxSteps));
  for (std::size_t i = 0; i < elements->size(); ++i) {
    SS_TRY_VOID(read((*elements)[i], fmt::format("{}[{}]", fields.name(), i)));
  }
  return {};
}

template <typename Step>
Result<void> check_count(const std::string& name, const std::vector<Step>& steps) {
  if (steps.size() < kMaxSteps) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected at most {} steps in all", name, kMaxSteps)};
}

/// Reads {"String": "..."} or {"Regex": "..."}.
Result<Pattern> read_pattern(const JsonFields& fields) {
  SS_TRY(const JsonFields pattern, fields.object("pattern"));
  if (pattern.has("Regex")) {
    SS_TRY(const std::string text, pattern.string("Regex"));
    Result<Regex> regex = Regex::compile(text);
    if (!regex) return regex.error().with_context(pattern.name());
    return Pattern(std::move(regex).value());
  }
  SS_TRY(std::string literal, pattern.string("String"));
  if (literal.empty()) return pattern.mismatch("String", "a text that is not empty");
  return Pattern(std::move(literal));
}

/// Reads a string of exactly one character.
Result<std::string> read_character(const JsonFields& fields, std::string_view key, std::string_view absent) {
  SS_TRY(std::string text, fields.string_or(key, absent));
  if (text.empty() || character_length(text.front()) != text.size()) return fields.mismatch(key, "one character");
  return text;
}

Result<SplitBehavior> read_behavior(const JsonFields& fields) {
  SS_TRY(const std::string name, fields.string_or("behavior", "Isolated"));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return fields.mismatch("behavior", "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

Result<MetaspaceStep::PrependScheme> read_prepend_scheme(const JsonFields& fields) {
  using Scheme = MetaspaceStep::PrependScheme;
  // Older files have add_prefix_space instead of prepend_scheme.
  SS_TRY(const bool adds_space, fields.boolean_or("add_prefix_space", true));
  SS_TRY(const std::string scheme, fields.string_or("prepend_scheme", adds_space ? "always" : "never"));
  if (scheme == "first") return Scheme::kFirst;
  if (scheme == "never") return Scheme::kNever;
  if (scheme == "always") return Scheme::kAlways;
  return fields.mismatch("prepend_scheme", "first, never or always");
}

Result<MetaspaceStep> read_metaspace(const JsonFields& fields) {
  MetaspaceStep step;
  SS_TRY(step.replacement, read_character(fields, "replacement", step.replacement));
  SS_TRY(step.prepend_scheme, read_prepend_scheme(fields));
  SS_TRY(step.split, fields.boolean_or("split", true));
  return step;
}

Result<NormalizerStep> read_one_normalizer(const JsonFields& fields, std::string_view type) {
  if (type == "NFC") return NormalizerStep(UnicodeNormalizer{UnicodeForm::kNfc});
  if (type == "NFD") return NormalizerStep(UnicodeNormalizer{UnicodeForm::kNfd});
  if (type == "NFKC") return NormalizerStep(UnicodeNormalizer{UnicodeForm::kNfkc});
  if (type == "NFKD") return NormalizerStep(UnicodeNormalizer{UnicodeForm::kNfkd});
  if (type == "Lowercase") return NormalizerStep(LowercaseNormalizer{});
  if (type == "Nmt") return NormalizerStep(NmtNormalizer{});
  if (type == "Precompiled") {
    constexpr std::string_view kMap = "precompiled_charsmap";
    SS_TRY(const std::string text, fields.string(kMap));
    const auto in_context = [&](const Error& error) {
      return error.with_context(fmt::format("{}.{}", fields.name(), kMap));
    };
    const Result<std::string> bytes = decode_base64(text);
    if (!bytes) return in_context(bytes.error());
    Result<CharacterMap> map = CharacterMap::create(*bytes);
    if (!map) return in_context(map.error());
    return NormalizerStep(PrecompiledNormalizer{std::make_shared<const CharacterMap>(std::move(map).value())});
  }
  if (type == "StripAccents") return NormalizerStep(StripAccentsNormalizer{});
  if (type == "Prepend") {
    SS_TRY(std::string text, fields.string("prepend"));
    return NormalizerStep(PrependNormalizer{std::move(text)});
  }
  if (type == "Replace") {
    SS_TRY(Pattern pattern, read_pattern(fields));
    SS_TRY(std::string content, fields.string("content"));
    return NormalizerStep(ReplaceNormalizer{std::move(pattern), std::move(content)});
  }
  if (type == "Strip") {
    StripNormalizer step;
    SS_TRY(step.left, fields.boolean_or("strip_left", true));
    SS_TRY(step.right, fields.boolean_or("strip_right", true));
    return NormalizerStep(step);
  }
  return unsupported(
      fields, type,
      "Sequence, NFC, NFD, NFKC, NFKD, Nmt, Lowercase, StripAccents, Prepend, Replace, Strip, Precompiled");
}

Result<PreTokenizerStep> read_one_pre_tokenizer(const JsonFields& fields, std::string_view type) {
  if (type == "Split") {
    SplitStep step;
    SS_TRY(step.pattern, read_pattern(fields));
    SS_TRY(step.behavior, read_behavior(fields));
    SS_TRY(step.invert, fields.boolean_or("invert", false));
    return PreTokenizerStep(std::move(step));
  }
  if (type == "ByteLevel") {
    ByteLevelStep step;
    SS_TRY(step.add_prefix_space, fields.boolean_or("add_prefix_space", true));
    SS_TRY(const bool use_regex, fields.boolean_or("use_regex", true));
    if (use_regex) {
      SS_TRY(step.pattern, Regex::compile(gpt2_pattern()));
    }
    return PreTokenizerStep(std::move(step));
  }
  if (type == "Metaspace") {
    SS_TRY(MetaspaceStep step, read_metaspace(fields));
    return PreTokenizerStep(std::move(step));
  }
  if (type == "Digits") {
    DigitsStep step;
    SS_TRY(step.individual_digits, fields.boolean_or("individual_digits", false));
    return PreTokenizerStep(step);
  }
  if (type == "Punctuation") {
    PunctuationStep step;
    SS_TRY(step.behavior, read_behavior(fields));
    return PreTokenizerStep(step);
  }
  if (type == "Whitespace") return PreTokenizerStep(WhitespaceStep{});
  if (type == "WhitespaceSplit") return PreTokenizerStep(WhitespaceSplitStep{});
  return unsupported(fields, type,
                     "Sequence, Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit");
}

Result<DecoderStep> read_one_decoder(const JsonFields& fields, std::string_view type) {
  if (type == "ByteLevel") return DecoderStep(ByteLevelDecoder{});
  if (type == "ByteFallback") return DecoderStep(ByteFallbackDecoder{});
  if (type == "Fuse") return DecoderStep(FuseDecoder{});
  if (type == "Replace") {
    SS_TRY(Pattern pattern, read_pattern(fields));
    SS_TRY(std::string content, fields.string("content"));
    return DecoderStep(ReplaceDecoder{std::move(pattern), std::move(content)});
  }
  if (type == "Strip") {
    StripDecoder step;
    SS_TRY(const std::string content, read_character(fields, "content", " "));
    step.content = character_at(content, 0).code_point;
    constexpr IntegerRange kCounts{.min = 0, .max = 1024};
    SS_TRY(const std::int64_t start, fields.integer_or("start", 0, kCounts));
    SS_TRY(const std::int64_t stop, fields.integer_or("stop", 0, kCounts));
    step.start = static_cast<std::size_t>(start);
    step.stop = static_cast<std::size_t>(stop);
    return DecoderStep(step);
  }
  if (type == "Metaspace") {
    SS_TRY(const MetaspaceStep metaspace, read_metaspace(fields));
    return DecoderStep(
        MetaspaceDecoder{.replacement = character_at(metaspace.replacement, 0).code_point,
                         .drops_in_first = metaspace.prepend_scheme != MetaspaceStep::PrependScheme::kNever});
  }
  return unsupported(fields, type, "Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace");
}

}  // namespace

Result<void> read_normalizer(const Json& value, const std::string& name, std::vector<NormalizerStep>& steps) {
  SS_TRY(const JsonFields fields, JsonFields::of(value, name));
  SS_TRY(const std::string type, fields.string("type"));
  if (type == "Sequence") {
    return read_sequence(fields, "normalizers", [&](const Json& element, const std::string& element_name) {
      return read_normalizer(element, element_name, steps);
    });
  }
  SS_TRY_VOID(check_count(name, steps));
  SS_TRY(NormalizerStep step, read_one_normalizer(fields, type));
  steps.push_back(std::move(step));
  return {};
}

Result<void> read_pre_tokenizer(const Json& value, const std::string& name, std::vector<PreTokenizerStep>& steps) {
  SS_TRY(const JsonFields fields, JsonFields::of(value, name));
  SS_TRY(const std::string type, fields.string("type"));
  if (type == "Sequence") {
    return read_sequence(fields, "pretokenizers", [&](const Json& element, const std::string& element_name) {
      return read_pre_tokenizer(element, element_name, steps);
    });
  }
  SS_TRY_VOID(check_count(name, steps));
  SS_TRY(PreTokenizerStep step, read_one_pre_tokenizer(fields, type));
  steps.push_back(std::move(step));
  return {};
}

Result<void> read_decoder(const Json& value, const std::string& name, std::vector<DecoderStep>& steps) {
  SS_TRY(const JsonFields fields, JsonFields::of(value, name));
  SS_TRY(const std::string type, fields.string("type"));
  if (type == "Sequence") {
    return read_sequence(fields, "decoders", [&](const Json& element, const std::string& element_name) {
      return read_decoder(element, element_name, steps);
    });
  }
  SS_TRY_VOID(check_count(name, steps));
  SS_TRY(DecoderStep step, read_one_decoder(fields, type));
  steps.push_back(std::move(step));
  return {};
}

}  // namespace secondsource::tokenizer
