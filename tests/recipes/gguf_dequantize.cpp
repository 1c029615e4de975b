// Reads blocks of one GGUF type from standard input and writes their values as FP32 to standard output, for
// tests/data/gguf/make_blocks.py --check.

#include <cstdio>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "bundle/gguf_blocks.h"

int main(int argc, char** argv) {
  using namespace secondsource;
  const auto format = gguf_block_format(argc == 2 ? argv[1] : "");
  if (!format) {
    std::cerr << format.error().message << '\n';
    return 2;
  }
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  const auto bytes = std::as_bytes(std::span(text));
  std::vector<float> values(bytes.size() / (*format)->block_bytes * (*format)->block_values);
  dequantize_blocks(**format, bytes, values);
  return std::fwrite(values.data(), sizeof(float), values.size(), stdout) == values.size() ? 0 : 1;
}
