#pragma once
// A system without a model that follows a fixed schedule: it answers each request with known tokens at known times.
// With zero times it measures the cost of the harness itself; with other times, tests compare what was measured with
// the schedule.

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "measure/system_under_test.h"

namespace secondsource {

struct NullSchedule {
  std::int64_t first_token_ns = 0;  ///< from submission (or from a free slot) to the first token
  std::int64_t token_gap_ns = 0;    ///< between consecutive tokens
  std::int32_t max_in_flight = 64;  ///< further requests wait in a queue
  std::int64_t end_delay_ns = 0;    ///< from the last token to the end of the request, which frees its slot
};

class NullSystem final : public SystemUnderTest {
 public:
  explicit NullSystem(NullSchedule schedule = {}) : schedule_(schedule) {}
  [[nodiscard]] std::string name() const override { return "null"; }
  [[nodiscard]] std::int32_t max_in_flight() const override { return schedule_.max_in_flight; }
  Result<void> submit(const TimedRequest& request) override;
  Result<void> poll(std::int64_t until_ns, SystemEvents& events) override;
  Result<std::optional<RequestEnd>> cancel(std::int64_t tag) override;
  Result<void> abandon() override;
  [[nodiscard]] MemoryUse memory() const override { return {}; }
  [[nodiscard]] StepTotals step_totals() const override { return {}; }

 private:
  struct Running {
    std::int64_t tag = 0;
    std::int32_t n_output_tokens = 0;
    std::int32_t n_done = 0;
    std::int64_t next_event_ns = 0;  ///< of its next token, or of its end behind the last one
  };
  [[nodiscard]] static bool has_ended(const Running& request, std::int64_t now);
  void admit(std::int64_t now);
  [[nodiscard]] std::int64_t next_event_ns() const;

  NullSchedule schedule_;
  std::deque<Running> waiting_;
  std::vector<Running> running_;
};

}  // namespace secondsource
