#pragma once
// A plain implementation of the sampling rule, and rows of logits that are hard to sample from, for tests of every device's sampling
// kernels. The rule sorts the tokens, adds up their masses in units of 2^-40 of the largest one, and takes the token at which the sum
// exceeds the target. The masses are the same integers as in the kernels, so the token must be identical for every row and draw.

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/random.h"
#include "gpu/host/device_memory.h"
#include "gpu/host/step_launches.h"
#include "support/result.h"

namespace secondsource::gpu::test {

/// The token that the rule of kernels/sample.cpp chooses; -1 if all are forbidden.
inline std::int32_t token_of(const std::vector<float>& logits, const SampleRow& params) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase(order, params.forbidden_id);
  if (order.empty()) return -1;
  std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  const auto mass = [&](std::int32_t id) {
    const double below = static_cast<double>(logits[static_cast<std::size_t>(id)]) -
                         static_cast<double>(logits[static_cast<std::size_t>(order.front())]);
    return static_cast<std::uint64_t>(0x1p40 * std::exp(below / static_cast<double>(params.temperature)));
  };
  if (params.top_k > 0 && static_cast<std::size_t>(params.top_k) < order.size()) {
    order.resize(static_cast<std::size_t>(params.top_k));
  }
  std::uint64_t total = 0;
  for (const std::int32_t id : order) total += mass(id);
  std::uint64_t kept = total;
  if (params.top_p < 1.0F) {
    const double wanted = static_cast<double>(params.top_p) * static_cast<double>(total);
    kept = 0;
    for (const std::int32_t id : order) {
      kept += mass(id);
      if (static_cast<double>(kept) >= wanted) break;
    }
  }
  const double target = params.uniform * static_cast<double>(kept);
  std::uint64_t sum = 0;
  for (const std::int32_t id : order) {
    sum += mass(id);
    if (static_cast<double>(sum) > target) return id;
  }
  return order.back();
}

/// Samples one row of logits on this device, once with each of the parameters in `rows`.
inline std::vector<SampledRow> sampled_rows(std::unique_ptr<Device> device, const KernelTable& kernels,
                                            const std::vector<float>& logits, const std::vector<SampleRow>& rows) {
  const auto memory = std::move(DeviceMemory::create(std::move(device))).value();
  const auto n_rows = static_cast<std::int32_t>(rows.size());
  const auto vocab = static_cast<std::int32_t>(logits.size());
  const auto on_device = [&](const void* from, std::size_t bytes) {
    DeviceBuffer buffer = std::move(memory->allocate(MemoryPurpose::kWorkspace, bytes)).value();
    if (from != nullptr) REQUIRE_OK(memory->upload(buffer.data(), from, bytes));
    return buffer;
  };
  std::vector<float> all;
  for (std::int32_t row = 0; row < n_rows; ++row) all.insert(all.end(), logits.begin(), logits.end());
  const DeviceBuffer values = on_device(all.data(), all.size() * sizeof(float));
  const DeviceBuffer params = on_device(rows.data(), rows.size() * sizeof(SampleRow));
  const DeviceBuffer count = on_device(&n_rows, sizeof(n_rows));
  const DeviceBuffer scratch = on_device(nullptr, sample_scratch_bytes(n_rows, vocab));
  const DeviceBuffer out = on_device(nullptr, rows.size() * sizeof(SampledRow));
  const DeviceBuffer last = on_device(nullptr, sizeof(std::int32_t));
  SampleArguments arguments{.batch = {.n_logit_rows = count.as<std::int32_t>(), .samples = params.as<SampleRow>()},
                            .logits = values.as<float>(),
                            .pieces = reinterpret_cast<SamplePiece*>(scratch.data() + rows.size() * sizeof(SampleBins)),
                            .bins = scratch.as<SampleBins>(),
                            .sampled = out.as<SampledRow>(),
                            .top = nullptr,
                            .last_sampled = last.as<std::int32_t>(),
                            .n_top = 0,
                            .vocab_size = vocab,
                            .max_rows = n_rows};
  const std::int32_t warp_size = memory->device().properties().warp_size;
  REQUIRE_OK(kernels.sample({memory->stream(), warp_size}, arguments));
  std::vector<SampledRow> sampled(rows.size());
  REQUIRE_OK(memory->download(sampled.data(), out.data(), sampled.size() * sizeof(SampledRow)));
  return sampled;
}

/// Logits with an approximately normal distribution, like those of a model.
inline std::vector<float> bell(std::int32_t n, std::uint64_t seed, double width) {
  std::vector<float> logits;
  for (std::int32_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::uint64_t k = 0; k < 12; ++k) sum += random_unit(seed, static_cast<std::uint64_t>(i) * 12 + k);
    logits.push_back(static_cast<float>(width * (sum - 6)));
  }
  return logits;
}

/// A row of logits, and what makes it hard to sample from.
struct LogitRow {
  std::string what;
  std::vector<float> logits;
};

inline std::vector<LogitRow> logit_rows() {
  std::vector<LogitRow> cases;
  cases.push_back({"a bell over several pieces", bell(9001, 1, 3)});
  cases.push_back({"a narrow bell: more tokens in a bin than are gathered", bell(12000, 2, 0.02)});
  cases.push_back({"one piece, read one by one", bell(777, 3, 2)});
  cases.push_back({"all the same: nothing but ties, too many to gather", std::vector<float>(8192, 1.5F)});
  cases.push_back({"few different values", bell(4096, 4, 1)});
  for (float& logit : cases.back().logits) logit = std::round(logit);
  cases.push_back({"far apart, with both zeros", {0.0F, -0.0F, 3e38F, -3e38F, 1e-40F, 2.0F, -1e30F, 0.0F}});
  return cases;
}

/// Combinations of all kinds of sampling parameters.
inline std::vector<SampleRow> draws() {
  std::vector<SampleRow> rows;
  for (const float temperature : {0.05F, 1.0F, 8.0F, 1e-30F, 1e30F}) {
    for (const std::int32_t top_k : {0, 1, 7, 300, 5000}) {
      for (const float top_p : {1.0F, 0.9F, 0.05F}) {
        for (const std::int32_t forbidden : {-1, 2}) {
          rows.push_back({.uniform = random_unit(9, rows.size()),
                          .temperature = temperature,
                          .top_p = top_p,
                          .top_k = top_k,
                          .forbidden_id = forbidden});
        }
      }
    }
  }
  rows.push_back({.uniform = 0.0, .temperature = 1.0F});
  rows.push_back({.uniform = std::nextafter(1.0, 0.0), .temperature = 1.0F});
  return rows;
}

/// Checks that every draw from every row yields the token of the rule. `make_device` creates a new device for each row.
template <typename MakeDevice>
void check_draws(const MakeDevice& make_device, const KernelTable& kernels) {
  const std::vector<SampleRow> rows = draws();
  for (const LogitRow& one : logit_rows()) {
    CAPTURE(one.what);
    const std::vector<SampledRow> found = sampled_rows(make_device(), kernels, one.logits, rows);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      CAPTURE(row, rows[row].temperature, rows[row].top_k, rows[row].top_p, rows[row].forbidden_id, rows[row].uniform);
      CHECK(found[row].finite == 1);
      CHECK(found[row].id == token_of(one.logits, rows[row]));
    }
  }
}

}  // namespace secondsource::gpu::test
