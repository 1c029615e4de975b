#include "terminal_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "core/clock.h"
#include "core/units.h"
#include "core/utf8.h"

namespace secondsource {
namespace {
constexpr std::int64_t kRedrawIntervalNs = 100'000'000;
}

TerminalProgress::TerminalProgress(std::FILE* out, std::int64_t line_interval_ns)
    : out_(out),
      is_terminal_(::isatty(::fileno(out)) == 1),
      interval_ns_(is_terminal_ ? kRedrawIntervalNs : line_interval_ns),
      drawn_ns_(now_ns()) {}

TerminalProgress::~TerminalProgress() {
  erase_line();
}

void TerminalProgress::begin(std::string_view task, std::int64_t n_steps) {
  task_ = shown(task);
  n_steps_ = n_steps;
  started_ns_ = now_ns();
  if (is_terminal_) drawn_ns_ = 0;
  update(0);
}

void TerminalProgress::update(std::int64_t n_done) {
  const std::int64_t now = now_ns();
  const bool is_last_of_line = is_terminal_ && n_done == n_steps_;
  if (now - drawn_ns_ < interval_ns_ && !is_last_of_line) return;
  drawn_ns_ = now;
  if (is_terminal_) {
    fmt::print(out_, "\r\x1b[K{}", line(n_done, now));
    line_is_drawn_ = true;
  } else {
    fmt::print(out_, "{}\n", line(n_done, now));
  }
  std::fflush(out_);
}

std::string TerminalProgress::line(std::int64_t n_done, std::int64_t now) const {
  std::string line = task_;
  if (n_steps_ > 0) line += fmt::format("  {}/{}", n_done, n_steps_);
  if (n_steps_ > 0 && n_done > 0 && n_done < n_steps_) {
    const double per_step_ns = static_cast<double>(now - started_ns_) / static_cast<double>(n_done);
    const auto left_ns = static_cast<std::int64_t>(per_step_ns * static_cast<double>(n_steps_ - n_done));
    line += fmt::format(", {} left", format_duration_ns(left_ns));
  }
  return line;
}

void TerminalProgress::note(std::string_view line) {
  erase_line();
  constexpr std::size_t kMaxCharacters = 2000;
  fmt::print(out_, "{}\n", shown(line, kMaxCharacters));
}

void TerminalProgress::erase_line() {
  if (!line_is_drawn_) return;
  fmt::print(out_, "\r\x1b[K");
  std::fflush(out_);
  line_is_drawn_ = false;
}

}  // namespace secondsource
