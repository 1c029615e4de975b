#include "cpu/options.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>

#include "backend_kit/host_device.h"

namespace secondsource::cpu {
namespace {

constexpr std::array<std::pair<std::string_view, DType>, 4> kCacheTypes{
    {{"bf16", DType::kBf16}, {"f16", DType::kF16}, {"int8", DType::kI8}, {"f32", DType::kF32}}};

Error bad(std::string message) {
  return Error{ErrorCode::kInvalidInput, std::move(message)};
}

Result<void> apply_extra(const std::string& key, const std::string& value, Options& parsed, ProductRequest& request) {
  if (key == "isa") {
    SS_TRY(parsed.isa, choose_isa(value));
    request.is_isa_given = true;
    return {};
  }
  if (key == "products") {
    request.products = value;
    return {};
  }
  if (key == "kv") {
    for (const auto& [name, dtype] : kCacheTypes) {
      if (value != name) continue;
      parsed.kv_dtype = dtype;
      return {};
    }
    return bad(fmt::format("option kv: expected bf16, f16, int8 or f32, found {}", value));
  }
  if (key == "guards" || key == "weight_cache") {
    if (value != "0" && value != "1") return bad(fmt::format("option {}: expected 0 or 1, found {}", key, value));
    (key == "guards" ? parsed.guards : parsed.weight_cache) = value == "1";
    return {};
  }
  return bad(fmt::format("option {}: expected isa, products, kv, guards or weight_cache", key));
}

}  // namespace

Result<Options> parse_options(const BackendOptions& options) {
  if (!options.device_id.empty() && options.device_id != "0") {
    return Error{ErrorCode::kUnavailable, fmt::format("device {}: expected 0", options.device_id)};
  }
  constexpr int kMaxThreads = 1024;
  if (options.n_threads < 0 || options.n_threads > kMaxThreads) {
    return bad(fmt::format("expected 0 to {} threads, found {}", kMaxThreads, options.n_threads));
  }
  Options parsed;
  SS_TRY(parsed.isa, choose_isa(""));
  parsed.n_threads = options.n_threads > 0 ? options.n_threads : n_usable_cpus();
  parsed.cpus = options.cpus;
  if (std::ranges::any_of(parsed.cpus, [](std::int32_t cpu) { return cpu < 0 || cpu >= CPU_SETSIZE; })) {
    return bad(fmt::format("expected CPU numbers in [0, {})", CPU_SETSIZE));
  }
  ProductRequest request;
  for (const auto& [key, value] : options.extra) SS_TRY_VOID(apply_extra(key, value, parsed, request));
  SS_TRY(parsed.products, choose_products(parsed.isa, request));
  return parsed;
}

}  // namespace secondsource::cpu
