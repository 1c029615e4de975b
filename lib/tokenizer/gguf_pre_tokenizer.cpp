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
// The first models of DeepSeek: words of cased letters, signs, spaces at the end, Han with kana and Hangul, then single
// digits. llama.cpp has runs of digits instead; the result is the same, because their vocabularies have no token of
// several digits.
constexpr std::string_view kLineBreak = R"([\r\n])";
constexpr std::string_view kDeepseekWords =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376})"
    R"(\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F})"
    R"(\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B})"
    R"(\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57})"
    R"(\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115})"
    R"(\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E})"
    R"(\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B})"
    R"(\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A})"
    R"(\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr std::string_view kDeepseekSigns =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";
constexpr std::string_view kLastSpaces = R"(\s+$)";
constexpr std::string_view kDeepseekEastAsian = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
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
constexpr std::array kDeepseekLlmSteps = {kLineBreak,  kDeepseekWords,     kDeepseekSigns,
                                          kLastSpaces, kDeepseekEastAsian, kDigit};
constexpr std::array kSeedCoderSteps = {kSeedCoder};
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
    Entry{"falcon3", kLlama3Steps, true, true},
    Entry{"pixtral", kLlama3Steps, true, true},
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
    Entry{"deepseek-llm", kDeepseekLlmSteps},
    Entry{"seed-coder", kSeedCoderSteps},
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
