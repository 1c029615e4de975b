#pragma once
// Random weights of any encoding without a file behind them: rows are cut from one pool of random values, so that a
// billion of them cost no more than copying.

#include <memory>
#include <vector>

#include "backend/weights.h"

namespace secondsource {

/// The same seed gives the same rows. Values have a mean of 0 and a deviation of about 1 / sqrt(n_cols).
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

/// Some rows of another source, in a given order: what the reference checks instead of all of them.
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

/// One matrix as the boundary takes it.
[[nodiscard]] WeightSpec matrix_spec(std::string name, std::int64_t n_rows, std::int64_t n_cols,
                                     WeightEncoding encoding, std::shared_ptr<const WeightSource> source);

}  // namespace secondsource
