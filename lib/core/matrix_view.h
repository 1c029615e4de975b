#pragma once
// A borrowed row-major matrix in host memory with a row stride, similar to std::mdspan.

#include <cstdint>
#include <span>
#include <type_traits>

#include "core/check.h"

namespace secondsource {

/// [rows, cols] with `stride` elements from one row to the next. It borrows its data and must not outlive the owner.
template <typename T>
class MatrixView {
 public:
  MatrixView() = default;
  MatrixView(T* data, std::int64_t rows, std::int64_t cols) : MatrixView(data, rows, cols, cols) {}
  MatrixView(T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {}
  /// Makes a view of const elements from one of mutable elements.
  template <typename U>
  requires(std::is_same_v<const U, T>) MatrixView(const MatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : MatrixView(other.data(), other.rows(), other.cols(), other.stride()) {}

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::int64_t rows() const noexcept { return rows_; }
  [[nodiscard]] std::int64_t cols() const noexcept { return cols_; }
  [[nodiscard]] std::int64_t stride() const noexcept { return stride_; }

  [[nodiscard]] std::span<T> row(std::int64_t index) const {
    SS_DCHECK(index >= 0 && index < rows_, "row index out of range");
    return {data_ + index * stride_, static_cast<std::size_t>(cols_)};
  }
  [[nodiscard]] T& operator()(std::int64_t row_index, std::int64_t col_index) const {
    SS_DCHECK(row_index >= 0 && row_index < rows_ && col_index >= 0 && col_index < cols_, "index out of range");
    return data_[row_index * stride_ + col_index];
  }
  /// Rows [first, first + count).
  [[nodiscard]] MatrixView sub_rows(std::int64_t first, std::int64_t count) const {
    SS_DCHECK(first >= 0 && count >= 0 && first + count <= rows_, "row range out of range");
    return {data_ + first * stride_, count, cols_, stride_};
  }

 private:
  T* data_ = nullptr;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  std::int64_t stride_ = 0;
};

}  // namespace secondsource
