#pragma once
// A backend whose "model" is a hash: the cache holds token ids, and the logits of a row are a pseudo-random function of
// all tokens that its sequence can see through its block table. A wrong page, slot, position, length, fork or order
// gives other logits. The tests compare the engine's output with expected_ids(), which is computed without pages.

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend_kit/sampling.h"
#include "bundle/model_config.h"
#include "core/clock.h"
#include "core/random.h"
#include "engine/model_weights.h"

namespace secondsource::test {

inline constexpr std::int32_t kFakeVocab = 97;

/// The fake model itself: the logits after these tokens.
inline std::vector<float> fake_logits(std::span<const std::int32_t> tokens) {
  std::uint64_t hash = tokens.size();
  for (const std::int32_t token : tokens) hash = random_bits(hash, static_cast<std::uint64_t>(token));
  std::vector<float> logits(kFakeVocab);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(4.0 * random_unit(hash, i));
  return logits;
}

/// The ids that the fake model generates after the prompt, from the definition of sampling alone.
inline std::vector<std::int32_t> expected_ids(std::vector<std::int32_t> tokens, std::size_t n, SamplingParams params) {
  std::vector<std::int32_t> ids;
  while (ids.size() < n) {
    params.position = static_cast<std::int64_t>(tokens.size());
    ids.push_back(sample_row(fake_logits(tokens), params, 0).id);
    tokens.push_back(ids.back());
  }
  return ids;
}

/// A record of the calls to the fake backend, for tests of the scheduler's decisions.
struct FakeLog {
  std::vector<std::int32_t> n_tokens;  ///< tokens of each submitted step
  std::vector<std::int32_t> n_seqs;
  std::int64_t n_page_copies = 0;
  std::int64_t n_compiled = 0;
  std::int64_t n_made_ready = 0;            ///< counts make_ready(), not submit()
  std::optional<std::size_t> fail_at_step;  ///< the submit() of this step fails
  std::optional<std::int64_t> transfer_ns;  ///< reported for each step
  /// For each sequence of each step, the first frequency of the step's rotation and the sequence's first token.
  std::vector<std::pair<float, std::int32_t>> rotated;
  bool nan_after_token = false;  ///< logits are NaN when the last token is kFakeVocab - 1
};

class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(FakeLog& log) : log_(log) {
    device_.backend = "fake";
    device_.page_tokens = 4;
    device_.token_buckets = {1, 4, 16};
    device_.n_seq_slots = 64;
  }

  [[nodiscard]] const DeviceInfo& device() const noexcept override { return device_; }
  [[nodiscard]] Support supports(const Op&, std::span<const ValueDesc>) const override { return Support::yes(); }
  [[nodiscard]] Support supports_weight(WeightEncoding, ActQuant) const override { return Support::yes(); }
  Result<WeightId> prepare_weight(const WeightSpec&) override { return WeightId{next_weight_++}; }
  Result<std::vector<float>> unprepare_weight(WeightId) const override { return std::vector<float>(); }
  Result<KvPoolId> create_kv_pool(const KvSpec& spec, std::int64_t n_pages) override {
    cache_.assign(static_cast<std::size_t>(n_pages * spec.page_tokens), -1);
    page_tokens_ = spec.page_tokens;
    n_pages_ = n_pages;
    return KvPoolId{0};
  }
  Result<void> kv_copy_pages(KvPoolId, std::span<const PageCopy> copies) override {
    for (const PageCopy& copy : copies) {
      std::copy_n(cache_.begin() + copy.from_page * page_tokens_, page_tokens_,
                  cache_.begin() + copy.to_page * page_tokens_);
      ++log_.n_page_copies;
    }
    return {};
  }
  Result<void> kv_export(KvPoolId, const KvRange&, std::span<float>) const override { return {}; }
  Result<std::unique_ptr<Step>> compile(const StepGraph& graph, const Bucket& bucket, KvPoolId, GroupTiming) override;
  Result<StepResult> wait(Ticket ticket, Deadline) override {
    StepResult result = std::move(results_.at(static_cast<std::int64_t>(ticket)));
    results_.erase(static_cast<std::int64_t>(ticket));
    return result;
  }
  [[nodiscard]] MemoryUse memory() const override { return {}; }

  Result<Ticket> run(const Batch& batch, const Bucket& bucket, const StepGraph& graph, bool made_ready);
  [[nodiscard]] FakeLog& log() { return log_; }

 private:
  FakeLog& log_;
  DeviceInfo device_;
  std::int32_t next_weight_ = 0;
  std::int32_t page_tokens_ = 0;
  std::int64_t n_pages_ = 0;
  std::vector<std::int32_t> cache_;
  std::int64_t next_ticket_ = 1;
  std::map<std::int64_t, StepResult> results_;
};

class FakeStep final : public Step {
 public:
  FakeStep(FakeBackend& backend, const Bucket& bucket, const StepGraph& graph)
      : backend_(backend), bucket_(bucket), graph_(graph) {}
  [[nodiscard]] std::size_t workspace_bytes() const override { return 0; }
  [[nodiscard]] std::span<const OpGroup> groups() const override { return {}; }
  Result<void> make_ready() override {
    backend_.log().n_made_ready += ready_for_ == backend_.log().n_compiled ? 0 : 1;
    ready_for_ = backend_.log().n_compiled;
    return {};
  }
  Result<Ticket> submit(const Batch& batch) override {
    const bool made_ready = ready_for_ != backend_.log().n_compiled;
    ready_for_ = backend_.log().n_compiled;
    return backend_.run(batch, bucket_, graph_, made_ready);
  }
  Result<std::vector<float>> read_value(ValueId) const override { return std::vector<float>(); }

 private:
  FakeBackend& backend_;
  Bucket bucket_;
  StepGraph graph_;
  /// Value of FakeLog::n_compiled when this step was made ready; compiling another step undoes it.
  std::int64_t ready_for_ = -1;
};

inline Result<std::unique_ptr<Step>> FakeBackend::compile(const StepGraph& graph, const Bucket& bucket, KvPoolId,
                                                          GroupTiming) {
  ++log_.n_compiled;
  return std::unique_ptr<Step>(std::make_unique<FakeStep>(*this, bucket, graph));
}

inline Result<Ticket> FakeBackend::run(const Batch& batch, const Bucket& bucket, const StepGraph& graph,
                                       bool made_ready) {
  const auto& sample = std::get<Sample>(graph.ops.back());
  // This full check ensures that the scheduler only makes batches on which every backend may rely.
  SS_TRY_VOID(check_batch(batch, bucket, kFakeVocab, page_tokens_, n_pages_));
  if (log_.fail_at_step == log_.n_tokens.size()) return Error{ErrorCode::kDeviceLost, "fake: told to fail"};
  log_.n_tokens.push_back(batch.n_tokens());
  log_.n_seqs.push_back(batch.n_seqs());
  for (std::int32_t t = 0; t < batch.n_tokens(); ++t) {
    const auto token = static_cast<std::size_t>(t);
    cache_[static_cast<std::size_t>(batch.kv_slots[token])] = batch.token_ids[token];
  }
  for (std::int32_t seq = 0; seq < batch.n_seqs(); ++seq) {
    const std::int32_t page = batch.block_table[static_cast<std::size_t>(seq * batch.max_pages_per_seq)];
    log_.rotated.emplace_back(graph.ropes.front().inv_freq.front(),
                              cache_[static_cast<std::size_t>(page * page_tokens_)]);
  }
  StepResult result;
  result.made_ready = made_ready;
  result.transfer_ns = log_.transfer_ns;
  for (std::size_t row = 0; row < batch.logit_rows.size(); ++row) {
    const std::int32_t token = batch.logit_rows[row];
    const auto seq = std::upper_bound(batch.q_starts.begin(), batch.q_starts.end(), token) - batch.q_starts.begin() - 1;
    std::vector<std::int32_t> seen;
    for (std::int32_t p = 0; p <= batch.positions[static_cast<std::size_t>(token)]; ++p) {
      const auto entry = static_cast<std::size_t>(seq * batch.max_pages_per_seq + p / page_tokens_);
      seen.push_back(cache_[static_cast<std::size_t>(batch.block_table[entry] * page_tokens_ + p % page_tokens_)]);
    }
    std::vector<float> logits = fake_logits(seen);
    if (log_.nan_after_token && seen.back() == kFakeVocab - 1) logits[0] = std::numeric_limits<float>::quiet_NaN();
    result.tokens.push_back(sample_row(logits, batch.sampling[row], sample.n_top));
    if (sample.keep_logits) result.logits.insert(result.logits.end(), logits.begin(), logits.end());
  }
  const std::int64_t ticket = next_ticket_++;
  results_[ticket] = std::move(result);
  return Ticket{ticket};
}

/// A configuration that fits the fake: one layer, `max_seq_len` positions.
inline ModelConfig fake_config(std::int64_t max_seq_len = 256) {
  ModelConfig config;
  config.dim = 8;
  config.ffn_dim = 8;
  config.n_layers = 1;
  config.n_heads = 2;
  config.n_kv_heads = 1;
  config.head_dim = 4;
  config.vocab_size = kFakeVocab;
  config.max_seq_len = max_seq_len;
  config.rope_tables = {{.inv_freq = {1.0F, 0.1F}}};
  config.layer_ropes = {0};
  config.mixture_layers = {false};
  config.windows = {0};
  return config;
}

inline ModelWeights fake_weights() {
  return ModelWeights{.embedding = {}, .layers = std::vector<LayerWeights>(1), .final_norm = {}, .head = {}};
}

}  // namespace secondsource::test
