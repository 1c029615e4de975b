#include "gate/comparable.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace secondsource {
namespace {

template <typename Records>
const typename Records::value_type* find_named(const Records& records, std::string_view name) {
  for (const auto& record : records) {
    if (record.name == name) return &record;
  }
  return nullptr;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// The gate has to find injected faults, so that they may differ.
Pairs without_fault(Pairs pairs) {
  std::erase_if(pairs, [](const auto& pair) { return pair.first == "fault"; });
  return pairs;
}

bool same_promise(const std::optional<Slo>& a, const std::optional<Slo>& b) {
  return a.has_value() == b.has_value() && (!a || (a->is_kept_by(*b) && b->is_kept_by(*a)));
}

}  // namespace

std::optional<std::string> why_runs_differ(const RunRecord& base, const RunRecord& candidate) {
  const auto differ = [](std::string_view what, const auto& a, const auto& b) {
    return fmt::format("{}: the base has \"{}\", the candidate \"{}\"", what, a, b);
  };
  if (base.method_version != candidate.method_version) {
    return differ("measurement method version", base.method_version, candidate.method_version);
  }
  for (const std::string_view name : {"cpu_model", "logical_cpus", "affinity_cpus", "memory_bytes", "kernel"}) {
    const auto value_of = [&](const RunRecord& record) {
      const HostFact* fact = find_named(record.host, name);
      return fact != nullptr && fact->value ? *fact->value : std::string();
    };
    const std::string a = value_of(base);
    const std::string b = value_of(candidate);
    if (a != b) return differ(fmt::format("host {}", name), a, b);
  }
  return std::nullopt;
}

std::optional<std::string> why_cells_differ(const RunRecord& base, const RunRecord& candidate, const CellSummary& a,
                                            const CellSummary& b, UnderTest under_test) {
  const BundleRecord* bundle_a = find_named(base.bundles, a.key.bundle);
  const BundleRecord* bundle_b = find_named(candidate.bundles, b.key.bundle);
  if (bundle_a == nullptr || bundle_b == nullptr) return "a run does not describe the bundle";
  if (bundle_a->content_sha256 != bundle_b->content_sha256) return "the bundle's content differs";
  const BackendRecord* backend_a = find_named(base.backends, a.key.backend);
  const BackendRecord* backend_b = find_named(candidate.backends, b.key.backend);
  if (backend_a == nullptr || backend_b == nullptr) return "a run does not describe the backend";
  if (under_test != UnderTest::kSystem && backend_a->device.name != backend_b->device.name) {
    return fmt::format("the device differs: \"{}\" and \"{}\"", backend_a->device.name, backend_b->device.name);
  }
  if (under_test == UnderTest::kCode) {
    if (backend_a->device.properties != backend_b->device.properties) return "the device's driver or properties differ";
    if (without_fault(backend_a->options) != without_fault(backend_b->options)) return "the backend's options differ";
  }
  const Scenario& x = a.scenario;
  const Scenario& y = b.scenario;
  if (x.n_requests != y.n_requests || x.n_prompt_tokens != y.n_prompt_tokens ||
      x.n_output_tokens != y.n_output_tokens) {
    return "the scenario's requests or lengths differ";
  }
  if (x.trace_sha256 != y.trace_sha256) return "the recorded arrivals differ";
  if (x.seeks_slo_rate && !same_promise(base.slo, candidate.slo))
    return "the SLO under which the rate was sought differs";
  return std::nullopt;
}

}  // namespace secondsource
