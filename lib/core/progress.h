#pragma once
// How the library reports progress; the library itself never prints. The program's terminal version writes to stderr
// with the remaining time, once a minute where stderr is not a terminal; tests use their own version.

#include <cstdint>
#include <string_view>

namespace secondsource {

class Progress {
 public:
  virtual ~Progress() = default;
  /// Begins a task of `n_steps` steps (0: unknown), which replaces the previous task.
  virtual void begin(std::string_view task, std::int64_t n_steps) = 0;
  /// Reports that `n_done` of the steps are done.
  virtual void update(std::int64_t n_done) = 0;
  /// Prints a line that stays visible, for an event that a person should see.
  virtual void note(std::string_view line) = 0;
};

/// Discards all reports.
class SilentProgress final : public Progress {
 public:
  void begin(std::string_view, std::int64_t) override {}
  void update(std::int64_t) override {}
  void note(std::string_view) override {}
};

}  // namespace secondsource
