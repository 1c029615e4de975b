#pragma once
// A system under test that has several models and a memory budget that need not hold all of them. A request for a model
// that is not resident loads it, and evicts others first, as the system's rule says (TimedRequest::model).

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "measure/system_under_test.h"

namespace secondsource {

/// A change of the resident set.
struct PoolEvent {
  SwapAction action = SwapAction::kLoad;
  std::int32_t model = 0;
  std::int64_t tag = -1;  ///< of the request for which it was made; negative: none
  std::int64_t duration_ns = 0;
  std::int64_t resident_bytes = 0;  ///< of all resident models, afterwards
};

/// What a model occupies.
struct ModelFootprint {
  MemoryUse memory;  ///< the largest seen so far; all 0 for a model that was never loaded
  std::int64_t file_bytes = 0;
};

class ModelPool : public SystemUnderTest {
 public:
  [[nodiscard]] virtual const std::vector<std::string>& models() const = 0;
  /// Loads the model if it is not resident, for the request `tag`. Errors: kInvalidInput if it does not fit into the
  /// budget on its own; those of loading it.
  virtual Result<void> make_resident(std::int32_t model, std::int64_t tag) = 0;
  /// The resident models, the least recently used first.
  [[nodiscard]] virtual std::vector<std::int32_t> resident() const = 0;
  virtual Result<void> evict_all() = 0;
  /// Holds from the next load on.
  virtual void set_budget(std::int64_t memory_budget_bytes) = 0;
  /// Looks at the memory of a resident model, which takes a while: not while a clock runs.
  [[nodiscard]] virtual ModelFootprint footprint(std::int32_t model) = 0;
  /// Removes the files of a model that is not resident from the page cache. Errors: kIo where the system refuses.
  virtual Result<void> drop_cached_files(std::int32_t model) = 0;
  /// The share of the model's files that the page cache holds. Errors: kIo.
  virtual Result<double> cached_share(std::int32_t model) = 0;
  /// Why no model can be loaded from memory of the host; empty where one can.
  [[nodiscard]] virtual std::string why_no_host_memory() const = 0;
  /// The changes since the last call.
  [[nodiscard]] virtual std::vector<PoolEvent> take_events() = 0;
};

}  // namespace secondsource
