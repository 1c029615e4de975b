#pragma once
// secondsource.yaml: a run's plan that is committed beside the code it guards (reports/schemas/plan.schema.json). Flags
// override it. Relative paths are relative to the file.

#include <filesystem>
#include <optional>
#include <string>

#include "core/result.h"
#include "runner/run_plan.h"

namespace secondsource {

/// What the gate of `run --baseline` uses.
struct PlanGate {
  double threshold_percent = 10;
  std::filesystem::path waivers;  ///< empty: none
  std::filesystem::path baseline;
  bool allow_inconclusive = false;
  bool allow_unverified = false;
};

struct PlanFile {
  RunRequest request;
  PlanGate gate;
  std::string price;  ///< as --price takes it; empty: none
  std::string price_per = "instance";
  std::filesystem::path price_book;
  std::filesystem::path out;
};

/// Every key is checked; what is unknown or out of range is refused with its line. Errors: kInvalidInput, kIo.
Result<PlanFile> read_plan_file(const std::filesystem::path& path);

/// "8GiB", "512MiB", "1000000": bytes. Errors: kInvalidInput.
Result<std::int64_t> parse_bytes(std::string_view text);
/// "90s", "5min", "2h", "45": seconds. Errors: kInvalidInput.
Result<double> parse_seconds(std::string_view text);
/// "cpu=slow:50" -> {"cpu", "slow:50"}. Errors: kInvalidInput.
Result<std::pair<std::string, std::string>> parse_fault_flag(std::string_view text);
/// "cpu:kv=int8". Errors: kInvalidInput, also for what has a flag of its own.
Result<BackendOption> parse_backend_option_flag(std::string_view text);

/// "cuda=1" -> {"cuda", "1"}; "1" -> {"", "1"}. Errors: kInvalidInput.
Result<std::pair<std::string, std::string>> parse_device_flag(std::string_view text);

}  // namespace secondsource
