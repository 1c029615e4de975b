#include "quantized_checkpoint.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "bundle/published_weights.h"
#include "core/file.h"
#include "core/half.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource::test {

namespace fs = std::filesystem;

std::vector<float> values_of_codes(const StoredTensor& tensor) {
  const bool is_transposed = tensor.published->form.is_transposed;
  const Shape rows = shape_of_rows(tensor.published->form, tensor.info.shape);
  const auto n_inputs = static_cast<std::size_t>(rows.extent(rows.rank() - 1));
  const auto n_outputs = static_cast<std::size_t>(rows.extent(rows.rank() - 2));
  std::vector<float> values(static_cast<std::size_t>(rows.n_elements().value()));
  std::vector<float> row(n_inputs);
  std::vector<std::byte> codes;
  std::vector<float> scales;
  for (std::size_t i = 0; i < values.size() / n_inputs; ++i) {
    REQUIRE(tensor.published->read_values(static_cast<std::int64_t>(i), row, codes, scales));
    for (std::size_t input = 0; input < n_inputs; ++input) {
      const std::size_t place =
          is_transposed ? (i / n_outputs * n_inputs + input) * n_outputs + i % n_outputs : i * n_inputs + input;
      values[place] = row[input];
    }
  }
  return values;
}

std::string bytes_of_values(const StoredTensor& tensor) {
  if (tensor.published) {
    const std::vector<float> values = values_of_codes(tensor);
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
  }
  const DType dtype = *tensor.info.dtype;
  std::string bytes;
  for (std::size_t offset = 0; offset < tensor.info.size_bytes; offset += size_of(dtype)) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, tensor.bytes().data() + offset, size_of(dtype));
    const auto narrow = static_cast<std::uint16_t>(bits);
    const float value = dtype == DType::kF32    ? std::bit_cast<float>(bits)
                        : dtype == DType::kBf16 ? to_float(Bf16{narrow})
                                                : to_float(F16{narrow});
    char word[sizeof(float)];
    std::memcpy(word, &value, sizeof(float));
    bytes.append(word, sizeof(float));
  }
  return bytes;
}

fs::path checkpoints() {
  return source_path("tests/data/quantized");
}

Result<void> create(const fs::path& folder, const fs::path& target, Progress& progress, QuantizedWeights form) {
  CreateOptions options;
  options.model_folder = folder;
  options.quantized_weights = form;
  return create_bundle(options, target, progress, InterruptFlag());
}

Result<void> create(const fs::path& folder, const fs::path& target) {
  SilentProgress progress;
  return create(folder, target, progress);
}

ChangedCheckpoint::ChangedCheckpoint(const std::string& name) {
  const auto text = read_file(checkpoints() / name / "config.json");
  const auto file = read_file(checkpoints() / name / "model.safetensors");
  REQUIRE_OK(text);
  REQUIRE_OK(file);
  config = nlohmann::json::parse(*text);
  const auto header = parse_safetensors(std::as_bytes(std::span(*file)), "model.safetensors");
  REQUIRE_OK(header);
  for (const TensorInfo& info : header->tensors) {
    tensors.push_back({info.name, info.dtype_name, info.shape, file->substr(info.offset_bytes, info.size_bytes)});
  }
}

HandMadeTensor& ChangedCheckpoint::tensor(const std::string& name) {
  const auto found = std::ranges::find(tensors, name, &HandMadeTensor::name);
  REQUIRE(found != tensors.end());
  return *found;
}

Result<void> ChangedCheckpoint::create() {
  SilentProgress progress;
  return create(progress);
}

Result<void> ChangedCheckpoint::create(Progress& progress) {
  const fs::path folder = scratch.path() / "model";
  fs::create_directories(folder);
  REQUIRE_OK(write_file(folder / "config.json", config.dump()));
  REQUIRE_OK(write_file(folder / "model.safetensors", safetensors_bytes(tensors)));
  return test::create(folder, scratch.path() / "out", progress);
}

void ChangedCheckpoint::expect_refused(ErrorCode code, const std::string& part) {
  const auto result = create();
  REQUIRE_FALSE(result);
  CHECK(result.error().code == code);
  CAPTURE(result.error().message, part);
  CHECK(result.error().message.find(part) != std::string::npos);
  CHECK_FALSE(fs::exists(scratch.path() / "out"));
}

}  // namespace secondsource::test
