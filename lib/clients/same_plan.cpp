#include "clients/same_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/utf8.h"
#include "record/json_codec.h"
#include "record/ranges.h"

namespace secondsource {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

template <typename T>
std::string json_of(const T& record) {
  return json_codec::to_text(json_codec::to_tree(record), -1);
}

/// Everything that must be the same, by name; not what belongs to the machine that sent the requests.
Facts facts_of(const RunRecord& record) {
  Facts facts = {{"the program's version", record.program_version},
                 {"the program's commit", record.commit},
                 {"the version of the method", fmt::to_string(record.method_version)},
                 {"the seed", fmt::to_string(record.seed)},
                 {"the suite", record.suite},
                 {"the SLO", record.slo ? json_of(*record.slo) : ""},
                 {"the price", record.price ? json_of(*record.price) : ""},
                 {"whether tokens were judged", record.settings.golden ? "yes" : "no"}};
  for (BundleRecord bundle : record.bundles) {
    bundle.path.clear();
    facts.emplace_back("bundle " + bundle.name, json_of(bundle));
  }
  for (const BackendRecord& backend : record.backends) {
    facts.emplace_back("system " + backend.name, identity_text(backend));
    facts.emplace_back("system " + backend.name, json_of(backend));
  }
  for (const PlannedCell& cell : record.cells) facts.emplace_back("cell " + cell.key.id(), json_of(cell));
  return facts;
}

Error unlike(const StoredRun& first, const StoredRun& other, std::string_view what, std::string_view expected,
             std::string_view found) {
  // Long texts are quoted from a little before their first difference.
  constexpr std::size_t kLongest = 80;
  std::size_t same = 0;
  while (same < std::min(expected.size(), found.size()) && expected[same] == found[same]) ++same;
  const std::size_t from = std::max(expected.size(), found.size()) <= kLongest || same < 20 ? 0 : same - 20;
  const auto part = [&](std::string_view text) {
    return text.empty() ? std::string("none") : shown(text.substr(std::min(from, text.size()), kLongest));
  };
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{} and {}: not clients of one load: {}: expected {} as the first has it, found {}",
                           first.folder.string(), other.folder.string(), shown(what), part(expected), part(found))};
}

Result<void> check_alike(const StoredRun& first, const StoredRun& other) {
  const Facts expected = facts_of(first.record);
  const Facts found = facts_of(other.record);
  for (std::size_t i = 0; i < std::max(expected.size(), found.size()); ++i) {
    if (i >= expected.size()) return unlike(first, other, found[i].first, "", found[i].second);
    if (i >= found.size() || expected[i].first != found[i].first) {
      return unlike(first, other, expected[i].first, expected[i].second, "");
    }
    if (expected[i].second != found[i].second) {
      return unlike(first, other, expected[i].first, expected[i].second, found[i].second);
    }
  }
  return {};
}

/// Checks the requirements that a run must meet by itself.
Result<void> check_one(const StoredRun& run) {
  const auto refuse = [&](std::string what) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}", run.folder.string(), what)};
  };
  const RunRecord& record = run.record;
  if (!record.clients.empty()) {
    return refuse(
        fmt::format("expected the run of one client, found one that was merged of {}", record.clients.size()));
  }
  for (const BackendRecord& backend : record.backends) {
    if (backend.served) continue;
    return refuse(fmt::format("expected servers behind URLs alone, found {}, which {} of that machine",
                              shown(backend.name), backend.adapter ? "is a runtime" : "is a backend"));
  }
  for (const PlannedCell& cell : record.cells) {
    if (const std::string why = why_not_divided(cell.scenario); !why.empty()) {
      return refuse(fmt::format("cell {}: expected offline:BATCH or server:RATE, found {}", shown(cell.key.id()), why));
    }
    const Scenario& load = cell.scenario;
    const bool is_in_range = kRequestsRange.contains(load.n_requests) && kBatchRange.contains(load.batch) &&
                             load.rate_per_s >= 0 && load.rate_per_s <= kFastestRatePerS &&
                             (load.turns == 1 || kTurnsRange.contains(load.turns));
    if (!is_in_range) return refuse(fmt::format("cell {}: a load out of range", shown(cell.key.id())));
  }
  if (!record.client) {
    return refuse(
        "expected the run of a client that knows its number (run --client 1/2), found one that has none: its prompts would be "
        "those of the others, which a prefix cache answers");
  }
  if (!kClientsRange.contains(record.client->count) || record.client->index < 1 ||
      record.client->index > record.client->count) {
    return refuse(fmt::format("client: expected a number of {} to {} clients, found {}/{}", kClientsRange.min,
                              kClientsRange.max, record.client->index, record.client->count));
  }
  return {};
}

}  // namespace

Result<void> check_same_plan(std::span<const StoredRun> runs) {
  std::vector<const StoredRun*> of_client;
  for (const StoredRun& run : runs) {
    SS_TRY_VOID(check_one(run));
    const LoadClient& client = *run.record.client;
    const LoadClient& first = *runs.front().record.client;
    if (client.count != first.count) {
      return unlike(runs.front(), run, "the number of clients", fmt::to_string(first.count),
                    fmt::to_string(client.count));
    }
    of_client.resize(static_cast<std::size_t>(client.count), nullptr);
    const StoredRun*& place = of_client[static_cast<std::size_t>(client.index - 1)];
    if (place != nullptr) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{} and {}: both are client {} of {}: expected each once", place->folder.string(),
                               run.folder.string(), client.index, client.count)};
    }
    place = &run;
  }
  std::vector<std::size_t> absent;
  for (std::size_t index = 0; index < of_client.size(); ++index) {
    if (of_client[index] == nullptr) absent.push_back(index + 1);
  }
  if (!absent.empty()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("expected the runs of all {} clients, found none of client {}",
                                                       of_client.size(), fmt::join(absent, ", "))};
  }
  for (const StoredRun& run : runs.subspan(1)) SS_TRY_VOID(check_alike(runs.front(), run));
  return {};
}

}  // namespace secondsource
