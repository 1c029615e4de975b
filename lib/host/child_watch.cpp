#include "host/child_watch.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <utility>

#include "core/units.h"
#include "core/utf8.h"
#include "host/memory_kills.h"

namespace secondsource {
namespace {

// How much of a log is searched for signs of exhausted memory, and how much of its last line is shown.
constexpr std::int64_t kLookedAtBytes = 8 << 10;
constexpr std::size_t kShownBytes = 300;

bool says_out_of_memory(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  for (const char* sign :
       {"bad_alloc", "out of memory", "outofmemory", "cannot allocate memory", "memory allocation failed"}) {
    if (text.find(sign) != std::string::npos) return true;
  }
  return false;
}

std::int64_t size_of(const std::filesystem::path& file) {
  std::error_code absent;
  const auto bytes = std::filesystem::file_size(file, absent);
  return absent ? 0 : static_cast<std::int64_t>(bytes);
}

}  // namespace

ChildWatch::ChildWatch(std::filesystem::path log, const HostFiles& host)
    : log_(std::move(log)), host_(host), begins_at_(size_of(log_)), n_memory_kills_(count_memory_kills(host)) {}

std::string ChildWatch::tail() const {
  const std::int64_t from = std::max(begins_at_, size_of(log_) - kLookedAtBytes);
  std::ifstream stream(log_, std::ios::binary);
  stream.seekg(from);
  std::string text(static_cast<std::size_t>(kLookedAtBytes), '\0');
  stream.read(text.data(), kLookedAtBytes);
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, stream.gcount())));
  return text;
}

std::string ChildWatch::last_line() const {
  const std::string text = tail();
  std::string_view last = text;
  while (!last.empty() && (last.back() == '\n' || last.back() == '\r')) last.remove_suffix(1);
  const auto newline = last.rfind('\n');
  if (newline != std::string_view::npos) last.remove_prefix(newline + 1);
  return printable(last.substr(0, kShownBytes));
}

ChildFailure ChildWatch::failure_of(const ChildExit& exit, std::string_view who) const {
  const std::string last = last_line();
  std::string message = fmt::format("{} ended with {}", who, exit.text());
  if (!last.empty()) message += ": " + last;
  // The kernel's out-of-memory killer sends SIGKILL and leaves no message, but so may anybody else.
  if (exit.signal == SIGKILL && !exit.killed_by_us) {
    const std::string sign =
        sign_of_memory_kill(n_memory_kills_, count_memory_kills(host_), exit.peak_rss_bytes, memory_limit_bytes(host_));
    message += fmt::format("; peak {}; {}", format_bytes(exit.peak_rss_bytes),
                           sign.empty() ? "the kernel counted no process killed for want of memory, so somebody sent "
                                          "the signal"
                                        : sign);
    return {.kind = sign.empty() ? FailureKind::kCrash : FailureKind::kOutOfMemory, .message = std::move(message)};
  }
  return {.kind = says_out_of_memory(tail()) ? FailureKind::kOutOfMemory : FailureKind::kCrash,
          .message = std::move(message)};
}

}  // namespace secondsource
