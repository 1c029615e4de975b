#include "tokenizer/gguf_pre_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "core/utf8.h"

namespace secondsource::tokenizer {
namespace {

// The patterns come from each family's own tokenizer.json; the assignment to the names from llama.cpp
// (src/llama-vocab.cpp).
constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                     R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kThreeNumbers = R"(\p{N}{1,3})";
constexpr std::string_view kHanAndKana = "[一-龥\u3040-ゟ゠-ヿ]+";
constexpr std::string_view kDeepseekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDefaultPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr std::string_view kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr std::string_view kThreeDigits = "[0-9][0-9][0-9]";
constexpr std::string_view kDigits = R"(\p{N}+)";

constexpr std::array kGpt2Steps = {kGpt2};
constexpr std::array kLlama3Steps = {kLlama3};
constexpr std::array kQwen2Steps = {kQwen2};
constexpr std::array kStarcoderSteps = {kDigit, kGpt2};
constexpr std::array kTekkenSteps = {kTekken};
constexpr std::array kGpt4oSteps = {kGpt4o};
constexpr std::array kFalconSteps = {kFalconPunctuation, kGpt2, kThreeDigits};
constexpr std::array kDeepseekV3Steps = {kThreeNumbers, kHanAndKana, kDeepseekV3};
constexpr std::array kDefaultSteps = {kDefaultPunctuation, kGpt2, kDigits, kThreeDigits};

using Entry = GgufPrePatterns;

constexpr std::array kEntries = {
    Entry{"default", kDefaultSteps},
    Entry{"gpt-2", kGpt2Steps},
    Entry{"phi-2", kGpt2Steps},
    Entry{"olmo", kGpt2Steps},
    Entry{"mpt", kGpt2Steps},
    Entry{"llama-bpe", kLlama3Steps, true, true},
    Entry{"llama3", kLlama3Steps, true, true},
    Entry{"llama-v3", kLlama3Steps, true, true},
    Entry{"dbrx", kLlama3Steps},  // Phi-4 and OLMo 2
    Entry{"smaug-bpe", kLlama3Steps},
    Entry{"qwen2", kQwen2Steps},
    Entry{"deepseek-r1-qwen", kQwen2Steps},
    Entry{"stablelm2", kQwen2Steps},
    Entry{"smollm", kStarcoderSteps},
    Entry{"starcoder", kStarcoderSteps},
    Entry{"refact", kStarcoderSteps},
    Entry{"command-r", kStarcoderSteps},
    Entry{"tekken", kTekkenSteps, true, true},
    Entry{"gpt-4o", kGpt4oSteps},
    Entry{"falcon", kFalconSteps},
    Entry{"deepseek-v3", kDeepseekV3Steps},
};

}  // namespace

Result<GgufPrePatterns> gguf_pre_patterns(std::string_view pre) {
  const std::string_view name = pre.empty() ? "default" : pre;
  const auto* entry = std::find_if(kEntries.begin(), kEntries.end(), [&](const Entry& e) { return e.name == name; });
  if (entry == kEntries.end()) {
    std::string names;
    for (const Entry& known : kEntries) names.append(names.empty() ? "" : ", ").append(known.name);
    return Error{ErrorCode::kUnsupported,
                 fmt::format("tokenizer.ggml.pre \"{}\": expected one of {}", printable(name), names)};
  }
  return *entry;
}

Result<GgufPreTokenizer> gguf_pre_tokenizer(std::string_view pre) {
  SS_TRY(const GgufPrePatterns entry, gguf_pre_patterns(pre));
  GgufPreTokenizer result{.steps = {}, .ignore_merges = entry.ignore_merges, .add_bos = entry.add_bos};
  for (const std::string_view pattern : entry.patterns) {
    SS_TRY(Regex regex, Regex::compile(pattern));
    result.steps.emplace_back(
        SplitStep{.pattern = std::move(regex), .behavior = SplitBehavior::kIsolated, .invert = false});
  }
  result.steps.emplace_back(ByteLevelStep{.add_prefix_space = false, .pattern = std::nullopt});
  return result;
}

}  // namespace secondsource::tokenizer
