#pragma once
// Activations quantized to int8, packed group by group for the kernels of matmul_codes-inl.h.

#include "cpu/kernels/row_kernels-inl.h"

namespace secondsource::cpu::SS_CPU_ISA {

/// ActType::kI8Groups: 32 quantized activations in the order of an int4 tile's nibbles, and their sum. ActType::kI8GroupsInOrder: the same
/// in the order of columns.
struct Int8Group {
  static constexpr int kDigits = 1;

  std::int8_t digits[kDigits][kGroupColumns];
  float sum;
  std::byte unused[28];
};
static_assert(sizeof(Int8Group) == 2 * kGroupColumns, "act_bytes() says how many bytes an activation takes");

template <bool kNibbleOrder>
inline void pack_int8_groups(const PackArgs& args) {
  const std::int64_t n_groups = args.k_padded / kGroupColumns;
  for (int m = 0; m < args.n_rows; ++m) {
    const float* const x = args.x + m * args.x_stride;
    const float scale = quantization_scale(args, m);
    args.row_scales[m] = scale;
    auto* group = static_cast<Int8Group*>(args.out) + m;
    for (std::int64_t at = 0; at < n_groups; ++at, group += args.n_rows) {
      F32 sums = zero();
      for (int half = 0; half < 2; ++half) {
        const std::int64_t k = at * kGroupColumns + half * 16;
        const F32 values = quantized(k < args.k ? load_some(x + k, args.k - k) : zero(), scale, least_integer(args));
        store_bytes<kNibbleOrder>(reinterpret_cast<std::byte*>(group->digits[0] + half * 16), to_i32(values));
        sums = add(sums, values);
      }
      group->sum = reduce_add(sums);
    }
  }
}

/// Packs activations as groups of int8; other types are packed by kOthers.
template <void (*kOthers)(const PackArgs&)>
void pack_with_int8_groups(const PackArgs& args) {
  if (args.act == ActType::kI8Groups) return pack_int8_groups<true>(args);
  if (args.act == ActType::kI8GroupsInOrder) return pack_int8_groups<false>(args);
  kOthers(args);
}

}  // namespace secondsource::cpu::SS_CPU_ISA
