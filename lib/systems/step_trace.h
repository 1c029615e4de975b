#pragma once
// Steps of an engine that were traced with a clock around every operation: as spans for a viewer, and as sums by
// operation, shape and layer. Such steps are never samples.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "engine/engine.h"
#include "measure/chrome_trace.h"
#include "report/records.h"

namespace secondsource {

class StepTrace {
 public:
  /// `trace` may be null: sums alone. It must outlive this, and gets at most kMostSpans.
  explicit StepTrace(ChromeTrace* trace);
  /// The step that the engine has just done.
  void add(const Engine& engine);
  /// The sums so far, the longest first.
  [[nodiscard]] std::vector<OperationTime> operations() const;
  [[nodiscard]] std::int64_t device_ns() const noexcept { return device_ns_; }
  [[nodiscard]] std::int64_t n_steps() const noexcept { return n_steps_; }

  static constexpr std::int64_t kMostSpans = 500'000;

 private:
  void add_spans(const StepStats& step);
  void add_group(const Engine& engine, const StepStats& step, const GroupTime& time, std::int64_t start_ns);

  ChromeTrace* trace_;
  std::optional<StepGraph> graph_;  ///< of all steps alike: they differ in their buckets only
  using Key = std::tuple<std::string, std::string, std::string, std::string, std::string>;
  std::map<Key, OperationTime> sums_;  ///< by operation, label, shape class, shape and kernel
  std::int64_t device_ns_ = 0;
  std::int64_t n_steps_ = 0;
};

}  // namespace secondsource
