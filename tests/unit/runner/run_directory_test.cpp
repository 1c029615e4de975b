// Tests of run_directory.h: who may begin and continue a run, and what is read when.

#include "runner/run_directory.h"

#include <signal.h>
#include <sys/resource.h>

#include "core/file.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

Result<void> nothing_against(const RunRecord&) {
  return {};
}

}  // namespace

TEST_CASE("of two processes that begin a run in one folder, one has it and the other changes nothing") {
  const ScratchFolder scratch;
  const RunRecord record = hand_made_record(1);
  RunRecord other = record;
  other.run_id = "fedcba9876543210";
  auto first = RunDirectory::create(scratch.path() / "run", record);
  REQUIRE_OK(first);
  CHECK_ERROR(RunDirectory::create(scratch.path() / "run", other), ErrorCode::kInvalidInput, "another process");
  CHECK(RunDirectory::read_record(scratch.path() / "run")->run_id == record.run_id);
  { const RunDirectory ended = std::move(*first); }
  CHECK_ERROR(RunDirectory::create(scratch.path() / "run", other), ErrorCode::kInvalidInput, "found a run in it");
  CHECK_ERROR(RunDirectory::check_free(scratch.path() / "run"), ErrorCode::kInvalidInput, "found a run in it");
  CHECK(RunDirectory::read_record(scratch.path() / "run")->run_id == record.run_id);
}

TEST_CASE("a process that died before it wrote run.json leaves the folder free") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "samples.jsonl", ""));
  std::filesystem::create_directories(scratch.path() / "workers");
  std::filesystem::create_directories(scratch.path() / "servers");
  REQUIRE_OK(RunDirectory::check_free(scratch.path()));
  REQUIRE_OK(RunDirectory::check_nothing_foreign(scratch.path()));
  REQUIRE_OK(RunDirectory::create(scratch.path(), hand_made_record(1)));
  CHECK_ERROR(RunDirectory::check_nothing_foreign(scratch.path()), ErrorCode::kInvalidInput, "found a run in it");
}

TEST_CASE("a place that cannot be a run's folder is refused before any work") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "file", "x"));
  CHECK_ERROR(RunDirectory::check_free(scratch.path() / "file"), ErrorCode::kInvalidInput, "found a file");
  CHECK_ERROR(RunDirectory::check_free(scratch.path() / "file" / "run"), ErrorCode::kInvalidInput, "found a file");
  REQUIRE_OK(RunDirectory::check_free(scratch.path() / "new" / "run"));
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "new"));
}

TEST_CASE("a folder that has something else is no place for a run") {
  const ScratchFolder scratch;
  REQUIRE_OK(RunDirectory::check_nothing_foreign(scratch.path()));
  REQUIRE_OK(RunDirectory::check_nothing_foreign(scratch.path() / "absent"));
  REQUIRE_OK(write_file(scratch.path() / "notes.txt", "x"));
  CHECK_ERROR(RunDirectory::check_nothing_foreign(scratch.path()), ErrorCode::kInvalidInput,
              "found \"notes.txt\" in it");
}

TEST_CASE("what another process appends before the lock is free is not cut off by a resumption") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  const Journal journal = hand_made_journal(2, 3);
  std::size_t n_seen = 0;
  {
    auto first = RunDirectory::create(folder, hand_made_record(2));
    REQUIRE_OK(first);
    REQUIRE_OK(first->append(std::span(journal.lines).first(2)));
    CHECK_ERROR(RunDirectory::resume(folder, nothing_against), ErrorCode::kInvalidInput, "another process");
    REQUIRE_OK(first->append(std::span(journal.lines).subspan(2)));
  }
  {
    auto second = RunDirectory::resume(folder, [&](const RunRecord& record) {
      n_seen = record.cells.size();
      return Result<void>();
    });
    REQUIRE_OK(second);
    CHECK(second->lines().size() == journal.lines.size());
    CHECK(second->record().resumed_utc.size() == 1);
  }
  CHECK(n_seen == 2);
  const auto stored = read_run(folder);
  REQUIRE_OK(stored);
  CHECK(stored->journal.lines.size() == journal.lines.size());
  CHECK(stored->has_checksums);
}

TEST_CASE("a resumption that its check refuses changes nothing") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  const Journal journal = hand_made_journal(1, 3);
  REQUIRE_OK(RunDirectory::create(folder, hand_made_record(1)).value().append(journal.lines));
  const std::string torn = read_file(folder / "samples.jsonl").value() + "{\"type\":\"sam";
  REQUIRE_OK(write_file(folder / "samples.jsonl", torn));
  const std::string record = read_file(folder / "run.json").value();
  CHECK_ERROR(RunDirectory::resume(folder,
                                   [](const RunRecord&) -> Result<void> {
                                     return Error{ErrorCode::kNotComparable, "another machine"};
                                   }),
              ErrorCode::kNotComparable, "another machine");
  CHECK(*read_file(folder / "samples.jsonl") == torn);
  CHECK(*read_file(folder / "run.json") == record);
  CHECK_ERROR(RunDirectory::resume(scratch.path() / "absent", nothing_against), ErrorCode::kInvalidInput,
              "found nothing");
}

TEST_CASE("a run that an earlier version wrote has no checksums, can be read and continued, and says so") {
  const ScratchFolder scratch;
  const Journal journal = hand_made_journal(2, 3);
  std::string text;
  for (const JournalLine& line : journal.lines) text += to_json_line(line) + "\n";
  REQUIRE_OK(write_file(scratch.path() / "run.json", to_json(hand_made_record(2))));
  REQUIRE_OK(write_file(scratch.path() / "samples.jsonl", text));
  CHECK_FALSE(read_run(scratch.path()).value().has_checksums);
  {
    auto resumed = RunDirectory::resume(scratch.path(), nothing_against);
    REQUIRE_OK(resumed);
    REQUIRE_OK(resumed->append(std::span(journal.lines).first(1)));
  }
  const auto stored = read_run(scratch.path());
  REQUIRE_OK(stored);
  CHECK(stored->journal.lines.size() == journal.lines.size() + 1);
  CHECK_FALSE(stored->has_checksums);
  // An earlier version cannot have written a line without a checksum after one with a checksum.
  REQUIRE_OK(write_file(scratch.path() / "samples.jsonl", read_file(scratch.path() / "samples.jsonl").value() + text));
  CHECK_ERROR(read_run(scratch.path()), ErrorCode::kInvalidInput, "no checksum");
}

TEST_CASE(
    "a complete run without its samples is not measured anew, since its summary is the only copy of its figures") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  {
    auto run = RunDirectory::create(folder, hand_made_record(1));
    REQUIRE_OK(run);
    REQUIRE_OK(run->append(hand_made_journal(1, 3).lines));
    REQUIRE_OK(run->write_summary());
  }
  const std::string record = *read_file(folder / "run.json");
  const std::string summary = *read_file(folder / "summary.json");
  std::filesystem::remove(folder / "samples.jsonl");
  const bool has_empty_journal = GENERATE(false, true);
  if (has_empty_journal) REQUIRE_OK(write_file(folder / "samples.jsonl", "{\"type\":\"sam"));
  CHECK_ERROR(RunDirectory::resume(folder, nothing_against), ErrorCode::kInvalidInput,
              "found none beside the summary.json");
  CHECK(std::filesystem::exists(folder / "samples.jsonl") == has_empty_journal);
  CHECK(*read_file(folder / "run.json") == record);
  CHECK(*read_file(folder / "summary.json") == summary);
}

TEST_CASE("a line of telemetry that did not fit on the disk leaves no part behind, and neither does a crash") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  const std::filesystem::path file = folder / "telemetry.jsonl";
  const TelemetrySnapshot snapshot{.at_ns = 1, .readings = {{"power_w", 3.5, ""}}};
  std::string line;
  {
    auto run = RunDirectory::create(folder, hand_made_record(1));
    REQUIRE_OK(run);
    REQUIRE_OK(run->append_telemetry("a/b", snapshot));
    line = *read_file(file);
    // A limit on the file's size simulates a full disk: only half of the second line fits.
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit limited{line.size() + line.size() / 2, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
    const auto does_not_fit = run->append_telemetry("a/b", snapshot);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK_ERROR(does_not_fit, ErrorCode::kIo, "telemetry.jsonl");
    CHECK(*read_file(file) == line);
  }
  REQUIRE_OK(write_file(file, line + line.substr(0, line.size() / 2)));
  auto resumed = RunDirectory::resume(folder, nothing_against);
  REQUIRE_OK(resumed);
  REQUIRE_OK(resumed->append_telemetry("a/b", snapshot));
  CHECK(*read_file(file) == line + line);
}
