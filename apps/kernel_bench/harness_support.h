#pragma once
// Helpers that all kinds of cases share.

#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/batch_storage.h"

namespace secondsource::kernel_bench {

/// A batch that owns its arrays.
struct OwnedBatch : BatchStorage {
  [[nodiscard]] Bucket bucket() const;
};

/// A batch of these rows of an input table. All are padding of one sequence: a product does not use sequences.
OwnedBatch rows_batch(const std::vector<std::int64_t>& rows);

/// 0, 1, ... n - 1.
std::vector<std::int64_t> first_rows(std::int64_t n);

/// A pool for compile(), which requires one even if no operation uses a cache.
Result<KvPoolId> smallest_pool(Backend& backend);

/// Euclidean norm of each picked row.
Result<std::vector<double>> row_norms(const WeightSource& source, WeightEncoding encoding, std::int64_t n_cols,
                                      const std::vector<std::int64_t>& rows);

/// Submits and waits, for at most two minutes.
Result<StepResult> run_step(Backend& backend, Step& step, const OwnedBatch& batch);

/// Nanoseconds of the groups that contain `first_op` or a later operation. Errors: kUnsupported.
Result<std::int64_t> time_of_operations(const Step& step, const StepResult& result, std::int32_t first_op);

/// Names of the kernels of those groups, each once.
std::string kernels_of(const Step& step, std::int32_t first_op);

/// At most `n` indices of [0, size): the first, the last, and others evenly between.
std::vector<std::int64_t> sample_of(std::int64_t size, std::int64_t n);

/// Compares each element with its tolerance. Errors: kInternal, with the first that exceeds it or is NaN.
Result<void> check_close(std::span<const float> found, std::span<const float> expected,
                         std::span<const double> tolerance, const std::string& what);

}  // namespace secondsource::kernel_bench
