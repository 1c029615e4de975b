// Compares products of few rows, with x longer than what a block keeps of it, on every target with sums in double precision, and
// counts the shared-memory wavefronts of accesses to x. A wavefront is one pass over the 32 banks of four bytes: eight lanes with 16
// bytes each, if no two of them access different addresses in the same banks (CUDA C++ Programming Guide, "Shared Memory").

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "core/e2m1.h"
#include "core/e4m3.h"
#include "gpu/kernels/activation_tile.h"
#include "gpu/kernels/streamed_tile.h"
#include "gpu/kernels/tables.h"
#include "gpu/shim/device.h"
#include "packed_blocks.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::gpu {
namespace {

struct FewRowsTarget {
  const char* name;
  const KernelTable& (*kernels)();
};

/// A weight in its stored form, and its values.
struct Stored {
  std::vector<std::byte> bytes;
  std::vector<float> row_scales;
  std::vector<F16> group_scales;
  std::vector<E8m0> group_powers;
  std::vector<E4m3Pair> scale_pairs;
  std::vector<std::uint8_t> group_zeros;
  std::vector<float> wide_scales;
  std::vector<double> values;  ///< [n_rows, n_cols]
  WeightView view;
};

template <typename T>
void append(std::vector<std::byte>& bytes, T value) {
  const auto* const begin = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof(T));
}

/// A random E4M3 number, with NaN replaced by zero.
E4m3 e4m3_number(std::mt19937& random) {
  const E4m3 number{static_cast<std::uint8_t>(random() % 256)};
  return is_nan(number) ? E4m3{} : number;
}

Stored store(WeightEncoding encoding, std::int32_t n_rows, std::int32_t n_cols, std::mt19937& random) {
  Stored stored;
  const std::int32_t padded = (n_cols + kWeightColumnStep - 1) / kWeightColumnStep * kWeightColumnStep;
  const auto integer = [&](int bits) { return static_cast<int>(random() % (1U << bits)) - (1 << (bits - 1)); };
  for (std::int32_t row = 0; row < n_rows; ++row) {
    stored.row_scales.push_back(static_cast<float>(1 + random() % 4) / 128.0F);
    std::uint32_t word = 0;
    for (std::int32_t col = 0; col < padded; ++col) {
      if (col % 32 == 0) stored.group_scales.push_back(to_f16(static_cast<float>(1 + random() % 4) / 128.0F));
      if (col % 32 == 0) stored.group_powers.push_back({static_cast<std::uint8_t>(120 + random() % 4)});
      if (col % 32 == 0)
        stored.scale_pairs.push_back({static_cast<std::uint16_t>(random() % 127 | random() % 127 << 8)});
      if (col % 32 == 0) stored.group_zeros.push_back(static_cast<std::uint8_t>(random() % 16));
      if (col % 128 == 0) stored.wide_scales.push_back(static_cast<float>(1 + random() % 4) / 96.0F);
      const bool is_there = col < n_cols;
      const double group = static_cast<double>(to_float(stored.group_scales.back()));
      double value = 0.0;
      const float real = is_there ? static_cast<float>(integer(8)) / 64.0F : 0.0F;  // exact in every type
      if (encoding == WeightEncoding::kF32) {
        append(stored.bytes, real);
        value = static_cast<double>(real);
      } else if (encoding == WeightEncoding::kBf16) {
        append(stored.bytes, to_bf16(real).bits);
        value = static_cast<double>(real);
      } else if (encoding == WeightEncoding::kF16) {
        append(stored.bytes, to_f16(real).bits);
        value = static_cast<double>(real);
      } else if (has_int4_codes(encoding)) {
        const int zero = encoding == WeightEncoding::kInt4Group32Zero ? stored.group_zeros.back() - 8 : 0;
        const int q = is_there ? integer(4) : zero;
        // Even columns of a word are in its lower half, odd ones in its upper half.
        word |= static_cast<std::uint32_t>(q + 8) << (col % 8 / 2 * 4 + col % 2 * 16);
        if (col % 8 == 7) append(stored.bytes, std::exchange(word, 0U));
        value = group * (q - zero);
      } else if (has_e2m1_codes(encoding)) {
        const E2m1 number{static_cast<std::uint8_t>(is_there ? random() % 16 : 0)};
        constexpr int kLowest[] = {9, 25, 6, 22, 3, 19, 0, 16};
        constexpr int kSign[] = {15, 31, 12, 28, 14, 30, 13, 29};
        word |= (number.bits & 7U) << kLowest[col % 8] | static_cast<std::uint32_t>(number.bits >> 3) << kSign[col % 8];
        if (col % 8 == 7) append(stored.bytes, std::exchange(word, 0U));
        const E4m3 of_16{static_cast<std::uint8_t>(stored.scale_pairs.back().bits >> (col % 32 / 16 * 8))};
        const double scale =
            encoding == WeightEncoding::kMxfp4Group32
                ? static_cast<double>(secondsource::to_float(stored.group_powers.back()))
                : static_cast<double>(secondsource::to_float(of_16)) * static_cast<double>(stored.row_scales.back());
        value = scale * static_cast<double>(secondsource::to_float(number));
      } else if (has_fp8_codes(encoding)) {
        const E4m3 number = is_there ? e4m3_number(random) : E4m3{};
        append(stored.bytes, number.bits);
        const float scale =
            encoding == WeightEncoding::kFp8PerRow ? stored.row_scales.back() : stored.wide_scales.back();
        value = static_cast<double>(scale) * static_cast<double>(secondsource::to_float(number));
      } else {
        const int q = is_there ? integer(8) : 0;
        append(stored.bytes, static_cast<std::int8_t>(q));
        value = (encoding == WeightEncoding::kInt8Group32 ? group : static_cast<double>(stored.row_scales.back())) * q;
      }
      if (is_there) stored.values.push_back(value);
    }
  }
  stored.view = {.row_bytes = static_cast<std::int64_t>(stored.bytes.size()) / n_rows,
                 .n_rows = n_rows,
                 .n_cols = n_cols,
                 .padded_cols = padded,
                 .encoding = encoding};
  return stored;
}

/// The same as store() for GGUF's block encodings; n_cols is a multiple of 256.
Stored store_blocks(WeightEncoding encoding, std::int32_t n_rows, std::int32_t n_cols, std::mt19937& random) {
  Stored stored;
  stored.view = view_of_blocks(encoding, n_rows, n_cols);
  for (std::int32_t row = 0; row < n_rows; ++row) {
    const PackedBlocks packed = pack_blocks(encoding, n_cols, random, [&](std::int32_t) { return random(); });
    stored.values.insert(stored.values.end(), packed.values.begin(), packed.values.end());
    stored.bytes.insert(stored.bytes.end(), packed.packed.begin(), packed.packed.end());
  }
  return stored;
}

/// The number of wavefronts when each of 32 lanes accesses 16 bytes, the vector with index place[lane].
int wavefronts(const std::vector<int>& place) {
  int total = 0;
  for (std::size_t first = 0; first < place.size(); first += 8) {
    int most = 0;
    for (int bank = 0; bank < 8; ++bank) {
      std::vector<int> addresses;
      for (std::size_t i = first; i < first + 8; ++i) {
        if (place[i] % 8 == bank) addresses.push_back(place[i]);
      }
      std::ranges::sort(addresses);
      const auto repeated = std::ranges::unique(addresses);
      most = std::max(most, static_cast<int>(addresses.size() - repeated.size()));
    }
    total += most;
  }
  return total;
}

}  // namespace

TEST_CASE("x of tiles that stream their weights has no bank conflicts, for chunks of every length") {
  using Shape = shim_sm_80::StreamedShape<MatmulTiles::k16x64>;
  for (const int chunk_vecs : {1, 2, 4}) {  // BF16, 8-bit and 4-bit codes
    for (int vec = 0; vec < Shape::kVecsPerLine; vec += 4 * chunk_vecs) {
      for (int of_chunk = 0; of_chunk < chunk_vecs; ++of_chunk) {
        CAPTURE(chunk_vecs, vec, of_chunk);
        std::vector<int> place(32);
        std::vector<int> plain(32);
        for (int lane = 0; lane < 32; ++lane) {
          const int of_lane = vec + lane % 4 * chunk_vecs + of_chunk;
          place[static_cast<std::size_t>(lane)] = Shape::vec_offset(lane / 4, of_lane) / 16;
          plain[static_cast<std::size_t>(lane)] = lane / 4 * Shape::kVecsPerLine + of_lane;
        }
        CHECK(wavefronts(place) == 4);
        CHECK(wavefronts(plain) > 4);  // without the layout there are conflicts
      }
    }
  }
  for (int first = 0; first < Shape::kRows * Shape::kVecsPerLine; first += 32) {  // in the order of the copies
    std::vector<int> place(32);
    for (int i = 0; i < 32; ++i) {
      const int at = first + i;
      place[static_cast<std::size_t>(i)] = Shape::vec_offset(at / Shape::kVecsPerLine, at % Shape::kVecsPerLine) / 16;
    }
    CHECK(wavefronts(place) == 4);
  }
}

TEST_CASE("x takes no more wavefronts of shared memory than the weight that it is multiplied with") {
  const auto check = [](auto vecs, int n_outputs) {
    constexpr int kVecs = decltype(vecs)::value;
    CAPTURE(kVecs);
    const int n_lanes = 32;
    int reading = 0;
    int as_stored_in_x = 0;
    for (int vec = 0; vec < kVecs; ++vec) {
      std::vector<int> place(n_lanes);
      std::vector<int> plain(n_lanes);
      for (int lane = 0; lane < n_lanes; ++lane) {
        place[static_cast<std::size_t>(lane)] = shim_sm_80::activation_place<kVecs>(vec, lane, n_lanes);
        plain[static_cast<std::size_t>(lane)] = lane * kVecs + vec;
      }
      reading += wavefronts(place);
      as_stored_in_x += wavefronts(plain);
    }
    int storing = 0;
    std::vector<bool> taken(static_cast<std::size_t>(n_lanes) * kVecs);
    for (int first = 0; first < n_lanes * kVecs; first += n_lanes) {
      std::vector<int> place(n_lanes);
      for (int i = 0; i < n_lanes; ++i) {
        const int vec = first + i;  // neighbouring threads store neighbouring vectors of x
        place[static_cast<std::size_t>(i)] = shim_sm_80::activation_place<kVecs>(vec % kVecs, vec / kVecs, n_lanes);
        taken[static_cast<std::size_t>(place[static_cast<std::size_t>(i)])] = true;
      }
      storing += wavefronts(place);
    }
    CHECK(std::ranges::all_of(taken, [](bool is_taken) { return is_taken; }));
    const int without_conflicts = n_lanes * kVecs / 8;
    CHECK(reading == without_conflicts);
    CHECK(storing == without_conflicts);
    CHECK(as_stored_in_x == without_conflicts * std::min(kVecs, 8));  // conflicts without the layout
    // The same multiplication reads n_outputs rows of the weight, 512 bytes each.
    CHECK(reading <= n_outputs * n_lanes / 8);
  };
  check(std::integral_constant<int, 1>{}, 4);  // f32, and int8 by int8
  check(std::integral_constant<int, 2>{}, 4);  // bf16, f16
  check(std::integral_constant<int, 4>{}, 4);  // int8
  check(std::integral_constant<int, 8>{}, 8);  // int4 and blocks of GGUF
}

TEST_CASE("products of few rows are dot products, however long the rows") {
  struct Extent {
    std::int32_t n_rows;
    std::int32_t n_cols;
  };
  const std::vector<FewRowsTarget> targets = {{"sm_80", shim_sm_80::kernel_table},
                                              {"gfx90a", shim_gfx90a::kernel_table},
                                              {"gfx1100", shim_gfx1100::kernel_table}};
  std::mt19937 random(11);
  std::int32_t n_products = 0;
  for (const FewRowsTarget& target : targets) {
    for (const bool quantized : {false, true}) {
      std::vector<WeightEncoding> encodings = {WeightEncoding::kF32,         WeightEncoding::kBf16,
                                               WeightEncoding::kF16,         WeightEncoding::kInt8PerRow,
                                               WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32,
                                               WeightEncoding::kFp8PerRow,   WeightEncoding::kInt4Group32Zero,
                                               WeightEncoding::kFp8Group128, WeightEncoding::kMxfp4Group32,
                                               WeightEncoding::kNvfp4Group16};
      encodings.insert(encodings.end(), kBlockEncodings.begin(), kBlockEncodings.end());
      for (const WeightEncoding encoding : encodings) {
        const bool is_fp8 = has_fp8_codes(encoding);
        const bool is_int8 = encoding == WeightEncoding::kInt8PerRow || encoding == WeightEncoding::kInt8Group32;
        if (quantized && !is_int8 && !is_fp8) continue;
        for (Extent extent : {Extent{37, 4200}, Extent{12, 9001}, Extent{3, 640}, Extent{2, 33}}) {
          if (has_blocks(encoding)) extent.n_cols = (extent.n_cols + 255) / 256 * 256;
          const std::int32_t n_x = 1 + n_products++ % 4;
          CAPTURE(target.name, encoding, quantized, extent.n_rows, extent.n_cols, n_x);
          const auto device = shim::make_shim_device({.target = target.name});
          const auto stream = device->create_stream().value();
          const auto copy_of = [&]<typename T>(const std::vector<T>& content) {
            if (content.empty()) return static_cast<T*>(nullptr);  // the encoding does not use it
            auto* const memory = static_cast<T*>(device->allocate(content.size() * sizeof(T)).value());
            std::copy(content.begin(), content.end(), memory);
            return memory;
          };
          Stored weight = has_blocks(encoding) ? store_blocks(encoding, extent.n_rows, extent.n_cols, random)
                                               : store(encoding, extent.n_rows, extent.n_cols, random);
          weight.view.values = copy_of(weight.bytes);
          weight.view.row_scales = copy_of(weight.row_scales);
          weight.view.group_scales = copy_of(weight.group_scales);
          weight.view.group_powers = copy_of(weight.group_powers);
          weight.view.scale_pairs = copy_of(weight.scale_pairs);
          weight.view.group_zeros = copy_of(weight.group_zeros);
          weight.view.wide_scales = copy_of(weight.wide_scales);
          const auto n_cols = static_cast<std::size_t>(extent.n_cols);
          const auto padded = static_cast<std::size_t>(weight.view.padded_cols);
          std::vector<float> x(static_cast<std::size_t>(n_x) * n_cols);
          std::vector<std::int8_t> q(static_cast<std::size_t>(n_x) * padded);
          std::vector<Bf16> narrow(q.size());
          // One scale for each row of x, or for each group of a row.
          const std::size_t scale_cols = encoding == WeightEncoding::kFp8Group128 ? 128 : n_cols;
          const std::size_t n_scales = (n_cols + scale_cols - 1) / scale_cols;
          std::vector<float> x_scales(static_cast<std::size_t>(n_x) * n_scales);
          for (float& scale : x_scales) scale = static_cast<float>(1 + random() % 4) / 96.0F;
          for (std::size_t i = 0; i < x.size(); ++i) {
            const float scale = x_scales[i / n_cols * n_scales + i % n_cols / scale_cols];
            const std::size_t at = i / n_cols * padded + i % n_cols;
            if (is_fp8) {
              const float drawn = secondsource::to_float(e4m3_number(random));
              x[i] = scale * drawn;
              narrow[at] = to_bf16(drawn);
              continue;
            }
            const auto drawn = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
            x[i] = scale * static_cast<float>(drawn);
            q[at] = drawn;
          }
          MatmulArguments arguments{};
          arguments.n_rows = copy_of(std::vector<std::int32_t>{n_x});
          arguments.x = copy_of(x);
          if (quantized && is_int8) arguments.quantized_x = copy_of(q);
          if (quantized && is_fp8) arguments.narrow_x = copy_of(narrow);
          if (quantized) arguments.x_scales = copy_of(x_scales);
          arguments.weight = weight.view;
          const std::size_t n_out = static_cast<std::size_t>(n_x) * static_cast<std::size_t>(extent.n_rows);
          arguments.out = copy_of(std::vector<float>(n_out));
          arguments.epilogue = Epilogue::kNone;
          arguments.max_rows = n_x;
          const LaunchContext context{.stream = *stream, .warp_size = device->properties().warp_size};
          REQUIRE_OK(target.kernels().matmul(context, arguments));
          REQUIRE_OK(stream->synchronize());
          double worst = 0.0;  // error relative to the sum of magnitudes
          for (std::size_t i = 0; i < n_out; ++i) {
            const double* const w = weight.values.data() + i % static_cast<std::size_t>(extent.n_rows) * n_cols;
            const float* const row = x.data() + i / static_cast<std::size_t>(extent.n_rows) * n_cols;
            double sum = 0.0;
            double magnitude = 0.0;
            for (std::size_t k = 0; k < n_cols; ++k) {
              sum += w[k] * static_cast<double>(row[k]);
              magnitude += std::fabs(w[k] * static_cast<double>(row[k]));
            }
            const double error = std::fabs(static_cast<double>(arguments.out[i]) - sum) / magnitude;
            worst = error <= worst ? worst : error;  // NaN is the worst
          }
          // A lane adds up at most ceil(9001 / 32) products, then 5 + 2 sums of others: fewer than 300 roundings of 2^-24.
          CHECK(worst <= 300 * 0x1p-24);
        }
      }
    }
  }
}

}  // namespace secondsource::gpu
