#include "runner/journal.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/file.h"
#include "core/seal.h"
#include "runner/finished_work.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

PlannedCell cell(ScenarioKind kind) {
  PlannedCell planned;
  planned.scenario.kind = kind;
  planned.scenario.batch = 4;
  planned.scenario.rate_per_s = 1;
  planned.key = {"b", "cpu", "bf16", planned.scenario.name()};
  planned.repetitions = 2;
  return planned;
}

RequestSample sample_of(const PlannedCell& planned, std::int32_t repetition, std::int32_t request) {
  RequestSample sample;
  sample.cell = planned.key.id();
  sample.repetition = repetition;
  sample.request = request;
  sample.n_output_tokens = 5;
  sample.last_token_ns = 100 * (request + 1);
  sample.finish = RequestFinish::kLength;
  return sample;
}

Repetition end_of(const PlannedCell& planned, std::int32_t repetition) {
  Repetition end;
  end.cell = planned.key.id();
  end.repetition = repetition;
  return end;
}

std::string text_of(const std::vector<JournalLine>& lines) {
  std::string text;
  for (const JournalLine& line : lines) text += to_json_line(line) + "\n";
  return text;
}

TEST_CASE("a journal torn at any byte resumes with whole units only, and never twice") {
  const PlannedCell single = cell(ScenarioKind::kSingleStream);
  const PlannedCell offline = cell(ScenarioKind::kOffline);
  const std::vector<PlannedCell> cells = {single, offline};
  const std::vector<JournalLine> lines = {sample_of(single, 0, 0),  sample_of(single, 0, 1),  end_of(single, 0),
                                          sample_of(offline, 0, 0), sample_of(offline, 0, 1), end_of(offline, 0),
                                          sample_of(offline, 1, 0), sample_of(offline, 1, 1), end_of(offline, 1)};
  const std::string text = text_of(lines);
  // survivors[n] is the number of lines that are kept when n lines are complete. The samples of an offline repetition
  // count only once the repetition has ended.
  const std::size_t survivors[] = {0, 1, 2, 3, 3, 3, 6, 6, 6, 9};
  std::size_t n_whole = 0;
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    if (cut > 0 && text[cut - 1] == '\n') ++n_whole;
    const auto state = read_journal_for_resume(std::string_view(text).substr(0, cut), "journal", cells);
    REQUIRE_OK(state);
    CAPTURE(cut, n_whole);
    REQUIRE(state->lines.size() == survivors[n_whole]);
    REQUIRE(text_of(state->lines) == text.substr(0, state->valid_bytes()));
  }
}

TEST_CASE("damage in the middle of a journal is refused with its line") {
  const PlannedCell single = cell(ScenarioKind::kSingleStream);
  const std::string line = text_of({sample_of(single, 0, 0)});
  CHECK_ERROR(read_journal_for_resume(line + "garbage\n" + line, "samples.jsonl", std::vector<PlannedCell>{single}),
              ErrorCode::kInvalidInput, "samples.jsonl:2");
}

TEST_CASE("a malformed last line with its newline is no torn line, and is refused with its number") {
  const PlannedCell single = cell(ScenarioKind::kSingleStream);
  const std::string line = text_of({sample_of(single, 0, 0)});
  CHECK_ERROR(read_journal_for_resume(line + "garbage\n", "samples.jsonl", std::vector<PlannedCell>{single}),
              ErrorCode::kInvalidInput, "samples.jsonl:2");
}

TEST_CASE("a block of zeros at the end is a torn line") {
  const PlannedCell single = cell(ScenarioKind::kSingleStream);
  const std::string line = text_of({sample_of(single, 0, 0)});
  const auto state =
      read_journal_for_resume(line + std::string(64, '\0') + "\n", "journal", std::vector<PlannedCell>{single});
  REQUIRE_OK(state);
  CHECK(state->valid_bytes() == line.size());
}

TEST_CASE("finished work is found in the lines") {
  const PlannedCell single = cell(ScenarioKind::kSingleStream);
  GoldenRecord golden;
  golden.bundle = "b";
  golden.backend = "cpu";
  golden.variant = "bf16";
  const FinishedWork finished({golden, sample_of(single, 0, 0), end_of(single, 0), sample_of(single, 1, 0),
                               sample_of(single, 1, 1),
                               FailureRecord{"cpu", "b/cpu/int8", FailureKind::kCrash, "boom"}});
  const std::string id = single.key.id();
  CHECK(finished.has_golden("b/cpu/bf16"));
  CHECK_FALSE(finished.has_golden("b/cpu/int8"));
  CHECK(finished.has_failed("b/cpu/int8"));
  CHECK(finished.has_repetition(id, 0));
  CHECK_FALSE(finished.has_repetition(id, 1));
  CHECK(finished.partial(id, 1).n_done == 2);
  CHECK(finished.partial(id, 1).clock_ns == 200);
  CHECK(finished.partial(id, 1).n_tokens == 10);
  CHECK(finished.partial(id, 2).n_done == 0);
}

TEST_CASE("a journal has one writer") {
  const test::ScratchFolder folder;
  auto first = JournalWriter::open(folder.path() / "samples.jsonl");
  REQUIRE_OK(first);
  CHECK_ERROR(JournalWriter::open(folder.path() / "samples.jsonl"), ErrorCode::kInvalidInput, "another process");
}

TEST_CASE("a line that does not fit on the disk is taken back") {
  const test::ScratchFolder folder;
  const auto path = folder.path() / "samples.jsonl";
  const PlannedCell single = cell(ScenarioKind::kSingleStream);
  const JournalLine line = sample_of(single, 0, 0);
  const std::string text = sealed(to_json_line(line)) + "\n";
  auto writer = JournalWriter::open(path);
  REQUIRE_OK(writer);
  // A limit on the file's size simulates a full disk: only half of the second line fits.
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit limited{text.size() + text.size() / 2, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
  const auto fits = writer->append(std::span(&line, 1));
  const auto does_not = writer->append(std::span(&line, 1));
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  // The cause is the limit, and not a full disk.
  CHECK_ERROR(does_not, ErrorCode::kIo, "samples.jsonl: cannot write a line: File too large");
  REQUIRE_OK(fits);
  CHECK(*read_file(path) == text);
  // The disk has room again.
  REQUIRE_OK(writer->append(std::span(&line, 1)));
  CHECK(*read_file(path) == text + text);
}

}  // namespace
}  // namespace secondsource
