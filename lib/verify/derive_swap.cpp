#include "verify/derive_swap.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "verify/figures.h"

namespace secondsource::verify {
namespace {

const Json& swap_of(const RawLine* line) {
  return line->tree.at("swap");
}

/// The number of events of this kind in a repetition, of all models or of one.
double events_of(const Json& swap, const char* action, const Json& model = nullptr) {
  double count = 0;
  for (const Json& event : swap.at("events")) {
    count += event.at("action") == action && (model.is_null() || event.at("model") == model) ? 1 : 0;
  }
  return count;
}

/// The shares of the models in the requests: those of the plan, or those of Zipf's law.
Values planned_shares(const Json& plan) {
  Values shares = plan.at("shares").get<Values>();
  if (shares.empty()) {
    for (std::size_t i = 0; i < plan.at("models").size(); ++i) {
      shares.push_back(1 / std::pow(static_cast<double>(i + 1), plan.at("zipf").get<double>()));
    }
  }
  double sum = 0;
  for (const double share : shares) sum += share;
  for (double& share : shares) share /= sum;
  return shares;
}

struct Occupancy {
  double ns = 0, bytes = 0, models = 0;  ///< the last two times ns
  bool knows_bytes = true;
};

/// Follows the resident set from request to request.
Occupancy occupancy_of(const Json& swap, const Json& repetition, const std::vector<const Json*>& samples) {
  std::map<std::int64_t, const Json*> by_time;
  for (const Json* sample : samples) {
    if (sample->at("repetition") == repetition) by_time[whole(*sample, "sent_ns")] = sample;
  }
  Occupancy sum;
  std::optional<double> bytes = number(swap, "resident_bytes_at_start");
  double models = static_cast<double>(swap.at("resident_at_start").size());
  for (auto at = by_time.begin(); at != by_time.end(); ++at) {
    for (const Json& event : swap.at("events")) {
      if (event.at("request") != at->second->at("request")) continue;
      bytes = number(event, "resident_bytes");
      models += event.at("action") == "load" ? 1 : -1;
    }
    const auto next = std::next(at);
    const std::int64_t end =
        next == by_time.end() ? whole_or_null(*at->second, "last_token_ns").value_or(at->first) : next->first;
    const auto span = static_cast<double>(end - at->first);
    sum.ns += span;
    sum.bytes += span * bytes.value_or(0);
    sum.knows_bytes = sum.knows_bytes && bytes;
    sum.models += span * models;
  }
  return sum;
}

Json derive_model(const Json& name, double share, const std::vector<const Json*>& samples, const CellLines& lines,
                  std::optional<double> usd_per_hour, const Json& plan) {
  Json model = {{"model", name}, {"share", share}, {"usd_per_resident_hour", nullptr}};
  for (const char* size : {"resident_bytes", "weights_bytes", "kv_bytes", "file_bytes"}) model[size] = nullptr;
  Values alone, loads, evictions;
  std::map<std::string, Values> starts;
  const Json& first = lines.repetitions.front()->tree.at("repetition");
  model["n_requests"] = std::ranges::count_if(
      samples, [&](const Json* sample) { return sample->at("repetition") == first && sample->at("model") == name; });
  for (const RawLine* line : lines.repetitions) {
    const Json& swap = swap_of(line);
    loads.push_back(events_of(swap, "load", name));
    evictions.push_back(events_of(swap, "eviction", name));
    for (const Json& start : swap.at("starts")) {
      const auto ns = number(start, "first_token_ns");
      if (start.at("model") == name && ns) starts[start.at("source")].push_back(*ns);
    }
    for (const Json& one : swap.at("models")) {
      if (one.at("model") != name) continue;
      for (const char* size : {"resident_bytes", "weights_bytes", "kv_bytes", "file_bytes"}) {
        if (!one.at(size).is_null() && (model[size].is_null() || one.at(size) > model[size]))
          model[size] = one.at(size);
      }
      if (one.at("alone_ns") > 0) {
        alone.push_back(per_second(one.at("alone_tokens").get<double>(), one.at("alone_ns").get<double>()));
      }
    }
  }
  model["start_disk_ns"] = figure_over_repetitions(starts["disk"]);
  model["start_page_cache_ns"] = figure_over_repetitions(starts["page cache"]);
  model["start_host_memory_ns"] = figure_over_repetitions(starts["host memory"]);
  model["alone_tok_per_s"] = figure_over_repetitions(alone);
  model["loads"] = quantile(loads, 0.5).value_or(0);
  model["evictions"] = quantile(evictions, 0.5).value_or(0);
  const double places = plan.value("budget_models", 0.0);
  const auto budget = plan.at("memory_budget_bytes").get<double>();
  if (usd_per_hour && places > 0) {
    model["usd_per_resident_hour"] = *usd_per_hour / places;
  } else if (usd_per_hour && budget > 0 && !model["resident_bytes"].is_null()) {
    model["usd_per_resident_hour"] = *usd_per_hour * (model["resident_bytes"].get<double>() / budget);
  }
  return model;
}

}  // namespace

void derive_swap(const Json& record, const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  cell["swap"] = nullptr;
  const Json& scenario = cell["scenario"];
  if (!scenario.contains("swap") || scenario.at("swap").is_null() || lines.repetitions.empty()) return;
  const Json plan = scenario.at("swap");
  Values loads, evictions, unswapped, lost, bytes, models, shares_of_time;
  std::int64_t peak = 0;
  bool peak_is_known = true;
  std::string why_no_memory;
  for (std::size_t i = 0; i < lines.repetitions.size(); ++i) {
    const Json& tree = lines.repetitions[i]->tree;
    if (!tree.contains("swap") || tree.at("swap").is_null()) return;
    const Json& swap = tree.at("swap");
    double tokens = 0, alone_ns = 0, event_ns = 0;
    for (const Json& one : swap.at("models")) {
      tokens += one.at("alone_tokens").get<double>();
      alone_ns += one.at("alone_ns").get<double>();
    }
    if (why_no_memory.empty()) why_no_memory = swap.value("memory_why_not", "");
    std::vector<std::optional<std::int64_t>> resident = {whole_or_null(swap, "resident_bytes_at_start")};
    for (const Json& event : swap.at("events")) {
      event_ns += event.at("duration_ns").get<double>();
      resident.push_back(whole_or_null(event, "resident_bytes"));
    }
    for (const std::optional<std::int64_t>& one : resident) {
      peak_is_known = peak_is_known && one.has_value();
      peak = std::max(peak, one.value_or(0));
    }
    loads.push_back(events_of(swap, "load"));
    evictions.push_back(events_of(swap, "eviction"));
    unswapped.push_back(per_second(tokens, alone_ns));
    lost.push_back(unswapped.back() - cell["output_tok_per_s_by_repetition"][i].get<double>());
    const std::int64_t window = whole(tree, "window_end_ns") - whole(tree, "window_start_ns");
    if (window > 0) shares_of_time.push_back(event_ns / static_cast<double>(window));
    const Occupancy occupancy = occupancy_of(swap, tree.at("repetition"), samples);
    if (occupancy.ns <= 0) continue;
    if (occupancy.knows_bytes) bytes.push_back(occupancy.bytes / occupancy.ns);
    models.push_back(occupancy.models / occupancy.ns);
  }
  Json result = {{"memory_budget_bytes", plan.at("memory_budget_bytes")},
                 {"loads", quantile(loads, 0.5).value_or(0)},
                 {"evictions", quantile(evictions, 0.5).value_or(0)},
                 {"budget_models", plan.value("budget_models", 0)},
                 {"memory_why_not", why_no_memory},
                 {"peak_resident_bytes", peak_is_known ? Json(peak) : Json(nullptr)},
                 {"mean_resident_bytes", or_null(quantile(bytes, 0.5))},
                 {"mean_resident_models", or_null(quantile(models, 0.5))},
                 {"unswapped_tok_per_s", figure_over_repetitions(unswapped)},
                 {"lost_tok_per_s", figure_over_repetitions(lost)},
                 {"lost_share", nullptr},
                 {"load_time_share", or_null(quantile(shares_of_time, 0.5))},
                 {"models", Json::array()}};
  const Json& unswapped_rate = result["unswapped_tok_per_s"]["value"];
  if (unswapped_rate > 0) {
    result["lost_share"] = result["lost_tok_per_s"]["value"].get<double>() / unswapped_rate.get<double>();
  }
  const auto usd = charged_per_hour(record, backend_of(record, lines.plan->at("key")));
  const Values shares = planned_shares(plan);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    result["models"].push_back(derive_model(plan.at("models")[i], shares[i], samples, lines, usd, plan));
  }
  cell["swap"] = std::move(result);
}

}  // namespace secondsource::verify
