#pragma once
// What a comparison of two programs leaves behind, as plain data: ab.json (AbRecord) and pairs.jsonl (a ProcessLine for
// every process that ran). docs/gate.md describes both.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "report/records.h"

namespace secondsource {

inline constexpr int kAbSchemaVersion = 1;

/// One side.
struct ArmRecord {
  std::string name{};     ///< "base" or "candidate"
  std::string program{};  ///< absolute path
  std::string program_sha256{};
  std::string revision{};                ///< git commit, when the program was built for this comparison
  std::vector<std::string> arguments{};  ///< added to each `run`: the setting under test
};

/// What one process measures: the scenarios of one backend in one variant.
struct AbStint {
  std::string backend{};
  std::string variant{};
  [[nodiscard]] std::string id() const { return backend + "/" + variant; }
};

/// A verdict on tokens, given once an arm before anything is timed.
struct AbGolden {
  std::string arm{};
  std::string backend{};
  std::string variant{};
  std::string verdict{};  ///< "passed", "failed", "unverified", "unavailable", or "not run" when the backend failed
  std::string reason{};
};

/// ab.json: written when the first pair may begin; rewritten only by --resume.
struct AbRecord {
  int schema_version = kAbSchemaVersion;
  std::string ab_id{};  ///< random, 16 hexadecimal digits
  std::string started_utc{};
  std::vector<std::string> resumed_utc{};
  std::vector<std::string> command{};
  std::uint64_t seed = 0;  ///< of who goes first, and of the prompts
  ArmRecord base{}, candidate{};
  std::string golden_bundle{};  ///< path
  std::string golden_bundle_sha256{};
  std::string timed_bundle{};
  std::string timed_bundle_sha256{};
  std::string suite{};
  std::vector<std::string> scenarios{};
  std::string cell_budget{};          ///< of a process, as `run --cell-budget` takes it
  std::vector<std::int64_t> looks{};  ///< numbers of pairs; the last is the planned maximum
  double threshold_percent = 0;
  std::vector<AbStint> stints{};
  std::vector<AbGolden> golden{};
  bool allow_unverified = false;  ///< also judge what has no independent expected outputs
};

/// One value of one cell: what the gate judges.
struct CellValue {
  CellKey cell{};
  std::string metric{};
  double seconds = 0;
};

/// The end of one process: a line of pairs.jsonl. A pair counts when both of its processes, of one attempt, did not
/// fail.
struct ProcessLine {
  std::int64_t pair = 0;     ///< from 0, within its stint
  std::int64_t attempt = 0;  ///< a pair is taken again when one of its processes failed
  std::string stint{};       ///< AbStint::id()
  std::string arm{};
  bool went_first = false;
  std::string run{};  ///< its run directory, relative to this folder
  std::string started_utc{};
  double wall_s = 0;
  std::optional<double> others_cpu_share{};
  std::vector<CellValue> values{};
  std::string failure{};  ///< empty: it is whole
};

[[nodiscard]] std::string to_json(const AbRecord& record);
/// One line, without the newline.
[[nodiscard]] std::string to_json_line(const ProcessLine& line);
Result<AbRecord> ab_record_from_json(std::string_view text, std::string_view name);
Result<ProcessLine> process_line_from_json(std::string_view text, std::string_view name);

/// A pairs.jsonl, or what is whole of it: a last line that was cut off is left out.
struct PairsFile {
  std::vector<ProcessLine> lines;
  std::size_t valid_bytes = 0;
};
Result<PairsFile> pairs_from_text(std::string_view text, std::string_view name);

}  // namespace secondsource
