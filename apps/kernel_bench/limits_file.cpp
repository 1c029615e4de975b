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
constexpr std::array<std::pair<const char*, std::optional<LimitSamples> MachineLimits::*>, 4> kSometimes{{
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
    if (limits.*member) add(name, *(limits.*member));
  }
  return text;
}

}  // namespace secondsource
