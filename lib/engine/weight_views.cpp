#include "engine/weight_views.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/half.h"

namespace secondsource {
namespace {

std::size_t row_bytes_of(const RowShape& shape) {
  return static_cast<std::size_t>(shape.n_cols) * transfer_bytes_per_value(shape.encoding);
}

/// The index in the model of element i of consecutive reordered heads.
std::int64_t place_of(const HeadOrder& order, std::int64_t i) {
  if (order.empty()) return i;
  const auto head_dim = static_cast<std::int64_t>(order.size());
  return i / head_dim * head_dim + order[static_cast<std::size_t>(i % head_dim)];
}

class RowViewSource final : public WeightSource {
 public:
  RowViewSource(std::shared_ptr<const WeightSource> source, RowView view, RowShape shape)
      : source_(std::move(source)), view_(std::move(view)), shape_(shape) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float> scales) const override {
    SS_CHECK(first_row >= 0 && n_rows >= 0 && n_rows <= view_.n_rows - first_row, "rows outside the view");
    const std::size_t row_bytes = row_bytes_of(shape_);
    const auto n_scales = static_cast<std::size_t>(scales_per_row(shape_.encoding, shape_.n_cols));
    // Rows that are consecutive in the model are read at once.
    for (std::int64_t i = 0; i < n_rows;) {
      const std::int64_t place = place_of(view_.order, first_row + i);
      std::int64_t n = 1;
      while (i + n < n_rows && place_of(view_.order, first_row + i + n) == place + n) ++n;
      const auto at = static_cast<std::size_t>(i);
      const auto count = static_cast<std::size_t>(n);
      SS_TRY_VOID(source_->read_rows(view_.first_row + place, n, values.subspan(at * row_bytes, count * row_bytes),
                                     scales.subspan(at * n_scales, count * n_scales)));
      i += n;
    }
    return {};
  }

  [[nodiscard]] std::optional<StoredContent> stored_content() const override {
    std::optional<StoredContent> content = source_->stored_content();
    if (content) {
      content->conversion += fmt::format(" rows {}+{}", view_.first_row, view_.n_rows);
      if (!view_.order.empty()) content->conversion += fmt::format(" order {}", fmt::join(view_.order, ","));
    }
    return content;
  }

  Result<void> read_stored(std::size_t offset, std::span<std::byte> out) const override {
    return source_->read_stored(offset, out);
  }

 private:
  std::shared_ptr<const WeightSource> source_;
  RowView view_;
  RowShape shape_;
};

/// A source of one row that is small enough to be read as a whole.
class VectorSource : public WeightSource {
 public:
  VectorSource(std::shared_ptr<const WeightSource> source, RowShape shape) : source_(std::move(source)), shape_(shape) {
    SS_CHECK(scales_per_row(shape.encoding, 1) == 0, "vectors are not quantized");
  }

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float>) const override {
    SS_CHECK(first_row == 0 && n_rows == 1, "a vector has one row");
    std::vector<std::byte> stored(row_bytes_of(shape_));
    SS_TRY_VOID(source_->read_rows(0, 1, stored, {}));
    convert(stored, values);
    return {};
  }

 protected:
  virtual void convert(std::span<const std::byte> stored, std::span<std::byte> out) const = 0;
  [[nodiscard]] const RowShape& shape() const { return shape_; }

 private:
  std::shared_ptr<const WeightSource> source_;
  RowShape shape_;
};

class ReorderedVector final : public VectorSource {
 public:
  ReorderedVector(std::shared_ptr<const WeightSource> source, HeadOrder order, RowShape shape)
      : VectorSource(std::move(source), shape), order_(std::move(order)) {}

 protected:
  void convert(std::span<const std::byte> stored, std::span<std::byte> out) const override {
    const std::size_t bytes = transfer_bytes_per_value(shape().encoding);
    for (std::int64_t i = 0; i < shape().n_cols; ++i) {
      std::memcpy(out.data() + static_cast<std::size_t>(i) * bytes,
                  stored.data() + static_cast<std::size_t>(place_of(order_, i)) * bytes, bytes);
    }
  }

 private:
  HeadOrder order_;
};

class AdjustedVector final : public VectorSource {
 public:
  AdjustedVector(std::shared_ptr<const WeightSource> source, NormMeaning meaning, RowShape shape)
      : VectorSource(std::move(source), shape), meaning_(meaning) {}

 protected:
  void convert(std::span<const std::byte> stored, std::span<std::byte> out) const override {
    for (std::size_t i = 0; i < static_cast<std::size_t>(shape().n_cols); ++i) {
      const float meant = (value(stored, i) + meaning_.offset) * meaning_.factor;
      std::memcpy(out.data() + i * sizeof meant, &meant, sizeof meant);
    }
  }

 private:
  template <typename Stored>
  static Stored load(std::span<const std::byte> bytes, std::size_t i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof stored, sizeof stored);
    return stored;
  }

  [[nodiscard]] float value(std::span<const std::byte> stored, std::size_t i) const {
    if (shape().encoding == WeightEncoding::kBf16) return to_float(load<Bf16>(stored, i));
    if (shape().encoding == WeightEncoding::kF16) return to_float(load<F16>(stored, i));
    return load<float>(stored, i);
  }

  NormMeaning meaning_;
};

class FlattenedRows final : public WeightSource {
 public:
  FlattenedRows(std::shared_ptr<const WeightSource> source, std::int64_t n_rows, RowShape shape)
      : source_(std::move(source)), n_rows_(n_rows) {
    SS_CHECK(scales_per_row(shape.encoding, 1) == 0, "vectors are not quantized");
  }

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float>) const override {
    SS_CHECK(first_row == 0 && n_rows == 1, "a vector has one row");
    return source_->read_rows(0, n_rows_, values, {});
  }

 private:
  std::shared_ptr<const WeightSource> source_;
  std::int64_t n_rows_;
};

}  // namespace

HeadOrder head_order_of(const ModelConfig& config) {
  const std::int64_t half = config.head_dim / 2;
  const std::int64_t n_pairs = config.rotary_dim / 2;
  HeadOrder order(static_cast<std::size_t>(config.head_dim));
  std::int64_t next = config.rotary_dim;  // the first element that is not rotated
  for (std::int64_t i = 0; i < config.head_dim; ++i) {
    const std::int64_t pair = i % half;
    const std::int64_t second = i / half;
    const bool are_neighbours = config.rotary_pairs == RotaryPairs::kNeighbours;
    const std::int64_t rotated = are_neighbours ? 2 * pair + second : pair + second * n_pairs;
    order[static_cast<std::size_t>(i)] = pair < n_pairs ? rotated : next++;
  }
  HeadOrder as_stored(order.size());
  std::iota(as_stored.begin(), as_stored.end(), 0);
  return order == as_stored ? HeadOrder() : order;
}

HeadOrder latent_order_of(const ModelConfig& config, std::int64_t n_plain) {
  if (config.rotary_pairs == RotaryPairs::kHalves) return {};
  const std::int64_t n_pairs = config.rotary_dim / 2;
  HeadOrder order(static_cast<std::size_t>(n_plain + config.rotary_dim));
  std::iota(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n_plain), 0);
  for (std::int64_t pair = 0; pair < n_pairs; ++pair) {
    order[static_cast<std::size_t>(n_plain + pair)] = n_plain + 2 * pair;
    order[static_cast<std::size_t>(n_plain + n_pairs + pair)] = n_plain + 2 * pair + 1;
  }
  return order;
}

std::shared_ptr<const WeightSource> view_rows(std::shared_ptr<const WeightSource> source, RowView view,
                                              RowShape shape) {
  return std::make_shared<RowViewSource>(std::move(source), std::move(view), shape);
}

std::shared_ptr<const WeightSource> reorder_vector(std::shared_ptr<const WeightSource> source, HeadOrder order,
                                                   RowShape shape) {
  return std::make_shared<ReorderedVector>(std::move(source), std::move(order), shape);
}

std::shared_ptr<const WeightSource> flatten_rows(std::shared_ptr<const WeightSource> source, std::int64_t n_rows,
                                                 RowShape shape) {
  return std::make_shared<FlattenedRows>(std::move(source), n_rows, shape);
}

std::shared_ptr<const WeightSource> adjust_vector(std::shared_ptr<const WeightSource> source, NormMeaning meaning,
                                                  RowShape shape) {
  return std::make_shared<AdjustedVector>(std::move(source), meaning, shape);
}

}  // namespace secondsource
