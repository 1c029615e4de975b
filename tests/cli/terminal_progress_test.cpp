// What long work writes to stderr where that is no terminal, such as the log of a CI job.

#include "terminal_progress.h"

#include <cstdio>
#include <memory>
#include <string>

#include "support/catch.h"

namespace secondsource::test {
namespace {

/// What `work` makes the progress write into a file, with a line at most so often.
template <typename Work>
std::string written(std::int64_t line_interval_ns, const Work& work) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), &std::fclose);
  REQUIRE(file != nullptr);
  {
    TerminalProgress progress(file.get(), line_interval_ns);
    work(progress);
  }
  std::rewind(file.get());
  std::string text;
  for (int c = std::fgetc(file.get()); c != EOF; c = std::fgetc(file.get())) text += static_cast<char>(c);
  return text;
}

TEST_CASE("outside of a terminal, progress is whole lines with what is done and what is left") {
  const std::string text = written(/*line_interval_ns=*/0, [](TerminalProgress& progress) {
    progress.begin("pairs", 4);
    progress.update(1);
    progress.note("a note");
    progress.update(4);
  });
  CAPTURE(text);
  CHECK(text.starts_with("pairs  0/4\npairs  1/4, "));
  CHECK(text.ends_with(" left\na note\npairs  4/4\n"));
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("outside of a terminal, work of less than a minute writes its notes alone") {
  const std::string text = written(TerminalProgress::kLineIntervalNs, [](TerminalProgress& progress) {
    progress.begin("first", 2);
    progress.update(2);
    progress.note("a note");
    progress.begin("second", 0);
  });
  CHECK(text == "a note\n");
}

}  // namespace
}  // namespace secondsource::test
