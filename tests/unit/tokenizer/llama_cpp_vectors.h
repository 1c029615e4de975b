#pragma once
// Reads the tokenizer vectors of llama.cpp: the texts of a .inp file and the ids of the .out file next to it.

#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file.h"
#include "support/result.h"

namespace secondsource::test {

using Ids = std::vector<std::int32_t>;

/// The cases of a llama.cpp .inp file, separated as in its tests/test-tokenizer-0.cpp.
inline std::vector<std::string> read_inputs(const std::filesystem::path& path) {
  const Result<std::string> text = read_file(path);
  REQUIRE_OK(text);
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> inputs;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text->find(kSeparator, begin)) != std::string::npos;
       begin = end + kSeparator.size()) {
    inputs.push_back(text->substr(begin, end - begin));
  }
  inputs.push_back(text->substr(begin));
  return inputs;
}

/// The ids of a .out file, one line per case.
inline std::vector<Ids> read_outputs(const std::filesystem::path& path) {
  const Result<std::string> text = read_file(path);
  REQUIRE_OK(text);
  std::vector<Ids> outputs;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    Ids ids;
    for (std::int32_t id = 0; numbers >> id;) ids.push_back(id);
    outputs.push_back(std::move(ids));
  }
  // The last case is the empty text after the last separator, which has no line.
  outputs.emplace_back();
  return outputs;
}

}  // namespace secondsource::test
