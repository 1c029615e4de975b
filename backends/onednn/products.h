#pragma once
// oneDNN's matmul primitives, one for each shape, epilogue and number of rows: layers of one shape share them, since
// what differs between layers is an argument of the call.

#include <cstdint>
#include <map>
#include <string>

#include "backend/op.h"
#include "onednn/dnnl_compat.h"

namespace secondsource::onednn {

/// What a product reads.
enum class ProductType : std::uint8_t {
  kF32,
  kBf16,
  kInt8,  ///< activations quantized too
};

/// oneDNN's name of a product's input type.
[[nodiscard]] dnnl::memory::data_type dnnl_type(ProductType type);
[[nodiscard]] std::size_t size_of(ProductType type);

[[nodiscard]] constexpr bool is_gated(Epilogue epilogue) {
  return epilogue == Epilogue::kGatedSilu || epilogue == Epilogue::kGatedGelu;
}

/// What a primitive is made for.
struct ProductKey {
  ProductType type{};
  std::int64_t n_inputs = 0;            ///< K
  std::int64_t n_outputs = 0;           ///< N; of a gated epilogue that of the gate alone
  Epilogue epilogue = Epilogue::kNone;  ///< a gated one multiplies by what another product made of the other half
  float softcap = 0.0F;                 ///< none unless positive
  std::int64_t n_rows = 0;              ///< M; compared last, for Products::at_least()
  friend auto operator<=>(const ProductKey&, const ProductKey&) = default;  // NOLINT(modernize-use-nullptr): not one
};

/// dst [M, N] = softcap(epilogue(row_scales * column_scales * src [M, K] x weights [K, N])), all of it oneDNN's: what
/// follows the sums are post-ops. Scales with kInt8 only.
struct Product {
  std::int64_t n_rows = 0;
  dnnl::matmul primitive;
  dnnl::memory::desc src;
  dnnl::memory::desc dst;         ///< f32; with kAddResidual what is added to
  dnnl::memory::desc columns;     ///< [1, N] f32: column scales and biases
  dnnl::memory::desc row_scales;  ///< [M, N] f32, a row's scale N times; [1, 1] of one row
  // Arguments of the call; 0: it reads none.
  int column_scales_argument = 0;
  int row_scales_argument = 0;
  int bias_argument = 0;
  int up_argument = 0;         ///< the other half of a gated epilogue, laid out as dst
  std::string implementation;  ///< oneDNN's name of its kernel: "brg:avx512_core_bf16"
};

/// Are sums of int8 products exact? Where the CPU lacks VNNI, oneDNN adds pairs in 16 bits, which saturate: wrong, and
/// no error. Throws what oneDNN throws.
[[nodiscard]] bool has_exact_int8(const dnnl::engine& engine);

/// Not for several threads.
class Products {
 public:
  explicit Products(dnnl::engine engine) : engine_(std::move(engine)) {}

  /// The layout in which weights [K, N] are multiplied, whatever the rows: oneDNN 2.6.3 and 3.2 chose the same one for
  /// every number of rows from 1 to 512 (README.md). Throws what oneDNN throws.
  [[nodiscard]] dnnl::memory::desc weights_layout(ProductType type, std::int64_t n_inputs,
                                                  std::int64_t n_outputs) const;
  /// Makes the primitive, unless it is there. For the thread count of the calling thread (omp_set_num_threads).
  /// Errors: kUnsupported, kOutOfMemory.
  Result<void> make(const ProductKey& key);
  /// The one for the smallest number of rows that holds key.n_rows; null if none was made.
  [[nodiscard]] const Product* at_least(const ProductKey& key) const;
  /// Is one of the primitives made for key's shape and epilogue, whatever its rows, oneDNN's reference code?
  [[nodiscard]] bool has_reference_code(ProductKey key) const;
  /// Primitives made so far.
  [[nodiscard]] std::size_t size() const { return products_.size(); }

 private:
  dnnl::engine engine_;
  std::map<ProductKey, Product> products_;
};

}  // namespace secondsource::onednn
