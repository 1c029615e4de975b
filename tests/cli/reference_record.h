#pragma once
// PyTorch's continuation of a golden prompt, read directly from a committed bundle's expected outputs.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/file.h"
#include "expectations.h"
#include "support/result.h"

namespace secondsource::test {

struct ReferenceRecord {
  std::vector<std::int32_t> prompt_ids;
  std::vector<std::int32_t> ids;                         ///< the greedily generated ids
  std::vector<std::vector<std::pair<int, double>>> top;  ///< per position: (id, log-probability) pairs, best first
};

inline ReferenceRecord reference_record(const std::string& bundle, const std::string& variant,
                                        const std::string& prompt) {
  const auto text = read_file(source_path(bundle + "/expected/" + variant + ".jsonl"));
  REQUIRE_OK(text);
  const auto begin = text->find("{\"prompt\":\"" + prompt + "\"");
  REQUIRE(begin != std::string::npos);
  const auto line = nlohmann::json::parse(text->substr(begin, text->find('\n', begin) - begin));
  return {line["prompt_ids"], line["ids"], line["top"]};
}

/// Returns "1,2,3", the form in which flags take ids.
inline std::string joined(const std::vector<std::int32_t>& ids, char separator = ',') {
  std::string text;
  for (const std::int32_t id : ids) {
    if (!text.empty()) text += separator;
    text += std::to_string(id);
  }
  return text;
}

/// Makes a Hugging Face folder with the tiny bundle's model, and with its tokenizer if requested.
inline std::string tiny_model_folder(const std::filesystem::path& parent, bool with_tokenizer) {
  const std::filesystem::path folder = parent / "tiny-hf";
  std::filesystem::create_directories(folder);
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json"}) {
    if (file == std::string_view("tokenizer.json") && !with_tokenizer) continue;
    std::filesystem::copy_file(source_path("bundles/tiny-gqa8-hd64") + "/" + file, folder / file);
  }
  return folder.string();
}

}  // namespace secondsource::test
