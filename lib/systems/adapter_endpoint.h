#pragma once
// Makes a runtime behind an adapter a system under test (docs/adapters.md). Each request is sent when it is due. Each token
// has the time that the adapter stamped, which is checked against the time at which its line arrived.

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "measure/system_under_test.h"
#include "serving/forced_scores.h"
#include "systems/adapter_process.h"

namespace secondsource {

/// How late the lines of an adapter arrive, compared with the times that they state. Another thread may read it.
struct AdapterLateness {
  std::atomic<std::int64_t> n_lines = 0;
  std::atomic<std::int64_t> sum_ns = 0;
  std::atomic<std::int64_t> worst_ns = 0;
};

class AdapterEndpoint final : public SystemUnderTest {
 public:
  /// A line that arrives later than this after the time that it states is an error: the adapter delays its lines, or
  /// its times are wrong.
  static constexpr std::int64_t kLatestNs = 1'000'000'000;

  /// `vocab_size` is the model's; a request without a token for `stall_ns` counts as hanging.
  AdapterEndpoint(AdapterProcess process, std::int32_t vocab_size, std::int64_t stall_ns);
  ~AdapterEndpoint() override;

  [[nodiscard]] std::string name() const override;
  /// Unlimited, because every request is sent at once and the adapter queues them.
  [[nodiscard]] std::int32_t max_in_flight() const override { return INT32_MAX; }
  Result<void> submit(const TimedRequest& request) override;
  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override;
  /// Asks the adapter to cancel the request and reports it as ended at once. abandon() cancels all requests and waits
  /// for their ends.
  Result<std::optional<RequestEnd>> cancel(std::int64_t tag) override;
  Result<void> abandon() override;
  [[nodiscard]] MemoryUse memory() const override { return {}; }
  [[nodiscard]] StepTotals step_totals() const override { return {}; }
  [[nodiscard]] bool computes_here() const override { return false; }

  /// An answer, or why the adapter gives none. No timed requests may be open.
  struct Answer {
    GeneratedAnswer generated{};
    std::string why_not{};
  };
  /// Generates answers to all prompts at once. Errors: the adapter is lost.
  Result<std::vector<Answer>> generate(const std::vector<std::vector<std::int32_t>>& prompts, std::int32_t n_tokens,
                                       const AdapterWait& wait);
  struct Scores {
    std::vector<AdapterScore> scores{};
    std::string why_not{};
  };
  Result<Scores> score(AdapterScoreRequest request, const AdapterWait& wait);

  [[nodiscard]] const AdapterHello& hello() const { return process_.hello(); }
  [[nodiscard]] const AdapterLateness& lateness() const { return lateness_; }
  [[nodiscard]] pid_t process_id() const { return process_.id(); }

 private:
  struct Open {
    std::int64_t tag = 0;
    std::int32_t n_prompt = 0;
    std::int32_t n_asked = 0;
    std::int32_t n_tokens = 0;
    std::int64_t sent_ns = 0;
    bool is_cancelled = false;
    Answer* keep = nullptr;  ///< of a request that is not timed
  };
  Result<std::int64_t> send_generate(Open open, std::vector<std::int32_t> ids);
  Result<void> take(const AdapterAnswer& answer, SystemEvents& events);
  Result<void> take_step(const AdapterStep& step, SystemEvents& events);
  Result<void> take_token(const AdapterToken& token, std::int64_t at_ns, SystemEvents& events);
  Result<void> take_end(const AdapterEnd& end, SystemEvents& events);
  Result<void> take_scores(const AdapterScores& scores);
  Result<void> check_time(std::int64_t at_ns, std::int64_t arrived_ns);
  Result<void> check_stall() const;
  Result<void> poll_while_open(const AdapterWait& wait, SystemEvents& events);

  AdapterProcess process_;
  std::int32_t vocab_size_;
  std::int64_t stall_ns_;
  std::int64_t next_request_ = 0;
  std::map<std::int64_t, Open> open_;           ///< by the number of the request
  std::optional<AdapterScoreRequest> scoring_;  ///< the request whose scores are awaited
  Scores scores_;
  std::int64_t last_step_ns_ = 0;  ///< of the adapter's times
  std::int64_t last_sign_ns_ = 0;  ///< the last sign of life: a line, or the first request after none was open
  AdapterLateness lateness_;
};

}  // namespace secondsource
