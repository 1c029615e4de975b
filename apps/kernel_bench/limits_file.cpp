#include "limits_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "core/counted.h"
#include "core/file.h"
#include "record/json_codec.h"
#include "record/roofline.h"

namespace secondsource::kernel_bench {
namespace {

constexpr const char* kSchema = "secondsource.machine-limits.v2";

std::string line(std::string_view name, const LimitSamples& samples) {
  return fmt::format("  {:<36} {:8.1f} ({:.1f}) G\n", name, samples.best / 1e9, samples.median / 1e9);
}

}  // namespace

std::string limits_to_json(const MachineLimits& limits) {
  json_codec::OrderedJson json;
  json["schema"] = kSchema;
  json["limits"] = json_codec::to_tree(limits);
  return json.dump(2) + "\n";
}

Result<MachineLimits> read_limits(const std::filesystem::path& file) {
  SS_TRY(const std::string text, read_file(file));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("schema", nlohmann::json()) != kSchema || !json.contains("limits")) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected machine limits as --save-limits writes them ({})", file.string(), kSchema)};
  }
  return json_codec::from_tree<MachineLimits>(json["limits"], file.string());
}

namespace {

std::string limits_to_text(const MachineLimits& limits, std::string text) {
  for (const ReadLimit& read : limits.reads) {
    text += fmt::format("  read of {:>6} KiB {:8.1f} GB/s\n", read.buffer_bytes >> 10, read.bytes_per_s / 1e9);
  }
  const auto add_operations = [&text](const char* name, std::optional<double> rate) {
    if (rate) text += fmt::format("  {:<18} {:8.1f} G/s\n", name, *rate / 1e9);
  };
  add_operations("f32 operations", limits.f32_flops);
  add_operations("bf16 operations", limits.bf16_flops);
  add_operations("int8 operations", limits.int8_ops);
  add_operations("int4 by int8", limits.int4_ops);
  if (!limits.unmeasured.empty()) {
    text += fmt::format("  not measured: {}, so the limit of operations is not known\n", limits.unmeasured);
  }
  if (const std::string caveat = limits_caveat(limits); !caveat.empty()) text += fmt::format("  {}\n", caveat);
  return text;
}

}  // namespace

std::string limits_to_text(const MachineLimits& limits) {
  return limits_to_text(limits,
                        fmt::format("{}, {} loops\n", counted(limits.n_threads, "thread"), limits.instruction_set));
}

double memory_read_rate(const MachineLimits& device) {
  return device.reads.empty() ? 0.0 : device.reads.back().bytes_per_s;
}

std::string device_limits_to_text(const MachineLimits& limits) {
  return limits_to_text(limits,
                        fmt::format("{}, {}\n", counted(limits.n_threads, "processor"), limits.instruction_set));
}

std::string details_to_text(const LimitDetails& details) {
  std::string text = fmt::format("details, {} MiB read per repetition; best (median)\n", details.buffer_bytes >> 20);
  for (const DetailedRate& rate : details.rates) {
    text += line(fmt::format("{}, threads: {}", rate.name, rate.n_threads), rate.per_s);
  }
  if (!details.has_mapped_file) text += "  mapped file: not available: no temporary file could be written\n";
  if (details.barrier_ns) {
    text += fmt::format("  {:<36} {:8.0f} ({:.0f}) ns\n", "barrier of all threads", details.barrier_ns->best,
                        details.barrier_ns->median);
  }
  return text;
}

std::string device_limits_to_json(const std::vector<DeviceLimits>& limits) {
  nlohmann::json devices = nlohmann::json::array();
  for (const DeviceLimits& one : limits) {
    devices.push_back({{"backend", one.backend},
                       {"device", one.device},
                       {"read_bytes_per_s", memory_read_rate(one.limits)},
                       {"limits", nlohmann::json(json_codec::to_tree(one.limits))}});
  }
  return nlohmann::json{{"schema", "secondsource.device-limits.v1"}, {"devices", devices}}.dump(2) + "\n";
}

std::string moment_to_json(const MachineMoment& moment) {
  return nlohmann::json{{"schema", "secondsource.machine-moment.v1"},
                        {"read_bytes_per_s", moment.read_bytes_per_s},
                        {"f32_flop_per_s", moment.f32_flops}}
             .dump() +
         "\n";
}

}  // namespace secondsource::kernel_bench
