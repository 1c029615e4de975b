#pragma once
// Collects steps of an engine that were traced with a clock around every operation, as spans for a trace viewer and as
// sums by operation, shape and layer. Such steps are never samples.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "engine/engine.h"
#include "profile/trace_event_file.h"
#include "record/records.h"

namespace secondsource {

class OperationTimer {
 public:
  /// If `trace` is null, only sums are collected. Otherwise it must outlive this object, and gets at most kMostSpans
  /// spans.
  explicit OperationTimer(TraceEventFile* trace);
  /// Adds the last step of the engine.
  void add(const Engine& engine);
  /// The sums so far, longest time first.
  [[nodiscard]] std::vector<OperationTime> operations() const;
  [[nodiscard]] std::int64_t device_ns() const noexcept { return device_ns_; }
  [[nodiscard]] std::int64_t n_steps() const noexcept { return n_steps_; }

  static constexpr std::int64_t kMostSpans = 500'000;

 private:
  void add_spans(const StepStats& step);
  void add_group(const Engine& engine, const StepStats& step, const GroupTime& time, std::int64_t start_ns);

  TraceEventFile* trace_;
  std::optional<StepGraph> graph_;  ///< the same for all steps, which differ only in their buckets
  using Key = std::tuple<std::string, std::string, std::string, std::string, std::string>;
  std::map<Key, OperationTime> sums_;  ///< by operation, label, shape class, shape and kernel
  std::int64_t device_ns_ = 0;
  std::int64_t n_steps_ = 0;
};

}  // namespace secondsource
