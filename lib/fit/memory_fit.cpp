#include "fit/memory_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bundle/variant.h"
#include "core/counted.h"
#include "core/units.h"
#include "core/utf8.h"
#include "core/variant_name.h"
#include "fit/quantity.h"

namespace secondsource {
namespace {

constexpr std::int64_t kMostSequences = 1'000'000'000;
constexpr double kLeastMemoryBytes = 0x1p20;

std::string bytes_text(double bytes) {
  return format_bytes(static_cast<std::int64_t>(std::min(bytes, 0x1p62)));
}

/// The cheapest row on demand whose instances hold `n_devices` of this accelerator.
std::optional<FitPrice> price_of(const Hardware& device, std::int64_t n_devices, const std::vector<PriceRow>& book) {
  std::optional<FitPrice> cheapest;
  for (const PriceRow& row : book) {
    if (row.accelerator != device.id || row.accelerators < 1 || row.commitment != Commitment::kOnDemand) continue;
    const std::int64_t n_instances = (n_devices - 1) / row.accelerators + 1;
    const double usd = real(n_instances) * row.usd_per_hour;
    if (cheapest && cheapest->usd_per_hour <= usd) continue;
    cheapest = FitPrice{.usd_per_hour = usd,
                        .usd_per_device_hour = row.usd_per_hour / row.n_units(),
                        .n_instances = n_instances,
                        .devices_per_instance = row.accelerators,
                        .row = row.key(),
                        .date = row.dated()};
  }
  return cheapest;
}

/// Why no row of the book is a price of this device; empty if one is.
std::string why_not_priced(const Hardware& device, const std::vector<PriceRow>& book) {
  const auto names_it = [&](const PriceRow& row) { return row.accelerator == device.id && row.accelerators > 0; };
  if (std::ranges::none_of(book, names_it)) return "no row of the price book names this device";
  const bool is_on_demand = std::ranges::any_of(
      book, [&](const PriceRow& row) { return names_it(row) && row.commitment == Commitment::kOnDemand; });
  return is_on_demand ? "" : "no row of the price book names this device on demand";
}

class Fitter {
 public:
  explicit Fitter(const FitRequest& request) : request_(request) {}

  Result<FitReport> fit() {
    SS_TRY_VOID(check());
    FitReport report;
    report.model = request_.model;
    report.context = request_.context;
    report.n_sequences = request_.n_sequences;
    report.kv_dtype = to_string(request_.plan.kv_dtype);
    report.reserved_share = request_.reserved_share;
    for (const std::string& name : request_.variants) {
      SS_TRY(const Variant variant, variant_from_name(name));
      SS_TRY(const ModelMemory memory, model_memory(request_.config, variant, request_.plan, request_.published));
      report.n_parameters = memory.n_parameters;
      report.n_active_parameters = memory.n_active_parameters;
    }
    for (const Hardware& device : request_.devices) {
      for (const std::string& name : request_.variants) {
        SS_TRY(const Variant variant, variant_from_name(name));
        SS_TRY(const ModelMemory memory, model_memory(request_.config, variant, request_.plan, request_.published));
        report.rows.push_back(row_of(device, name, memory));
      }
      for (const std::string& source : device.sources) report.sources.push_back(device.id + ": " + source);
      for (const std::string& fact : device.unsourced) {
        report.sources.push_back(device.id + ": no source states: " + fact);
      }
    }
    return report;
  }

 private:
  Result<void> check() const {
    // For a model that is not quantized, any published variant may be requested: it shows what such a checkpoint would
    // need.
    if (const std::string& published = request_.published.variant; !published.empty()) {
      std::vector<std::string> known = variants_with_published(published);
      // A configuration without weights may announce scales of activations that the weights lack.
      const std::string without = name_without_input_scales(published);
      if (!request_.published.encodings && without != published) known.insert(known.begin() + 1, without);
      SS_TRY_VOID(check_known_variants("fit: " + printable(request_.model), known, request_.variants));
    }
    const auto refuse = [](std::string message) { return Error{ErrorCode::kInvalidInput, "fit: " + message}; };
    if (request_.context < 1 || request_.context > request_.config.max_seq_len) {
      return refuse(fmt::format("expected a context of 1 to {} tokens (the model's positions), found {}",
                                request_.config.max_seq_len, request_.context));
    }
    if (request_.n_sequences < 1 || request_.n_sequences > kMostSequences || request_.max_devices < 1) {
      return refuse(fmt::format("expected 1 to {} sequences and at least one device, found {} and {}", kMostSequences,
                                request_.n_sequences, request_.max_devices));
    }
    if (!(request_.reserved_share >= 0 && request_.reserved_share < 1)) {
      return refuse(
          fmt::format("expected a reserve from 0 to below 100 %, found {:g} %", 100 * request_.reserved_share));
    }
    for (const Hardware& device : request_.devices) {
      if (device.memory_bytes && *device.memory_bytes < kLeastMemoryBytes) {
        return refuse(
            fmt::format("{}: expected at least 1 MiB of memory, found {:g} bytes (a size has a unit, as 512GiB)",
                        device.id, *device.memory_bytes));
      }
      if (!device.memory_bytes) {
        return refuse(fmt::format("{}: expected --memory, since this device is sold with different amounts of memory",
                                  device.id));
      }
    }
    return {};
  }

  /// Fills in what depends on the number of devices. Returns why they cannot hold the model; empty if they can.
  std::string place(const Hardware& device, const ModelMemory& memory, std::int64_t n_devices, FitRow& row) const {
    const double n = real(n_devices);
    row.n_devices = n_devices;
    row.memory_bytes = n * *device.memory_bytes;
    row.reserved_bytes = request_.reserved_share * row.memory_bytes;
    row.weights_bytes = memory.weights_bytes;
    row.workspace_bytes = n * memory.workspace_bytes;
    row.left_for_kv_bytes = row.memory_bytes - row.reserved_bytes - row.weights_bytes - row.workspace_bytes;
    // KV heads that several devices share take memory on each of them.
    const double copies = std::max(1.0, n / real(request_.config.n_kv_heads));
    row.kv_bytes_per_sequence = copies * sequence_kv_bytes(memory, request_.plan, request_.context);
    row.n_sequences = std::max<std::int64_t>(
        0, static_cast<std::int64_t>(std::floor(row.left_for_kv_bytes / row.kv_bytes_per_sequence)));
    if (row.left_for_kv_bytes < 0) {
      return fmt::format("{} of weights and workspace, {} to use", bytes_text(row.weights_bytes + row.workspace_bytes),
                         bytes_text(row.memory_bytes - row.reserved_bytes));
    }
    if (row.n_sequences < request_.n_sequences) {
      return fmt::format("{} left for the cache, {} needed", bytes_text(row.left_for_kv_bytes),
                         bytes_text(real(request_.n_sequences) * row.kv_bytes_per_sequence));
    }
    return "";
  }

  FitRow row_of(const Hardware& device, const std::string& variant, const ModelMemory& memory) const {
    FitRow row{
        .hardware = device.id, .name = device.name, .variant = variant, .memory_bytes_of_one = *device.memory_bytes};
    if (!request_.prices.empty()) row.why_no_price = why_not_priced(device, request_.prices);
    for (std::int64_t n = 1; n <= request_.max_devices && request_.config.n_heads % n == 0; n *= 2) {
      row.why_not = place(device, memory, n, row);
      if (row.why_not.empty()) break;
    }
    if (!row.why_not.empty()) {
      row.why_not = fmt::format("{}: {}", counted(row.n_devices, "device"), row.why_not);
      row.n_devices = 0;
      if (!request_.prices.empty() && row.why_no_price.empty()) row.why_no_price = "the model does not fit";
      return row;
    }
    row.price = price_of(device, row.n_devices, request_.prices);
    if (row.price) row.gib_per_usd_hour = row.memory_bytes / kGibibyte / row.price->usd_per_hour;
    const Rates rates = rates_of(device, row.n_devices, variant);
    row.decode_one = decode_ceiling(request_.config, memory, rates, 1, request_.context);
    row.decode_full = decode_ceiling(request_.config, memory, rates, row.n_sequences, request_.context);
    row.prefill = prefill_ceiling(request_.config, memory, rates, request_.context);
    return row;
  }

  const FitRequest& request_;
};

}  // namespace

Result<FitReport> fit_model(const FitRequest& request) {
  return Fitter(request).fit();
}

}  // namespace secondsource
