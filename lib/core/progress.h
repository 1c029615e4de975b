#pragma once
// How the library tells a person where it is: it never prints. The program's terminal version writes to stderr with
// the time left and is silent when stderr is not a terminal; tests use their own.

#include <cstdint>
#include <string_view>

namespace secondsource {

class Progress {
 public:
  virtual ~Progress() = default;
  /// A task of `n_steps` steps begins (0: unknown); replaces the one before.
  virtual void begin(std::string_view task, std::int64_t n_steps) = 0;
  /// `n_done` of the steps are done.
  virtual void update(std::int64_t n_done) = 0;
  /// A line that stays: something happened that a person should see.
  virtual void note(std::string_view line) = 0;
};

/// Says nothing.
class SilentProgress final : public Progress {
 public:
  void begin(std::string_view, std::int64_t) override {}
  void update(std::int64_t) override {}
  void note(std::string_view) override {}
};

}  // namespace secondsource
