// Lets each system call and each allocation of the writers of journals, caches and reports fail, write only half, or be
// the last one of its process. Afterwards the files on disk are whole, or are refused when they are read, but never wrong.
// Also lets two processes work on one run and stops each at every system call while the other continues; no data may be
// lost or mixed.

#include <signal.h>

#include <map>
#include <set>
#include <span>

#include "backend_kit/weight_cache.h"
#include "bundle/bundle_text.h"
#include "bundle/extraction_cache.h"
#include "bundle/outputs.h"
#include "bundle/prompt_suite.h"
#include "bundle/unfinished_attach.h"
#include "bundle/verify.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/seal.h"
#include "core/staging.h"
#include "disturbed_process.h"
#include "runner/run_directory.h"
#include "support/bundles.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/bundle/zip_bytes.h"
#include "unit/summary/sample_run.h"

namespace secondsource::test {
namespace {

namespace fs = std::filesystem;

const Journal kJournal = hand_made_journal(1, 3);

Result<void> nothing_against(const RunRecord&) {
  return {};
}

/// Appends the missing lines one by one and writes the summary.
Result<void> finish_run(RunDirectory run, const Acknowledge& acknowledge) {
  for (std::size_t i = run.lines().size(); i < kJournal.lines.size(); ++i) {
    SS_TRY_VOID(run.append(std::span(kJournal.lines).subspan(i, 1)));
    acknowledge();
  }
  SS_TRY_VOID(run.write_summary());
  return {};
}

Result<void> begin_run(const fs::path& folder, const Acknowledge& acknowledge) {
  SS_TRY(RunDirectory run, RunDirectory::create(folder, hand_made_record(1)));
  return finish_run(std::move(run), acknowledge);
}

Result<void> resume_run(const fs::path& folder, const Acknowledge& acknowledge) {
  SS_TRY(RunDirectory run, RunDirectory::resume(folder, nothing_against));
  return finish_run(std::move(run), acknowledge);
}

std::string line_text(std::size_t i) {
  return sealed(to_json_line(kJournal.lines[i])) + "\n";
}

/// A run with its first two lines and half of the third.
void write_torn_run(const fs::path& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  REQUIRE_OK(write_record(folder / "run.json", hand_made_record(1)));
  const std::string torn = line_text(2).substr(0, line_text(2).size() / 2);
  REQUIRE_OK(write_file(folder / "samples.jsonl", line_text(0) + line_text(1) + torn));
}

void check_prefix(const std::vector<JournalLine>& lines) {
  REQUIRE(lines.size() <= kJournal.lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) REQUIRE(to_json_line(lines[i]) == to_json_line(kJournal.lines[i]));
}

/// Checks a run whose writer was disturbed: it can be read, it has at least `n_lines` lines and no wrong ones, and it can
/// be resumed and finished.
void check_run(const fs::path& folder, std::size_t n_lines, bool is_done) {
  if (!path_exists(folder / "run.json")) {
    REQUIRE(n_lines == 0);
    REQUIRE_OK(begin_run(folder, [] {}));
  } else {
    const auto stored = read_run(folder);
    REQUIRE_OK(stored);
    check_prefix(stored->journal.lines);
    REQUIRE(stored->journal.lines.size() >= n_lines);
    if (is_done) REQUIRE(path_exists(folder / "summary.json"));
    REQUIRE_OK(resume_run(folder, [] {}));
  }
  const auto whole = read_run(folder);
  REQUIRE_OK(whole);
  check_prefix(whole->journal.lines);
  REQUIRE(whole->journal.lines.size() == kJournal.lines.size());
  REQUIRE_FALSE(whole->journal.torn_tail);
  const auto summary = run_summary_from_json(read_file(folder / "summary.json").value(), "summary.json");
  REQUIRE_OK(summary);
  REQUIRE(to_json(*summary) == to_json(summarize(whole->record, whole->journal)));
  const std::vector<fs::path> files = list_files_below(folder).value();
  for (const fs::path& file : files) REQUIRE_FALSE(is_staged_name(file.filename().string()));
}

struct Disturbance {
  ShimAction action;
  ShimTarget target;
};

constexpr Disturbance kDisturbances[] = {{ShimAction::kFail, ShimTarget::kSystemCalls},
                                         {ShimAction::kShortWrite, ShimTarget::kSystemCalls},
                                         {ShimAction::kDie, ShimTarget::kSystemCalls},
                                         {ShimAction::kFail, ShimTarget::kAllocations}};

/// Runs `operation` once for each place at which it can be disturbed, and calls check(process) after each run.
template <typename Prepare, typename Check>
void disturb_everywhere(const fs::path& folder, const Prepare& prepare, const Operation& operation, const Check& check,
                        std::span<const Disturbance> disturbances = kDisturbances) {
  for (const Disturbance& disturbance : disturbances) {
    ShimPlan plan{.action = ShimAction::kCount, .target = disturbance.target};
    prepare();
    DisturbedProcess counting(plan, folder.string(), operation);
    REQUIRE(counting.ending() == Ending::kDone);
    const long n_places = counting.n_calls();
    REQUIRE(n_places > 3);
    // If there are very many places, as for allocations, only every `step`-th one is tested.
    constexpr long kMostPlaces = 400;
    const long step = n_places / kMostPlaces + 1;
    plan.action = disturbance.action;
    for (plan.nth = 0; plan.nth < n_places; plan.nth += step) {
      prepare();
      DisturbedProcess process(plan, folder.string(), operation);
      CAPTURE(static_cast<int>(plan.action), static_cast<int>(plan.target), plan.nth, n_places,
              static_cast<int>(process.ending()));
      std::set<Ending> allowed = {Ending::kDone, Ending::kRefused};
      if (plan.action == ShimAction::kDie) allowed = {Ending::kKilled};
      if (plan.target == ShimTarget::kAllocations) allowed.insert({Ending::kOutOfMemory, Ending::kAborted});
      REQUIRE(allowed.contains(process.ending()));
      check(process);
    }
  }
}

TEST_CASE("a run that begins is whole or can be continued after any failure") {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  disturb_everywhere(
      scratch.path(), [&] { fs::remove_all(folder); },
      [&](const Acknowledge& acknowledge) { return begin_run(folder, acknowledge); },
      [&](DisturbedProcess& process) {
        check_run(folder, static_cast<std::size_t>(process.n_acknowledged()), process.ending() == Ending::kDone);
      });
}

TEST_CASE("a run that is continued is whole or can be continued after any failure") {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  disturb_everywhere(
      scratch.path(), [&] { write_torn_run(folder); },
      [&](const Acknowledge& acknowledge) { return resume_run(folder, acknowledge); },
      [&](DisturbedProcess& process) {
        check_run(folder, 2 + static_cast<std::size_t>(process.n_acknowledged()), process.ending() == Ending::kDone);
      });
}

TEST_CASE("a report is the old one or the new one after any failure, and no remains stay") {
  const ScratchFolder scratch;
  const fs::path path = scratch.path() / "report.html";
  const std::string before(5000, 'b');
  const std::string after(9000, 'a');
  disturb_everywhere(
      scratch.path(), [&] { REQUIRE_OK(write_file(path, before)); },
      [&](const Acknowledge&) { return write_file(path, after); },
      [&](DisturbedProcess& process) {
        const std::string found = read_file(path).value();
        REQUIRE((found == after || (found == before && process.ending() != Ending::kDone)));
        REQUIRE_OK(write_file(path, after));
        REQUIRE(list_folder(scratch.path()).value().size() == 1);
      });
}

TEST_CASE("packed weights are those that were stored, or absent, after any failure") {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "packed";
  std::vector<std::byte> stored(3'000'000);
  for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<std::byte>(i * 7919 >> 8);
  const std::span<const std::byte> piece(stored);
  const auto store = [&](const Acknowledge&) {
    return WeightCache(folder).store("key", std::span(&piece, 1), for_each_on_caller);
  };
  disturb_everywhere(
      scratch.path(), [&] { fs::remove_all(folder); }, store,
      [&](DisturbedProcess&) {
        std::vector<std::byte> loaded(stored.size());
        const std::span<std::byte> into(loaded);
        const auto found = WeightCache(folder).load("key", std::span(&into, 1), for_each_on_caller);
        REQUIRE_OK(found);
        if (*found) REQUIRE(loaded == stored);
        REQUIRE_OK(store({}));
        REQUIRE(clean_packed_weights(folder, 0).value().n_files == 1);
      });
}

// --- Interleavings ---------------------------------------------------------------------------------------------------
//
// In a schedule, process A runs up to its system call i, then B up to its call j, then A to its end, then B. All i and j
// are tried, with a reader between these four parts. Schedules with more switches cannot reach other states of the
// protocol: a process without the lock gives up, and one with the lock excludes the other.

std::string message_of(const JournalLine& line) {
  const auto* failure = std::get_if<FailureRecord>(&line);
  return failure == nullptr ? "" : failure->message;
}

/// Continues the run with one line that contains the writer's name.
Operation writer(const fs::path& folder, const std::string& name) {
  return [folder, name](const Acknowledge& acknowledge) -> Result<void> {
    SS_TRY(RunDirectory run, RunDirectory::resume(folder, nothing_against));
    const JournalLine line = FailureRecord{"cpu", "", FailureKind::kError, name};
    SS_TRY_VOID(run.append(std::span(&line, 1)));
    acknowledge();
    SS_TRY_VOID(run.write_summary());
    return {};
  };
}

/// Checks that a reader, at any time, sees only the original lines and whole lines of the writers.
void check_readable(const fs::path& folder) {
  const auto stored = read_run(folder);
  REQUIRE_OK(stored);
  REQUIRE(stored->journal.lines.size() >= 2);
  for (std::size_t i = 0; i < stored->journal.lines.size(); ++i) {
    const std::string message = message_of(stored->journal.lines[i]);
    const bool is_first = i < 2 && to_json_line(stored->journal.lines[i]) == to_json_line(kJournal.lines[i]);
    REQUIRE((is_first || message == "A" || message == "B"));
  }
}

struct Pair {
  Ending a;
  Ending b;
};

/// Runs a schedule. `a_has_more` and `b_has_more` tell whether A and B have enough system calls to reach i and j.
template <typename Look>
Pair run_schedule(const fs::path& folder, const Operation& a, const Operation& b, long i, long j, const Look& look,
                  bool& a_has_more, bool& b_has_more) {
  DisturbedProcess first({.action = ShimAction::kPause, .nth = i}, folder.string(), a);
  a_has_more = first.waits();
  look();
  DisturbedProcess second({.action = ShimAction::kPause, .nth = j}, folder.string(), b);
  b_has_more = second.waits();
  look();
  first.go_on();
  const Ending end_a = first.ending();
  look();
  second.go_on();
  return {end_a, second.ending()};
}

/// Calls check(pair) after each schedule of two processes.
template <typename Prepare, typename Look, typename Check>
int run_all_schedules(const fs::path& folder, const Prepare& prepare, const Operation& a, const Operation& b,
                      const Look& look, const Check& check) {
  int n_schedules = 0;
  bool a_has_more = true;
  for (long i = 0; a_has_more; ++i) {
    bool b_has_more = true;
    for (long j = 0; b_has_more; ++j) {
      CAPTURE(i, j);
      prepare();
      check(run_schedule(folder, a, b, i, j, look, a_has_more, b_has_more));
      ++n_schedules;
    }
  }
  return n_schedules;
}

Result<EncodedPrompts> encode(const Bundle& bundle, const GoldenPrompts& prompts) {
  SS_TRY(const BundleText text, BundleText::load(bundle));
  SS_TRY(EncodedSuite encoded, encode_prompts(prompts, "all", text, bundle.config().max_seq_len));
  EncodedPrompts ids;
  for (EncodedPrompt& prompt : encoded.prompts) ids.emplace(prompt.id, std::move(prompt.ids));
  return ids;
}

Result<void> attach(const fs::path& bundle, const fs::path& outputs) {
  SilentProgress progress;
  SS_TRY_VOID(
      attach_outputs({.bundle = bundle, .outputs = outputs, .replaces = true}, encode, progress, InterruptFlag()));
  return {};
}

void check_whole_bundle(const fs::path& folder) {
  SilentProgress progress;
  const InterruptFlag interrupt;
  const auto bundle = Bundle::open(folder, progress, interrupt);
  REQUIRE_OK(bundle);
  const auto findings = verify_bundle(*bundle, {}, progress, interrupt);
  REQUIRE_OK(findings);
  for (const Finding& finding : *findings) {
    CAPTURE(finding.message);
    REQUIRE(finding.severity != Severity::kFault);
  }
}

TEST_CASE(
    "a bundle to which outputs are attached is whole after the next attach, whatever failed before, and keeps what "
    "no attach wrote") {
  const ScratchFolder scratch;
  const fs::path bundle = scratch.path() / "bundle";
  const fs::path old = scratch.path() / "old";
  const fs::path outputs = scratch.path() / "outputs";
  // The old outputs have the same prompts in a file of another name.
  fs::copy(kTinyBundle, old, fs::copy_options::recursive);
  fs::rename(old / "prompts/conformance.yaml", old / "prompts/old-suite.yaml");
  Manifest manifest = *read_manifest_file(old);
  std::ranges::find(manifest.files, "prompts/conformance.yaml", &ManifestFile::path)->path = "prompts/old-suite.yaml";
  REQUIRE_OK(write_manifest_file(manifest, old));
  {
    SilentProgress progress;
    const auto tiny = Bundle::open(kTinyBundle, progress, InterruptFlag());
    REQUIRE_OK(tiny);
    REQUIRE_OK(write_outputs(*tiny, outputs, progress, InterruptFlag()));
  }
  const auto prepare = [&] {
    fs::remove_all(bundle);
    fs::copy(old, bundle, fs::copy_options::recursive);
  };
  // After a failure that is not the end of the process the folder is as after one that is, so only that is tested.
  constexpr Disturbance kEnds[] = {{ShimAction::kDie, ShimTarget::kSystemCalls}};
  bool is_attached_again = false;  // else the old outputs come back
  disturb_everywhere(
      bundle, prepare, [&](const Acknowledge&) { return attach(bundle, outputs); },
      [&](DisturbedProcess&) {
        is_attached_again = !is_attached_again;
        REQUIRE_OK(attach(bundle, is_attached_again ? outputs : old));
        check_whole_bundle(bundle);
        REQUIRE(fs::exists(bundle / "prompts/old-suite.yaml") == !is_attached_again);
      },
      kEnds);
  prepare();
  REQUIRE_OK(write_file(bundle / "prompts/notes.txt", "x"));
  REQUIRE_OK(attach(bundle, outputs));
  CHECK(fs::exists(bundle / "prompts/notes.txt"));
}

TEST_CASE("a record of an unfinished attach that names other files is refused, and they stay") {
  const ScratchFolder scratch;
  const fs::path bundle = scratch.path() / "bundle";
  fs::copy(kTinyBundle, bundle, fs::copy_options::recursive);
  REQUIRE_OK(write_file(scratch.path() / "mine", "x"));
  const std::string path = GENERATE("config.json", "prompts/../../mine", "../mine", "prompts", "");
  CAPTURE(path);
  REQUIRE_OK(write_file(bundle / kUnfinishedAttachFile, sha256_hex("x") + "  " + path + "\n"));
  CHECK_ERROR(attach(bundle, kTinyBundle), ErrorCode::kInvalidInput,
              "unfinished-attach.txt:1: expected a SHA-256 and a path below prompts or expected");
  CHECK(fs::exists(scratch.path() / "mine"));
  CHECK(fs::exists(bundle / "config.json"));
}

TEST_CASE("two processes that continue one run lose nothing, whenever each of them is delayed") {
  ::signal(SIGPIPE, SIG_IGN);
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  const int n_schedules = run_all_schedules(
      scratch.path(), [&] { write_torn_run(folder); }, writer(folder, "A"), writer(folder, "B"),
      [&] { check_readable(folder); },
      [&](const Pair& pair) {
        CAPTURE(static_cast<int>(pair.a), static_cast<int>(pair.b));
        REQUIRE((pair.a == Ending::kDone || pair.a == Ending::kRefused));
        REQUIRE((pair.b == Ending::kDone || pair.b == Ending::kRefused));
        REQUIRE((pair.a == Ending::kDone || pair.b == Ending::kDone));
        const auto stored = read_run(folder);
        REQUIRE_OK(stored);
        REQUIRE_FALSE(stored->journal.torn_tail);
        std::map<std::string, int> count;
        for (const JournalLine& line : stored->journal.lines) ++count[message_of(line)];
        REQUIRE(count[""] == 2);
        REQUIRE(count["A"] == (pair.a == Ending::kDone ? 1 : 0));
        REQUIRE(count["B"] == (pair.b == Ending::kDone ? 1 : 0));
        const std::size_t n_resumed = (pair.a == Ending::kDone ? 1U : 0U) + (pair.b == Ending::kDone ? 1U : 0U);
        REQUIRE(stored->record.resumed_utc.size() == n_resumed);
      });
  CHECK(n_schedules > 100);
}

TEST_CASE("of two processes that begin a run in one folder one has it, whenever each of them is delayed") {
  ::signal(SIGPIPE, SIG_IGN);
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  const auto beginner = [&](const std::string& name) -> Operation {
    return [&folder, name](const Acknowledge&) -> Result<void> {
      RunRecord record = hand_made_record(1);
      record.run_id = name;
      SS_TRY(RunDirectory run, RunDirectory::create(folder, record));
      const JournalLine line = FailureRecord{"cpu", "", FailureKind::kError, name};
      return run.append(std::span(&line, 1));
    };
  };
  const int n_schedules = run_all_schedules(
      scratch.path(), [&] { fs::remove_all(folder); }, beginner("A"), beginner("B"), [] {},
      [&](const Pair& pair) {
        CAPTURE(static_cast<int>(pair.a), static_cast<int>(pair.b));
        REQUIRE((pair.a == Ending::kDone) != (pair.b == Ending::kDone));
        const auto stored = read_run(folder);
        REQUIRE_OK(stored);
        REQUIRE(stored->record.run_id == (pair.a == Ending::kDone ? "A" : "B"));
        REQUIRE(stored->journal.lines.size() == 1);
        REQUIRE(message_of(stored->journal.lines.front()) == stored->record.run_id);
      });
  CHECK(n_schedules > 50);
}

TEST_CASE("an extracted zip is whole or absent after any failure, and two cleaners do not disturb each other") {
  const ScratchFolder scratch;
  const ScratchFolder elsewhere;
  const fs::path zip = elsewhere.path() / "b.zip";
  REQUIRE_OK(write_file(
      zip, zip_bytes({{.name = "manifest.yaml", .data = "a"}, {.name = "x/y", .data = std::string(999, 'y')}})));
  const auto extract = [&](const Acknowledge&) -> Result<void> {
    SilentProgress progress;
    const InterruptFlag interrupt;
    SS_TRY(const CacheLease lease, extract_to_cache(zip, progress, interrupt, {.cache = scratch.path()}));
    SS_TRY(const std::string y, read_file(lease.bundle_folder() / "x" / "y"));
    if (y != std::string(999, 'y')) return Error{ErrorCode::kInternal, "wrong content"};
    return {};
  };
  const auto clean = [&](const Acknowledge&) -> Result<void> {
    SS_TRY_VOID(clean_cache(scratch.path(), 0));
    return {};
  };
  const auto empty = [&] { fs::remove_all(scratch.path() / "bundles"); };
  disturb_everywhere(scratch.path(), empty, extract, [&](DisturbedProcess&) {
    REQUIRE_OK(extract({}));
    REQUIRE_OK(clean({}));
    const std::vector<fs::path> left = list_folder(scratch.path() / "bundles").value();
    for (const fs::path& entry : left) REQUIRE(entry.extension() == ".lock");
  });
  ::signal(SIGPIPE, SIG_IGN);
  run_all_schedules(
      scratch.path(), [&] { REQUIRE_OK(extract({})); }, clean, clean, [] {},
      [&](const Pair& pair) {
        REQUIRE(pair.a == Ending::kDone);
        REQUIRE(pair.b == Ending::kDone);
        REQUIRE(list_cache(scratch.path()).value().empty());
      });
}

}  // namespace
}  // namespace secondsource::test
