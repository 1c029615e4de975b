#pragma once
// The engine over one backend as a system under test: text is tokenized when a request is sent, and tokens become text
// again as they come, as a server would do it.

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
  /// Both must outlive it. `tokenizer` may be null: requests then come as ids, and nothing becomes visible text.
  /// A step that takes longer than `step_deadline_ns` loses the system (kDeadline).
  EngineSystem(ModelSession& session, const Tokenizer* tokenizer, std::int64_t step_deadline_ns);

  [[nodiscard]] std::string name() const override;
  [[nodiscard]] std::int32_t max_in_flight() const override;
  Result<void> submit(const TimedRequest& request) override;
  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override;
  Result<void> abandon() override;
  /// Called after every step, until it is set to nothing.
  void observe_steps(std::function<void(const Engine&)> observer) { observer_ = std::move(observer); }
  /// Lets go of the cache that requests with a shared prefix share.
  void forget_prefix();
  [[nodiscard]] MemoryUse memory() const override { return session_.backend().memory(); }
  [[nodiscard]] StepTotals step_totals() const override;

 private:
  struct InFlight {
    std::int64_t tag = 0;
    std::int32_t n_prompt_tokens = 0;
    TtftParts parts;
    std::optional<std::int64_t> ttft_kernel_ns;
    std::optional<StreamingDecoder> decoder;
  };
  Result<std::vector<std::int32_t>> ids_of(const TimedRequest& request) const;
  void take(const TokenEvent& event, SystemEvents& events);
  void count_step(std::int64_t poll_ns);

  /// Steps of one kind.
  struct Steps {
    std::int64_t ns = 0;
    StepCounts counts{};
  };
  [[nodiscard]] StepWork work_of(const Steps& steps) const;

  ModelSession& session_;
  const Tokenizer* tokenizer_;
  std::int64_t step_deadline_ns_;
  std::map<RequestId, InFlight> in_flight_;
  std::optional<RequestId> prefix_holder_;  ///< the first request with the shared prefix: its cache is kept
  Steps prefill_, decode_, mixed_;
  std::int64_t host_ns_ = 0;
  std::int64_t n_compiled_ = 0;
  std::function<void(const Engine&)> observer_;
};

}  // namespace secondsource
