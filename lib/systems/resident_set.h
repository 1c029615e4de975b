#pragma once
// Decides which models of a pool stay resident: to make room for another model, the least recently used are evicted
// until it fits into the budget. It only decides and counts; its owner loads and evicts.
//
//   set.use(model);
//   if (!set.is_resident(model)) {
//     for (const std::int32_t victim : set.victims_for(model)) { ...; set.remove(victim); }
//     ...; set.add(model);
//   }

#include <cstdint>
#include <optional>
#include <vector>

#include "record/swap.h"

namespace secondsource {

class ResidentSet {
 public:
  explicit ResidentSet(std::size_t n_models) : models_(n_models) {}

  void set_budget(const SwapPlan& plan);
  /// Makes the model the most recently used one.
  void use(std::int32_t model);
  void add(std::int32_t model);
  void remove(std::int32_t model);
  /// Records the size of a model; the largest one seen counts.
  void note_bytes(std::int32_t model, std::int64_t bytes);

  [[nodiscard]] bool is_resident(std::int32_t model) const { return at(model).is_resident; }
  /// The resident models, the least recently used first.
  [[nodiscard]] std::vector<std::int32_t> resident() const;
  /// The models to evict, in this order, before `model` is loaded. Under a budget in bytes, a model of unknown size
  /// gets the device to itself.
  [[nodiscard]] std::vector<std::int32_t> victims_for(std::int32_t model) const;
  /// True if the budget is too small even for this model alone, as far as its size is known.
  [[nodiscard]] bool is_too_large(std::int32_t model) const;
  [[nodiscard]] std::optional<std::int64_t> bytes_of(std::int32_t model) const { return at(model).bytes; }
  /// The size of all resident models; nullopt if the size of one is not known.
  [[nodiscard]] std::optional<std::int64_t> resident_bytes() const;
  [[nodiscard]] std::int64_t budget_bytes() const { return budget_bytes_; }

 private:
  struct Model {
    bool is_resident = false;
    std::int64_t last_use = 0;
    std::optional<std::int64_t> bytes{};
  };
  [[nodiscard]] const Model& at(std::int32_t model) const { return models_[static_cast<std::size_t>(model)]; }
  [[nodiscard]] Model& at(std::int32_t model) { return models_[static_cast<std::size_t>(model)]; }

  std::vector<Model> models_;
  std::int64_t budget_bytes_ = 0;
  std::int32_t budget_models_ = 0;
  std::int64_t n_uses_ = 0;
};

}  // namespace secondsource
