// How activations are packed for the kernels of products: quantized, in digits, as BF16 or as they are. The expected values come from plain
// loops in f64.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/four_bit_curve.h"
#include "core/half.h"
#include "core/random.h"
#include "cpu/cpu_features.h"
#include "cpu/tile_packing.h"
#include "kernel_values.h"

namespace secondsource::cpu {
namespace {

/// The kernels of a table, including those for more rows (ProductKernel::many).
std::vector<ProductKernel> kernels_of_table(const KernelTable& table) {
  std::vector<ProductKernel> kernels;
  for (const ProductKernel& kernel : table.products) {
    kernels.push_back(kernel);
    if (kernel.many != nullptr) kernels.push_back(*kernel.many);
  }
  return kernels;
}

/// Where column `k` of one row is stored among the `vec` adjacent columns of its step, as ActType defines it.
std::int64_t place_in_vec(ActType act, std::int64_t vec, std::int64_t k) {
  constexpr int kI16[4] = {0, 2, 1, 3};
  constexpr int kU8Nibbles[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  constexpr int kI16Nibbles[8] = {0, 1, 4, 5, 2, 3, 6, 7};
  if (act == ActType::kI16 || act == ActType::kDigitWords) return k % vec / 4 * 4 + kI16[k % 4];
  if (act == ActType::kU8Nibbles || act == ActType::kI8Nibbles || act == ActType::kDigitGroups ||
      act == ActType::kI8Groups) {
    return k % vec / 8 * 8 + kU8Nibbles[k % 8];
  }
  if (act == ActType::kI16Nibbles) return k % vec / 8 * 8 + kI16Nibbles[k % 8];
  return k % vec;
}

TEST_CASE("activations are quantized half to even with s = max|x| / 127, and zero rows give zero") {
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    const ProductKernel& product = table.products[int(Product::kInt8Quantized)];
    for (std::int64_t n = 1; n <= 33; ++n) {
      CAPTURE(std::string(to_string(isa)), n);
      const std::int64_t padded = (n + 3) / 4 * 4;
      Values x(n, 10);
      x.data()[0] = 127.0F;  // s = 1: the other values are rounded unscaled
      if (n > 2) x.data()[1] = 2.5F, x.data()[2] = -3.5F;
      std::vector<std::byte> packed(static_cast<std::size_t>(padded) * 2);
      float scale = 0.0F;
      table.pack({.x = x.data(),
                  .n_rows = 1,
                  .k = n,
                  .k_padded = padded,
                  .vec = 4,
                  .act = product.act,
                  .out = packed.data(),
                  .row_scales = &scale});
      CHECK(scale == 1.0F);
      for (std::int64_t i = 0; i < padded; ++i) {
        const float value = i < n ? x.data()[i] : 0.0F;
        std::int64_t found = 0;
        if (product.act == ActType::kU8) {
          found = std::int64_t{std::to_integer<std::uint8_t>(packed[static_cast<std::size_t>(i)])} - 128;
        } else {
          std::int16_t q = 0;
          std::memcpy(&q, packed.data() + 2 * place_in_vec(ActType::kI16, padded, i), sizeof(q));
          found = q;
        }
        CHECK(found == std::lrint(value));
      }
    }
    std::vector<float> zeros(4);
    std::vector<std::byte> packed(8, std::byte{7});
    float scale = 1.0F;
    table.pack({.x = zeros.data(),
                .n_rows = 1,
                .k = 4,
                .k_padded = 4,
                .vec = 4,
                .act = product.act,
                .out = packed.data(),
                .row_scales = &scale});
    CHECK(scale == 0.0F);
    CHECK(packed[0] == (product.act == ActType::kU8 ? std::byte{128} : std::byte{0}));
  }
}

namespace {

/// The largest difference between an activation and its digits, as a share of the row's largest activation. The bounds are those of
/// activation_digits-inl.h and, rounded up to a power of two, of matmul_word_digits-inl.h.
double digit_error(ActType act) {
  return act == ActType::kDigitWords ? 0x1p-30 : 0x1p-23;
}

/// Activation `k` of row m of a packed block of n_rows rows as a number, without the scale of its row.
double packed_value(const std::vector<std::byte>& packed, const ProductKernel& product, int n_rows, int m,
                    std::int64_t k) {
  const ActType act = product.act;
  const std::int64_t vec = product.vec;
  const std::int64_t step_row = k / vec * n_rows + m;
  const std::int64_t place = place_in_vec(act, vec, k);
  if (act == ActType::kDigitWords) {
    std::int16_t words[2];
    for (int i = 0; i < 2; ++i) {
      std::memcpy(&words[i], packed.data() + ((step_row * 2 + i) * vec + place) * 2, sizeof(words[i]));
    }
    CHECK(std::abs(words[0]) <= 32767);
    CHECK(std::abs(words[1]) <= 16384);  // of these values; the bound for all values is 2^7 larger
    return words[0] + words[1] * 0x1p-15;
  }
  if (has_digits(act)) {
    double value = 0.0;
    // A DigitGroup has room for four lines of 32 bytes, of which three are digits.
    const bool is_group = act == ActType::kDigitGroups || act == ActType::kDigitGroupsInOrder;
    for (int digit = 0; digit < 3; ++digit) {
      const std::int64_t line = is_group ? step_row * 4 + digit : step_row * 3 + digit;
      const auto d = int{static_cast<std::int8_t>(packed[static_cast<std::size_t>(line * vec + place)])};
      CHECK(std::abs(d) <= 127);
      value += d / std::pow(254.0, digit);
    }
    return value;
  }
  // A Bf16Group and an Int8Group begin with their 32 numbers.
  const bool is_int8_group = act == ActType::kI8Groups || act == ActType::kI8GroupsInOrder;
  const bool is_group = act == ActType::kBf16Groups || is_int8_group;
  const std::int64_t number_bytes = is_int8_group ? 1 : act == ActType::kBf16Groups ? 2 : act_bytes(act);
  const std::byte* const at = is_group ? packed.data() + step_row * vec * act_bytes(act) + place * number_bytes
                                       : packed.data() + (step_row * vec + place) * number_bytes;
  float value = 0.0F;
  Bf16 bf16;
  if (act == ActType::kBf16Pieces) {
    const std::byte* const first = packed.data() + (step_row * vec * 2 + place) * 2;
    std::memcpy(&bf16, first, sizeof(bf16));
    value = to_float(bf16);
    std::memcpy(&bf16, first + vec * 2, sizeof(bf16));
    return double{value} + double{to_float(bf16)};
  }
  std::int16_t i16 = 0;
  switch (act) {
    case ActType::kF32:
    case ActType::kE4m3InF32:
    case ActType::kNvfp4InF32:
      std::memcpy(&value, at, sizeof(value));
      return double{value};
    case ActType::kBf16:
    case ActType::kBf16Groups:
    case ActType::kE4m3InBf16:
    case ActType::kNvfp4InBf16:
    case ActType::kI8InBf16:
      std::memcpy(&bf16, at, sizeof(bf16));
      return double{to_float(bf16)};
    case ActType::kU8:
    case ActType::kU8Nibbles:
      return std::to_integer<int>(*at) - 128;
    case ActType::kI8Groups:
    case ActType::kI8GroupsInOrder:
    case ActType::kI8:
    case ActType::kI8Nibbles:
      return static_cast<std::int8_t>(*at);
    default:
      std::memcpy(&i16, at, sizeof(i16));
      return i16;
  }
}

}  // namespace

TEST_CASE("an activation near the middle of two quantized values is rounded as its quotient in f32 is") {
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    const ProductKernel& product = table.products[int(Product::kInt8Quantized)];
    for (const float largest : {1.0F, 0.7F, 3.3e-39F, 1e-30F, 1.9e37F, 254.5F}) {
      CAPTURE(std::string(to_string(isa)), largest);
      const float s = largest / 127.0F;
      std::vector<float> x = {largest};
      for (int q = -127; q < 127; ++q) {
        // These are the float in the middle of q and q + 1 and the three nearest floats on either side of it.
        float at = (static_cast<float>(q) + 0.5F) * s;
        for (int i = 0; i < 3; ++i) at = std::nextafter(at, -INFINITY);
        for (int i = 0; i < 7; ++i, at = std::nextafter(at, INFINITY)) x.push_back(at);
      }
      const auto n = static_cast<std::int64_t>(x.size());
      const std::int64_t padded = (n + product.vec - 1) / product.vec * product.vec;
      const PackedRows packed(table, product, x.data(), 1, n, padded);
      REQUIRE(packed.scales[0] == s);
      int n_wrong = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const float quotient = std::clamp(x[static_cast<std::size_t>(i)] / s, -127.0F, 127.0F);
        if (packed_value(packed.bytes, product, 1, 0, i) != std::nearbyint(quotient)) ++n_wrong;
      }
      CHECK(n_wrong == 0);
    }
  }
}

TEST_CASE(
    "activations are quantized by a stored scale to whole numbers from -128 to 127, and a row that is not finite has NaN") {
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    const ProductKernel& product = table.products[int(Product::kInt8Quantized)];
    for (const float s : {1.0F, 0.3F, 3.3e-39F, 1e-30F, 1.9e35F, 2.5e38F}) {
      CAPTURE(std::string(to_string(isa)), s);
      std::vector<float> x = {0.0F, 3e38F, -3e38F, 200.0F * s, -200.0F * s};
      for (int q = -130; q < 130; ++q) {
        float at = (static_cast<float>(q) + 0.5F) * s;
        for (int i = 0; i < 3; ++i) at = std::nextafter(at, -INFINITY);
        for (int i = 0; i < 7; ++i, at = std::nextafter(at, INFINITY)) x.push_back(at);
      }
      std::ranges::replace_if(
          x, [](float value) { return !std::isfinite(value); }, 0.0F);
      const auto n = static_cast<std::int64_t>(x.size());
      const std::int64_t padded = (n + product.vec - 1) / product.vec * product.vec;
      // The second row has only small numbers, and the third row has an infinity.
      x.insert(x.end(), static_cast<std::size_t>(2 * n), s);
      x.back() = -INFINITY;
      const PackedRows packed(table, product, x.data(), 3, n, padded, s);
      CHECK(packed.scales[0] == s);
      CHECK(packed.scales[1] == s);
      CHECK(std::isnan(packed.scales[2]));
      int n_wrong = 0;
      for (std::int64_t i = 0; i < 2 * n; ++i) {
        const float quotient = std::clamp(std::nearbyint(x[static_cast<std::size_t>(i)] / s), -128.0F, 127.0F);
        const bool is_first = i < n;
        if (packed_value(packed.bytes, product, 3, is_first ? 0 : 1, is_first ? i : i - n) != quotient) ++n_wrong;
      }
      CHECK(n_wrong == 0);
    }
  }
}

TEST_CASE("activations are packed vec by vec with the rows side by side, padded with zeros") {
  for (const Isa isa : usable_isas()) {
    for (const ProductKernel& product : kernels_of_table(kernel_table(isa))) {
      for (const std::int64_t n : {1, 5, 63, 64, 65, 130, 200}) {
        for (const int n_rows : {1, 2, 5, 12, 16}) {
          CAPTURE(std::string(to_string(isa)), product.name, n, n_rows);
          const std::int64_t multiple = std::max(product.vec, product.k_multiple);
          const std::int64_t padded = (n + multiple - 1) / multiple * multiple;
          Values x(n * n_rows, 14);
          for (int m = 0; m < n_rows; ++m) x.data()[m * n] = static_cast<float>(127 * (m + 1));  // s = m + 1
          const PackedRows packed(kernel_table(isa), product, x.data(), n_rows, n, padded);
          bool all_equal = true;
          for (int m = 0; m < n_rows; ++m) {
            for (std::int64_t k = 0; k < padded; ++k) {
              const float value = k < n ? x.data()[m * n + k] : 0.0F;
              double found = packed_value(packed.bytes, product, n_rows, m, k);
              if (has_digits(product.act)) found *= packed.scales[static_cast<std::size_t>(m)];
              const bool is_bf16 = product.act == ActType::kBf16 || product.act == ActType::kBf16Groups;
              const bool is_quantized = has_row_scale(product.act) && !has_digits(product.act);
              const float expected = is_quantized ? std::nearbyint(value / static_cast<float>(m + 1))
                                     : is_bf16    ? round_to_bf16(value)
                                                  : value;
              // Two BF16 pieces differ from the value by what rounding to each piece loses; all other types are exact.
              const double tolerance = has_digits(product.act) ? 127.0 * (m + 1) * digit_error(product.act)
                                       : product.act == ActType::kBf16Pieces ? std::fabs(double{value}) * 0x1p-16
                                                                             : 0.0;
              all_equal = all_equal && std::fabs(found - double{expected}) <= tolerance;
            }
          }
          CHECK(all_equal);
        }
      }
    }
  }
}

TEST_CASE("digits hold an activation to 2^-23 of the largest of its row, whatever its size") {
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    for (const ProductKernel& product : table.products) {
      if (!has_digits(product.act)) continue;
      for (const float size : {1.0F, 1e-45F, 1e-40F, 1e-30F, 1e-20F, 1e20F, 1.6e38F}) {
        for (const int n_rows : {1, 3}) {
          CAPTURE(std::string(to_string(isa)), product.name, size, n_rows);
          constexpr std::int64_t kColumns = 192;
          Values x(kColumns * n_rows, 31);
          double most = 0.0;
          for (std::int64_t i = 0; i < kColumns * n_rows; ++i) {
            // Values that lie between sizes apart by up to 2^20, as those of language models do.
            x.data()[i] = std::ldexp(x.data()[i], -static_cast<int>(i % 21)) * size;
            most = std::max(most, std::fabs(double{x.data()[i]}));
          }
          const PackedRows packed(table, product, x.data(), n_rows, kColumns, kColumns);
          double worst = 0.0;
          for (int m = 0; m < n_rows; ++m) {
            const double scale = packed.scales[static_cast<std::size_t>(m)];
            for (std::int64_t k = 0; k < kColumns; ++k) {
              const double found = scale * packed_value(packed.bytes, product, n_rows, m, k);
              worst = std::max(worst, std::fabs(found - double{x.data()[m * kColumns + k]}));
            }
          }
          CHECK(worst <= std::max(most * digit_error(product.act), 0x1p-116));
        }
      }
      constexpr std::int64_t kColumns = 2 * kGroupColumns;
      std::vector<float> x(kColumns);
      const PackedRows zeros(table, product, x.data(), 1, kColumns, kColumns);
      CHECK(std::isfinite(zeros.scales[0]));
      for (std::int64_t k = 0; k < kColumns; ++k) CHECK(packed_value(zeros.bytes, product, 1, 0, k) == 0.0);
      for (const float bad : {NAN, INFINITY, -INFINITY}) {
        x[17] = bad;
        CHECK(std::isnan(PackedRows(table, product, x.data(), 1, kColumns, kColumns).scales[0]));
      }
    }
  }
}

TEST_CASE("a NaN or an infinity anywhere in a row makes the scale of its quantized activations NaN") {
  for (const Isa isa : usable_isas()) {
    const KernelTable& table = kernel_table(isa);
    const ActType int8 = table.products[int(Product::kInt8Quantized)].act;
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      for (std::int64_t at = 0; at < 66; ++at) {
        const ActType act = at < 33 ? int8 : with_e4m3(table.products[int(Product::kFp8)].act);
        CAPTURE(std::string(to_string(isa)), bad, at);
        Values x(33, 11);
        x.data()[at % 33] = bad;
        CHECK(std::isnan(PackedRows(table, {.act = act, .vec = 4}, x.data(), 1, 33, 36).scales[0]));
      }
    }
  }
}

TEST_CASE("activations are rounded to E4M3 with s = max|x| / 448, half to even, in whatever type they are packed") {
  // The first value is the largest, so that s = 1. Of the others, three each are the midpoint of two neighbouring E4M3 numbers, the
  // float below it (negated) and the float above it.
  std::vector<float> values = {448.0F, 0x1p-10F, 0x1p-11F, -0x1p-30F, 0.0F};
  for (std::uint8_t code = 0; code < 126; ++code) {
    const float middle = (to_float(E4m3{code}) + to_float(E4m3{static_cast<std::uint8_t>(code + 1)})) / 2.0F;
    values.insert(values.end(), {middle, -std::nextafter(middle, 0.0F), std::nextafter(middle, 448.0F)});
  }
  const auto n = static_cast<std::int64_t>(values.size());
  const std::int64_t padded = (n + 3) / 4 * 4;
  for (const Isa isa : usable_isas()) {
    for (const ActType act : {ActType::kE4m3InF32, ActType::kE4m3InBf16}) {
      for (const float scale : {1.0F, 0x1p-40F, 0.0F}) {
        std::vector<float> x = values;
        for (float& value : x) value *= scale;
        const ProductKernel product{.act = act, .vec = 4};
        const PackedRows packed(kernel_table(isa), product, x.data(), 1, n, padded);
        CHECK(packed.scales[0] == scale);
        int n_wrong = 0;
        for (std::int64_t i = 0; i < padded; ++i) {
          const float expected = i < n && scale > 0.0F ? round_to_e4m3(values[static_cast<std::size_t>(i)]) : 0.0F;
          n_wrong += packed_value(packed.bytes, product, 1, 0, i) == expected ? 0 : 1;
        }
        CAPTURE(std::string(to_string(isa)), int(act), scale);
        CHECK(n_wrong == 0);
      }
    }
  }
}

TEST_CASE("activations are quantized to NVFP4 by groups of 16 and the stored scale, in whatever type they are packed") {
  constexpr float kStored = 0.3F;
  // The largest value of each group, and its scale in E4M3. The first scale is exact: a largest value of 6 * 0.3 gives 1. The second is
  // rounded, from 16.9 to 16. The third group needs a scale beyond 448, the fourth one below the least number. The last group has three
  // columns.
  struct Group {
    float largest;
    float scale;
  };
  const std::vector<Group> groups = {
      {6.0F * kStored, 1.0F}, {16.9F * 6.0F * kStored, 16.0F}, {1e6F, 448.0F}, {1e-6F, 0.0F}, {3.0F, 1.625F}};
  // In steps of their group: numbers of E2M1, ties, and values close to these.
  const std::vector<float> steps = {0.25F, 0.24F, -0.26F, 0.75F, -1.25F, 1.75F, 2.5F, 3.5F,
                                    -5.0F, 5.01F, 1.5F,   0.0F,  4.0F,   -2.0F, 0.5F};
  const std::vector<float> rounded = {0.0F,  0.0F, -0.5F, 1.0F, -1.0F, 2.0F,  2.0F, 4.0F,
                                      -4.0F, 6.0F, 1.5F,  0.0F, 4.0F,  -2.0F, 0.5F};
  std::vector<float> x;
  std::vector<float> expected;
  for (const Group& group : groups) {
    const float step = group.scale * kStored;
    x.push_back(-group.largest);
    expected.push_back(group.scale * -std::min(6.0F, round_to_e2m1(step == 0.0F ? 0.0F : group.largest / step)));
    for (std::size_t i = 0; i < (&group == &groups.back() ? 2 : steps.size()); ++i) {
      // A tie is one only where multiplying and dividing by the step are exact, as they are with a scale that is a power of two.
      const bool is_exact = steps[i] * step / step == steps[i];
      x.push_back(step == 0.0F ? 1e-7F : (is_exact ? steps[i] : 1.5F) * step);
      expected.push_back(group.scale * (is_exact ? rounded[i] : 1.5F));
    }
  }
  const auto n = static_cast<std::int64_t>(x.size());
  const std::int64_t padded = (n + 31) / 32 * 32;
  for (const Isa isa : usable_isas()) {
    for (const ActType act : {ActType::kNvfp4InF32, ActType::kNvfp4InBf16}) {
      CAPTURE(std::string(to_string(isa)), int(act));
      const ProductKernel product{.act = act, .vec = 2};
      std::vector<float> rows = x;
      rows.insert(rows.end(), x.begin(), x.end());
      rows[static_cast<std::size_t>(n) + 20] = NAN;
      const PackedRows packed(kernel_table(isa), product, rows.data(), 2, n, padded, kStored);
      CHECK(packed.scales[0] == kStored);
      CHECK(std::isnan(packed.scales[1]));
      std::int64_t n_wrong = 0;
      for (std::int64_t i = 0; i < padded; ++i) {
        const float wanted = i < n ? expected[static_cast<std::size_t>(i)] : 0.0F;
        n_wrong += packed_value(packed.bytes, product, 2, 0, i) == wanted ? 0 : 1;
      }
      CHECK(n_wrong == 0);
    }
  }
}

}  // namespace
}  // namespace secondsource::cpu
