#pragma once
// Shows progress on stderr, with the completed share and the remaining time: on a terminal as one line that is rewritten,
// and elsewhere, as in the log of a CI job, as a line of its own once a minute. What ends within a minute writes none there.

#include <cstdint>
#include <cstdio>
#include <string>

#include "core/progress.h"

namespace secondsource {

class TerminalProgress final : public Progress {
 public:
  /// How often lines are written where `out` is no terminal.
  static constexpr std::int64_t kLineIntervalNs = 60'000'000'000;
  explicit TerminalProgress(std::FILE* out = stderr, std::int64_t line_interval_ns = kLineIntervalNs);
  ~TerminalProgress() override;
  TerminalProgress(const TerminalProgress&) = delete;
  TerminalProgress& operator=(const TerminalProgress&) = delete;

  void begin(std::string_view task, std::int64_t n_steps) override;
  void update(std::int64_t n_done) override;
  void note(std::string_view line) override;

 private:
  [[nodiscard]] std::string line(std::int64_t n_done, std::int64_t now) const;
  void erase_line();

  std::FILE* out_;
  bool is_terminal_;
  std::int64_t interval_ns_;
  bool line_is_drawn_ = false;
  std::string task_;
  std::int64_t n_steps_ = 0;
  std::int64_t started_ns_ = 0;
  std::int64_t drawn_ns_;
};

}  // namespace secondsource
