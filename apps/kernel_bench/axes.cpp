#include "axes.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"

namespace secondsource::kernel_bench {
namespace {

const Size* find_size(const std::vector<Size>& sizes, std::string_view name) {
  const auto found = std::ranges::find(sizes, name, &Size::name);
  return found == sizes.end() ? nullptr : &*found;
}

/// Every combination of one point of each axis, the last axis innermost.
std::vector<std::vector<Size>> cross_product(const std::vector<Axis>& axes) {
  std::vector<std::vector<Size>> combinations{{}};
  for (const Axis& axis : axes) {
    std::vector<std::vector<Size>> longer;
    for (const std::vector<Size>& combination : combinations) {
      for (const AxisPoint& point : axis) {
        longer.push_back(combination);
        longer.back().insert(longer.back().end(), point.begin(), point.end());
      }
    }
    combinations = std::move(longer);
  }
  return combinations;
}

}  // namespace

std::int64_t BenchCase::size(std::string_view wanted) const {
  const Size* const found = find_size(sizes, wanted);
  SS_CHECK(found != nullptr, fmt::format("{}: no axis sets {}", name, wanted).c_str());
  return found->value;
}

std::vector<BenchCase> cases_of(const BenchAxes& axes) {
  std::vector<BenchCase> cases;
  for (const std::string& dtype : axes.dtypes) {
    for (std::vector<Size>& sizes : cross_product(axes.axes)) {
      BenchCase one{.name = fmt::format("BM_{}/{}/{}", axes.operation, axes.target, dtype),
                    .target = axes.target,
                    .dtype = dtype,
                    .sizes = std::move(sizes)};
      std::string size_text;
      for (const std::string& name : axes.named_sizes) size_text += fmt::format("/{}:{}", name, one.size(name));
      one.name += size_text;
      if (std::ranges::find(cases, one.name, &BenchCase::name) == cases.end()) cases.push_back(std::move(one));
    }
  }
  return cases;
}

}  // namespace secondsource::kernel_bench
