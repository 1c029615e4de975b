#include "whole_product.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/counted.h"
#include "harness_support.h"
#include "product_graph.h"
#include "random_weight.h"

namespace secondsource::kernel_bench {
namespace {

constexpr std::uint64_t kWholeSeed = 100;

ElementDifference difference_at(std::size_t at, std::size_t n_columns, float found, float other) {
  return {static_cast<std::int64_t>(at / n_columns), static_cast<std::int64_t>(at % n_columns), found, other};
}

/// A product on one backend, ready to be repeated. It is not timed, so that no clock can fail.
struct PreparedProduct {
  std::unique_ptr<Backend> backend;  // outlives the step
  std::unique_ptr<Step> step;
  OwnedBatch batch;

  [[nodiscard]] std::string kernel() const { return kernels_of(*step, 1); }
  Result<std::vector<float>> make_once() {
    SS_TRY(const StepResult done, run_step(*backend, *step, batch));
    (void)done;
    return step->read_value(ValueId{1});
  }
};

Result<PreparedProduct> prepare_product(const MakeBackend& make, const MatmulShape& shape,
                                        const ProductVariant& variant, std::int32_t m) {
  PreparedProduct product;
  SS_TRY(product.backend, make());
  Backend& backend = *product.backend;
  if (const Support support = backend.supports_weight(variant.encoding, variant.act); !support.supported) {
    return Error{ErrorCode::kUnsupported, support.reason};
  }
  const auto source = std::make_shared<RandomWeight>(variant.encoding, shape.k, kWholeSeed);
  SS_TRY(const WeightId weight,
         backend.prepare_weight(matrix_spec("weight", shape.n, shape.k, variant.encoding, source)));
  const auto table = std::make_shared<RandomWeight>(WeightEncoding::kF32, shape.k, kInputSeed);
  SS_TRY(const WeightId inputs,
         backend.prepare_weight(matrix_spec("inputs", kMaxProductRows, shape.k, WeightEncoding::kF32, table)));
  SS_TRY(const KvPoolId pool, smallest_pool(backend));
  product.batch = rows_batch(first_rows(m));
  const StepGraph graph = product_graph(shape, variant.act, inputs, {weight}, shape.n);
  SS_TRY(product.step, backend.compile(graph, product.batch.bucket(), pool, GroupTiming::kOff));
  return product;
}

/// Fills everything but the verdict.
Result<void> compare_ways(const WholeWays& ways, const MatmulShape& shape, const ProductVariant& variant,
                          std::int32_t m, WholeProduct& product) {
  std::vector<float> other;
  {
    SS_TRY(PreparedProduct prepared, prepare_product(ways.make_other, shape, variant, m));
    product.other_kernel = prepared.kernel();
    SS_TRY(other, prepared.make_once());
  }
  SS_TRY(PreparedProduct prepared, prepare_product(ways.make, shape, variant, m));
  product.kernel = prepared.kernel();
  if (ways.same_backend && product.kernel == product.other_kernel) {
    return Error{ErrorCode::kUnsupported, fmt::format("both ways take {}", product.kernel)};
  }
  SS_TRY(const std::vector<float> first, prepared.make_once());
  product.n_elements = static_cast<std::int64_t>(first.size());
  const RandomWeight table(WeightEncoding::kF32, shape.k, kInputSeed);
  SS_TRY(const std::vector<double> x_norms, row_norms(table, WeightEncoding::kF32, shape.k, first_rows(m)));
  const RandomWeight weight(variant.encoding, shape.k, kWholeSeed);
  SS_TRY(const std::vector<double> w_norms, row_norms(weight, variant.encoding, shape.k, first_rows(shape.n)));
  product.comparison = compare_with_tolerance(first, other, x_norms, w_norms);
  for (; product.n_repetitions < ways.n_repetitions; ++product.n_repetitions) {
    SS_TRY(const std::vector<float> again, prepared.make_once());
    const ChangedElements changed = compare_bits(again, first, shape.n);
    if (changed.n_changed == 0) continue;
    ++product.n_changed_repetitions;
    if (!product.first_change) product.first_change = changed;
  }
  return {};
}

nlohmann::json element_to_json(const ElementDifference& element) {
  return {{"row", element.row}, {"column", element.column}, {"found", element.found}, {"other", element.other}};
}

}  // namespace

MatrixComparison compare_with_tolerance(std::span<const float> found, std::span<const float> other,
                                        std::span<const double> row_norms, std::span<const double> column_norms) {
  SS_CHECK(found.size() == other.size() && found.size() == row_norms.size() * column_norms.size(),
           "matrices and norms of different sizes");
  MatrixComparison result;
  for (std::size_t row = 0; row < row_norms.size(); ++row) {
    const double scale = kProductTolerance * row_norms[row];
    for (std::size_t column = 0; column < column_norms.size(); ++column) {
      const std::size_t at = row * column_norms.size() + column;
      const double difference = std::fabs(static_cast<double>(found[at]) - static_cast<double>(other[at]));
      const double tolerance = scale * column_norms[column];
      if (difference == 0.0) continue;
      // A weight of zeros has a tolerance of 0; NaN is beyond every tolerance.
      const double share = difference < std::numeric_limits<double>::infinity() && tolerance > 0.0
                               ? difference / tolerance
                               : std::numeric_limits<double>::infinity();
      if (share > 1.0) ++result.n_beyond;
      if (share > result.largest_share) {
        result.largest_share = share;
        result.worst = difference_at(at, column_norms.size(), found[at], other[at]);
      }
    }
  }
  return result;
}

ChangedElements compare_bits(std::span<const float> later, std::span<const float> earlier, std::int64_t n_columns) {
  SS_CHECK(later.size() == earlier.size() && n_columns > 0, "matrices of different sizes");
  ChangedElements result;
  for (std::size_t at = 0; at < later.size(); ++at) {
    if (std::bit_cast<std::uint32_t>(later[at]) == std::bit_cast<std::uint32_t>(earlier[at])) continue;
    if (result.n_changed++ == 0) {
      result.first = difference_at(at, static_cast<std::size_t>(n_columns), later[at], earlier[at]);
    }
  }
  return result;
}

std::string_view to_string(WholeVerdict verdict) {
  switch (verdict) {
    case WholeVerdict::kPassed:
      return "passed";
    case WholeVerdict::kDiffers:
      return "differs";
    case WholeVerdict::kChanges:
      return "changes";
    case WholeVerdict::kNotCompared:
      return "not compared";
  }
  return "";
}

Result<WholeProduct> check_whole_product(const WholeWays& ways, const std::string& name, const MatmulShape& shape,
                                         const ProductVariant& variant, std::int32_t m) {
  WholeProduct product;
  product.name = name;
  if (const auto compared = compare_ways(ways, shape, variant, m, product); !compared) {
    if (compared.error().code != ErrorCode::kUnsupported) return compared.error();
    product.why = compared.error().message;
    return product;
  }
  product.verdict = product.n_changed_repetitions > 0 ? WholeVerdict::kChanges
                    : product.comparison.n_beyond > 0 ? WholeVerdict::kDiffers
                                                      : WholeVerdict::kPassed;
  return product;
}

std::string whole_to_text(const WholeProduct& product) {
  if (product.verdict == WholeVerdict::kNotCompared) {
    return fmt::format("{}: not compared: {}\n", product.name, product.why);
  }
  std::string text = fmt::format("{}: {}: {} beside {}: {} elements, the largest difference is {:.3g} of its tolerance",
                                 product.name, to_string(product.verdict), product.kernel, product.other_kernel,
                                 product.n_elements, product.comparison.largest_share);
  if (const MatrixComparison& one = product.comparison; one.n_beyond > 0) {
    text += fmt::format("; {} beyond it, the worst in row {}, column {}: found {:.7g}, the other way {:.7g}",
                        counted(one.n_beyond, "element is", "elements are"), one.worst.row, one.worst.column,
                        one.worst.found, one.worst.other);
  }
  if (const std::optional<ChangedElements>& change = product.first_change) {
    text +=
        fmt::format("; {} of {} repetitions changed, the first in {} from row {}, column {} on: from {:.7g} to {:.7g}",
                    product.n_changed_repetitions, product.n_repetitions, counted(change->n_changed, "element"),
                    change->first.row, change->first.column, change->first.other, change->first.found);
  } else {
    text +=
        fmt::format("; {} bit by bit", counted(product.n_repetitions, "repetition is equal", "repetitions are equal"));
  }
  return text + "\n";
}

std::string whole_to_json(const std::vector<WholeProduct>& products) {
  nlohmann::json cases = nlohmann::json::array();
  for (const WholeProduct& product : products) {
    nlohmann::json one{{"name", product.name}, {"verdict", to_string(product.verdict)}};
    if (product.verdict == WholeVerdict::kNotCompared) {
      one["why"] = product.why;
      cases.push_back(std::move(one));
      continue;
    }
    one["kernel"] = product.kernel;
    one["other_kernel"] = product.other_kernel;
    one["n_elements"] = product.n_elements;
    one["n_beyond"] = product.comparison.n_beyond;
    one["largest_share"] = product.comparison.largest_share;  // null where it is infinite
    one["worst"] = element_to_json(product.comparison.worst);
    one["n_repetitions"] = product.n_repetitions;
    one["n_changed_repetitions"] = product.n_changed_repetitions;
    if (product.first_change) {
      one["first_change"] = element_to_json(product.first_change->first);
      one["first_change"]["n_changed"] = product.first_change->n_changed;
    }
    cases.push_back(std::move(one));
  }
  return nlohmann::json{{"whole_products", cases}}.dump(1) + "\n";
}

}  // namespace secondsource::kernel_bench
