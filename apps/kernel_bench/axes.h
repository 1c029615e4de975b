#pragma once
// The axes of a benchmark as data. Its rows are the cross product of its axes, and their names are made from the same
// data:
//
//   BenchAxes axes{.operation = "matmul", .target = "cpu", .dtypes = {"bf16"},
//                  .axes = {{{{"k", 2048}, {"n", 8192}}}, {{{"m", 1}}, {{"m", 512}}}}, .named_sizes = {"m", "k", "n"}};
//   cases_of(axes);  // BM_matmul/cpu/bf16/m:1/k:2048/n:8192 and BM_matmul/cpu/bf16/m:512/k:2048/n:8192

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource::kernel_bench {

struct Size {
  std::string name;
  std::int64_t value = 0;
};

/// Sizes that are set together, such as k and n of one weight.
using AxisPoint = std::vector<Size>;
using Axis = std::vector<AxisPoint>;

struct BenchAxes {
  std::string operation;            ///< "matmul"
  std::string target;               ///< the backend: "cpu"
  std::vector<std::string> dtypes;  ///< a variant of the weights ("int8-w8a8"), or the type of the KV cache ("bf16")
  std::vector<Axis> axes;           ///< outermost first
  std::vector<std::string> named_sizes;  ///< those in a row's name, in this order; together they tell all rows apart
};

/// One row.
struct BenchCase {
  std::string name;  ///< "BM_matmul/cpu/bf16/m:1/k:2048/n:8192"
  std::string target;
  std::string dtype;
  std::vector<Size> sizes;

  /// The value of a size that one of the axes sets; a name that none of them sets is a bug and ends the program.
  [[nodiscard]] std::int64_t size(std::string_view name) const;
};

/// The rows, with dtypes outermost and the last axis innermost. Rows with equal names, such as those of two models that
/// share a shape, occur once. An axis without points gives no rows.
[[nodiscard]] std::vector<BenchCase> cases_of(const BenchAxes& axes);

}  // namespace secondsource::kernel_bench
