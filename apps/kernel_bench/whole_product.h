#pragma once
// Compares a whole product at its real size with the same product made in another way, and repeats it: a race or a wrong
// address may show in a few of millions of elements, or in some repetitions alone, where a sample of elements and small
// sizes show nothing.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bench_case.h"
#include "harness.h"

namespace secondsource::kernel_bench {

/// An element on which two matrices differ.
struct ElementDifference {
  std::int64_t row = 0;
  std::int64_t column = 0;
  float found = 0;
  float other = 0;
};

/// How far a matrix is from another one.
struct MatrixComparison {
  std::int64_t n_beyond = 0;  ///< elements that differ by more than their tolerance, or of which one is no number
  double largest_share = 0;   ///< of any element's tolerance; infinite where one of the two is no number
  ElementDifference worst;    ///< the element of largest_share
};

/// Compares [rows, columns] matrices; the tolerance of an element is kProductTolerance times both norms (product_graph.h).
[[nodiscard]] MatrixComparison compare_with_tolerance(std::span<const float> found, std::span<const float> other,
                                                      std::span<const double> row_norms,
                                                      std::span<const double> column_norms);

/// Elements whose bits changed from one repetition to another.
struct ChangedElements {
  std::int64_t n_changed = 0;
  ElementDifference first;  ///< `found` is that of the later repetition
};
[[nodiscard]] ChangedElements compare_bits(std::span<const float> later, std::span<const float> earlier,
                                           std::int64_t n_columns);

enum class WholeVerdict : std::uint8_t {
  kPassed,
  kDiffers,      ///< an element differs from that of the other way by more than its tolerance
  kChanges,      ///< an element changed between repetitions of the same product
  kNotCompared,  ///< `why` has the reason
};
[[nodiscard]] std::string_view to_string(WholeVerdict verdict);

struct WholeProduct {
  std::string name;  ///< "whole/cuda/bf16/m:512/k:4096/n:14336"
  WholeVerdict verdict = WholeVerdict::kNotCompared;
  std::string why;
  std::string kernel;
  std::string other_kernel;
  std::int64_t n_elements = 0;
  std::int32_t n_repetitions = 0;  ///< that were compared bit by bit with the first
  MatrixComparison comparison;
  std::int32_t n_changed_repetitions = 0;
  std::optional<ChangedElements> first_change;  ///< of the first repetition that differs
};

/// Two ways to make one product, and how often the first is repeated.
struct WholeWays {
  MakeBackend make;
  MakeBackend make_other;
  bool same_backend = true;  ///< both are one backend with different options
  std::int32_t n_repetitions = 20;
};

/// Makes the product with both, one after the other, over the same random inputs and weight. A way that a backend does not
/// have is kNotCompared, as is one that takes the same kernel. Errors: those of the backends, except kUnsupported.
Result<WholeProduct> check_whole_product(const WholeWays& ways, const std::string& name, const MatmulShape& shape,
                                         const ProductVariant& variant, std::int32_t m);

/// One line for a person: the verdict, and where the worst element is.
[[nodiscard]] std::string whole_to_text(const WholeProduct& product);
/// All of them as JSON, for apps/gpu_kit.
[[nodiscard]] std::string whole_to_json(const std::vector<WholeProduct>& products);

}  // namespace secondsource::kernel_bench
