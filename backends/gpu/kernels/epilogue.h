#pragma once
// Epilogues of products (op.h's Epilogue): what is applied to a sum before it is stored.

#include "gpu/kernels/kernels.h"
#include "gpu/kernels/weight_code.h"
#include "gpu/portable/fast_math.h"
#include "gpu/portable/storage.h"

namespace secondsource::gpu {
inline namespace SS_GPU_TARGET {

/// c * tanh(x / c), or x if c is 0.
SS_DEVICE float soft_cap(float x, float c) {
  return c > 0.0F ? c * tanhf(x / c) : x;
}

/// x / (1 + 2^y) by fast_exp2() and fast_divide(). Where y is the rounded product of an argument and a rounded constant, the relative
/// error is at most |y| 2^-23 and a few units in the last place, 2^-19 for a gate of -10. From y = 126 on, where the result is below
/// |x| 2^-126, it may be 0.
SS_DEVICE float over_one_plus_exp2(float x, float y) {
  return fast_divide(x, 1.0F + fast_exp2(y));
}

/// gelu(x) in the tanh approximation: x/2 (1 + tanh y) = x / (1 + e^-2y), which does not cancel for x < 0.
SS_DEVICE float gelu(float x) {
  constexpr float kMinus2 = -1.5957691216F * kLog2E;  // -2 sqrt(2 / pi), in base 2
  return over_one_plus_exp2(x, kMinus2 * (x + 0.044715F * x * x * x));
}

/// silu(gate) * up, gelu(gate) * up in the tanh approximation, or op.h's kGatedClampedSwish.
SS_DEVICE float gated(Epilogue epilogue, float gate, float up) {
  if (epilogue == Epilogue::kGatedClampedSwish) {
    constexpr ClampedSwish kConstants;
    constexpr float kLimit = kConstants.limit;
    // Comparisons and not fminf(), which drops NaN.
    const float g = gate > kLimit ? kLimit : gate;
    const float u = up > kLimit ? kLimit : up < -kLimit ? -kLimit : up;
    return over_one_plus_exp2(g, -kConstants.alpha * kLog2E * g) * (u + 1.0F);
  }
  if (epilogue == Epilogue::kGatedSilu) return over_one_plus_exp2(gate, -kLog2E * gate) * up;
  return gelu(gate) * up;
}

/// is_gated() of backend/op.h for device code, which the GPU compilers do not let call it.
SS_DEVICE bool is_gated_on_device(Epilogue epilogue) {
  return epilogue == Epilogue::kGatedSilu || epilogue == Epilogue::kGatedGelu ||
         epilogue == Epilogue::kGatedClampedSwish;
}

/// What the epilogue of a product reads and where its results go, for one weight or one expert's.
struct ProductOutputs {
  const float* x_scales;    ///< one for each row of x; null: 1
  const float* row_scales;  ///< one for each row of the weight; null: 1
  const float* bias;        ///< null: none
  const float* aux;         ///< [rows, N], added to the results; null: none
  float* out;               ///< [rows, N], or [rows, N/2] of a gated product
  int n_cols;               ///< N, rows of the weight
  float softcap;
  Epilogue epilogue;
};

SS_DEVICE ProductOutputs outputs_of(const MatmulArguments& a) {
  const bool adds = a.epilogue == Epilogue::kAddResidual;
  // The scales of kFp8Group128 have been multiplied into the sums already.
  return {.x_scales = a.weight.encoding == WeightEncoding::kFp8Group128 ? nullptr : a.x_scales,
          .row_scales = has_row_scales(a.weight.encoding) ? a.weight.row_scales : nullptr,
          .bias = adds || a.epilogue == Epilogue::kNone ? nullptr : a.bias,
          .aux = adds ? a.aux : nullptr,
          .out = a.out,
          .n_cols = a.weight.n_rows,
          .softcap = a.softcap,
          .epilogue = a.epilogue};
}

/// What an epilogue computes. with_epilogue() finds it out once for a tile, so that the loops over rows are compiled for each kind.
enum class EpilogueKind : std::uint8_t {
  kBias,      ///< adds a bias, or nothing
  kResidual,  ///< adds aux
  kCurved,    ///< adds a bias, applies GELU, adds aux and applies a soft cap, each where there is one
  kGated,     ///< multiplies an activated gate by its value, after a bias and before a soft cap where there is one
};

/// One result of a product that is not gated, from the sum with its bias. added() is only called where there is aux.
template <EpilogueKind kKind, typename Added>
SS_DEVICE float finished(const ProductOutputs& to, float sum, const Added& added) {
  constexpr bool kIsResidual = kKind == EpilogueKind::kResidual;
  constexpr bool kIsCurved = kKind == EpilogueKind::kCurved;
  if (kIsCurved && to.epilogue == Epilogue::kGelu) sum = gelu(sum);
  if (kIsResidual || (kIsCurved && to.aux != nullptr)) sum += added();
  return kIsCurved ? soft_cap(sum, to.softcap) : sum;
}

/// Stores element [row, col] of a product with a non-gated epilogue; out may be aux.
SS_DEVICE void store_product(const MatmulArguments& a, int row, int col, float sum) {
  const ProductOutputs to = outputs_of(a);
  const std::int64_t at = std::int64_t{row} * to.n_cols + col;
  if (to.bias != nullptr) sum += to.bias[col];
  to.out[at] = finished<EpilogueKind::kCurved>(to, sum, [&] { return to.aux[at]; });
}

/// Stores element [row, pair] of a gated product. Gate and up are neighbouring rows of the weight, but not of the bias,
/// which has those of all gates first.
SS_DEVICE void store_gated(const MatmulArguments& a, int row, int pair, float gate, float up) {
  const ProductOutputs to = outputs_of(a);
  const int n_pairs = to.n_cols / 2;
  if (to.bias != nullptr) {
    gate += to.bias[pair];
    up += to.bias[n_pairs + pair];
  }
  to.out[std::int64_t{row} * n_pairs + pair] = soft_cap(gated(to.epilogue, gate, up), to.softcap);
}

/// The number of neighbouring sums of a row that a lane finishes together: 16 bytes. Where N is no multiple of it, rows do not begin at
/// multiples of 16 bytes, and a lane finishes one sum at a time, or the two that make a result of a gated product.
inline constexpr int kMostColumns = 4;
template <typename Value, int kColumns>
struct alignas(kColumns * sizeof(Value)) Columns {
  Value value[kColumns];
};

/// The row of the results that a line of a tile belongs to. A tile may have more lines than there are rows. The lines without a row have
/// the numbers of some valid row here, and their results are never stored.
struct ResultRow {
  int index;    ///< of the results
  int of_x;     ///< of x
  bool exists;  ///< false for a line without a row
};

/// Stores the sums of neighbouring columns as they are, where nothing is left to be done or another kernel does it. `Word` has 32 bits.
template <typename Word, int kColumns>
struct PlainSums {
  static constexpr int kRowsAhead = kColumns;
  using Loaded = ResultRow;
  Word* to;                 ///< the first of the columns, in the first row
  std::uint32_t row_bytes;  ///< from one row to the next

  [[nodiscard]] SS_DEVICE static Loaded request(const ResultRow& row) { return row; }
  template <typename Sum>
  SS_DEVICE void finish(const ResultRow& row, const Columns<Sum, kColumns>& sums) const {
    if (!row.exists) return;
    Word* const place = row_at(to, row.index, row_bytes);
    if constexpr (kColumns == kMostColumns) {
      store_chunk(place, bits_as<Chunk>(sums));
    } else {
      *place = bits_as<Word>(sums.value[0]);
    }
  }
};

/// Finishes the sums of neighbouring columns, [col, col + kColumns), of any rows. The constructor loads the scales and the bias of the
/// columns. request() loads the scale and the residual of a row; callers request several rows before they finish the first of them, so
/// that these loads do not wait for each other. All buffers begin at multiples of 16 bytes. Without kScaled, scales are not read.
template <EpilogueKind kKind, int kColumns, bool kScaled>
class ColumnsEpilogue {
  static constexpr bool kIsGated = kKind == EpilogueKind::kGated;
  static constexpr bool kHasFunctions = kIsGated || kKind == EpilogueKind::kCurved;

 public:
  using Values = Columns<float, kColumns>;
  /// The number of rows that callers request before they finish the first one. The functions of gated and curved epilogues take longer
  /// than a load, and so many registers that there are none for the loads of further rows.
  static constexpr int kRowsAhead = kHasFunctions || kColumns < kMostColumns ? 1 : 4;

  /// What was loaded of a row.
  struct Loaded {
    ResultRow row;
    float x_scale;
    Values added;
  };

  SS_DEVICE ColumnsEpilogue(const ProductOutputs& to, int col) : to_(to) {
    row_bytes_ = static_cast<std::uint32_t>(kIsGated ? to.n_cols / 2 : to.n_cols) * sizeof(float);
    first_ = kIsGated ? col / 2 : col;
    SS_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      scales_.value[j] = 1.0F;
      bias_.value[j] = 0.0F;
    }
    if (kScaled && to.row_scales != nullptr) scales_ = load_words<Values>(to.row_scales + col);
    if (to.bias == nullptr) return;
    if constexpr (kIsGated) {
      SS_UNROLL
      for (int j = 0; j < kColumns; ++j) bias_.value[j] = to.bias[j % 2 * (to.n_cols / 2) + first_ + j / 2];
    } else {
      bias_ = load_words<Values>(to.bias + col);
    }
  }

  [[nodiscard]] SS_DEVICE Loaded request(const ResultRow& row) const {
    Loaded loaded;
    loaded.row = row;
    loaded.x_scale = kScaled && to_.x_scales != nullptr ? to_.x_scales[row.of_x] : 1.0F;
    const bool adds = kKind == EpilogueKind::kResidual || (kKind == EpilogueKind::kCurved && to_.aux != nullptr);
    // Where nothing is loaded, these are zeros. When they were left undefined, nvcc filled them with the result of the previous load on
    // sm_100a, so that each load waited for the one before.
    loaded.added = {};
    if (adds && row.exists) loaded.added = load_words<Values>(row_at(to_.aux + first_, row.index, row_bytes_));
    return loaded;
  }

  /// Stores the results of a row.
  template <typename Sum>
  SS_DEVICE void finish(const Loaded& loaded, const Columns<Sum, kColumns>& sums) const {
    Values values;
    SS_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      values.value[j] = static_cast<float>(sums.value[j]);
      if constexpr (kScaled) values.value[j] *= loaded.x_scale * scales_.value[j];
      if constexpr (kKind != EpilogueKind::kResidual) values.value[j] += bias_.value[j];
    }
    float* const out = row_at(to_.out + first_, loaded.row.index, row_bytes_);
    if constexpr (kIsGated) {
      float results[kColumns / 2];
      SS_UNROLL
      for (int j = 0; j < kColumns; j += 2) {
        results[j / 2] = soft_cap(gated(to_.epilogue, values.value[j], values.value[j + 1]), to_.softcap);
      }
      if (!loaded.row.exists) return;
      if constexpr (kColumns == kMostColumns) {
        store_pair(out, results[0], results[1]);
      } else {
        *out = results[0];
      }
    } else {
      SS_UNROLL
      for (int j = 0; j < kColumns; ++j) {
        values.value[j] = finished<kKind>(to_, values.value[j], [&] { return loaded.added.value[j]; });
      }
      if (!loaded.row.exists) return;
      if constexpr (kColumns == kMostColumns) {
        store_chunk(out, bits_as<Chunk>(values));
      } else {
        *out = values.value[0];
      }
    }
  }

 private:
  ProductOutputs to_;
  std::uint32_t row_bytes_;  ///< of the results
  int first_;                ///< column of the first result
  Values scales_;
  Values bias_;  ///< of the sums: in a gated product gates alternate with ups, as in the weight
};

/// Calls call.template operator()<kind, columns>() with the kind of the epilogue and the number of columns of a ColumnsEpilogue.
/// kOfExpert: the product is that of an expert, whose epilogue is gated or adds a bias.
template <bool kOfExpert, typename Call>
SS_DEVICE void with_epilogue(const ProductOutputs& to, const Call& call) {
  const bool is_whole = to.n_cols % kMostColumns == 0;
  if (is_gated_on_device(to.epilogue)) {
    if (is_whole) {
      call.template operator()<EpilogueKind::kGated, kMostColumns>();
    } else {
      call.template operator()<EpilogueKind::kGated, 2>();
    }
  } else if constexpr (kOfExpert) {
    if (is_whole) {
      call.template operator()<EpilogueKind::kBias, kMostColumns>();
    } else {
      call.template operator()<EpilogueKind::kBias, 1>();
    }
  } else if (!is_whole) {
    call.template operator()<EpilogueKind::kCurved, 1>();
  } else if (to.epilogue == Epilogue::kGelu || to.softcap > 0.0F) {
    call.template operator()<EpilogueKind::kCurved, kMostColumns>();
  } else if (to.aux != nullptr) {
    call.template operator()<EpilogueKind::kResidual, kMostColumns>();
  } else {
    call.template operator()<EpilogueKind::kBias, kMostColumns>();
  }
}

/// Finishes the columns [col, col + kMostColumns) of one row, as far as they exist. sums_at.template operator()<columns>(at): the sums
/// of the columns from `at` on.
template <typename SumsAt>
SS_DEVICE void finish_row(const MatmulArguments& a, int row, int col, const SumsAt& sums_at) {
  const ProductOutputs to = outputs_of(a);
  with_epilogue<false>(to, [&]<EpilogueKind kKind, int kColumns>() {
    for (int at = col; at < col + kMostColumns && at < to.n_cols; at += kColumns) {
      const ColumnsEpilogue<kKind, kColumns, true> epilogue(to, at);
      const auto loaded = epilogue.request({.index = row, .of_x = row, .exists = true});
      epilogue.finish(loaded, sums_at.template operator()<kColumns>(at));
    }
  });
}

/// The bias of one row of an expert's weight, or 0. As in store_gated(), gates come before ups.
SS_DEVICE float expert_bias(const GroupedMatmulArguments& a, int expert, int row) {
  return a.bias != nullptr ? a.bias[std::int64_t{expert} * a.n_expert_rows + row] : 0.0F;
}

/// Element `pair` of an expert's gated product.
SS_DEVICE float gated_by_expert(const GroupedMatmulArguments& a, int expert, int pair, float gate, float up) {
  return gated(a.epilogue, gate + expert_bias(a, expert, pair),
               up + expert_bias(a, expert, a.n_expert_rows / 2 + pair));
}

}  // namespace SS_GPU_TARGET
}  // namespace secondsource::gpu
