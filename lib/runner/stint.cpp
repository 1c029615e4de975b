#include "runner/stint.h"

#include <fmt/format.h>

#include <algorithm>

namespace secondsource {

std::string stint_id(const CellKey& key) {
  return key.bundle + "/" + key.backend + "/" + key.variant;
}

Result<std::vector<Stint>> stints_of(const RunRecord& record) {
  std::vector<Stint> stints;
  for (const PlannedCell& cell : record.cells) {
    const std::string id = stint_id(cell.key);
    auto found = std::find_if(stints.begin(), stints.end(), [&](const Stint& stint) { return stint.id == id; });
    if (found == stints.end()) {
      Stint stint{.id = id, .bundle = nullptr, .backend = nullptr, .variant = cell.key.variant, .cells = {}};
      for (const BundleRecord& bundle : record.bundles) {
        if (bundle.name == cell.key.bundle) stint.bundle = &bundle;
      }
      for (const BackendRecord& backend : record.backends) {
        if (backend.name == cell.key.backend) stint.backend = &backend;
      }
      if (stint.bundle == nullptr || stint.backend == nullptr) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("run.json: cell {}: expected its bundle and backend in the lists", cell.key.id())};
      }
      for (const std::string& model : stint.bundle->models) {
        const auto named = std::ranges::find(record.bundles, model, &BundleRecord::name);
        if (named != record.bundles.end() && named->models.empty()) continue;
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("run.json: cell {}: expected the bundles of its models in the list", cell.key.id())};
      }
      stints.push_back(std::move(stint));
      found = std::prev(stints.end());
    }
    found->cells.push_back(&cell);
  }
  return stints;
}

std::vector<Turn> turns_of(const Stint& stint, const FinishedWork& finished) {
  std::vector<Turn> turns;
  for (const PlannedCell* cell : stint.cells) {
    const std::string id = cell->key.id();
    if (finished.has_failed(id)) continue;
    for (std::int32_t repetition = 0; repetition < cell->repetitions; ++repetition) {
      if (finished.has_repetition(id, repetition)) continue;
      turns.push_back({cell, repetition});
      if (cell->scenario.seeks_slo_rate) break;  // the search measures all its repetitions
    }
  }
  std::ranges::stable_sort(turns, {}, &Turn::repetition);
  return turns;
}

}  // namespace secondsource
