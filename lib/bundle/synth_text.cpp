#include "bundle/synth_text.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "core/random.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string utf8(std::uint32_t code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xc0U | (code_point >> 6)), static_cast<char>(0x80U | (code_point & 0x3fU))};
}

/// The character that represents each byte in byte-level BPE: printable Latin-1 bytes represent themselves, the others
/// use U+0100 and up (bytes_to_unicode of GPT-2's encoder.py).
std::vector<std::string> byte_characters() {
  std::vector<std::string> characters;
  std::uint32_t next = 0x100;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters.push_back(utf8(is_printable ? byte : next++));
  }
  return characters;
}

OrderedJson special_token(std::int32_t id, std::string_view content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

constexpr std::array<std::string_view, 24> kWords = {
    "amber", "basin", "cedar", "delta", "ember",  "fjord", "grove",  "haven",   "inlet",  "jetty",  "knoll",  "ledge",
    "maple", "north", "ocean", "plain", "quarry", "ridge", "spring", "thicket", "upland", "valley", "willow", "yard"};

/// Random words of `n_bytes` bytes in all, which are as many tokens of the byte tokenizer.
std::string words(RandomStream& random, std::size_t n_bytes) {
  std::string text;
  while (text.size() < n_bytes) {
    if (!text.empty()) text += random.next_below(8) == 0 ? ". " : " ";
    text += kWords[random.next_below(kWords.size())];
  }
  text.resize(n_bytes);
  if (text.back() == ' ') text.back() = '.';
  return text;
}

}  // namespace

std::string byte_tokenizer_json(std::int64_t vocab_size) {
  SS_CHECK(vocab_size >= kByteVocabularyMin, "the byte tokenizer needs its special tokens");
  OrderedJson vocabulary = OrderedJson::object();
  // Use push_back, because ordered_json's operator[] searches all keys before it appends.
  auto& entries = vocabulary.get_ref<OrderedJson::object_t&>();
  std::int64_t id = 0;
  for (const std::string& character : byte_characters()) entries.push_back({character, id++});
  for (const std::string_view special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    entries.push_back({std::string(special), id++});
  }
  while (id < vocab_size) {
    entries.push_back({fmt::format("<|unused_{}|>", id), id});
    ++id;
  }
  const OrderedJson byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const OrderedJson tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens",
       {special_token(kByteEndOfText, "<|endoftext|>"), special_token(kByteMessageStart, "<|im_start|>"),
        special_token(kByteMessageEnd, "<|im_end|>")}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", std::move(vocabulary)},
        {"merges", OrderedJson::array()}}}};
  return tokenizer.dump(1) + "\n";
}

std::string byte_tokenizer_config_json(std::int64_t max_seq_len) {
  const OrderedJson config = {
      {"tokenizer_class", "PreTrainedTokenizerFast"},
      {"model_max_length", max_seq_len},
      {"add_bos_token", false},
      {"clean_up_tokenization_spaces", false},
      {"bos_token", nullptr},
      {"eos_token", "<|im_end|>"},
      {"chat_template",
       "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
       "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"}};
  return config.dump(2) + "\n";
}

std::string synthetic_prompts_yaml(std::uint64_t seed, std::int64_t max_seq_len) {
  struct Length {
    std::int64_t n_tokens;
    int n_prompts;
    std::string_view tags;
    std::string_view kind;
  };
  constexpr std::array kLengths = {
      Length{24, 4, "[smoke, full, reference]", "short-chat"},
      Length{128, 4, "[smoke, full, reference]", "short-chat"},
      Length{256, 8, "[smoke, full, reference]", "short-chat"},
      Length{1024, 4, "[full, reference]", "rag"},
      Length{4096, 2, "[full]", "rag"},
      Length{8192, 1, "[full]", "long-context"},
  };
  constexpr std::int64_t kNewTokens = 32;
  RandomStream random(seed);
  std::string text = "suite_format: 1\nname: synthetic\nlicense: CC0-1.0\nprompts:\n";
  for (const Length& length : kLengths) {
    if (length.n_tokens + kNewTokens > max_seq_len) continue;
    for (int i = 0; i < length.n_prompts; ++i) {
      text += fmt::format("  - id: synth-{}-{}\n    tags: {}\n    kind: {}\n    text: \"{}\"\n    max_new_tokens: {}\n",
                          length.n_tokens, i + 1, length.tags, length.kind,
                          words(random, static_cast<std::size_t>(length.n_tokens)), kNewTokens);
    }
  }
  return text;
}

}  // namespace secondsource
