#pragma once
// The files of a comparison of two programs as plain data: ab.json (AbRecord) and pairs.jsonl (one ProcessLine per
// process that ran). docs/gate.md describes both.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "core/result.h"
#include "record/golden_record.h"
#include "record/journal.h"
#include "record/scenario.h"
#include "record/schema_version.h"

namespace secondsource {

inline constexpr int kAbSchemaVersion = 1;

/// The two sides of a comparison.
enum class Arm : std::uint8_t { kBase, kCandidate };
SS_ENUM_NAMES(Arm, "base", "candidate")

/// What one side of a comparison is.
enum class ArmKind : std::uint8_t {
  kProgram,   ///< a secondsource program, with its own backends
  kEndpoint,  ///< a server that is there already
  kServer,    ///< a server that is started for the comparison
  kAdapter,   ///< a runtime behind an adapter
};
SS_ENUM_NAMES(ArmKind, "program", "endpoint", "server", "adapter")

/// How long a server that is started for a comparison lives.
enum class Sittings : std::uint8_t {
  kSideBySide,   ///< both sides' servers are up at once, for several pairs
  kAlternating,  ///< one at a time: each process has a server of its own
};
SS_ENUM_NAMES(Sittings, "side by side", "alternating")

/// One side of a comparison.
struct ArmRecord {
  Arm name = Arm::kBase;
  ArmKind kind = ArmKind::kProgram;
  std::string program{};  ///< absolute path
  std::string program_sha256{};
  std::string revision{};                ///< git commit, if the program was built for this comparison
  std::vector<std::string> arguments{};  ///< added to each `run`; they are the setting under test
  std::string modules{};                 ///< the folder whose backend modules go before the program's own; empty: none
  std::string system{};                  ///< what --base or --cand named, if it is no program
  std::string system_plan{};             ///< the plan of the system alone: a file in the comparison's folder
  std::string system_plan_sha256{};

  [[nodiscard]] bool is_system() const { return kind != ArmKind::kProgram; }
};
SS_FIELDS(ArmRecord, name, kind, program, program_sha256, revision, arguments, modules, system, system_plan,
          system_plan_sha256)
SS_ADDED_FIELDS(ArmRecord, kind, modules, system, system_plan, system_plan_sha256)

/// The work of one process: the scenarios of one backend in one variant.
struct AbStint {
  std::string backend{};
  std::string variant{};
  [[nodiscard]] std::string id() const { return backend + "/" + variant; }
};
SS_FIELDS(AbStint, backend, variant)

/// The verdict on the tokens of one arm, given once before anything is timed.
struct AbGolden {
  Arm arm = Arm::kBase;
  std::string backend{};
  std::string variant{};
  GoldenVerdict verdict = GoldenVerdict::kNotRun;
  std::string reason{};
  std::optional<VerdictLevel> level{};  ///< of a system that is not ours: how much of its answers was seen
  /// The backend does not support the variant and nobody named it, so that the cell is no part of the comparison.
  bool left_out = false;
};
SS_FIELDS(AbGolden, arm, backend, variant, verdict, reason, level, left_out)
SS_ADDED_FIELDS(AbGolden, level, left_out)

/// The content of ab.json, which is written before the first pair and rewritten only by --resume.
struct AbRecord {
  SchemaVersion<kAbSchemaVersion> schema_version{};
  std::string ab_id{};  ///< random, 16 hexadecimal digits
  std::string started_utc{};
  std::vector<std::string> resumed_utc{};
  std::vector<std::string> command{};
  std::uint64_t seed = 0;  ///< seed of the order within pairs and of the prompts
  ArmRecord base{}, candidate{};
  std::string golden_bundle{};  ///< path
  std::string golden_bundle_sha256{};
  std::string timed_bundle{};
  std::string timed_bundle_sha256{};
  std::string suite{};
  std::vector<std::string> scenarios{};
  std::string cell_budget{};          ///< per process, in the syntax of `run --cell-budget`
  double max_time_s = 0;              ///< no pair begins that would probably end later; 0 means no limit
  double prepared_s = 0;              ///< what was spent of it before the first pair
  std::vector<std::int64_t> looks{};  ///< numbers of pairs; the last is the planned maximum
  double threshold_percent = 0;
  std::vector<AbStint> stints{};
  std::vector<AbGolden> golden{};
  bool allow_unverified = false;  ///< judge bundles without independent expected outputs too
  /// Variants of the golden bundle that are timed and reported, but cannot fail the gate.
  std::vector<std::string> opportunistic{};
  Sittings sittings = Sittings::kSideBySide;  ///< of servers that are started
  std::int64_t pairs_per_start = 0;           ///< side by side: after so many pairs they are started anew
  std::vector<std::string> compared{};        ///< two systems: what is known to differ between them, one line each
  std::string waivers{};                      ///< path of the file with accepted regressions; empty: none
  bool allow_inconclusive = false;            ///< an inconclusive comparison ends with status 0
  /// Share in [0, 1] of all CPUs that others may take when the comparison begins or goes on.
  double max_others_share = 1;
  /// The side whose golden prompts the end of max_time_s cut short. Nothing was timed then, and of the base's end on,
  /// nothing judged.
  std::optional<Arm> golden_cut_short{};

  /// True for two systems, false for two programs: a comparison is of one kind.
  [[nodiscard]] bool is_of_systems() const { return base.is_system(); }
  [[nodiscard]] const ArmRecord& arm(Arm name) const { return name == Arm::kBase ? base : candidate; }
  [[nodiscard]] bool decides(std::string_view variant) const {
    return std::find(opportunistic.begin(), opportunistic.end(), variant) == opportunistic.end();
  }
};
SS_FIELDS(AbRecord, schema_version, ab_id, started_utc, resumed_utc, command, seed, base, candidate, golden_bundle,
          golden_bundle_sha256, timed_bundle, timed_bundle_sha256, suite, scenarios, cell_budget, looks,
          threshold_percent, stints, golden, allow_unverified, opportunistic, max_time_s, prepared_s, sittings,
          pairs_per_start, compared, waivers, allow_inconclusive, max_others_share, golden_cut_short)
SS_ADDED_FIELDS(AbRecord, opportunistic, max_time_s, prepared_s, sittings, pairs_per_start, compared, waivers,
                allow_inconclusive, max_others_share, golden_cut_short)

/// One value of one cell, as the gate judges it.
struct CellValue {
  CellKey cell{};
  std::string metric{};
  double seconds = 0;
};
SS_FIELDS(CellValue, cell, metric, seconds)

/// The result of one process: a line of pairs.jsonl. A pair counts when both processes of one attempt succeeded.
struct ProcessLine {
  std::int64_t pair = 0;     ///< index from 0 within the stint
  std::int64_t attempt = 0;  ///< a pair is measured again when one of its processes failed
  std::string stint{};       ///< AbStint::id()
  Arm arm = Arm::kBase;
  bool went_first = false;
  std::string run{};  ///< run directory, relative to the folder of pairs.jsonl
  std::string started_utc{};
  double wall_s = 0;
  std::optional<double> others_cpu_share{};
  std::vector<CellValue> values{};
  std::string failure{};  ///< empty: the process succeeded
  /// The start of the side's server that the process measured, counted from 0; empty if none was started.
  std::optional<std::int64_t> server_start{};
  double start_s = 0;  ///< of wall_s: what starting it took, in front of its first process
};
SS_FIELDS(ProcessLine, pair, attempt, stint, arm, went_first, run, started_utc, wall_s, others_cpu_share, values,
          failure, server_start, start_s)
SS_ADDED_FIELDS(ProcessLine, server_start, start_s)

[[nodiscard]] std::string to_json(const AbRecord& record);
/// Returns one line without the newline.
[[nodiscard]] std::string to_json_line(const ProcessLine& line);
Result<AbRecord> ab_record_from_json(std::string_view text, std::string_view name);
Result<ProcessLine> process_line_from_json(std::string_view text, std::string_view name);

/// Parses the whole text of a pairs.jsonl. Errors: kInvalidInput.
Result<LinesFile<ProcessLine>> pairs_from_text(std::string_view text, std::string_view name);

}  // namespace secondsource
