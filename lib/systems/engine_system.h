#pragma once
// The engine over one backend as a system under test. It tokenizes the text of a request when the request is submitted
// and detokenizes each token as it is generated, as a server does.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/model_session.h"
#include "measure/system_under_test.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {

class EngineSystem final : public SystemUnderTest {
 public:
  /// `session` and `tokenizer` must outlive this object. `tokenizer` may be null: requests then carry token ids only,
  /// and no token gets a visible_ns. A step that takes longer than `step_deadline_ns` fails with kDeadline, and the
  /// system cannot be used any more.
  EngineSystem(ModelSession& session, const Tokenizer* tokenizer, std::int64_t step_deadline_ns);

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] std::int32_t max_in_flight() const override;
  Result<void> submit(const TimedRequest& request) override;
  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override;
  Result<std::optional<RequestEnd>> cancel(std::int64_t tag) override;
  Result<void> abandon() override;
  /// `observer` is called after every step; an empty function removes it.
  void observe_steps(std::function<void(const Engine&)> observer) { observer_ = std::move(observer); }
  /// Releases the KV cache that requests with a shared prefix share.
  void forget_prefix();
  [[nodiscard]] MemoryUse memory() const override { return session_.backend().memory(); }
  [[nodiscard]] StepTotals step_totals() const override;

 private:
  struct InFlight {
    std::int64_t tag = 0;
    std::int32_t n_prompt_tokens = 0;
    std::int32_t n_shared_tokens = 0;  ///< of the prompt, known with the first token
    TtftParts parts;
    std::optional<std::int64_t> ttft_kernel_ns;
    std::optional<StreamingDecoder> decoder;
  };
  Result<std::vector<std::int32_t>> ids_of(const TimedRequest& request) const;
  void take(const TokenEvent& event, SystemEvents& events);
  void count_step(std::int64_t poll_ns);

  /// Sums over all steps of one kind (prefill, decode or mixed).
  struct Steps {
    std::int64_t ns = 0;
    StepCounts counts{};
  };
  [[nodiscard]] StepWork work_of(const Steps& steps) const;

  ModelSession& session_;
  const Tokenizer* tokenizer_;
  std::int64_t step_deadline_ns_;
  std::map<RequestId, InFlight> in_flight_;
  std::optional<RequestId> prefix_holder_;  ///< first request with the shared prefix; its cache is kept for the others
  Steps prefill_, decode_, mixed_;
  std::int64_t host_ns_ = 0;
  std::int64_t n_compiled_ = 0;
  std::function<void(const Engine&)> observer_;
};

}  // namespace secondsource
