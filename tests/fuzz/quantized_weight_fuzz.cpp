// Fuzzes a quantized weight of a checkpoint. The input is one line with the quantization_config, followed by a safetensors file with the
// parts of a 32 x 32 matrix, or of two such matrices for experts. Every row of an accepted weight can be read. If its codes can be kept,
// then every value must equal (code - zero point) * scale.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "bundle/checkpoint_weight.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\n'), size);
  const auto json = parse_json(input.substr(0, end), "config.json", {.max_bytes = 1 << 16, .max_depth = 16});
  if (!json) return 0;
  const auto scheme = parse_checkpoint_scheme(*json, "config.json");
  if (!scheme || end == size) return 0;
  const int file = memfd_create("weights", MFD_CLOEXEC);
  if (file < 0) std::abort();
  const std::string_view weights = input.substr(end + 1);
  if (write(file, weights.data(), weights.size()) != static_cast<ssize_t>(weights.size())) std::abort();
  if (const auto tensors = TensorStore::open_file("/proc/self/fd/" + std::to_string(file))) {
    const bool is_of_experts = scheme->layout == CodeLayout::kMxfp4;
    const TensorSpec spec = is_of_experts ? TensorSpec{"m", {2, 32, 32}, TensorRole::kMatmul, true}
                                          : TensorSpec{"m.weight", {32, 32}, TensorRole::kMatmul};
    if (const auto weight = CheckpointWeight::find(*tensors, *scheme, spec, "folder")) {
      if (const auto scale = weight->input_scale(); scale && !(*scale > 0.0F && std::isfinite(*scale))) std::abort();
      std::array<float, 32> values{};
      const Result<PublishedForm> form = weight->is_quantized()
                                             ? weight->published_form()
                                             : Result<PublishedForm>(Error{ErrorCode::kUnsupported, "no codes"});
      std::array<std::int8_t, 32> codes{};
      // For these 32 columns NVFP4 has two scales; every other form has one.
      const bool is_nvfp4 = form && form->encoding == WeightEncoding::kNvfp4Group16;
      std::array<float, 2> both_scales{};
      const std::span<float> scales = std::span(both_scales).first(is_nvfp4 ? 2 : 1);
      std::array<std::int8_t, 1> zeros{};
      for (std::int64_t row = 0; row < n_rows_of(spec.shape); ++row) {
        weight->read_row(row, values);
        if (!form) continue;
        if (form->is_transposed) {
          // A row of values has the weights of one input for all outputs of an expert; a row of codes has those of one output.
          for (std::size_t output = 0; output < values.size(); ++output) {
            const std::int64_t coded_row = row / 32 * 32 + static_cast<std::int64_t>(output);
            if (!weight->read_coded_row(coded_row, *form, {codes, scales, {}})) std::abort();
            const E2m1 code{static_cast<std::uint8_t>(codes[static_cast<std::size_t>(row % 32)])};
            if (to_float(code) * scales[0] != values[output] && !std::isnan(values[output])) std::abort();
          }
          continue;
        }
        const std::span<std::int8_t> of_row = std::span(zeros).first(form->has_zero_points() ? 1 : 0);
        if (!weight->read_coded_row(row, *form, {codes, scales, of_row})) continue;  // a byte is no code of four bits
        const bool is_fp8 = has_fp8_codes(form->encoding);
        const bool is_e2m1 = has_e2m1_codes(form->encoding);
        for (std::size_t i = 0; i < codes.size(); ++i) {
          const auto bits = static_cast<std::uint8_t>(codes[i]);
          const float code = is_fp8    ? to_float(E4m3{bits})
                             : is_e2m1 ? to_float(E2m1{bits})
                                       : static_cast<float>(codes[i]);
          const auto input = weight->column_order().empty() ? i : static_cast<std::size_t>(weight->column_order()[i]);
          if (is_nvfp4) {
            // This multiplies a code by its scale and then by the global one. The value was computed from the product of both scales, so
            // it may be rounded differently. The constant allows for subnormal results, which have fewer bits.
            const float found = (code * scales[i / 16]) * weight->global_scale();
            const float difference = std::abs(found - values[input]);
            if (std::isfinite(values[input]) && difference > 0x1.8p-23F * std::abs(values[input]) + 0x1p-136F)
              std::abort();
            continue;
          }
          if ((code - static_cast<float>(zeros[0])) * scales[0] != values[input] && !std::isnan(values[input]))
            std::abort();
        }
      }
    }
  }
  close(file);
  return 0;
}
