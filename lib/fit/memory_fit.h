#pragma once
// How many devices a model needs, what they have left, and what they could do at best.

#include <cstdint>
#include <string>
#include <vector>

#include "bundle/model_config.h"
#include "core/result.h"
#include "cost/price_book.h"
#include "fit/fit_record.h"
#include "fit/hardware.h"
#include "fit/model_memory.h"

namespace secondsource {

struct FitRequest {
  std::string model{};  ///< its name in the report
  ModelConfig config{};
  PublishedTypes published{};  ///< the types of the model's matrices in its own variant
  std::vector<std::string> variants{};
  std::vector<Hardware> devices{};
  std::int64_t context = 0;      ///< tokens of a sequence; at most config.max_seq_len
  std::int64_t n_sequences = 1;  ///< how many must fit at once
  std::int64_t max_devices = 8;  ///< of one server
  /// The share of each device's memory that is reserved for the driver, code and fragmentation. The default is what
  /// vLLM leaves free (--gpu-memory-utilization 0.9).
  double reserved_share = 0.1;
  MemoryPlan plan{};
  std::vector<PriceRow> prices{};  ///< the cheapest on-demand row for a row's devices prices them
};

/// One row for each device and variant, in their order. Devices hold equal parts of the weights and of the cache, whose
/// heads are divided among them. A server has 1, 2, 4, ... devices, a divisor of the model's attention heads; if it has
/// more devices than there are KV heads, several devices hold the same KV heads. Errors: kInvalidInput for a context or
/// a number that is out of range, for an unknown variant, or for a device whose memory is not known; kUnsupported.
Result<FitReport> fit_model(const FitRequest& request);

}  // namespace secondsource
