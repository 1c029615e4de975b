#include "summary/latency_summary.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "stats/quantile.h"
#include "summary/metric_values.h"

namespace secondsource {
namespace {

/// The tokens of the requests that did not fail.
class TokenCounts {
 public:
  void add(const RequestSample& sample) {
    ++n_requests_;
    output_ += sample.n_output_tokens;
    prompt_ += sample.n_prompt_tokens;
    if (sample.n_cached_prompt_tokens) {
      cached_ += *sample.n_cached_prompt_tokens;
      cacheable_ += sample.n_prompt_tokens;
    }
    verified_ += sample.verified_tokens.value_or(0);
    any_judged_ = any_judged_ || sample.verified_tokens.has_value();
  }

  void write(CellSummary& cell) const {
    cell.n_samples = n_requests_;
    cell.mean_prompt_tokens = share(prompt_, n_requests_);
    cell.mean_output_tokens = share(output_, n_requests_);
    if (any_judged_) cell.verified_share = share(verified_, output_);
    cell.prefix_hit_rate = share(cached_, cacheable_);
  }

 private:
  static std::optional<double> share(std::int64_t part, std::int64_t whole) {
    if (whole == 0) return std::nullopt;
    return static_cast<double>(part) / static_cast<double>(whole);
  }

  std::int64_t n_requests_ = 0;
  std::int64_t output_ = 0;
  std::int64_t prompt_ = 0;
  std::int64_t cached_ = 0;
  std::int64_t cacheable_ = 0;  ///< prompt tokens of the requests whose cached ones are known
  std::int64_t verified_ = 0;
  bool any_judged_ = false;
};

/// The values of every latency metric.
class Latencies {
 public:
  explicit Latencies(std::size_t n_repetitions) : none_(n_repetitions) {}

  /// `repetition` is that of ComparableRequests.
  void add(const RequestSample& sample, std::optional<std::size_t> repetition) {
    const auto keep = [&](MetricValues& into, const auto& value) {
      if (value) into.add(static_cast<double>(*value), repetition);
    };
    keep(ttft_e2e_, sample.ttft_e2e_ns());
    keep(ttft_sent_, sample.ttft_sent_ns());
    keep(ttft_visible_, sample.ttft_visible_ns());
    keep(ttft_kernel_, sample.ttft_kernel_ns);
    keep(queue_, sample.parts.queue_ns);
    keep(tokenize_, sample.parts.tokenize_ns);
    keep(transfer_, sample.parts.transfer_ns);
    keep(prefill_, sample.parts.prefill_ns);
    keep(sampling_, sample.parts.sample_ns);
    keep(e2e_, sample.e2e_ns());
    keep(tpot_, sample.tpot_ns());
    for (const std::int64_t gap : sample.itl_ns) itl_.add(static_cast<double>(gap), repetition);
  }

  /// Sorts the values and sets the figures of the cell.
  void write(CellSummary& cell) {
    for (MetricValues* values : {&ttft_e2e_, &ttft_sent_, &ttft_visible_, &ttft_kernel_, &queue_, &tokenize_,
                                 &transfer_, &prefill_, &sampling_, &e2e_, &tpot_, &itl_}) {
      values->sort();
    }
    write_first_token(cell);
    write_whole_request(cell);
    write_between_tokens(cell);
  }

 private:
  void write_first_token(CellSummary& cell) const {
    cell.ttft_e2e_p50_ns = ttft_e2e_.quantile(0.5);
    cell.ttft_e2e_p95_ns = ttft_e2e_.quantile(0.95);
    cell.ttft_e2e_p99_ns = ttft_e2e_.quantile(0.99);
    cell.ttft_sent_p50_ns = ttft_sent_.quantile(0.5);
    cell.ttft_visible_p50_ns = ttft_visible_.quantile(0.5);
    cell.ttft_kernel_p50_ns = ttft_kernel_.quantile(0.5);
    cell.ttft_queue_p50_ns = queue_.quantile(0.5);
    cell.ttft_tokenize_p50_ns = tokenize_.quantile(0.5);
    cell.ttft_transfer_p50_ns = transfer_.quantile(0.5);
    cell.ttft_prefill_p50_ns = prefill_.quantile(0.5);
    cell.ttft_sample_p50_ns = sampling_.quantile(0.5);
  }
  void write_whole_request(CellSummary& cell) const {
    cell.e2e_p50_ns = e2e_.quantile(0.5);
    cell.e2e_p99_ns = e2e_.quantile(0.99);
  }
  void write_between_tokens(CellSummary& cell) const {
    cell.tpot_mean_ns = tpot_.mean();
    cell.tpot_p50_ns = tpot_.quantile(0.5);
    cell.tpot_p90_ns = tpot_.quantile(0.9);
    cell.tpot_p95_ns = tpot_.quantile(0.95);
    cell.tpot_p99_ns = tpot_.quantile(0.99);
    cell.itl_mean_ns = itl_.mean();
    cell.itl_p50_ns = itl_.quantile(0.5);
    cell.itl_p90_ns = itl_.quantile(0.9);
    cell.itl_p95_ns = itl_.quantile(0.95);
    cell.itl_p99_ns = itl_.quantile(0.99);
    const std::optional<double> tpot_ns = cell.tpot_p50_ns.value;
    if (tpot_ns && *tpot_ns > 0) cell.tok_per_s_per_user = 1e9 / *tpot_ns;
  }

  MetricValues none_;
  MetricValues ttft_e2e_ = none_, ttft_sent_ = none_, ttft_visible_ = none_, ttft_kernel_ = none_;
  MetricValues queue_ = none_, tokenize_ = none_, transfer_ = none_, prefill_ = none_, sampling_ = none_;
  MetricValues e2e_ = none_, tpot_ = none_, itl_ = none_;
};

/// Computes the median TTFT and TPOT of each complete repetition.
void summarize_by_repetition(const CellLines& lines, CellSummary& cell) {
  std::map<std::int32_t, std::vector<double>> ttft_of, tpot_of;
  for (const RequestSample* sample : lines.samples) {
    if (!sample->error.empty()) continue;
    if (const auto ns = sample->ttft_e2e_ns()) ttft_of[sample->repetition].push_back(static_cast<double>(*ns));
    if (const auto ns = sample->tpot_ns()) tpot_of[sample->repetition].push_back(*ns);
  }
  for (const Repetition* repetition : lines.repetitions) {
    if (const auto middle = median(ttft_of[repetition->repetition])) cell.ttft_p50_ns_by_repetition.push_back(*middle);
    if (const auto middle = median(tpot_of[repetition->repetition])) cell.tpot_p50_ns_by_repetition.push_back(*middle);
  }
}

}  // namespace

void summarize_latency(const CellLines& lines, CellSummary& cell) {
  const ComparableRequests comparable(lines.samples, lines.repetitions);
  TokenCounts tokens;
  Latencies latencies(comparable.n_repetitions());
  for (const RequestSample* sample : lines.samples) {
    if (!sample->error.empty()) {
      ++cell.n_errors;
      continue;
    }
    tokens.add(*sample);
    latencies.add(*sample, comparable.repetition_of(*sample));
  }
  tokens.write(cell);
  latencies.write(cell);
  summarize_by_repetition(lines, cell);
}

}  // namespace secondsource
