#include "engine/concat_source.h"

#include "core/check.h"

namespace secondsource {
namespace {

class ConcatSource final : public WeightSource {
 public:
  ConcatSource(std::vector<VectorPart> parts, WeightEncoding encoding)
      : parts_(std::move(parts)), value_bytes_(transfer_bytes_per_value(encoding)) {}

  Result<void> read_rows(std::int64_t first_row, std::int64_t n_rows, std::span<std::byte> values,
                         std::span<float>) const override {
    SS_CHECK(first_row == 0 && n_rows == 1, "a vector has one row");
    std::size_t offset = 0;
    for (const VectorPart& part : parts_) {
      const std::size_t bytes = static_cast<std::size_t>(part.n_cols) * value_bytes_;
      SS_TRY_VOID(part.source->read_rows(0, 1, values.subspan(offset, bytes), {}));
      offset += bytes;
    }
    return {};
  }

 private:
  std::vector<VectorPart> parts_;
  std::size_t value_bytes_;
};

}  // namespace

std::shared_ptr<const WeightSource> concat_vectors(std::vector<VectorPart> parts, WeightEncoding encoding) {
  SS_CHECK(scales_per_row(encoding, 1) == 0, "vectors are not quantized");
  return std::make_shared<ConcatSource>(std::move(parts), encoding);
}

}  // namespace secondsource
