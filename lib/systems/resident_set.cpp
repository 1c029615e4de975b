#include "systems/resident_set.h"

#include <algorithm>
#include <span>

namespace secondsource {

void ResidentSet::set_budget(const SwapPlan& plan) {
  budget_bytes_ = plan.memory_budget_bytes;
  budget_models_ = plan.budget_models;
}

void ResidentSet::use(std::int32_t model) {
  at(model).last_use = ++n_uses_;
}

void ResidentSet::add(std::int32_t model) {
  at(model).is_resident = true;
}

void ResidentSet::remove(std::int32_t model) {
  at(model).is_resident = false;
}

void ResidentSet::note_bytes(std::int32_t model, std::int64_t bytes) {
  at(model).bytes = std::max(at(model).bytes.value_or(0), bytes);
}

std::vector<std::int32_t> ResidentSet::resident() const {
  std::vector<std::int32_t> resident;
  for (std::size_t model = 0; model < models_.size(); ++model) {
    if (models_[model].is_resident) resident.push_back(static_cast<std::int32_t>(model));
  }
  std::ranges::sort(resident, {}, [this](std::int32_t model) { return at(model).last_use; });
  return resident;
}

std::vector<std::int32_t> ResidentSet::victims_for(std::int32_t model) const {
  std::vector<std::int32_t> victims;
  std::vector<std::int32_t> others = resident();
  std::erase(others, model);
  const auto fits_beside = [&](std::span<const std::int32_t> left) {
    if (budget_models_ > 0) return left.size() < static_cast<std::size_t>(budget_models_);
    std::int64_t room = budget_bytes_ - at(model).bytes.value_or(budget_bytes_);
    for (const std::int32_t other : left) room -= at(other).bytes.value_or(budget_bytes_);
    return room >= 0;
  };
  std::span<const std::int32_t> left = others;
  while (!left.empty() && !fits_beside(left)) {
    victims.push_back(left.front());
    left = left.subspan(1);
  }
  return victims;
}

bool ResidentSet::is_too_large(std::int32_t model) const {
  return budget_models_ == 0 && at(model).bytes.value_or(0) > budget_bytes_;
}

std::optional<std::int64_t> ResidentSet::resident_bytes() const {
  std::int64_t sum = 0;
  for (const Model& model : models_) {
    if (!model.is_resident) continue;
    if (!model.bytes) return std::nullopt;
    sum += *model.bytes;
  }
  return sum;
}

}  // namespace secondsource
