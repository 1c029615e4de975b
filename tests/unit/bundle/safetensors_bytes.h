#pragma once
// Safetensors files made by hand, for tests that must not depend on the writer they may be testing.

#include <fmt/format.h>

#include <cstring>
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

/// The bytes of the values, in the order of this machine.
template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

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
