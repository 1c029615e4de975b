#pragma once
// A system under test that has several models and a memory budget that need not hold all of them. A request for a model
// that is not resident loads it, and evicts others first, as the system's rule says (TimedRequest::model).

#include <cstdint>
#include <optional>
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
  std::optional<std::int64_t> resident_bytes{};  ///< of all resident models, afterwards
};

/// The memory that a model takes, the largest values seen so far. Unknown values, as before the first load, are absent.
struct ModelFootprint {
  std::optional<std::int64_t> resident_bytes{};
  std::optional<std::int64_t> weights_bytes{};
  std::optional<std::int64_t> kv_bytes{};
  std::optional<std::int64_t> file_bytes{};
};

class ModelPool : public SystemUnderTest {
 public:
  [[nodiscard]] virtual const std::vector<std::string>& models() const = 0;
  /// Loads the model if it is not resident, for the request `tag`. Errors: kInvalidInput if it does not fit into the
  /// budget on its own; those of loading it.
  virtual Result<void> make_resident(std::int32_t model, std::int64_t tag) = 0;
  /// The resident models, the least recently used first.
  [[nodiscard]] virtual std::vector<std::int32_t> resident() const = 0;
  /// Asks whether the resident models are resident still. This takes a while, so do not call it in a timed region. Errors:
  /// kInvalidInput with the names of those that the system has evicted by a rule of its own; those of asking.
  virtual Result<void> check_resident() = 0;
  /// Evicts every model, so that nothing is left in memory except pages of their files.
  virtual Result<void> evict_all() = 0;
  /// Evicts a resident model so that its next load takes it from memory of the host. Errors: kUnsupported where
  /// why_no_host_memory() says why.
  virtual Result<void> evict_to_host_memory(std::int32_t model) = 0;
  /// Sets the budget, which applies from the next load on.
  virtual void set_budget(const SwapPlan& plan) = 0;
  /// Reads the memory use of a resident model. This takes a while, so do not call it in a timed region.
  [[nodiscard]] virtual ModelFootprint footprint(std::int32_t model) = 0;
  /// Removes the files of a model that is not resident from the page cache. Errors: kIo where the system refuses;
  /// kUnavailable where the files cannot be seen from here.
  virtual Result<void> drop_cached_files(std::int32_t model) = 0;
  /// The share of the model's files that the page cache holds. Errors: as drop_cached_files().
  virtual Result<double> cached_share(std::int32_t model) = 0;
  /// Why no model can be loaded from memory of the host; empty where one can.
  [[nodiscard]] virtual std::string why_no_host_memory() const = 0;
  /// Why the memory that a model takes is not known; empty where it is.
  [[nodiscard]] virtual std::string why_no_memory() const = 0;
  /// The changes since the last call.
  [[nodiscard]] virtual std::vector<PoolEvent> take_events() = 0;
};

}  // namespace secondsource
