#pragma once
// Safetensors files made by hand, for tests that must not depend on the writer they may be testing.

#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/shape.h"

namespace secondsource::test {

struct HandMadeTensor {
  std::string name;
  std::string dtype;
  Shape shape;
  std::string data;
};

inline std::string safetensors_bytes(const std::vector<HandMadeTensor>& tensors) {
  std::string header = "{";
  std::string data;
  for (const HandMadeTensor& tensor : tensors) {
    if (header.size() > 1) header += ",";
    header += fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", tensor.name, tensor.dtype,
                          tensor.shape.to_string(), data.size(), data.size() + tensor.data.size());
    data += tensor.data;
  }
  header += "}";
  std::string file;
  for (int i = 0; i < 8; ++i) file.push_back(static_cast<char>((header.size() >> (8 * i)) & 0xffU));
  return file + header + data;
}

}  // namespace secondsource::test
