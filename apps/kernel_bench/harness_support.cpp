#include "harness_support.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "backend_kit/weight_rows.h"
#include "core/clock.h"

namespace secondsource::kernel_bench {

Bucket OwnedBatch::bucket() const {
  return {.max_tokens = static_cast<std::int32_t>(token_ids.size()),
          .max_seqs = static_cast<std::int32_t>(kv_lengths.size()),
          .max_logit_rows = 0,
          .max_pages_per_seq = max_pages_per_seq};
}

OwnedBatch rows_batch(const std::vector<std::int64_t>& rows) {
  OwnedBatch batch;
  for (const std::int64_t row : rows) {
    batch.token_ids.push_back(static_cast<std::int32_t>(row));
    batch.positions.push_back(0);
    batch.kv_slots.push_back(-1);
  }
  batch.q_starts = {0, 0};
  batch.kv_lengths = {1};
  batch.block_table = {0};
  batch.seq_slots = {0};
  return batch;
}

std::vector<std::int64_t> first_rows(std::int64_t n) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) rows[static_cast<std::size_t>(i)] = i;
  return rows;
}

Result<KvPoolId> smallest_pool(Backend& backend) {
  const DeviceInfo& device = backend.device();
  return backend.create_kv_pool(
      {.n_layers = 1, .n_kv_heads = 1, .head_dim = 32, .page_tokens = device.page_tokens, .dtype = device.kv_dtype}, 1);
}

Result<std::vector<double>> row_norms(const WeightSource& source, WeightEncoding encoding, std::int64_t n_cols,
                                      const std::vector<std::int64_t>& rows) {
  std::vector<double> norms;
  std::vector<std::byte> values(static_cast<std::size_t>(n_cols) * transfer_bytes_per_value(encoding));
  std::vector<float> scales(static_cast<std::size_t>(scales_per_row(encoding, n_cols)));
  std::vector<float> row(static_cast<std::size_t>(n_cols));
  for (const std::int64_t index : rows) {
    SS_TRY_VOID(source.read_rows(index, 1, values, scales));
    decode_weight_rows(encoding, n_cols, {.first_row = index, .n_rows = 1, .values = values, .scales = scales}, row);
    double sum = 0.0;
    for (const float value : row) sum += static_cast<double>(value) * static_cast<double>(value);
    norms.push_back(std::sqrt(sum));
  }
  return norms;
}

Result<StepResult> run_step(Backend& backend, Step& step, const OwnedBatch& batch) {
  constexpr std::int64_t kDeadlineNs = 120'000'000'000;
  SS_TRY(const Ticket ticket, step.submit(batch.view()));
  return backend.wait(ticket, {.at_ns = now_ns() + kDeadlineNs});
}

namespace {

bool is_timed(const OpGroup& group, std::int32_t first_op) {
  return std::ranges::any_of(group.ops, [first_op](std::int32_t op) { return op >= first_op; });
}

}  // namespace

Result<std::int64_t> time_of_operations(const Step& step, const StepResult& result, std::int32_t first_op) {
  std::int64_t ns = 0;
  for (const GroupTime& time : result.groups) {
    const auto index = static_cast<std::size_t>(time.group);
    if (index < step.groups().size() && is_timed(step.groups()[index], first_op)) ns += time.ns;
  }
  if (ns <= 0) return Error{ErrorCode::kUnsupported, "the backend does not time the groups of a traced step"};
  return ns;
}

std::string kernels_of(const Step& step, std::int32_t first_op) {
  std::vector<std::string> names;
  for (const OpGroup& group : step.groups()) {
    if (is_timed(group, first_op) && std::ranges::find(names, group.kernel) == names.end()) {
      names.push_back(group.kernel);
    }
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::vector<std::int64_t> sample_of(std::int64_t size, std::int64_t n) {
  std::vector<std::int64_t> picked;
  const std::int64_t count = std::min(size, n);
  for (std::int64_t i = 0; i < count; ++i) {
    picked.push_back(count == 1 ? 0 : i * (size - 1) / (count - 1));
  }
  return picked;
}

Result<void> check_close(std::span<const float> found, std::span<const float> expected,
                         std::span<const double> tolerance, const std::string& what) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    if (error <= tolerance[i]) continue;  // false for NaN
    return Error{ErrorCode::kInternal,
                 fmt::format("WRONG {}: sample {}: expected {:.7g}, found {:.7g}, tolerance {:.2g}", what, i,
                             expected[i], found[i], tolerance[i])};
  }
  return {};
}

}  // namespace secondsource::kernel_bench
