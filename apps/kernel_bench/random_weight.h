#pragma once
// Random weights of any encoding, made without a file: rows are cut from one pool of random values, so that a billion
// values cost no more than copying.

#include <memory>
#include <vector>

#include "backend/weights.h"

namespace secondsource::kernel_bench {

/// The same seed gives the same rows. Values have a mean of 0 and a standard deviation of about 1 / sqrt(n_cols).
class RandomWeight final : public WeightSource {
 public:
  RandomWeight(WeightEncoding encoding, std::int64_t n_cols, std::uint64_t seed);
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override;

 private:
  WeightEncoding encoding_;
  std::int64_t n_cols_;
  std::uint64_t seed_;
  std::vector<std::byte> pool_;
  float scale_ = 1.0F;
};

/// Selected rows of another source, in a given order, for the reference to check instead of all rows.
class PickedRows final : public WeightSource {
 public:
  PickedRows(std::shared_ptr<const WeightSource> source, std::vector<std::int64_t> rows, WeightEncoding encoding,
             std::int64_t n_cols);
  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override;

 private:
  std::shared_ptr<const WeightSource> source_;
  std::vector<std::int64_t> rows_;
  std::size_t row_bytes_;
  std::size_t row_scales_;
};

/// The specification of one matrix, as Backend::prepare_weight() takes it.
[[nodiscard]] WeightSpec matrix_spec(std::string name, std::int64_t n_rows, std::int64_t n_cols,
                                     WeightEncoding encoding, std::shared_ptr<const WeightSource> source);

}  // namespace secondsource::kernel_bench
