// Tests that no damage to a stored run changes a figure silently: each flipped bit is detected, or leaves every figure as it was.

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/random.h"
#include "core/seal.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "unit/summary/sample_run.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// The three files of a run, as a run writes them.
void write_run(const std::filesystem::path& folder) {
  const RunRecord record = hand_made_record(3);
  const Journal journal = hand_made_journal(3, 8);
  std::string lines;
  for (const JournalLine& line : journal.lines) lines += sealed(to_json_line(line)) + "\n";
  REQUIRE_OK(write_record(folder / "run.json", record));
  REQUIRE_OK(write_file(folder / "samples.jsonl", lines));
  REQUIRE_OK(write_record(folder / "summary.json", summarize(record, journal)));
}

/// Everything that can be read from a run: the records and the figures derived from them. Errors: those of the readers.
Result<std::string> figures_of(const std::filesystem::path& folder) {
  SS_TRY(const SummarizedRun run, read_summarized_run(folder));
  SS_TRY(const std::string text, read_file(folder / "summary.json"));
  SS_TRY(const RunSummary summary, run_summary_from_json(text, "summary.json"));
  return to_json(run.record) + to_json(run.summary) + to_json(summary);
}

}  // namespace

TEST_CASE("of single flipped bits in the files of a run none changes a figure silently") {
  const ScratchFolder scratch;
  write_run(scratch.path());
  const auto expected = figures_of(scratch.path());
  REQUIRE_OK(expected);
  RandomStream random(20261121);
  constexpr int kFlipsPerFile = 400;
  int n_refused = 0;
  for (const char* name : {"run.json", "samples.jsonl", "summary.json"}) {
    const std::filesystem::path path = scratch.path() / name;
    const std::string good = read_file(path).value();
    for (int i = 0; i < kFlipsPerFile; ++i) {
      const std::uint64_t bit = random.next_below(8 * good.size());
      std::string damaged = good;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      REQUIRE_OK(write_file(path, damaged));
      const auto found = figures_of(scratch.path());
      CAPTURE(name, bit / 8, bit % 8);
      if (found) {
        REQUIRE(*found == *expected);
      } else {
        REQUIRE(found.error().code == ErrorCode::kInvalidInput);
        REQUIRE(found.error().message.find('\n') == std::string::npos);
        ++n_refused;
      }
    }
    REQUIRE_OK(write_file(path, good));
  }
  // The few undetected flips change a blank, or the name of the member that holds the checksum.
  CHECK(n_refused > 3 * kFlipsPerFile * 9 / 10);
}

TEST_CASE("a last line whose newline is damaged is not taken for one that was cut off") {
  const std::string line =
      sealed("{\"type\":\"failure\",\"backend\":\"cpu\",\"cell\":\"\",\"kind\":\"crash\",\"message\":\"m\"}");
  CHECK(journal_from_text(line + "\n", "samples.jsonl").value().lines.size() == 1);
  const auto cut = journal_from_text(line + "\n" + line, "samples.jsonl");
  REQUIRE_OK(cut);
  CHECK(cut->lines.size() == 1);
  CHECK(cut->torn_tail);
  CHECK_ERROR(journal_from_text(line + "\x0b", "samples.jsonl"), ErrorCode::kInvalidInput, "samples.jsonl:1: damaged");
}
