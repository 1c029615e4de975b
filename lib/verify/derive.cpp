#include "verify/derive.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/counted.h"
#include "verify/arithmetic.h"
#include "verify/derive_load.h"
#include "verify/derive_swap.h"
#include "verify/figures.h"

namespace secondsource::verify {
namespace {

std::optional<double> mean(const Values& values) {
  if (values.empty()) return std::nullopt;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

bool failed(const Json& sample) {
  return !sample.at("error").get_ref<const std::string&>().empty();
}

/// Time that a request spent on opening a connection. Samples of earlier versions do not have it.
std::int64_t connecting_ns(const Json& sample) {
  return sample.contains("connect_ns") ? whole_or_null(sample, "connect_ns").value_or(0) : 0;
}

std::optional<double> since_arrival(const Json& sample, const char* moment) {
  const auto at = whole_or_null(sample, moment);
  return at ? std::optional(static_cast<double>(*at - whole(sample, "scheduled_ns") - connecting_ns(sample)))
            : std::nullopt;
}

std::optional<double> time_per_token(const Json& sample) {
  const auto first = whole_or_null(sample, "first_token_ns");
  const auto last = whole_or_null(sample, "last_token_ns");
  const std::int64_t n_gaps = whole(sample, "n_output_tokens") - 1;
  if (!first || !last || n_gaps < 1) return std::nullopt;
  return static_cast<double>(*last - *first) / static_cast<double>(n_gaps);
}

/// The samples of repetitions that have their closing line, without warm-up.
std::vector<const Json*> counted_samples(const CellLines& cell) {
  std::set<std::int64_t> closed;
  for (const RawLine* line : cell.repetitions) closed.insert(whole(line->tree, "repetition"));
  std::vector<const Json*> samples;
  for (const RawLine* line : cell.samples) {
    const bool is_warmup = line->tree.at("warmup").get<bool>();
    if (!is_warmup && closed.contains(whole(line->tree, "repetition"))) samples.push_back(&line->tree);
  }
  return samples;
}

/// The place of each repetition in the order of the closing lines, by the number of the repetition.
std::map<std::int64_t, std::size_t> places_of(const CellLines& lines) {
  std::map<std::int64_t, std::size_t> places;
  for (const RawLine* line : lines.repetitions) places.emplace(whole(line->tree, "repetition"), places.size());
  return places;
}

/// The requests that succeeded in every repetition.
std::set<std::int64_t> requests_of_all(const std::vector<const Json*>& samples, std::size_t n_repetitions) {
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  std::map<std::int64_t, std::size_t> n_by_request;
  for (const Json* sample : samples) {
    const std::int64_t request = whole(*sample, "request");
    if (!failed(*sample) && seen.emplace(request, whole(*sample, "repetition")).second) ++n_by_request[request];
  }
  std::set<std::int64_t> requests;
  for (const auto& [request, n] : n_by_request) {
    if (n == n_repetitions) requests.insert(request);
  }
  return requests;
}

/// The values of one metric of the requests.
struct MetricOfRequests {
  Values all;
  std::map<std::size_t, Values> of_place;  ///< only of requests that every repetition has

  /// `of` computes the figure from some of the values.
  template <typename Figure>
  [[nodiscard]] Json figure_by(const std::optional<double>& value, const Figure& of) const {
    Values by_repetition;
    for (const auto& [place, values] : of_place) by_repetition.push_back(*of(values));
    return figure(all.size(), value, by_repetition);
  }
  [[nodiscard]] Json quantile_figure(double q) const {
    const auto at_q = [q](const Values& values) { return quantile(values, q); };
    const bool is_supported = supports_quantile(static_cast<std::int64_t>(all.size()), q);
    return figure_by(is_supported ? at_q(all) : std::nullopt, at_q);
  }
  [[nodiscard]] Json mean_figure() const { return figure_by(mean(all), mean); }
};

constexpr std::array kPartsOfTtft = {"queue_ns", "tokenize_ns", "transfer_ns", "prefill_ns", "sample_ns"};

void derive_latency(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  const std::map<std::int64_t, std::size_t> places = places_of(lines);
  const std::set<std::int64_t> compared = requests_of_all(samples, places.size());
  std::map<std::string, MetricOfRequests> times;
  std::int64_t n_good = 0;
  std::int64_t output = 0;
  std::int64_t prompt = 0;
  std::int64_t cached = 0;
  std::int64_t cacheable = 0;
  std::int64_t verified = 0;
  bool any_judged = false;
  for (const Json* sample : samples) {
    if (failed(*sample)) continue;
    const bool is_compared = compared.contains(whole(*sample, "request"));
    const auto keep = [&](const char* name, const std::optional<double>& value) {
      if (!value) return;
      MetricOfRequests& metric = times[name];
      metric.all.push_back(*value);
      if (is_compared) metric.of_place[places.at(whole(*sample, "repetition"))].push_back(*value);
    };
    ++n_good;
    output += whole(*sample, "n_output_tokens");
    prompt += whole(*sample, "n_prompt_tokens");
    if (const auto from_cache = whole_or_null(*sample, "n_cached_prompt_tokens")) {
      cached += *from_cache;
      cacheable += whole(*sample, "n_prompt_tokens");
    }
    verified += whole_or_null(*sample, "verified_tokens").value_or(0);
    any_judged = any_judged || !sample->at("verified_tokens").is_null();
    keep("ttft_e2e", since_arrival(*sample, "first_token_ns"));
    keep("ttft_visible", since_arrival(*sample, "first_visible_ns"));
    if (sample->at("finish") != "cancelled") keep("e2e", since_arrival(*sample, "last_token_ns"));
    keep("ttft_kernel", number(*sample, "ttft_kernel_ns"));
    keep("tpot", time_per_token(*sample));
    for (const char* part : kPartsOfTtft) keep(part, number(sample->at("parts"), part));
    if (const auto first = whole_or_null(*sample, "first_token_ns")) {
      keep("ttft_sent", static_cast<double>(*first - whole(*sample, "sent_ns") - connecting_ns(*sample)));
    }
    for (const Json& gap : sample->at("itl_ns")) keep("itl", gap.get<double>());
  }
  const auto share = [](std::int64_t part, std::int64_t all) {
    return all > 0 ? Json(static_cast<double>(part) / static_cast<double>(all)) : Json(nullptr);
  };
  cell["n_samples"] = n_good;
  cell["n_errors"] = static_cast<std::int64_t>(samples.size()) - n_good;
  cell["mean_prompt_tokens"] = share(prompt, n_good);
  cell["mean_output_tokens"] = share(output, n_good);
  cell["prefix_hit_rate"] = share(cached, cacheable);
  cell["verified_share"] = any_judged ? share(verified, output) : Json(nullptr);
  const std::pair<const char*, std::vector<int>> figures[] = {
      {"ttft_e2e", {50, 95, 99}}, {"ttft_visible", {50}},     {"ttft_kernel", {50}},    {"ttft_sent", {50}},
      {"e2e", {50, 99}},          {"tpot", {50, 90, 95, 99}}, {"itl", {50, 90, 95, 99}}};
  for (const auto& [name, percents] : figures) {
    for (const int percent : percents)
      cell[fmt::format("{}_p{}_ns", name, percent)] = times[name].quantile_figure(percent / 100.0);
  }
  for (const std::string name : {"tpot", "itl"}) cell[name + "_mean_ns"] = times[name].mean_figure();
  for (const std::string_view part : kPartsOfTtft) {
    const std::string_view name = part.substr(0, part.find('_'));
    cell[fmt::format("ttft_{}_p50_ns", name)] = times[std::string(part)].quantile_figure(0.5);
  }
  const Json& tpot = cell["tpot_p50_ns"]["value"];
  cell["tok_per_s_per_user"] = tpot.is_number() && tpot > 0 ? Json(1e9 / tpot.get<double>()) : Json(nullptr);
}

void derive_latencies(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  cell["ttft_p50_ns_by_repetition"] = Json::array();
  cell["tpot_p50_ns_by_repetition"] = Json::array();
  for (const RawLine* repetition : lines.repetitions) {
    Values first, each;
    for (const Json* sample : samples) {
      if (failed(*sample) || sample->at("repetition") != repetition->tree.at("repetition")) continue;
      if (const auto ttft = since_arrival(*sample, "first_token_ns")) first.push_back(*ttft);
      if (const auto tpot = time_per_token(*sample)) each.push_back(*tpot);
    }
    if (const auto middle = quantile(first, 0.5)) cell["ttft_p50_ns_by_repetition"].push_back(*middle);
    if (const auto middle = quantile(each, 0.5)) cell["tpot_p50_ns_by_repetition"].push_back(*middle);
  }
}

}  // namespace

Json median_ttft(const std::vector<const Json*>& samples, const CellLines& lines) {
  const std::map<std::int64_t, std::size_t> places = places_of(lines);
  const std::set<std::int64_t> compared = requests_of_all(samples, places.size());
  MetricOfRequests ttft;
  for (const Json* sample : samples) {
    const auto value = since_arrival(*sample, "first_token_ns");
    if (failed(*sample) || !value) continue;
    ttft.all.push_back(*value);
    if (!compared.contains(whole(*sample, "request"))) continue;
    ttft.of_place[places.at(whole(*sample, "repetition"))].push_back(*value);
  }
  return ttft.quantile_figure(0.5);
}

namespace {

/// The mean over repetitions of the largest share of lost time that any check of the repetition found.
Json derive_time_lost(const CellLines& lines) {
  Values largest;
  for (const RawLine* line : lines.repetitions) {
    std::optional<double> lost;
    for (const Json& check : line->tree.at("checks")) {
      if (!check.contains("lost")) continue;  // a run of an earlier version
      if (const auto one = number(check, "lost")) lost = std::max(lost.value_or(0), *one);
    }
    if (lost) largest.push_back(*lost);
  }
  if (largest.empty()) return nullptr;
  return std::accumulate(largest.begin(), largest.end(), 0.0) / static_cast<double>(largest.size());
}

void derive_rates(const CellLines& lines, Json& cell) {
  Values output, decode, prefill, achieved, busy;
  std::map<std::string, Values> machine;
  for (const char* name :
       {"rate_per_s", "first_to_settled", "load_ns", "compile_ns", "memory", "peak_rss_bytes", "others_cpu_share"}) {
    cell[name] = nullptr;
  }
  bool any_warm_up = false;
  for (const RawLine* line : lines.repetitions) {
    const Json& end = line->tree;
    output.push_back(per_second(end.at("window_output_tokens").get<double>(),
                                static_cast<double>(whole(end, "window_end_ns") - whole(end, "window_start_ns"))));
    double step_ns = 0;
    for (const char* kind : {"prefill", "decode", "mixed"}) {
      const Json& steps = end.at(kind);
      step_ns += steps.at("ns").get<double>();
      Values* const into = kind == std::string_view("prefill")  ? &prefill
                           : kind == std::string_view("decode") ? &decode
                                                                : nullptr;
      if (into != nullptr && steps.at("ns") > 0) {
        into->push_back(per_second(steps.at("tokens").get<double>(), steps.at("ns").get<double>()));
      }
    }
    const double wall_s = end.at("wall_s").get<double>();
    if (wall_s > 0 && step_ns > 0) busy.push_back(step_ns / 1e9 / wall_s);
    if (const auto rate = number(end, "achieved_rate_per_s")) achieved.push_back(*rate);
    if (!end.at("rate_per_s").is_null()) cell["rate_per_s"] = end.at("rate_per_s");
    for (const Json& reading : end.at("telemetry")) {
      if (!reading.at("value").is_null()) machine[reading.at("name")].push_back(reading.at("value").get<double>());
    }
    const Json& peak = end.at("memory").at("peak_bytes");
    if (peak > 0 && (cell["memory"].is_null() || peak > cell["memory"].at("peak_bytes"))) {
      cell["memory"] = end.at("memory");
    }
    const auto raise = [&](const char* name, const Json& value) {
      if (!value.is_null() && (cell[name].is_null() || value > cell[name])) cell[name] = value;
    };
    raise("peak_rss_bytes", end.at("host_memory").at("peak_rss_bytes"));
    raise("others_cpu_share", end.at("others_cpu_share"));
    const Json& windows = end.at("warmup_ns_per_token");
    if (!any_warm_up && !windows.empty() && windows.back() > 0) {
      any_warm_up = true;
      cell["first_to_settled"] = windows.front().get<double>() / windows.back().get<double>();
      cell["load_ns"] = end.at("load_ns");
      cell["compile_ns"] = end.at("compile_ns");
    }
  }
  cell["time_lost"] = derive_time_lost(lines);
  cell["output_tok_per_s_by_repetition"] = output;
  cell["output_tok_per_s"] = figure_over_repetitions(output);
  cell["decode_tok_per_s"] = figure_over_repetitions(decode);
  cell["prefill_tok_per_s"] = figure_over_repetitions(prefill);
  cell["achieved_rate_per_s"] = or_null(quantile(achieved, 0.5));
  cell["device_utilisation"] = or_null(quantile(busy, 0.5));
  for (const char* name : {"machine_read_bytes_per_s", "machine_f32_flops"}) {
    cell[name] = or_null(quantile(machine[name], 0.5));
  }
}

/// The worker's use of the CPUs, and the median of each sensor, in the order in which the sensors first occur.
void derive_machine(const CellLines& lines, Json& cell) {
  double cpu_s = 0;
  double wall_s = 0;
  std::vector<std::string> names;
  std::map<std::string, Values> values;
  for (const RawLine* line : lines.repetitions) {
    cpu_s += line->tree.at("process_cpu_s").get<double>();
    wall_s += line->tree.at("wall_s").get<double>();
    for (const Json& reading : line->tree.at("telemetry")) {
      const auto [of_sensor, is_new] = values.try_emplace(reading.at("name").get<std::string>());
      if (is_new) names.push_back(of_sensor->first);
      if (const auto value = number(reading, "value")) of_sensor->second.push_back(*value);
    }
  }
  cell["busy_vcpus"] = wall_s > 0 ? Json(cpu_s / wall_s) : Json(nullptr);
  cell["telemetry"] = Json::array();
  for (const std::string& name : names) {
    cell["telemetry"].push_back({{"name", name}, {"value", or_null(quantile(values[name], 0.5))}});
  }
}

/// What run.json records about the cell's bundle and variant. A run of an earlier version has no record, and the
/// variant counts as blessed.
void derive_bundle(const Json& record, const Json& key, Json& cell) {
  cell["tier"] = "blessed";
  cell["outside_limits"] = "";
  cell["source_quantization"] = "";
  for (const Json& bundle : record.at("bundles")) {
    if (bundle.at("name") != key.at("bundle")) continue;
    cell["source_quantization"] = bundle.value("source_quantization", "");
    if (!bundle.contains("variants")) continue;
    for (const Json& variant : bundle.at("variants")) {
      if (variant.at("name") != key.at("variant")) continue;
      cell["tier"] = variant.at("tier");
      cell["outside_limits"] = variant.at("outside_limits");
      return;
    }
  }
}

bool kept_slo(const Json& sample, const Json& slo) {
  const auto ttft = since_arrival(sample, "first_token_ns");
  if (failed(sample) || !ttft || *ttft > 1e6 * slo.at("ttft_ms").get<double>()) return false;
  const auto tpot = time_per_token(sample);
  return !tpot || *tpot <= 1e6 * slo.at("tpot_ms").get<double>();
}

void derive_slo(const Json& record, const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  cell["slo_attainment"] = cell["goodput_req_per_s"] = figure(0, std::nullopt, {});
  cell["goodput_tok_per_s"] = nullptr;
  const Json& slo = record.at("slo");
  if (slo.is_null() || samples.empty()) return;
  const auto n = static_cast<std::int64_t>(samples.size());
  const auto n_kept = std::count_if(samples.begin(), samples.end(), [&](const Json* s) { return kept_slo(*s, slo); });
  const Bounds bounds = share_bounds(n_kept, n);
  cell["slo_attainment"] = {{"value", static_cast<double>(n_kept) / static_cast<double>(n)},
                            {"low", bounds.low},
                            {"high", bounds.high},
                            {"n", n}};
  Values requests, tokens;
  for (const RawLine* line : lines.repetitions) {
    const std::int64_t begin = whole(line->tree, "window_start_ns");
    const std::int64_t end = whole(line->tree, "window_end_ns");
    double n_requests = 0;
    double n_tokens = 0;
    for (const Json* sample : samples) {
      if (sample->at("repetition") != line->tree.at("repetition") || !kept_slo(*sample, slo)) continue;
      const auto last = whole_or_null(*sample, "last_token_ns");
      if (!last || *last <= begin || *last > end) continue;
      n_requests += 1;
      n_tokens += sample->at("n_output_tokens").get<double>();
    }
    requests.push_back(per_second(n_requests, static_cast<double>(end - begin)));
    tokens.push_back(per_second(n_tokens, static_cast<double>(end - begin)));
  }
  cell["goodput_req_per_s"] = figure_over_repetitions(requests);
  cell["goodput_tok_per_s"] = or_null(quantile(tokens, 0.5));
}

void derive_cost(const Json& record, const Json& key, Json& cell) {
  for (const char* name :
       {"tok_per_s_per_device", "device_hours_per_million", "usd_per_1k_output", "usd_per_1k_total"}) {
    cell[name] = nullptr;
  }
  const Json& speed = cell["output_tok_per_s"]["value"];
  if (!speed.is_number() || speed <= 0) return;
  const double rate = speed.get<double>();
  const Json* backend = backend_of(record, key);
  const double n_devices = devices_of(backend);
  cell["tok_per_s_per_device"] = rate / n_devices;
  cell["device_hours_per_million"] = n_devices * 1e6 / rate / 3600;
  const auto usd_per_hour = charged_per_hour(record, backend);
  if (!usd_per_hour) return;
  const double usd_per_s = *usd_per_hour / 3600;
  cell["usd_per_1k_output"] = 1000 * usd_per_s / rate;
  const Json& prompt = cell["mean_prompt_tokens"];
  const Json& output = cell["mean_output_tokens"];
  if (!prompt.is_number() || !output.is_number() || prompt <= 0 || output <= 0) return;
  const double tokens_per_output_token = 1 + prompt.get<double>() / output.get<double>();
  cell["usd_per_1k_total"] = 1000 * usd_per_s / (rate * tokens_per_output_token);
}

/// Operations/s of this variant's integers. Runs before 2026-12-01 have no rate of codes of four bits.
double integer_peak(const Json& limits, std::string_view variant) {
  const double int8 = number(limits, "int8_ops").value_or(0);
  const double int4 = limits.contains("int4_ops") ? number(limits, "int4_ops").value_or(0) : 0;
  const bool has_four_bits = variant.starts_with("int4") || variant.find("-int4") != std::string_view::npos ||
                             variant.starts_with("gguf-q4_") || variant.starts_with("gguf-iq4_") ||
                             variant.find("mxfp4") != std::string_view::npos ||
                             variant.find("nvfp4") != std::string_view::npos;
  return has_four_bits ? std::max(int8, int4) : int8;
}

/// The highest rate in operations/s that any way of multiplying this variant has.
double operations_peak(const Json& limits, std::string_view variant) {
  const double floats = std::max(number(limits, "f32_flops").value_or(0), number(limits, "bf16_flops").value_or(0));
  if (variant.ends_with("w8a8") || variant.ends_with("int8-static")) {
    return std::max(floats, integer_peak(limits, variant));
  }
  const bool has_integers =
      !variant.ends_with("f32") && !variant.ends_with("f16") && variant.find("fp8") == std::string_view::npos;
  // On x86, activations that are not quantized may be split into three digits of eight bits, which takes three integer products.
  const std::string set = limits.at("instruction_set").get<std::string>();
  return has_integers && (set == "avx2" || set == "avx512") ? std::max(floats, integer_peak(limits, variant) / 3)
                                                            : floats;
}

/// The sum of one kind of steps over all repetitions, and how near it came to the machine's limits.
struct Steps {
  double n = 0, tokens = 0, ns = 0, flops = 0, bytes = 0;
  std::optional<double> read{}, compute{};
};

Steps steps_of(const CellLines& lines, const char* kind, const Json& limits, const std::string& variant) {
  Steps steps;
  for (const RawLine* line : lines.repetitions) {
    const Json& work = line->tree.at(kind);
    steps.n += work.at("n_steps").get<double>();
    steps.tokens += work.at("tokens").get<double>();
    steps.ns += work.at("ns").get<double>();
    steps.flops += number(work, "flops").value_or(0);
    steps.bytes += number(work, "weight_bytes").value_or(0) + number(work, "kv_bytes").value_or(0);
  }
  if (steps.n <= 0 || steps.ns <= 0) return steps;
  // The read rate of the largest measured buffer that is not larger than what a step reads, else of the smallest
  // buffer.
  const Json& reads = limits.at("reads");
  if (!reads.empty() && steps.bytes > 0) {
    const Json* fitting = &reads.front();
    for (const Json& read : reads) {
      if (read.at("buffer_bytes").get<double>() <= steps.bytes / steps.n) fitting = &read;
    }
    steps.read = steps.bytes * 1e9 / steps.ns / fitting->at("bytes_per_s").get<double>();
  }
  const bool is_known =
      limits.at("unmeasured").get_ref<const std::string&>().empty() && number(limits, "f32_flops").value_or(0) > 0;
  if (is_known && steps.flops > 0) steps.compute = steps.flops * 1e9 / steps.ns / operations_peak(limits, variant);
  return steps;
}

Json nearer_limit(const Steps& steps) {
  if (!steps.read || !steps.compute) return nullptr;
  const bool is_read = *steps.read >= *steps.compute;
  return {{"share", is_read ? *steps.read : *steps.compute}, {"limit", is_read ? "read" : "compute"}};
}

std::string bound_of(const Steps& steps, double others) {
  if (!steps.read) return "";
  const double reached = std::max(*steps.read, steps.compute.value_or(0));
  if (reached >= 0.5) return *steps.read >= steps.compute.value_or(0) ? "bandwidth" : "compute";
  return reached >= 0.5 * (1 - others) ? "" : "overhead";
}

void derive_limits(const Json& record, const Json& key, const CellLines& lines, Json& cell) {
  for (const char* name :
       {"read_fraction", "flops_fraction", "decode_of_limit", "prefill_of_limit", "first_token_of_limit"}) {
    cell[name] = nullptr;
  }
  cell["bound"] = "";
  const Json* backend = backend_of(record, key);
  if (backend == nullptr) return;
  // A device other than the host is compared with limits measured on the device itself, which runs of earlier versions
  // lack.
  const Json limits =
      backend->at("device").at("is_host").get<bool>() ? record.at("limits") : backend->value("limits", Json());
  if (limits.is_null()) return;
  const std::string variant = key.at("variant");
  const Steps prefill = steps_of(lines, "prefill", limits, variant);
  const Steps decode = steps_of(lines, "decode", limits, variant);
  const Steps mixed = steps_of(lines, "mixed", limits, variant);
  cell["read_fraction"] = or_null(decode.read);
  cell["flops_fraction"] = or_null(prefill.compute);
  cell["decode_of_limit"] = nearer_limit(decode);
  cell["prefill_of_limit"] = nearer_limit(prefill);
  const auto ttft = quantile(cell["ttft_p50_ns_by_repetition"].get<Values>(), 0.5);
  if (!cell["prefill_of_limit"].is_null() && cell["mean_prompt_tokens"].is_number() && ttft && *ttft > 0) {
    const Json& shared = cell["prefix_hit_rate"];
    const double n_computed =
        cell["mean_prompt_tokens"].get<double>() * (1 - (shared.is_number() ? shared.get<double>() : 0));
    const double prefill_of_one_ns = prefill.ns / prefill.tokens * n_computed;
    cell["first_token_of_limit"] = cell["prefill_of_limit"];
    cell["first_token_of_limit"]["share"] =
        cell["prefill_of_limit"]["share"].get<double>() * (prefill_of_one_ns / *ttft);
  }
  const Steps* longest = &prefill;
  for (const Steps* steps : {&decode, &mixed}) {
    if (steps->ns > longest->ns) longest = steps;
  }
  const Json& others = cell["others_cpu_share"];
  cell["bound"] = bound_of(*longest, others.is_number() ? others.get<double>() : 0);
}

/// The worst outcome of each check, in the order in which the checks first occur.
void derive_checks(const CellLines& lines, Json& cell) {
  constexpr std::array<std::string_view, 4> kFromGoodToBad = {"passed", "not available", "suspect", "invalid"};
  const auto badness = [&](const Json& check) {
    return std::ranges::find(kFromGoodToBad, check.at("outcome").get<std::string_view>()) - kFromGoodToBad.begin();
  };
  cell["checks"] = Json::array();
  for (const RawLine* line : lines.repetitions) {
    for (const Json& check : line->tree.at("checks")) {
      Json short_check = {{"name", check.at("name")}, {"outcome", check.at("outcome")}};
      if (check.contains("lost")) short_check["lost"] = check.at("lost");
      auto known =
          std::ranges::find_if(cell["checks"], [&](const Json& one) { return one["name"] == check.at("name"); });
      if (known == cell["checks"].end()) {
        cell["checks"].push_back(short_check);
      } else if (badness(check) > badness(*known)) {
        *known = short_check;
      }
    }
  }
}

bool has_standing_failure(const RawRun& run, const CellLines& lines) {
  for (const Json& failure : standing_failures(run)) {
    const std::string of = failure.at("cell");
    const bool concerns = of.empty() ? failure.at("backend") == lines.plan->at("key").at("backend")
                                     : of == lines.id || lines.id.starts_with(of + "/");
    if (concerns) return true;
  }
  return false;
}

std::string status_of(const RawRun& run, const CellLines& lines, const Json& cell) {
  for (const Json& check : cell.at("checks")) {
    if (check.at("outcome") == "invalid") return "invalid";
  }
  const auto n_closed = static_cast<std::int64_t>(lines.repetitions.size());
  if (n_closed >= whole(*lines.plan, "repetitions") && n_closed > 0) return "complete";
  if (has_standing_failure(run, lines)) return "failed";
  return n_closed == 0 ? "missing" : "partial";
}

/// The last golden line of a cell's bundle, backend and variant; nullptr if there is none.
const Json* golden_line_of(const RawRun& run, const Json& key) {
  const Json* last = nullptr;
  for (const RawLine& line : run.lines) {
    if (line.tree.at("type") != "golden") continue;
    const bool is_of_cell = line.tree.at("bundle") == key.at("bundle") &&
                            line.tree.at("backend") == key.at("backend") &&
                            line.tree.at("variant") == key.at("variant");
    if (is_of_cell) last = &line.tree;
  }
  return last;
}

std::string golden_of(const RawRun& run, const CellLines& lines) {
  for (const RawLine* sample : lines.samples) {
    if (!sample->tree.at("wrong_at").is_null()) return "failed";
  }
  const Json* line = golden_line_of(run, lines.plan->at("key"));
  return line == nullptr ? "not run" : line->at("verdict").get<std::string>();
}

Json golden_level_of(const RawRun& run, const Json& key) {
  const Json* line = golden_line_of(run, key);
  return line == nullptr || !line->contains("level") ? Json(nullptr) : line->at("level");
}

/// Contradictions within one request.
void check_sample(const Json& sample, const std::function<void(std::string)>& say) {
  if (failed(sample)) return;
  const auto first = whole_or_null(sample, "first_token_ns");
  const auto last = whole_or_null(sample, "last_token_ns");
  const Json& gaps = sample.at("itl_ns");
  const std::int64_t n_tokens = whole(sample, "n_output_tokens");
  if (n_tokens > 0 && static_cast<std::int64_t>(gaps.size()) != n_tokens - 1) {
    say(fmt::format("{} {}, and it has {}", counted(n_tokens, "output token has", "output tokens have"),
                    counted(n_tokens - 1, "gap"), gaps.size()));
  }
  std::int64_t sum = 0;
  for (const Json& gap : gaps) sum += gap.get<std::int64_t>();
  if (first && last && *first + sum != *last) {
    say(fmt::format("its gaps lead from the first token to {} ns, and the last token came at {} ns", *first + sum,
                    *last));
  }
  const std::int64_t scheduled = whole(sample, "scheduled_ns");
  const std::int64_t sent = whole(sample, "sent_ns");
  if (sent < scheduled || (first && *first < sent)) {
    say(fmt::format("expected arrival, sending and first token in this order, found {}, {} and {} ns", scheduled, sent,
                    first.value_or(0)));
  }
  const auto engine_tokens = whole_or_null(sample, "engine_tokens");
  if (engine_tokens && *engine_tokens != n_tokens) {
    say(fmt::format("{} arrived, and the system counts {}", counted(n_tokens, "output token"), *engine_tokens));
  }
}

/// The tokens of a repetition that arrived after the start of its window and not after its end.
std::int64_t tokens_in_window(const CellLines& cell, const Json& end) {
  const std::int64_t window_begin = whole(end, "window_start_ns");
  const std::int64_t window_end = whole(end, "window_end_ns");
  std::int64_t count = 0;
  for (const RawLine* line : cell.samples) {
    const Json& sample = line->tree;
    const auto first = whole_or_null(sample, "first_token_ns");
    if (!first || sample.at("warmup").get<bool>() || sample.at("repetition") != end.at("repetition")) continue;
    std::int64_t at = *first;
    const auto count_one = [&] { count += at > window_begin && at <= window_end ? 1 : 0; };
    count_one();
    for (const Json& gap : sample.at("itl_ns")) {
      at += gap.get<std::int64_t>();
      count_one();
    }
  }
  return count;
}

}  // namespace

std::vector<CellLines> lines_by_cell(const RawRun& run, std::vector<std::string>& faults) {
  std::vector<CellLines> cells;
  std::map<std::string, std::size_t> index_of;
  for (const Json& plan : run.record.at("cells")) {
    std::string id;
    for (const char* part : {"bundle", "backend", "variant", "scenario"}) {
      id += (id.empty() ? "" : "/") + plan.at("key").at(part).get<std::string>();
    }
    index_of[id] = cells.size();
    cells.push_back({.plan = &plan, .id = id, .samples = {}, .repetitions = {}});
  }
  for (const RawLine& line : run.lines) {
    const bool is_sample = line.tree.at("type") == "sample";
    if (!is_sample && line.tree.at("type") != "repetition") continue;
    const std::string id = line.tree.at("cell");
    const auto found = index_of.find(id);
    if (found == index_of.end()) {
      faults.push_back(fmt::format("samples.jsonl:{}: cell {} is not in run.json", line.number, id));
    } else {
      (is_sample ? cells[found->second].samples : cells[found->second].repetitions).push_back(&line);
    }
  }
  return cells;
}

std::vector<Json> standing_failures(const RawRun& run) {
  std::vector<Json> failures;
  const auto went_well = [&](const std::string& id) {
    std::erase_if(failures, [&](const Json& failure) {
      const std::string of = failure.at("cell");
      return of == id || (!of.empty() && id.starts_with(of + "/"));
    });
  };
  for (const RawLine& line : run.lines) {
    const std::string type = line.tree.at("type");
    if (type == "repetition") {
      went_well(line.tree.at("cell"));
    } else if (type == "golden") {
      const auto part = [&](const char* name) { return line.tree.at(name).get<std::string>(); };
      went_well(part("bundle") + "/" + part("backend") + "/" + part("variant"));
    } else if (type == "failure") {
      Json failure = line.tree;
      failure.erase("type");
      failure.erase("checksum");
      std::erase_if(failures, [&](const Json& earlier) {
        return earlier.at("cell") == failure.at("cell") && earlier.at("backend") == failure.at("backend");
      });
      failures.push_back(std::move(failure));
    }
  }
  return failures;
}

Json derive_cell(const RawRun& run, const CellLines& lines) {
  const Json& key = lines.plan->at("key");
  Json cell = {{"key", key}, {"scenario", lines.plan->at("scenario")}, {"n_repetitions", lines.repetitions.size()}};
  const bool is_open_loop = cell["scenario"].at("kind") == "server";
  const bool is_found_rate = is_open_loop && cell["scenario"].at("seeks_slo_rate").get<bool>();
  const Json& load = cell["scenario"];
  const bool waits_for_people = load.value("turns", 1) > 1 && load.value("think_s", 0.0) > 0;
  cell["throughput_basis"] = waits_for_people ? "offered load"
                             : is_found_rate  ? "slo-max"
                             : is_open_loop   ? "offered load"
                                              : "saturation";
  const std::vector<const Json*> samples = counted_samples(lines);
  derive_latency(samples, lines, cell);
  derive_latencies(samples, lines, cell);
  derive_rates(lines, cell);
  derive_machine(lines, cell);
  derive_bundle(run.record, key, cell);
  derive_slo(run.record, samples, lines, cell);
  derive_cost(run.record, key, cell);
  derive_load(samples, lines, cell);
  derive_swap(run.record, samples, lines, cell);
  derive_limits(run.record, key, lines, cell);
  derive_checks(lines, cell);
  cell["status"] = status_of(run, lines, cell);
  cell["golden"] = golden_of(run, lines);
  cell["golden_level"] = golden_level_of(run, key);
  return cell;
}

std::vector<std::string> contradictions(const CellLines& cell) {
  std::vector<std::string> found;
  std::set<std::pair<std::int64_t, std::int64_t>> requests;
  for (const RawLine* line : cell.samples) {
    const auto say = [&](const std::string& what) {
      found.push_back(fmt::format("samples.jsonl:{}: {}: {}", line->number, cell.id, what));
    };
    const std::int64_t repetition = whole(line->tree, "repetition");
    const std::int64_t request = whole(line->tree, "request");
    if (!line->tree.at("warmup").get<bool>() && !requests.emplace(repetition, request).second) {
      say(fmt::format("request {} of repetition {} occurs twice", request, repetition));
    }
    check_sample(line->tree, say);
  }
  std::set<std::int64_t> repetitions;
  for (const RawLine* line : cell.repetitions) {
    const auto say = [&](const std::string& what) {
      found.push_back(fmt::format("samples.jsonl:{}: {}: {}", line->number, cell.id, what));
    };
    const std::int64_t repetition = whole(line->tree, "repetition");
    const std::int64_t n_planned = whole(*cell.plan, "repetitions");
    if (!repetitions.insert(repetition).second) say(fmt::format("repetition {} occurs twice", repetition));
    if (repetition < 0 || repetition >= n_planned) {
      say(fmt::format("repetition {} of {} was not planned", repetition, n_planned));
    }
    const std::int64_t n_tokens = tokens_in_window(cell, line->tree);
    if (whole(line->tree, "window_output_tokens") != n_tokens) {
      say(fmt::format("its window has {} output tokens by the samples, and {} by its line", n_tokens,
                      whole(line->tree, "window_output_tokens")));
    }
  }
  return found;
}

}  // namespace secondsource::verify
