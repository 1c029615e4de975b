#include "limits_file.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/file.h"

namespace secondsource {
namespace {

constexpr std::array<std::pair<const char*, LimitSamples MachineLimits::*>, 6> kAlways{{
    {"read_1_small_bytes_per_s", &MachineLimits::read_1_small},
    {"read_1_huge_bytes_per_s", &MachineLimits::read_1_huge},
    {"read_all_small_bytes_per_s", &MachineLimits::read_all_small},
    {"read_all_huge_bytes_per_s", &MachineLimits::read_all_huge},
    {"f32_1_flop_per_s", &MachineLimits::f32_1},
    {"f32_all_flop_per_s", &MachineLimits::f32_all},
}};
constexpr std::array<std::pair<const char*, std::optional<LimitSamples> MachineLimits::*>, 7> kSometimes{{
    {"read_1_mapped_bytes_per_s", &MachineLimits::read_1_mapped},
    {"read_all_mapped_bytes_per_s", &MachineLimits::read_all_mapped},
    {"barrier_ns", &MachineLimits::barrier_ns},
    {"bf16_1_flop_per_s", &MachineLimits::bf16_1},
    {"bf16_all_flop_per_s", &MachineLimits::bf16_all},
    {"int8_1_op_per_s", &MachineLimits::int8_1},
    {"int8_all_op_per_s", &MachineLimits::int8_all},
}};

nlohmann::json to_json(const LimitSamples& samples) {
  return {{"best", samples.best}, {"median", samples.median}};
}

LimitSamples samples_from(const nlohmann::json& json) {
  return {.best = json.at("best").get<double>(), .median = json.at("median").get<double>()};
}

}  // namespace

std::string limits_to_json(const MachineLimits& limits) {
  nlohmann::json json{{"schema", "secondsource.machine-limits.v1"},
                      {"n_threads", limits.n_threads},
                      {"instruction_set", limits.instruction_set},
                      {"buffer_bytes", limits.buffer_bytes}};
  for (const auto& [name, member] : kAlways) json[name] = to_json(limits.*member);
  for (const auto& [name, member] : kSometimes) {
    if (limits.*member) json[name] = to_json(*(limits.*member));
  }
  for (const ThreadsRead& read : limits.read_huge) {
    json["read_huge"].push_back({{"n_threads", read.n_threads}, {"bytes_per_s", to_json(read.bytes_per_s)}});
  }
  for (const ReadLimit& read : limits.read_sizes) {
    json["read_sizes"].push_back({{"buffer_bytes", read.buffer_bytes}, {"bytes_per_s", read.bytes_per_s}});
  }
  return json.dump(2) + "\n";
}

Result<MachineLimits> read_limits(const std::filesystem::path& file) {
  SS_TRY(const std::string text, read_file(file));
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    MachineLimits limits;
    limits.n_threads = json.at("n_threads").get<int>();
    limits.instruction_set = json.at("instruction_set").get<std::string>();
    limits.buffer_bytes = json.at("buffer_bytes").get<std::size_t>();
    for (const auto& [name, member] : kAlways) limits.*member = samples_from(json.at(name));
    for (const auto& [name, member] : kSometimes) {
      if (json.contains(name)) limits.*member = samples_from(json.at(name));
    }
    for (const auto& read : json.value("read_huge", nlohmann::json::array())) {
      limits.read_huge.push_back({read.at("n_threads").get<int>(), samples_from(read.at("bytes_per_s"))});
    }
    for (const auto& read : json.value("read_sizes", nlohmann::json::array())) {
      limits.read_sizes.push_back({read.at("buffer_bytes").get<std::int64_t>(), read.at("bytes_per_s").get<double>()});
    }
    return limits;
  } catch (const nlohmann::json::exception& exception) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected machine limits as --save-limits writes them: {}",
                                                       file.string(), exception.what())};
  }
}

std::string limits_to_text(const MachineLimits& limits) {
  std::string text = fmt::format("{} threads, {} loops, {} MiB read; best (median)\n", limits.n_threads,
                                 limits.instruction_set, limits.buffer_bytes >> 20);
  const auto add = [&text](std::string_view name, const LimitSamples& samples) {
    text += fmt::format("  {:<28} {:8.1f} ({:.1f}) G\n", name, samples.best / 1e9, samples.median / 1e9);
  };
  for (const auto& [name, member] : kAlways) add(name, limits.*member);
  for (const auto& [name, member] : kSometimes) {
    if (limits.*member && member != &MachineLimits::barrier_ns) add(name, *(limits.*member));
  }
  if (!limits.read_1_mapped) text += "  mapped file: not available: no temporary file could be written\n";
  for (const ThreadsRead& read : limits.read_huge) {
    add(fmt::format("read, huge pages, threads: {}", read.n_threads), read.bytes_per_s);
  }
  for (const ReadLimit& read : limits.read_sizes) {
    text +=
        fmt::format("  read of {:>6} KiB, all threads {:8.1f} G\n", read.buffer_bytes >> 10, read.bytes_per_s / 1e9);
  }
  if (limits.barrier_ns) {
    text += fmt::format("  barrier of all threads       {:8.0f} ({:.0f}) ns\n", limits.barrier_ns->best,
                        limits.barrier_ns->median);
  }
  return text;
}

std::string device_limits_to_json(const std::vector<DeviceLimits>& limits) {
  nlohmann::json devices = nlohmann::json::array();
  for (const DeviceLimits& one : limits) {
    devices.push_back({{"backend", one.backend}, {"device", one.device}, {"read_bytes_per_s", one.read_bytes_per_s}});
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

}  // namespace secondsource
