// secondsource: the program. Parses the command line, runs the chosen subcommand, maps its result to an exit status.

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>

#include "command.h"
#include "commands.h"
#include "secondsource_version.h"
#include "terminal_progress.h"

namespace secondsource {
namespace {

// The only object of static storage in the program; a signal handler cannot reach any other.
InterruptFlag interrupt_flag;

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupt_flag.request(); };
  sigemptyset(&action.sa_mask);
  // A second Ctrl-C ends the program at once.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // A closed pipe is an error of print(), not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  // The same applies to a file that reached its size limit (ulimit -f).
  ::signal(SIGXFSZ, SIG_IGN);
}

std::filesystem::path path_of_this_program(const char* argv0) {
  std::error_code failed;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::filesystem::absolute(argv0) : path;
}

/// Adds all subcommands in the order of `--help`.
void add_commands(CLI::App& app, CommandAction& action) {
  add_ab_command(app, action);
  add_backends_command(app, action);
  add_brief_command(app, action);
  add_bundle_command(app, action);
  add_cache_command(app, action);
  add_check_command(app, action);
  add_eval_command(app, action);
  add_gate_command(app, action);
  add_generate_command(app, action);
  add_history_command(app, action);
  add_inspect_command(app, action);
  add_prices_command(app, action);
  add_report_command(app, action);
  add_profile_command(app, action);
  add_run_command(app, action);
  add_selftest_command(app, action);
  add_tokenize_command(app, action);
  add_waiver_command(app, action);
  add_worker_command(app, action);
}

int run_program(int argc, char** argv) {
  CLI::App app{
      "A portability benchmark harness for LLM inference: one model bundle, every backend, tokens that are proven "
      "right, and what a thousand of them cost."};
  app.name("secondsource");
  app.set_version_flag("--version", std::string("secondsource ") + kVersionText);
  app.require_subcommand(1);
  app.footer(
      "Exit statuses: 0 done, 1 regression, 2 bad usage or input, 3 wrong tokens, 4 a backend failed,\n"
      "5 inconclusive, 6 not comparable, 70 internal error or I/O failure, 130 interrupted.\n"
      "Start with: secondsource run bundles/default");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("secondsource: {} (--help says more)\n", error.what());
  });
  CommandAction action;
  add_commands(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? 0 : static_cast<int>(ExitStatus::kBadInput);
  }

  TerminalProgress progress;
  CommandContext context{path_of_this_program(argv[0]), {argv, argv + argc}, progress, interrupt_flag};
  install_signal_handlers();
  const Result<ExitStatus> result = action(context);
  if (result) return static_cast<int>(*result);
  progress.note(fmt::format("secondsource: {}", result.error().message));
  return static_cast<int>(exit_status_of(result.error().code));
}

}  // namespace

Result<void> print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return Error{ErrorCode::kIo, "cannot write to stdout"};
  }
  return {};
}

}  // namespace secondsource

int main(int argc, char** argv) {
  try {
    return secondsource::run_program(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("secondsource: out of memory\n", stderr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "secondsource: internal error: %s\n", error.what());
  }
  return static_cast<int>(secondsource::ExitStatus::kInternal);
}
