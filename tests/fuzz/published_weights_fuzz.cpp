// Fuzzes the reader of safetensors files with published codes. If a file is accepted, reading any row in its own encoding or in F32
// either succeeds or returns an error. A stored scale of inputs must be positive, or 0 if there is none.

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "bundle/model_tensors.h"
#include "bundle/published_weights.h"
#include "bundle/weight_source.h"

namespace {

using namespace secondsource;

void read_all(const WeightSource& source, const Shape& shape, WeightEncoding encoding) {
  const std::int64_t n_cols = shape.extent(shape.rank() - 1);
  std::vector<std::byte> values(static_cast<std::size_t>(n_cols) * transfer_bytes_per_value(encoding));
  std::vector<float> scales(static_cast<std::size_t>(scales_per_row(encoding, n_cols)));
  for (std::int64_t row = 0; row < n_rows_of(shape); ++row) {
    if (!source.read_rows(row, 1, values, scales)) return;
  }
}

void read_all(const StoredTensor& tensor, WeightEncoding encoding) {
  const Shape& shape = tensor.info.shape;
  if (!tensor.published->form.is_transposed) {
    const auto source = make_weight_source(tensor, encoding);
    if (!source) std::abort();
    return read_all(**source, shape, encoding);
  }
  for (std::int64_t matrix = 0; matrix < shape.extent(0); ++matrix) {
    const auto source = make_column_source(tensor, {.matrix = matrix, .n_columns = shape.extent(2)}, encoding);
    if (!source) std::abort();
    read_all(**source, {shape.extent(2), shape.extent(1)}, encoding);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int file = memfd_create("weights", MFD_CLOEXEC);
  if (file < 0) std::abort();
  if (write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  if (const auto tensors = TensorStore::open_file("/proc/self/fd/" + std::to_string(file))) {
    for (const auto& [name, tensor] : tensors->tensors()) {
      if (!tensor.published) continue;
      const float scale = tensor.published->input_scale;
      const bool is_static =
          tensors->published_variant().ends_with("-static") || tensors->published_variant().ends_with("-nvfp4");
      if (is_static != (scale > 0.0F) || !std::isfinite(scale)) std::abort();
      const bool is_nvfp4 = tensor.published->form.encoding == WeightEncoding::kNvfp4Group16;
      const float global_scale = tensor.published->global_scale;
      if (is_nvfp4 != (global_scale > 0.0F) || !std::isfinite(global_scale)) std::abort();
      read_all(tensor, tensor.published->form.encoding);
      read_all(tensor, WeightEncoding::kF32);
    }
  }
  close(file);
  return 0;
}
