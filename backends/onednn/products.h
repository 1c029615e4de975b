#pragma once
// oneDNN's matmul primitives, one for each shape, epilogue and number of rows. Layers of the same shape share them: what
// differs between layers is an argument of the call.

#include <cstdint>
#include <map>
#include <string>

#include "backend/op.h"
#include "onednn/dnnl_compat.h"

namespace secondsource::onednn {

/// The types of a product's inputs.
enum class ProductType : std::uint8_t {
  kF32,
  kBf16,
  kBf16ByInt8,  ///< BF16 activations, int8 weights
  kInt8,        ///< both weights and quantized activations
};

[[nodiscard]] dnnl::memory::data_type activation_type(ProductType type);
[[nodiscard]] dnnl::memory::data_type weight_type(ProductType type);
/// Bytes of one value.
[[nodiscard]] std::size_t size_of(dnnl::memory::data_type type);

/// Values from one row of activations to the next: n_inputs, for BF16 rounded up to whole vectors of 64 bytes, filled with zeros.
/// oneDNN 3 multiplies what lies after the end of a row by weights of zero; if that were the next row's first values, a NaN or an
/// infinity there would make both rows' results NaN (3.7.2 and 3.12.1 with AMX, rows of an odd number of BF16 values).
[[nodiscard]] std::int64_t activation_stride(ProductType type, std::int64_t n_inputs);
/// [n_rows, n_inputs] activations at that stride.
[[nodiscard]] dnnl::memory::desc activation_rows(ProductType type, std::int64_t n_rows, std::int64_t n_inputs);

/// What identifies a primitive.
struct ProductKey {
  ProductType type{};
  std::int64_t n_inputs = 0;   ///< K
  std::int64_t n_outputs = 0;  ///< N; for a gated epilogue that of the gate alone
  Epilogue epilogue =
      Epilogue::kNone;      ///< a gated one multiplies by the result of another product, that of the other half
  bool has_bias = false;    ///< always with kBias; with a gated one, both products have their half of it
  float softcap = 0.0F;     ///< 0: none
  std::int64_t n_rows = 0;  ///< M; compared last, for Products::at_least()
  friend auto operator<=>(const ProductKey&, const ProductKey&) = default;  // NOLINT(modernize-use-nullptr): not one
};

/// dst [M, N] = softcap(epilogue(row_scales * column_scales * src [M, K] x weights [K, N])). All of it is done by oneDNN:
/// what follows the sums are post-ops. Only int8 weights have column scales, and only int8 activations have row scales.
struct Product {
  std::int64_t n_rows = 0;
  dnnl::matmul primitive;
  dnnl::memory::desc src;
  dnnl::memory::desc dst;         ///< f32; with kAddResidual it holds the residual before the call
  dnnl::memory::desc columns;     ///< [1, N] f32: column scales and biases
  dnnl::memory::desc row_scales;  ///< [M, N] f32 with each row's scale N times; [1, 1] for one row
  // Indices of the call's arguments; 0: it has no such argument.
  int column_scales_argument = 0;
  int row_scales_argument = 0;
  int bias_argument = 0;
  int up_argument = 0;  ///< the other half of a gated epilogue, laid out as dst
  /// One row is multiplied as two, because oneDNN has no fast code for one; the caller's memory may end after the first row.
  bool pads_one_row = false;
  std::string implementation;  ///< oneDNN's name of its kernel: "brg:avx512_core_bf16"
};

/// Whether oneDNN's int8 products are exact here. On CPUs without VNNI it adds pairs in 16 bits, which saturate without an
/// error. Throws what oneDNN throws.
[[nodiscard]] bool has_exact_int8(const dnnl::engine& engine);

/// Whether oneDNN has a kernel, and not only reference code, for kBf16ByInt8.
[[nodiscard]] bool multiplies_bf16_by_int8(const dnnl::engine& engine);

/// Not thread-safe.
class Products {
 public:
  explicit Products(dnnl::engine engine) : engine_(std::move(engine)) {}

  /// The layout in which weights [K, N] are multiplied by any number of rows: oneDNN 2.6.3 and 3.2 choose the same one for
  /// every number of rows from 1 to 512 (README.md). Throws what oneDNN throws.
  [[nodiscard]] dnnl::memory::desc weights_layout(ProductType type, std::int64_t n_inputs,
                                                  std::int64_t n_outputs) const;
  /// Makes the primitive unless it exists, for the thread count of the calling thread (omp_set_num_threads).
  /// Errors: kUnsupported, kOutOfMemory.
  Result<void> make(const ProductKey& key);
  /// The primitive for the smallest number of rows that is at least key.n_rows; null if there is none.
  [[nodiscard]] const Product* at_least(const ProductKey& key) const;
  /// Whether any primitive for key's shape and epilogue, with any number of rows, is oneDNN's reference code.
  [[nodiscard]] bool has_reference_code(ProductKey key) const;
  /// Primitives made so far.
  [[nodiscard]] std::size_t size() const { return products_.size(); }

 private:
  dnnl::engine engine_;
  std::map<ProductKey, Product> products_;
};

}  // namespace secondsource::onednn
