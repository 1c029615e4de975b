#include "verify/derive_load.h"

#include <algorithm>

#include "verify/figures.h"

namespace secondsource::verify {
namespace {

constexpr std::int64_t kLateNs = 1'000'000;  // one millisecond, by docs/metrics.md

std::int64_t late_by(const Json& sample) {
  return whole(sample, "sent_ns") - whole(sample, "scheduled_ns");
}

void derive_sends(const std::vector<const Json*>& samples, Json& cell) {
  const auto n_late = std::ranges::count_if(samples, [](const Json* one) { return late_by(*one) > kLateNs; });
  std::int64_t latest = 0;
  for (const Json* one : samples) latest = std::max(latest, late_by(*one));
  cell["late_send_share"] = static_cast<double>(n_late) / static_cast<double>(samples.size());
  cell["latest_send_ns"] = latest;
}

void derive_cancelled(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  cell["n_cancelled"] =
      std::ranges::count_if(samples, [](const Json* one) { return one->at("finish") == "cancelled"; });
  Values freed, unwanted;
  for (const RawLine* line : lines.repetitions) {
    const Json& end = line->tree;
    double asked = 0, arrived = 0, arrived_of_cancelled = 0;
    for (const Json* one : samples) {
      if (one->at("repetition") != end.at("repetition")) continue;
      const auto tokens = one->at("n_output_tokens").get<double>();
      arrived += tokens;
      if (one->at("finish") != "cancelled") continue;
      arrived_of_cancelled += tokens;
      asked += one->at("asked_tokens").get<double>();
    }
    const auto window = static_cast<double>(whole(end, "window_end_ns") - whole(end, "window_start_ns"));
    if (window > 0) freed.push_back(per_second(asked - arrived_of_cancelled, window));
    for (const Json& reading : end.at("telemetry")) {
      const bool is_count = reading.at("name") == "server_output_tokens_count" && !reading.at("value").is_null();
      if (is_count) unwanted.push_back(reading.at("value").get<double>() - arrived);
    }
  }
  cell["freed_tok_per_s"] = or_null(quantile(freed, 0.5));
  cell["unwanted_tokens"] = or_null(quantile(unwanted, 0.5));
}

double sum_of(const std::vector<const Json*>& samples, const char* name) {
  double sum = 0;
  for (const Json* one : samples) sum += one->at(name).get<double>();
  return sum;
}

/// The mean over samples of a count; null without samples.
Json mean_of(const std::vector<const Json*>& samples, const char* name) {
  if (samples.empty()) return nullptr;
  return sum_of(samples, name) / static_cast<double>(samples.size());
}

void derive_conversations(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  const std::int64_t n_turns = whole(cell["scenario"], "turns");
  const auto with_cached = [](std::vector<const Json*> chosen) {
    std::erase_if(chosen, [](const Json* one) { return one->at("n_cached_prompt_tokens").is_null(); });
    return chosen;
  };
  const auto answered = [&](std::int64_t first, std::int64_t last) {
    std::vector<const Json*> chosen;
    for (const Json* one : samples) {
      const std::int64_t turn = whole(*one, "request") % n_turns + 1;
      if (one->at("error").get_ref<const std::string&>().empty() && turn >= first && turn <= last)
        chosen.push_back(one);
    }
    return chosen;
  };
  Json turns = Json::array();
  for (std::int64_t turn = 1; turn <= n_turns; ++turn) {
    const std::vector<const Json*> of_turn = answered(turn, turn);
    turns.push_back({{"turn", turn},
                     {"n_requests", of_turn.size()},
                     {"mean_prompt_tokens", mean_of(of_turn, "n_prompt_tokens")},
                     {"mean_cached_tokens", mean_of(with_cached(of_turn), "n_cached_prompt_tokens")},
                     {"ttft_p50_ns", median_ttft(of_turn, lines)}});
  }
  const std::vector<const Json*> later = answered(2, n_turns);
  const std::vector<const Json*> later_counted = with_cached(later);
  const double later_prompt = sum_of(later_counted, "n_prompt_tokens");
  Json by_repetition = Json::array();
  for (const RawLine* line : lines.repetitions) {
    Values of_repetition;
    for (const Json* one : later) {
      if (one->at("repetition") != line->tree.at("repetition") || one->at("first_token_ns").is_null()) continue;
      of_repetition.push_back(static_cast<double>(whole(*one, "first_token_ns") - whole(*one, "scheduled_ns") -
                                                  whole_or_null(*one, "connect_ns").value_or(0)));
    }
    if (const auto middle = quantile(of_repetition, 0.5)) by_repetition.push_back(*middle);
  }
  cell["conversation"] = {
      {"first_turn_ttft_p50_ns", turns.front().at("ttft_p50_ns")},
      {"later_turns_ttft_p50_ns", median_ttft(later, lines)},
      {"later_turns_cached_share",
       later_prompt > 0 ? Json(sum_of(later_counted, "n_cached_prompt_tokens") / later_prompt) : Json(nullptr)},
      {"later_turns_ttft_p50_ns_by_repetition", by_repetition},
      {"turns", turns}};
}

}  // namespace

void derive_load(const std::vector<const Json*>& samples, const CellLines& lines, Json& cell) {
  for (const char* name :
       {"late_send_share", "latest_send_ns", "n_cancelled", "freed_tok_per_s", "unwanted_tokens", "conversation"}) {
    cell[name] = nullptr;
  }
  const Json& scenario = cell["scenario"];
  if (samples.empty()) return;
  const bool has_conversations = scenario.value("turns", 1) > 1;
  if (scenario.at("kind") == "server" || has_conversations) derive_sends(samples, cell);
  if (scenario.value("cancel_share", 0.0) > 0) derive_cancelled(samples, lines, cell);
  if (has_conversations) derive_conversations(samples, lines, cell);
}

}  // namespace secondsource::verify
