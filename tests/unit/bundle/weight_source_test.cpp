// The quantizers and the row source. The expected values in tests/data/quantizers/vectors.json were computed with NumPy
// alone.
#include "bundle/weight_source.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "bundle/bundle.h"
#include "bundle/quantize.h"
#include "bundle/variant.h"
#include "core/file.h"
#include "core/half.h"
#include "core/random.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/half_by_definition.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"
#include "unit/bundle/safetensors_bytes.h"
#include "unit/bundle/weight_rows.h"

namespace secondsource {
namespace {

nlohmann::json vectors() {
  const auto text = read_file(test::data_file("quantizers/vectors.json"));
  REQUIRE_OK(text);
  return nlohmann::json::parse(*text);
}

/// Writes a tensor [n_rows, bits.size() / n_rows] to a file in `scratch`.
StoredTensor stored_tensor(const test::ScratchFolder& scratch, std::string_view dtype,
                           const std::vector<std::uint32_t>& bits, std::int64_t n_rows = 1) {
  const std::size_t width = dtype == "F32" ? 4 : 2;
  std::string data;
  for (const std::uint32_t value : bits) {
    for (std::size_t i = 0; i < width; ++i) data.push_back(static_cast<char>((value >> (8 * i)) & 0xffU));
  }
  const auto path = scratch.path() / "t.safetensors";
  const Shape shape{n_rows, static_cast<std::int64_t>(bits.size()) / n_rows};
  REQUIRE_OK(write_file(path, test::safetensors_bytes({{"t", std::string(dtype), shape, data}})));
  const auto store = TensorStore::open_file(path);
  REQUIRE_OK(store);
  return *store->find("t");
}

std::vector<std::uint32_t> halves(const test::WeightRows& rows) {
  std::vector<std::uint32_t> bits;
  for (std::size_t i = 0; i + 1 < rows.values.size(); i += 2) {
    bits.push_back(std::to_integer<std::uint32_t>(rows.values[i]) | std::to_integer<std::uint32_t>(rows.values[i + 1])
                                                                        << 8);
  }
  return bits;
}

std::vector<int> codes(const test::WeightRows& rows) {
  std::vector<int> q;
  for (const std::byte value : rows.values) q.push_back(static_cast<std::int8_t>(std::to_integer<std::uint8_t>(value)));
  return q;
}

std::vector<int> unsigned_codes(const test::WeightRows& rows) {
  std::vector<int> q;
  for (const std::byte value : rows.values) q.push_back(std::to_integer<int>(value));
  return q;
}

std::vector<std::uint32_t> scale_bits(const test::WeightRows& rows) {
  std::vector<std::uint32_t> bits;
  for (const float scale : rows.scales) bits.push_back(std::bit_cast<std::uint32_t>(scale));
  return bits;
}

TEST_CASE("rows of every stored type are encoded bit for bit as NumPy does") {
  const test::ScratchFolder scratch;
  int n_checked = 0;
  const nlohmann::json expected_vectors = vectors();
  for (const auto& entry : expected_vectors["cases"]) {
    for (const std::string dtype : {"F32", "BF16", "F16"}) {
      if (!entry.contains(dtype)) continue;
      const auto& expected = entry[dtype];
      CAPTURE(entry["name"].get<std::string>(), dtype);
      const auto bits = expected["bits"].get<std::vector<std::uint32_t>>();
      const StoredTensor tensor = stored_tensor(scratch, dtype, bits);
      CHECK(halves(test::rows_of(tensor, WeightEncoding::kBf16)) == expected["bf16"].get<std::vector<std::uint32_t>>());
      const auto f16 = expected["f16"].get<std::vector<std::uint32_t>>();
      const bool fits_f16 =
          std::none_of(f16.begin(), f16.end(), [](std::uint32_t b) { return (b & 0x7c00U) == 0x7c00U; });
      if (fits_f16) CHECK(halves(test::rows_of(tensor, WeightEncoding::kF16)) == f16);
      const test::WeightRows int8 = test::rows_of(tensor, WeightEncoding::kInt8PerRow);
      CHECK(codes(int8) == expected["int8"]["q"].get<std::vector<int>>());
      CHECK(scale_bits(int8) == std::vector<std::uint32_t>{expected["int8"]["scale"].get<std::uint32_t>()});
      const test::WeightRows fp8 = test::rows_of(tensor, WeightEncoding::kFp8PerRow);
      CHECK(unsigned_codes(fp8) == expected["fp8"]["q"].get<std::vector<int>>());
      CHECK(scale_bits(fp8) == std::vector<std::uint32_t>{expected["fp8"]["scale"].get<std::uint32_t>()});
      const std::pair<const char*, WeightEncoding> in_groups[] = {{"int8-g32", WeightEncoding::kInt8Group32},
                                                                  {"int4", WeightEncoding::kInt4Group32}};
      for (const auto& [name, encoding] : in_groups) {
        CAPTURE(name);
        const test::WeightRows groups = test::rows_of(tensor, encoding);
        CHECK(codes(groups) == expected[name]["q"].get<std::vector<int>>());
        CHECK(scale_bits(groups) == expected[name]["scales"].get<std::vector<std::uint32_t>>());
      }
      ++n_checked;
    }
  }
  CHECK(n_checked >= 30);
}

/// The result of applying the rules of docs/bundle-format.md value by value, for one scale.
struct PlainRule {
  float scale = 0.0F;
  std::vector<std::int8_t> q{};
};
PlainRule plain_rule(std::span<const float> values, float limit, bool half_scale) {
  float largest = 0.0F;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  PlainRule rule{.scale = largest / limit};
  if (half_scale) rule.scale = nearest_half(rule.scale);
  for (const float value : values) {
    const float ratio = rule.scale == 0.0F ? 0.0F : std::nearbyint(value / rule.scale);  // ties go to even
    // Infinities and NaN have no code; the reader refuses rows that contain one.
    rule.q.push_back(std::isnan(ratio) ? std::int8_t{0} : static_cast<std::int8_t>(std::clamp(ratio, -limit, limit)));
  }
  return rule;
}

TEST_CASE("whole rows of any length are quantized as the plain rule has it, bit for bit") {
  RandomStream random(12);
  const auto unit = [&] { return 2.0F * static_cast<float>(random.next_unit()) - 1.0F; };
  const float smallest = std::numeric_limits<float>::denorm_min();
  const std::vector<std::function<float()>> kinds = {
      unit,
      [] { return 0.0F; },
      [&] { return unit() * 1e-7F; },  // scales are subnormal or zero in FP16
      [&] { return std::floor(300.0F * unit()) * smallest; },
      [&] { return unit() * 450'000.0F; },              // scales up to the largest of FP16
      [&] { return std::floor(15.0F * unit()) / 2; },   // halves, which are ties for int4
      [&] { return std::floor(255.0F * unit()) / 2; },  // halves, which are ties for int8
      [&] { return to_float(Bf16{static_cast<std::uint16_t>(random.next_bits())}); },  // arbitrary bits
      [&] { return unit() * 3e38F; },
  };
  int n_refused = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    const std::size_t n = trial % 7 == 0 ? 32 + 256 * (random.next_bits() % 9) : 1 + random.next_bits() % 700;
    std::vector<float> row(n);
    const std::uint64_t kind = random.next_bits() % (kinds.size() + 1);
    std::size_t of_group = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (i % 32 == 0) of_group = kind < kinds.size() ? kind : random.next_bits() % 6;  // mixed rows: a kind per group
      row[i] = kinds[of_group]();
    }
    CAPTURE(trial, n, kind);
    const bool finite = std::ranges::all_of(row, [](float value) { return std::isfinite(value); });
    std::vector<std::int8_t> q(n);
    const RowScale whole = quantize_row_int8(row, q);
    CHECK(whole.finite == finite);
    if (finite) {
      const PlainRule rule = plain_rule(row, 127.0F, false);
      CHECK(whole.scale == rule.scale);
      CHECK(q == rule.q);
    }
    for (const float limit : {127.0F, 7.0F}) {
      CAPTURE(limit);
      std::vector<std::int8_t> expected_q;
      std::vector<float> expected_scales;
      for (std::size_t first = 0; first < n; first += 32) {
        const PlainRule rule =
            plain_rule(std::span(row).subspan(first, std::min<std::size_t>(32, n - first)), limit, true);
        expected_q.insert(expected_q.end(), rule.q.begin(), rule.q.end());
        expected_scales.push_back(rule.scale);
      }
      const bool fits =
          finite && std::ranges::all_of(expected_scales, [](float scale) { return std::isfinite(scale); });
      std::vector<float> scales(expected_scales.size());
      CHECK((limit == 7.0F ? quantize_row_int4(row, q, scales) : quantize_row_int8_groups(row, q, scales)) == fits);
      n_refused += fits ? 0 : 1;
      if (!fits) continue;
      CHECK(q == expected_q);
      CHECK(scales == expected_scales);
    }
  }
  CHECK(n_refused > 100);
}

TEST_CASE("any range of rows is the same as that part of all rows") {
  const test::ScratchFolder scratch;
  std::vector<std::uint32_t> bits;
  for (std::uint32_t i = 0; i < 7 * 40; ++i) bits.push_back(0x3c00U + (i * 37U) % 0x300U);
  const StoredTensor tensor = stored_tensor(scratch, "BF16", bits, 7);
  for (const WeightEncoding encoding :
       {WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kF16, WeightEncoding::kInt8PerRow,
        WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32, WeightEncoding::kFp8PerRow}) {
    const test::WeightRows all = test::rows_of(tensor, encoding);
    const auto source = make_weight_source(tensor, encoding);
    REQUIRE_OK(source);
    const std::size_t row_bytes = all.values.size() / 7;
    const std::size_t row_scales = all.scales.size() / 7;
    std::vector<std::byte> values(3 * row_bytes);
    std::vector<float> scales(3 * row_scales);
    REQUIRE_OK((*source)->read_rows(4, 3, values, scales));
    CHECK(std::equal(values.begin(), values.end(), all.values.begin() + static_cast<std::ptrdiff_t>(4 * row_bytes)));
    CHECK(std::equal(scales.begin(), scales.end(), all.scales.begin() + static_cast<std::ptrdiff_t>(4 * row_scales)));
  }
}

TEST_CASE("a tensor of all experts is read as the rows of one after the other, and a fourth dimension is refused") {
  const test::ScratchFolder scratch;
  const auto path = scratch.path() / "t.safetensors";
  std::string data;
  for (int i = 0; i < 24; ++i)
    data += {'\0', '\0', static_cast<char>(i), '\x42'};  // floats from 32 on, in steps of 1/128
  const auto opened = [&](const Shape& shape) {
    REQUIRE_OK(write_file(path, test::safetensors_bytes({{"t", "F32", shape, data}})));
    const auto store = TensorStore::open_file(path);
    REQUIRE_OK(store);
    return make_weight_source(*store->find("t"), WeightEncoding::kF32);
  };
  const auto experts = opened({2, 3, 4});
  REQUIRE_OK(experts);
  std::vector<std::byte> rows(3 * 4 * sizeof(float));
  REQUIRE_OK((*experts)->read_rows(2, 3, rows, {}));  // the last row of the first expert and two rows of the second
  for (std::size_t i = 0; i < 12; ++i) CHECK(rows[4 * i + 2] == static_cast<std::byte>(8 + i));
  CHECK_ERROR(opened({2, 3, 2, 2}), ErrorCode::kInvalidInput, "expected one to three dimensions, found [2, 3, 2, 2]");
}

TEST_CASE("a weight that is not finite or does not fit is refused in every encoding") {
  const test::ScratchFolder scratch;
  const auto [value, encoding] = GENERATE(table<float, WeightEncoding>({
      {INFINITY, WeightEncoding::kInt8PerRow},
      {NAN, WeightEncoding::kInt8PerRow},
      {INFINITY, WeightEncoding::kFp8PerRow},
      {NAN, WeightEncoding::kFp8PerRow},
      {INFINITY, WeightEncoding::kInt8Group32},
      {NAN, WeightEncoding::kInt8Group32},
      {1e7F, WeightEncoding::kInt8Group32},  // the scale is too large for FP16
      {-INFINITY, WeightEncoding::kInt4Group32},
      {NAN, WeightEncoding::kInt4Group32},
      {1e6F, WeightEncoding::kInt4Group32},  // the scale is too large for FP16
      {65520.0F, WeightEncoding::kF16},
      {NAN, WeightEncoding::kF16},
      {3.4e38F, WeightEncoding::kBf16},  // rounds to infinity: BF16 ends at 3.39e38
      {-INFINITY, WeightEncoding::kBf16},
      {NAN, WeightEncoding::kBf16},
      {NAN, WeightEncoding::kF32},
      {INFINITY, WeightEncoding::kF32},
  }));
  const StoredTensor tensor = stored_tensor(scratch, "F32", {0, std::bit_cast<std::uint32_t>(value), 0});
  const auto source = make_weight_source(tensor, encoding);
  REQUIRE_OK(source);
  std::vector<std::byte> values(3 * transfer_bytes_per_value(encoding));
  std::vector<float> scales(static_cast<std::size_t>(scales_per_row(encoding, 3)));
  CHECK_ERROR((*source)->read_rows(0, 1, values, scales), ErrorCode::kInvalidInput,
              "tensor t: row 0: expected finite values");
}

TEST_CASE("a stored value that is not finite is found in its row, also where nothing is converted") {
  const auto [dtype, encoding, bits] = GENERATE(table<std::string, WeightEncoding, std::uint32_t>({
      {"BF16", WeightEncoding::kBf16, 0x7f80},
      {"BF16", WeightEncoding::kF32, 0xffc0},
      {"F16", WeightEncoding::kF16, 0xfc00},
      {"F16", WeightEncoding::kBf16, 0x7e00},
      {"F32", WeightEncoding::kF32, 0x7f800001},
  }));
  constexpr std::int64_t kRows = 40000;  // several strips of the reader
  const test::ScratchFolder scratch;
  std::vector<std::uint32_t> values(3 * kRows, 1);
  values[3 * 33333 + 1] = bits;
  const StoredTensor tensor = stored_tensor(scratch, dtype, values, kRows);
  const auto source = make_weight_source(tensor, encoding);
  REQUIRE_OK(source);
  std::vector<std::byte> rows(values.size() * transfer_bytes_per_value(encoding));
  CHECK_ERROR((*source)->read_rows(0, kRows, rows, {}), ErrorCode::kInvalidInput,
              "tensor t: row 33333: expected finite values");
  rows.resize(3 * 33333 * transfer_bytes_per_value(encoding));
  REQUIRE_OK((*source)->read_rows(0, 33333, rows, {}));
}

TEST_CASE("a real Hugging Face folder opens as a bundle") {
  const auto folder = test::asset("models/stories260K-hf");
  if (!folder) return;
  const auto bundle = Bundle::open_model_folder(*folder);
  REQUIRE_OK(bundle);
  CHECK(bundle->name() == "stories260K-hf");
  CHECK(bundle->config().dim == 64);
  CHECK(n_parameters(bundle->config()) == 260032);  // the name says 260K because upstream counts the shared table once
  const auto tokenizer = bundle->tokenizer_json();
  REQUIRE_OK(tokenizer);
  CHECK_FALSE(tokenizer->has_value());
  const auto tensor = bundle->tensor("model.layers.4.mlp.down_proj.weight");
  REQUIRE_OK(tensor);
  CHECK(tensor->info.shape == Shape{64, 172});
  CHECK_ERROR(bundle->tensor("lm_head.weight"), ErrorCode::kInvalidInput,
              "tensor lm_head.weight: found no such tensor");
}

TEST_CASE("a variant's rule says how each tensor is encoded") {
  const auto [name, matmul, norm] = GENERATE(table<std::string, WeightEncoding, WeightEncoding>({
      {"f32", WeightEncoding::kF32, WeightEncoding::kF32},
      {"bf16", WeightEncoding::kBf16, WeightEncoding::kBf16},
      {"f16", WeightEncoding::kF16, WeightEncoding::kF16},
      {"int8", WeightEncoding::kInt8PerRow, WeightEncoding::kF32},
      {"int8-w8a8", WeightEncoding::kInt8PerRow, WeightEncoding::kF32},
      {"int8-g32", WeightEncoding::kInt8Group32, WeightEncoding::kF32},
      {"int4", WeightEncoding::kInt4Group32, WeightEncoding::kF32},
      {"fp8", WeightEncoding::kFp8PerRow, WeightEncoding::kF32},
  }));
  const auto variant = variant_from_name(name);
  REQUIRE_OK(variant);
  CHECK(variant->activations == (name == "int8-w8a8" ? ActQuant::kInt8PerRow
                                 : name == "fp8"     ? ActQuant::kFp8PerRow
                                                     : ActQuant::kNone));
  CHECK(encoding_of(*variant, TensorRole::kMatmul, DType::kF32).value() == matmul);
  CHECK(encoding_of(*variant, TensorRole::kNorm, DType::kF32).value() == norm);
  CHECK(encoding_of(*variant, TensorRole::kEmbedding, DType::kF32).value() == norm);
  CHECK_ERROR(variant_from_name("int3"), ErrorCode::kInvalidInput, "expected one of f32, bf16");
}

TEST_CASE("columns of a matrix are delivered as rows, in every encoding as the same rows of a tensor are") {
  // Two matrices of 40 inputs and 130 outputs; a separate tensor holds the odd outputs of the second as rows.
  constexpr std::int64_t kInputs = 40;
  constexpr std::int64_t kOutputs = 130;
  constexpr ColumnView kView{.matrix = 1, .first_column = 1, .step = 2, .n_columns = 65};
  RandomStream random(5);
  std::string data;
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(kView.n_columns * kInputs));
  for (std::int64_t i = 0; i < 2 * kInputs * kOutputs; ++i) {
    const Bf16 value = to_bf16(static_cast<float>(random.next_unit() - 0.5));
    data.append({static_cast<char>(value.bits & 0xffU), static_cast<char>(value.bits >> 8)});
    const std::int64_t input = i / kOutputs - kInputs;
    const std::int64_t output = i % kOutputs;
    if (input >= 0 && output % 2 == 1) rows[static_cast<std::size_t>(output / 2 * kInputs + input)] = value.bits;
  }
  const test::ScratchFolder scratch;
  const auto path = scratch.path() / "columns.safetensors";
  REQUIRE_OK(write_file(path, test::safetensors_bytes({{"t", "BF16", Shape{2, kInputs, kOutputs}, data}})));
  const auto store = TensorStore::open_file(path);
  REQUIRE_OK(store);
  const StoredTensor& tensor = *store->find("t");
  const StoredTensor expected = stored_tensor(scratch, "BF16", rows, kView.n_columns);
  for (const WeightEncoding encoding : {WeightEncoding::kF32, WeightEncoding::kBf16, WeightEncoding::kInt8PerRow,
                                        WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32}) {
    CAPTURE(to_string(encoding));
    const test::WeightRows whole = test::rows_of(expected, encoding);
    const auto source = make_column_source(tensor, kView, encoding);
    REQUIRE_OK(source);
    for (const auto& [first, n] : {std::pair<std::int64_t, std::int64_t>{0, 65}, {63, 2}, {7, 1}}) {
      const std::size_t row_bytes = whole.values.size() / 65;
      const std::size_t row_scales = whole.scales.size() / 65;
      std::vector<std::byte> values(static_cast<std::size_t>(n) * row_bytes);
      std::vector<float> scales(static_cast<std::size_t>(n) * row_scales);
      REQUIRE_OK((*source)->read_rows(first, n, values, scales));
      CHECK(std::ranges::equal(
          values, std::span(whole.values).subspan(static_cast<std::size_t>(first) * row_bytes, values.size())));
      CHECK(std::ranges::equal(
          scales, std::span(whole.scales).subspan(static_cast<std::size_t>(first) * row_scales, scales.size())));
    }
  }
  // Read some inputs of some outputs. A two-dimensional tensor counts as one matrix.
  for (const auto& [shape, matrix] :
       {std::pair<Shape, std::int64_t>{Shape{2, kInputs, kOutputs}, 1}, {Shape{2 * kInputs, kOutputs}, 0}}) {
    const auto part = scratch.path() / fmt::format("part{}.safetensors", matrix);
    REQUIRE_OK(write_file(part, test::safetensors_bytes({{"t", "BF16", shape, data}})));
    const auto parts = TensorStore::open_file(part);
    REQUIRE_OK(parts);
    const std::int64_t first_input = matrix == 1 ? 3 : kInputs + 3;
    const auto source = make_column_source(
        *parts->find("t"),
        {.matrix = matrix, .first_column = 1, .step = 2, .n_columns = 65, .first_input = first_input, .n_inputs = 5},
        WeightEncoding::kBf16);
    REQUIRE_OK(source);
    std::vector<Bf16> found(65 * 5);
    REQUIRE_OK((*source)->read_rows(0, 65, std::as_writable_bytes(std::span(found)), {}));
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i].bits == rows[i / 5 * static_cast<std::size_t>(kInputs) + 3 + i % 5]);
    }
    CHECK_ERROR(
        make_column_source(*parts->find("t"), {.matrix = matrix, .n_columns = 1, .first_input = 78, .n_inputs = 5},
                           WeightEncoding::kF32),
        ErrorCode::kInvalidInput, "expected [matrices, inputs, outputs]");
  }
  CHECK_ERROR(make_column_source(tensor, {.matrix = 2, .n_columns = 1}, WeightEncoding::kF32), ErrorCode::kInvalidInput,
              "of matrix 2, found [2, 40, 130]");
  CHECK_ERROR(make_column_source(tensor, {.first_column = 2, .step = 2, .n_columns = 65}, WeightEncoding::kF32),
              ErrorCode::kInvalidInput, "outputs 2 to 130");
}

}  // namespace
}  // namespace secondsource
