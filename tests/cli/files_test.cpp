// Files that cannot be written or read, several processes that write the same file, and a limit on the number of
// processes: each is refused with one clear line before any work starts.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>

#include "core/file.h"
#include "core/folder.h"
#include "expectations.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/bundle/zip_bytes.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

std::string bundle() {
  return source_path("bundles/tiny-gqa8-hd64");
}

std::string stored_run(const std::filesystem::path& folder, std::int32_t n_requests) {
  std::filesystem::create_directories(folder);
  std::string lines;
  for (const JournalLine& line : hand_made_journal(5, n_requests).lines) lines += to_json_line(line) + "\n";
  REQUIRE_OK(write_record(folder / "run.json", hand_made_record(5)));
  REQUIRE_OK(write_file(folder / "samples.jsonl", lines));
  return folder.string();
}

/// Replaces this process, which is a child of the test, by the program.
[[noreturn]] void become(const std::filesystem::path& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> texts = {program.string()};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  ::execv(pointers.front(), pointers.data());
  ::_exit(127);
}

/// Waits for the end of a child. A signal that ended it counts 128 more, as in a shell.
int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Runs the program as a user without root's privileges, with at most `n_processes` processes.
ProgramRun run_as_somebody(const std::vector<std::string>& arguments, const std::filesystem::path& scratch,
                           rlim_t n_processes, const std::filesystem::path& program = program_path()) {
  const std::filesystem::path err = scratch / "stderr";
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int file = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::dup2(file, STDERR_FILENO);
    const rlimit limit{n_processes, n_processes};
    constexpr uid_t kNobodyElse = 54321;  // a user with no other processes; RLIMIT_NPROC does not apply to root
    if (::geteuid() == 0 && ::setuid(kNobodyElse) != 0) ::_exit(126);
    ::setrlimit(RLIMIT_NPROC, &limit);
    become(program, arguments);
  }
  ProgramRun run;
  run.status = status_of(pid);
  const auto text = read_file(err);
  if (text) run.err = *text;
  return run;
}

/// Runs the program with one of its descriptors 0, 1 and 2 closed, and returns its exit status.
int status_with_closed(int descriptor, const std::vector<std::string>& arguments) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(descriptor);
    become(program_path(), arguments);
  }
  return status_of(pid);
}

}  // namespace

TEST_CASE("a run with a closed stdin, stdout or stderr writes no report into its own journal") {
  const ScratchFolder scratch;
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    CAPTURE(descriptor);
    const std::string out = (scratch.path() / std::to_string(descriptor)).string();
    const int status =
        status_with_closed(descriptor, {"run", bundle(), "--backend", "reference", "--variant", "bf16", "--scenario",
                                        "single-stream+requests=3@/2", "--repetitions", "1", "--out", out});
    // A busy machine makes a run INVALID (6).
    CHECK((descriptor == STDOUT_FILENO ? status == 70 : status == 0 || status == 6));
    const ProgramRun verified = run_program({"verify", out});
    CAPTURE(verified.out, verified.err);
    CHECK(verified.status == 0);
  }
}

TEST_CASE("help and the version that do not reach stdout end with 70 and one line") {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"--help"}, {"--version"}, {"help", "run"}, {"run", "--help"}, {"bundle", "accept", "--help"}, {}}) {
    const ProgramRun full = run_program(arguments, {.input = {}, .environment = {}, .out_path = "/dev/full"});
    CAPTURE(arguments.empty() ? "" : arguments.front(), full.err);
    CHECK(full.status == 70);
    CHECK(full.err == "secondsource: cannot write to stdout\n");
    CHECK(status_with_closed(STDOUT_FILENO, arguments) == 70);
  }
}

TEST_CASE("an --out that is an input, also by another name, or lies in one, is refused, and the input stays") {
  const ScratchFolder scratch;
  const std::string run = stored_run(scratch.path() / "run", 4);
  const std::string samples = run + "/samples.jsonl";
  const std::string history = (scratch.path() / "history.db").string();
  REQUIRE(run_program({"history", "add", run, "--db", history}).status == 0);
  const std::string catalog = (scratch.path() / "vms.csv").string();
  const std::string link = (scratch.path() / "link.csv").string();
  const std::string other_name = (scratch.path() / "other.csv").string();
  REQUIRE_OK(write_file(catalog, "InstanceType,AcceleratorName\n"));
  std::filesystem::create_symlink(catalog, link);
  std::filesystem::create_hard_link(catalog, other_name);
  const std::string recorded = (scratch.path() / "recorded.txt").string();
  REQUIRE_OK(write_file(recorded, "a prompt\n"));
  const std::string same = "expected another file than the input";
  const std::string inside = "expected a file outside of the input";
  const std::tuple<std::vector<std::string>, std::string, std::string> cases[] = {
      {{"report", run, "--format", "csv", "--out", samples}, samples, inside},
      {{"report", run, "--format", "csv", "--out", run + "/report.csv"}, samples, inside},
      {{"report", "--gate", catalog, "--format", "junit", "--out", catalog}, catalog, same},
      {{"history", "export", "--db", history, "--out", history}, history, same},
      {{"history", "plot", "--db", history, "--out", history}, history, same},
      {{"prices", "import", catalog, "--provider", "a", "--source", "b", "--out", catalog}, catalog, same},
      {{"prices", "import", catalog, "--provider", "a", "--source", "b", "--out", link}, catalog, same},
      {{"prices", "import", catalog, "--provider", "a", "--source", "b", "--out", other_name}, catalog, same},
      {{"prompts", "import", recorded, "--format", "text", "--out", recorded}, recorded, same},
      {{"fit", "Llama-3.1-8B", "--prices", catalog, "--out", catalog}, catalog, same},
      {{"eval", bundle(), "--ids", "1", "--logits", bundle() + "/manifest.yaml"}, bundle() + "/manifest.yaml", inside},
      {{"run", bundle(), "--waivers", recorded, "--trace", recorded}, recorded, same},
      {{"brief", run, "--prices", catalog, "--demand", recorded, "--out", run}, samples, inside}};
  for (const auto& [arguments, input, words] : cases) {
    CAPTURE(arguments);
    const std::string before = *read_file(input);
    check_refused(run_program(arguments), words);
    CHECK(*read_file(input) == before);
  }
}

TEST_CASE("three reports into one file at once: all succeed, and the file is one of them") {
  const ScratchFolder scratch;
  const std::string out = (scratch.path() / "report.html").string();
  std::vector<std::string> runs;
  std::vector<std::string> expected;
  for (int i = 0; i < 3; ++i) {
    runs.push_back(stored_run(scratch.path() / std::to_string(i), 4 + i));
    expected.push_back(run_program({"report", runs.back(), "--format", "html"}).out);
  }
  for (int round = 0; round < 8; ++round) {
    std::vector<std::future<ProgramRun>> reports;
    for (const std::string& run : runs) {
      reports.push_back(std::async(std::launch::async, [&out, run] {
        return run_program({"report", run, "--format", "html", "--out", out});
      }));
    }
    for (std::future<ProgramRun>& running : reports) {
      const ProgramRun report = running.get();
      CAPTURE(report.err);
      REQUIRE(report.status == 0);
    }
    const std::string content = read_file(out).value();
    REQUIRE(std::ranges::find(expected, content) != expected.end());
  }
  CHECK(list_folder(scratch.path()).value().size() == 4);
}

TEST_CASE("two runs into one --out at once: one has the folder, and the other is refused") {
  const ScratchFolder scratch;
  const std::string out = (scratch.path() / "run").string();
  std::vector<std::future<ProgramRun>> runs;
  for (int i = 0; i < 2; ++i) {
    runs.push_back(std::async(std::launch::async, [&out] {
      return run_program({"run", bundle(), "--backend", "reference", "--variant", "bf16", "--scenario",
                          "single-stream+requests=3@/2", "--repetitions", "1", "--out", out});
    }));
  }
  int n_refused = 0;
  for (std::future<ProgramRun>& running : runs) {
    const ProgramRun run = running.get();
    CAPTURE(run.status, run.err);
    const bool is_refused = contains(run.err, "another process") || contains(run.err, "found a run in it");
    // The run that is not refused succeeds, or is invalid (6) on a busy machine.
    CHECK((is_refused ? run.status == 2 : run.status == 0 || run.status == 6));
    n_refused += is_refused ? 1 : 0;
  }
  CHECK(n_refused == 1);
  const ProgramRun verified = run_program({"verify", out});
  CAPTURE(verified.out, verified.err);
  CHECK(verified.status == 0);
}

TEST_CASE("several processes clean one cache at once, and none fails") {
  const ScratchFolder scratch;
  const std::filesystem::path cache = scratch.path() / "cache" / "secondsource";
  const ProgramOptions options{.environment = {{"XDG_CACHE_HOME", (scratch.path() / "cache").string()}}};
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 3; ++i) {
      const std::string digit = std::to_string(i);
      const std::filesystem::path entry = cache / "bundles" / std::string(64, digit.front());
      std::filesystem::create_directories(entry / "folder");
      REQUIRE_OK(write_file(entry / "folder" / "file", "an extracted file"));
      std::filesystem::create_directories(cache / "packed");
      REQUIRE_OK(write_file(cache / "packed" / (digit + ".weight"), "packed weights"));
    }
    std::vector<std::future<ProgramRun>> cleaners;
    for (int i = 0; i < 4; ++i) {
      cleaners.push_back(std::async(std::launch::async, [&options] {
        return run_program({"cache", "clean", "--keep", "0"}, options);
      }));
    }
    for (std::future<ProgramRun>& running : cleaners) {
      const ProgramRun cleaner = running.get();
      CAPTURE(cleaner.out, cleaner.err);
      CHECK(cleaner.status == 0);
    }
    const auto left = list_files_below(cache);
    REQUIRE_OK(left);
    for (const std::filesystem::path& file : *left) CHECK((file.extension() == ".lock" || file.filename() == "lock"));
  }
}

TEST_CASE("an --out that no file or folder can have is refused before any work") {
  const ScratchFolder scratch;
  const std::string run = stored_run(scratch.path() / "run", 4);
  const std::string file = (scratch.path() / "file").string();
  REQUIRE_OK(write_file(file, "precious"));
  check_refused(run_program({"run", bundle(), "--out", file}), "expected a folder for the run, found a file");
  check_refused(run_program({"run", bundle(), "--out", file + "/run"}), "found a file");
  check_refused(run_program({"run", bundle(), "--out", (scratch.path() / "new").string(), "--trace", run}),
                "found a folder");
  check_refused(run_program({"ab", bundle(), "--out", file}), "found a file");
  const std::filesystem::path full = scratch.path() / "full";
  std::filesystem::create_directory(full);
  REQUIRE_OK(write_file(full / "prompts.yaml", "precious"));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"run", bundle(), "--out", full.string()},
                                             {"run", bundle(), "--out", full.string(), "--dry-run"},
                                             {"merge", run, "--out", full.string()}}) {
    check_refused(run_program(arguments),
                  "expected a new or an empty folder for the run, found \"prompts.yaml\" in it");
  }
  CHECK(list_folder(full).value().size() == 1);
  check_refused(run_program({"report", run, "--out", run}), "found a folder");
  check_refused(run_program({"report", run, "--out", file + "/x"}), "Not a directory");
  check_refused(run_program({"report", "absent", "--out", (scratch.path() / "no" / "x").string()}), "No such file");
  CHECK(*read_file(file) == "precious");
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "new"));
}

TEST_CASE("a name that is not UTF-8 is refused before any work") {
  const ScratchFolder scratch;
  const std::string name = (scratch.path() / "caf\xe9").string();
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"run", bundle(), "--out", name},
                                             {"run", name},
                                             {"run", "--resume", name},
                                             {"report", name},
                                             {"bundle", "verify", name},
                                             {"history", "list", "--db", name}}) {
    check_refused(run_program(arguments), "expected UTF-8");
  }
  CHECK(list_folder(scratch.path()).value().empty());
}

TEST_CASE("a program in a folder whose name is not UTF-8 says so, and not that it has no backends") {
  const ScratchFolder scratch;
  REQUIRE(::chmod(scratch.path().c_str(), 0777) == 0);
  const std::filesystem::path folder = scratch.path() / "caf\xe9";
  std::filesystem::create_directory(folder);
  std::filesystem::copy_file(program_path(), folder / "secondsource");
  const ProgramRun run = run_as_somebody({"backends"}, scratch.path(), RLIM_INFINITY, folder / "secondsource");
  CHECK(run.status == 2);
  CHECK(is_one_line(run.err));
  CHECK(contains(run.err, "the program: expected a name in UTF-8"));
}

TEST_CASE("a folder that may not be read or written is one line, and no exception") {
  const ScratchFolder scratch;
  REQUIRE(::chmod(scratch.path().c_str(), 0777) == 0);
  const std::filesystem::path closed = scratch.path() / "closed";
  stored_run(closed, 4);
  REQUIRE(::chmod(closed.c_str(), 0) == 0);
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"run", bundle(), "--out", closed.string()},
                                             {"run", bundle(), "--out", (closed / "run").string()},
                                             {"run", "--resume", closed.string()},
                                             {"run", closed.string()},
                                             {"report", closed.string()},
                                             {"verify", closed.string()},
                                             {"bundle", "verify", closed.string()},
                                             {"report", closed.string(), "--out", (closed / "x").string()},
                                             {"history", "list", "--db", (closed / "history.db").string()}}) {
    const ProgramRun run = run_as_somebody(arguments, scratch.path(), RLIM_INFINITY);
    CAPTURE(arguments.front(), run.err);
    CHECK(run.status == 2);
    CHECK(is_one_line(run.err));
    CHECK_FALSE(contains(run.err, "internal error"));
  }
  REQUIRE(::chmod(closed.c_str(), 0755) == 0);
}

TEST_CASE("a cache that may only be read is listed, and what is extracted in it is used") {
  const ScratchFolder scratch;
  REQUIRE(::chmod(scratch.path().c_str(), 0777) == 0);
  std::vector<HandMadeEntry> entries;
  for (const auto& item : std::filesystem::recursive_directory_iterator(bundle())) {
    if (!item.is_regular_file()) continue;
    const auto content = read_file(item.path());
    REQUIRE_OK(content);
    entries.push_back({.name = item.path().lexically_relative(bundle()).generic_string(), .data = *content});
  }
  const std::filesystem::path zip = scratch.path() / "tiny.zip";
  REQUIRE_OK(write_file(zip, zip_bytes(entries)));
  const std::string cache = (scratch.path() / "cache").string();
  const ProgramOptions options{.environment = {{"XDG_CACHE_HOME", cache}}};
  REQUIRE(run_program({"bundle", "verify", zip.string()}, options).status == 0);
  for (const auto& item : std::filesystem::recursive_directory_iterator(cache)) {
    REQUIRE(::chmod(item.path().c_str(), item.is_directory() ? 0555 : 0444) == 0);
  }
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"cache", "list"}, {"bundle", "verify", zip.string()}}) {
    std::vector<std::string> arguments = {"XDG_CACHE_HOME=" + cache, program_path().string()};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const ProgramRun run = run_as_somebody(arguments, scratch.path(), RLIM_INFINITY, "/usr/bin/env");
    CAPTURE(words.front(), run.err);
    CHECK(run.status == 0);
    CHECK_FALSE(contains(run.err, "cannot"));
  }
  for (const auto& item : std::filesystem::recursive_directory_iterator(cache)) {
    if (item.is_directory()) REQUIRE(::chmod(item.path().c_str(), 0755) == 0);
  }
}

TEST_CASE("a limit on processes that a run cannot keep is said before any work") {
  const ScratchFolder scratch;
  REQUIRE(::chmod(scratch.path().c_str(), 0777) == 0);
  const ProgramRun run = run_as_somebody(
      {"run", bundle(), "--backend", "reference", "--out", (scratch.path() / "run").string()}, scratch.path(), 2);
  CAPTURE(run.err);
  CHECK(run.status == 2);
  CHECK(is_one_line(run.err));
  CHECK(contains(run.err, "ulimit -u"));
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "run"));
}

TEST_CASE("a history that may not be written is bad input, and stays as it is") {
  const ScratchFolder scratch;
  REQUIRE(::chmod(scratch.path().c_str(), 0777) == 0);
  const std::filesystem::path run = scratch.path() / "run";
  stored_run(run, 4);
  const std::filesystem::path folder = scratch.path() / "histories";
  std::filesystem::create_directory(folder);
  const std::string database = (folder / "history.db").string();
  REQUIRE(run_program({"history", "add", run.string(), "--db", database}).status == 0);
  const std::string before = *read_file(database);
  const bool is_of_folder = GENERATE(false, true);
  REQUIRE(::chmod(folder.c_str(), is_of_folder ? 0555 : 0777) == 0);
  REQUIRE(::chmod(database.c_str(), is_of_folder ? 0666 : 0444) == 0);
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"history", "add", run.string(), "--db", database}, {"history", "prune", "--keep", "1", "--db", database}}) {
    const ProgramRun refused = run_as_somebody(arguments, scratch.path(), RLIM_INFINITY);
    CAPTURE(arguments[1], is_of_folder, refused.err);
    CHECK(refused.status == 2);
    CHECK(is_one_line(refused.err));
    CHECK(contains(refused.err, "history.db: expected a history that may be written: "));
  }
  CHECK(*read_file(database) == before);
  REQUIRE(::chmod(folder.c_str(), 0755) == 0);
}
