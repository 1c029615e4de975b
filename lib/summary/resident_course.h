#pragma once
// When each model of a mix was in the memory of the device: the course of one repetition of the scenario `swap`.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/records.h"

namespace secondsource {

/// One stay of a model; times in milliseconds from when the first request was sent.
struct ResidentStay {
  std::size_t model = 0;                         ///< index in ResidentCourse::models
  double from_ms = 0;                            ///< when its load began
  double to_ms = 0;                              ///< when its eviction had ended, or the last token came
  std::optional<double> load_ms{};               ///< absent for a model that was resident when the mix began
  std::optional<std::int64_t> resident_bytes{};  ///< of all models, once it was loaded
};

struct ResidentCourse {
  std::vector<std::string> models{};  ///< in the order of the plan
  std::vector<ResidentStay> stays{};  ///< in the order of their beginnings
  double end_ms = 0;
};

/// The loads and evictions of a request follow each other from when it was sent. `samples` are those of the repetition.
[[nodiscard]] ResidentCourse resident_course(const SwapRecord& swap, std::span<const RequestSample* const> samples);

}  // namespace secondsource
