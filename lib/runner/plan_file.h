#pragma once
// Reads secondsource.yaml, the plan of a run or of a comparison, which is committed beside the code whose performance it
// guards (reports/schemas/plan.schema.json). Flags override the file. Its relative paths start at the file's folder.

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "runner/run_request.h"

namespace secondsource {

/// The prefix of the name of a bundle that is installed with the program and is not a path: "installed:default".
inline constexpr std::string_view kInstalledBundle = "installed:";

inline constexpr std::int64_t kMostPairsPerStart = 400;

/// With less private memory a worker would die before it could report that it has too little.
inline constexpr std::int64_t kLeastMemoryMax = std::int64_t{16} << 20;

/// Settings for the gate of `run --baseline` and `ab`.
struct PlanGate {
  double threshold_percent = 10;
  std::filesystem::path waivers;  ///< empty: none
  std::filesystem::path baseline;
  bool allow_inconclusive = false;
  bool allow_unverified = false;
  bool opportunistic = false;          ///< opportunistic variants decide, too
  std::int64_t max_pairs = 0;          ///< of `ab`; 0: its default
  std::filesystem::path timed_bundle;  ///< of `ab`; empty: it chooses one
  bool alternate = false;              ///< of `ab`: servers that do not fit at once run one after the other
  std::int64_t pairs_per_start = 0;    ///< of `ab`: after so many pairs both servers are started anew; 0: its default
};

struct PlanFile {
  RunRequest request;
  PlanGate gate;
  std::optional<std::string> price;  ///< in the syntax of --price
  std::string price_per = "instance";
  std::filesystem::path price_book;
  std::filesystem::path out;
};

/// Checks every key; an unknown key or a value out of range is an error that names its line. Errors: kInvalidInput,
/// kIo.
Result<PlanFile> read_plan_file(const std::filesystem::path& path);
/// Parses the text of a plan whose relative paths start at the folder of `path`.
Result<PlanFile> parse_plan(std::string_view text, const std::filesystem::path& path);

/// Parses "8GiB", "512MiB" or "1000000" to bytes. Errors: kInvalidInput.
Result<std::int64_t> parse_bytes(std::string_view text);
/// Parses the limit on a worker's memory, as parse_bytes(). Errors: kInvalidInput, also below kLeastMemoryMax.
Result<std::int64_t> parse_memory_max(std::string_view text);
/// Parses "90s", "5min", "2h" or "45" to seconds. Errors: kInvalidInput.
Result<double> parse_seconds(std::string_view text);
/// Parses the value of a flag, whose name an error begins with. Errors: kInvalidInput.
Result<double> parse_seconds_flag(const char* flag, std::string_view text);
/// Parses flags such as "cpu=slow:50" to {"cpu", "slow:50"}. Errors: kInvalidInput, also for a fault that is not known
/// (fault/fault.h), and for two faults of one backend, which can have only one.
Result<std::vector<std::pair<std::string, std::string>>> parse_fault_flags(const std::vector<std::string>& texts);
/// "2/4": the second of four clients that load the same servers at the same time. Errors: kInvalidInput.
Result<LoadClient> parse_client_flag(std::string_view text);
/// Parses an option like "cpu:kv=int8". Errors: kInvalidInput, also for an option that has a flag of its own.
Result<BackendOption> parse_backend_option_flag(std::string_view text);
/// Parses all options of a command line. Errors: kInvalidInput, also for an option of a backend that is given twice.
Result<std::vector<BackendOption>> parse_backend_option_flags(std::span<const std::string> texts);

/// Parses "cuda=1" to {"cuda", "1"} and "1" to {"", "1"}. Errors: kInvalidInput.
Result<std::pair<std::string, std::string>> parse_device_flag(std::string_view text);

}  // namespace secondsource
