// secondsource: the program. Parses the command line, runs the chosen subcommand, maps its result to an exit status.

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "build_commit.h"
#include "command.h"
#include "commands.h"
#include "core/file.h"
#include "core/program_path.h"
#include "core/utf8.h"
#include "installed_data.h"
#include "secondsource_version.h"
#include "terminal_progress.h"

namespace secondsource {
namespace {

// The only object of static storage in the program; a signal handler cannot reach any other.
InterruptFlag interrupt_flag;

/// Opens /dev/null in place of each standard descriptor that is closed, so that no file that is opened later, such as the
/// journal of a run, gets its number and with it what is printed. Reading from the new stdin finds its end, and writing to
/// the new stdout fails as it would to a closed one.
void reserve_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // The lowest free number is the one that is looked at: those below it are open.
    if (::fcntl(descriptor, F_GETFD) < 0) {
      static_cast<void>(::open("/dev/null", descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY));
    }
  }
}

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupt_flag.request(); };
  sigemptyset(&action.sa_mask);
  // A second Ctrl-C ends the program at once.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // SIGHUP says that the terminal was closed. The shell and the kernel may each send one, so that a second SIGHUP, unlike a
  // second Ctrl-C, must not end the program. Under nohup the signal is ignored, and stays so.
  struct sigaction hangup {};
  ::sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) {
    hangup.sa_handler = action.sa_handler;
    ::sigaction(SIGHUP, &hangup, nullptr);
  }
  // Ctrl-Z also stops the workers, which have process groups of their own. A shell without job control leaves the
  // signal ignored.
  struct sigaction pause {};
  ::sigaction(SIGTSTP, nullptr, &pause);
  if (pause.sa_handler != SIG_IGN) {
    pause.sa_handler = [](int) { interrupt_flag.pause(); };
    pause.sa_flags = SA_RESTART;
    ::sigaction(SIGTSTP, &pause, nullptr);
  }
  // A closed pipe is an error of print(), not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  // The same applies to a file that reached its size limit (ulimit -f).
  ::signal(SIGXFSZ, SIG_IGN);
}

/// Adds all subcommands in the order of the help, which is that of a first day.
void add_commands(CommandNode& app, CommandAction& action) {
  using AddCommand = CommandNode* (*)(CommandNode&, CommandAction&);
  struct Group {
    const char* name;
    std::vector<AddCommand> add;
  };
  const std::vector<Group> groups = {
      {"First", {add_backends_command, add_run_command, add_report_command, add_check_command}},
      {"Your own model",
       {add_bundle_command, add_prompts_command, add_inspect_command, add_tokenize_command, add_generate_command,
        add_eval_command}},
      {"A gate in CI", {add_init_command, add_ab_command, add_gate_command, add_waiver_command, add_history_command}},
      {"Costs and decisions", {add_fit_command, add_prices_command, add_brief_command}},
      {"A closer look",
       {add_profile_command, add_merge_command, add_verify_command, add_selftest_command, add_up_command,
        add_cache_command, add_completion_command, add_manual_command}},
      {"", {add_worker_command}}};  // hidden
  for (const auto& [name, add] : groups) {
    for (const AddCommand add_command : add) add_command(app, action)->group(name);
  }
}

/// Refuses arguments and paths that are not UTF-8: records, reports and messages hold UTF-8 only, so such a name could
/// be written but never found again.
Result<void> check_names(int argc, char** argv, const std::filesystem::path& program) {
  for (int i = 1; i < argc; ++i) {
    if (const auto at = find_invalid_utf8(argv[i])) {
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("argument {}: expected UTF-8, found another byte at offset {}: {}", i, *at, shown(argv[i]))};
    }
  }
  std::error_code failed;
  const std::string here = std::filesystem::current_path(failed).string();
  if (failed) return Error{ErrorCode::kInvalidInput, fmt::format("the current folder: {}", failed.message())};
  for (const auto& [what, path] : {std::pair{"the current folder", here}, std::pair{"the program", program.string()}}) {
    if (!find_invalid_utf8(path)) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a name in UTF-8, found {}", what, shown(path))};
  }
  return {};
}

/// The version alone on the first line, for scripts; then the facts that a bug report should contain.
std::string version_text(const std::filesystem::path& program) {
  std::string text = fmt::format("secondsource {}\ncommit: {}\nbuilt: {}\nbackends: {}", kVersionText, build_commit(),
                                 kBuildOptionsText, kBackendsText);
  for (const auto& [name, why] : kBackendsLeftOut) text += fmt::format("\nnot built: {}, {}", name, why);
  return text + fmt::format("\ndata: {}", installed_data(program).string());
}

int run_program(int argc, char** argv) {
  const std::filesystem::path program = path_of_this_program(argv[0]);
  if (const Result<void> names = check_names(argc, argv, program); !names) {
    std::fputs(fmt::format("secondsource: {}\n", names.error().message).c_str(), stderr);
    return static_cast<int>(ExitStatus::kBadInput);
  }
  CommandLine line(
      {.name = "secondsource",
       .version = version_text(program),
       .description =
           "A portability benchmark harness for LLM inference: one model bundle, every backend, tokens that are proven "
           "right, and what a thousand of them cost.",
       .footer = "`secondsource help COMMAND` explains a command, with an example.\n"
                 "Exit statuses: 0 done, 1 regression, 2 bad usage or input, 3 wrong tokens, 4 a backend failed, "
                 "5 inconclusive, 6 not comparable, 70 internal error or I/O failure, 130 interrupted.\n"
                 "Start with: secondsource run installed:default"});
  CommandAction action;
  add_commands(line.root(), action);
  if (const std::optional<int> status = line.parse(argc, argv)) return *status;

  TerminalProgress progress;
  const CommandDescription commands = line.describe();
  CommandContext context{program, {argv, argv + argc}, progress, interrupt_flag, commands};
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

Result<void> print_text(std::string_view text) {
  return print(printable_lines(text));
}

}  // namespace secondsource

int main(int argc, char** argv) {
  secondsource::reserve_standard_descriptors();
  try {
    return secondsource::run_program(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("secondsource: out of memory\n", stderr);
  } catch (const std::filesystem::filesystem_error& error) {
    // Most calls return such errors as values. The system gives no other reason for those that throw.
    std::fputs(fmt::format("secondsource: {}: the file system refuses this path: {}\n",
                           secondsource::shown(error.path1().string()), error.code().message())
                   .c_str(),
               stderr);
    if (secondsource::is_fault_of_path(error.code().value())) {
      return static_cast<int>(secondsource::ExitStatus::kBadInput);
    }
  } catch (const std::system_error& error) {
    // Threads of the standard library throw; nothing else that is used here does.
    std::fprintf(stderr,
                 "secondsource: the system refuses a thread, a file or memory: %s (ulimit -u, ulimit -n, ulimit -v)\n",
                 error.what());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "secondsource: internal error: %s\n", error.what());
  }
  return static_cast<int>(secondsource::ExitStatus::kInternal);
}
