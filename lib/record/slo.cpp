#include "record/slo.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/number.h"
#include "core/utf8.h"
#include "stats/quantile.h"

namespace secondsource {
namespace {

struct Preset {
  std::string_view name;
  double ttft_ms;
  double tpot_ms;
};

// All presets require 99 % of the requests to keep the limits.
constexpr std::array<Preset, 8> kPresets = {{{"mlperf-llama2-70b-server", 2000, 200},
                                             {"mlperf-llama2-70b-interactive", 450, 40},
                                             {"mlperf-llama3.1-8b-server", 2000, 100},
                                             {"mlperf-llama3.1-8b-interactive", 500, 30},
                                             {"mlperf-llama3.1-405b-server", 6000, 175},
                                             {"mlperf-llama3.1-405b-interactive", 4500, 80},
                                             {"mlperf-deepseek-r1-server", 2000, 80},
                                             {"mlperf-deepseek-r1-interactive", 1500, 15}}};

bool parse_positive(std::string_view text, double& value) {
  return read_number(text, value) && value > 0 && value < 1e9;
}

}  // namespace

std::optional<Slo> slo_preset(std::string_view name) {
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return Slo{std::string(name), preset.ttft_ms, preset.tpot_ms, 99};
  }
  return std::nullopt;
}

std::string slo_preset_names() {
  std::string names;
  for (const Preset& preset : kPresets) names += (names.empty() ? "" : ", ") + std::string(preset.name);
  return names;
}

Result<Slo> parse_slo(std::string_view text) {
  if (auto preset = slo_preset(text)) return *std::move(preset);
  Slo slo;
  std::string_view rest = text;
  bool good = true;
  std::vector<std::string_view> keys;
  while (good && !rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const auto equals = std::min(part.find('='), part.size());
    const std::string_view key = part.substr(0, equals);
    if (std::ranges::find(keys, key) != keys.end()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("SLO {}: expected each limit once, found {} twice", in_quotes(text), shown(key))};
    }
    keys.push_back(key);
    double* const value = key == "ttft_ms"   ? &slo.ttft_ms
                          : key == "tpot_ms" ? &slo.tpot_ms
                          : key == "percent" ? &slo.percent
                                             : nullptr;
    good = value != nullptr && equals < part.size() && parse_positive(part.substr(equals + 1), *value);
  }
  if (!good || !(slo.ttft_ms > 0) || !(slo.tpot_ms > 0) || slo.percent >= 100) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("SLO {}: expected limits such as ttft_ms=500,tpot_ms=30 (percent=99 behind them is the "
                             "default), or one of {}",
                             in_quotes(text), slo_preset_names())};
  }
  slo.name = fmt::format("ttft_ms={:g},tpot_ms={:g},percent={:g}", slo.ttft_ms, slo.tpot_ms, slo.percent);
  return slo;
}

bool keeps(const RequestSample& sample, const Slo& slo) {
  constexpr double kNsPerMs = 1e6;
  const auto ttft_ns = sample.ttft_e2e_ns();
  if (!sample.error.empty() || !ttft_ns || static_cast<double>(*ttft_ns) > slo.ttft_ms * kNsPerMs) return false;
  const auto tpot_ns = sample.tpot_ns();
  return !tpot_ns || *tpot_ns <= slo.tpot_ms * kNsPerMs;
}

SloAttainment attainment(std::span<const RequestSample* const> samples, const Slo& slo) {
  SloAttainment result;
  for (const RequestSample* sample : samples) {
    ++result.n_requests;
    result.n_kept += keeps(*sample, slo) ? 1 : 0;
  }
  constexpr double kTail = 0.05;
  const double promised = slo.percent / 100;
  // If exactly the promised share of requests kept the SLO, the first line gives the probability of at least n_kept
  // successes and the second that of at most n_kept.
  if (1 - binomial_cdf(result.n_kept - 1, result.n_requests, promised) <= kTail) result.verdict = SloVerdict::kKept;
  if (binomial_cdf(result.n_kept, result.n_requests, promised) <= kTail) result.verdict = SloVerdict::kNotKept;
  return result;
}

}  // namespace secondsource
