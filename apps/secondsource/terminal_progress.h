#pragma once
// Shows progress on stderr: one line that is rewritten, with the completed share and the remaining time. If stderr is
// not a terminal, only notes are written.

#include <cstdint>
#include <string>

#include "core/progress.h"

namespace secondsource {

class TerminalProgress final : public Progress {
 public:
  TerminalProgress();
  ~TerminalProgress() override;
  TerminalProgress(const TerminalProgress&) = delete;
  TerminalProgress& operator=(const TerminalProgress&) = delete;

  void begin(std::string_view task, std::int64_t n_steps) override;
  void update(std::int64_t n_done) override;
  void note(std::string_view line) override;

 private:
  void erase_line();

  bool is_terminal_;
  bool line_is_drawn_ = false;
  std::string task_;
  std::int64_t n_steps_ = 0;
  std::int64_t started_ns_ = 0;
  std::int64_t drawn_ns_ = 0;
};

}  // namespace secondsource
