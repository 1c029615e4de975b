#include "gate/comparable.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "core/enum_format.h"

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

/// Removes the planted fault from the pairs: the gate must be able to find injected faults, so they may differ.
Pairs without_fault(Pairs pairs) {
  std::erase_if(pairs, [](const auto& pair) { return pair.first == "fault"; });
  return pairs;
}

bool same_promise(const std::optional<Slo>& a, const std::optional<Slo>& b) {
  return a.has_value() == b.has_value() && (!a || (a->is_kept_by(*b) && b->is_kept_by(*a)));
}

/// One of the settings that label rows, on both sides.
struct LabelledSetting {
  std::string_view name;
  std::string_view plan_key;
  const FeatureSetting& base;
  const FeatureSetting& candidate;
};

/// All settings are unknown in a run by a program that did not record them.
ServedFeatures features_of(const BackendRecord& backend) {
  return backend.served && backend.served->features ? *backend.served->features : ServedFeatures();
}

std::array<LabelledSetting, 3> labelled(const ServedFeatures& base, const ServedFeatures& candidate) {
  return {{{"speculative decoding", "speculative", base.speculative, candidate.speculative},
           {"the prefix cache", "prefix_cache", base.prefix_cache, candidate.prefix_cache},
           {"the KV cache", "kv_cache", base.kv_cache, candidate.kv_cache}}};
}

bool is_known(const FeatureSetting& setting) {
  return setting.source != SettingSource::kUnknown;
}

std::string setting_text(const FeatureSetting& setting) {
  return is_known(setting) ? fmt::format("{} ({})", setting.value, setting.source) : std::string("an unknown one");
}

/// The reason why two rows would be compared although a label is missing: a setting is known on one side only. nullopt
/// if there is none.
std::optional<std::string> why_unlabelled(const BackendRecord& base, const BackendRecord& candidate) {
  if (!base.served || !candidate.served) return std::nullopt;
  const ServedFeatures a = features_of(base);
  const ServedFeatures b = features_of(candidate);
  for (const LabelledSetting& one : labelled(a, b)) {
    if (is_known(one.base) == is_known(one.candidate)) continue;
    const bool base_is_known = is_known(one.base);
    const FeatureSetting& known = base_is_known ? one.base : one.candidate;
    return fmt::format("{} is {} ({}) in the {} and unknown in the {}: set {} in the plan of both", one.name,
                       known.value, known.source, base_is_known ? "base" : "candidate",
                       base_is_known ? "candidate" : "base", one.plan_key);
  }
  return std::nullopt;
}

/// Answers whose mean lengths differ by more than this are not compared: the cost of a token contains its share of the
/// time to the first one, so that shorter answers would pass for slower decoding or hide it.
constexpr double kMostLengthDifference = 0.05;

std::optional<std::string> why_lengths_differ(const CellSummary& a, const CellSummary& b) {
  // Where requests are cancelled, how many tokens arrive after that is a property of the system.
  if (a.scenario.cancel_share > 0 || !a.mean_output_tokens || !b.mean_output_tokens) return std::nullopt;
  // Recorded requests have lengths of their own, so other requests have another mean.
  if (a.scenario.arrivals == ArrivalKind::kTrace && a.n_samples != b.n_samples) return std::nullopt;
  const auto [shorter, longer] = std::minmax(*a.mean_output_tokens, *b.mean_output_tokens);
  if (longer <= (1 + kMostLengthDifference) * shorter) return std::nullopt;
  return fmt::format(
      "the answers of the base have {:.1f} tokens on average and those of the candidate {:.1f}, and the cost of a token "
      "depends on how many an answer has",
      *a.mean_output_tokens, *b.mean_output_tokens);
}

}  // namespace

std::optional<std::string> why_runs_differ(const RunRecord& base, const RunRecord& candidate) {
  const auto differ = [](std::string_view what, const auto& a, const auto& b) {
    return fmt::format("{}: the base has \"{}\", the candidate \"{}\"", what, a, b);
  };
  if (base.method_version != candidate.method_version) {
    return differ("measurement method version", base.method_version, candidate.method_version);
  }
  if (base.clients.size() != candidate.clients.size()) {
    return differ("number of merged clients", base.clients.size(), candidate.clients.size());
  }
  const auto part_of = [](const RunRecord& record) {
    return record.client ? fmt::format("client {} of {}", record.client->index, record.client->count)
                         : "all of the load";
  };
  if (base.client != candidate.client) return differ("part of the load", part_of(base), part_of(candidate));
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
  if (bundle_a->content_sha256 != bundle_b->content_sha256) {
    if (bundle_a->source_quantization == bundle_b->source_quantization) return "the bundle's content differs";
    const auto scheme_of = [](const BundleRecord& bundle) {
      return bundle.source_quantization.empty() ? std::string("none is recorded")
                                                : fmt::format("\"{}\"", bundle.source_quantization);
    };
    return fmt::format(
        "the bundle's content differs, and so does the quantization of its weights at their source: {} and {}",
        scheme_of(*bundle_a), scheme_of(*bundle_b));
  }
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
  // Two entirely different systems are distinguished by their names, so they need no labels.
  if (under_test != UnderTest::kSystem) {
    if (auto why = why_unlabelled(*backend_a, *backend_b)) return why;
  }
  const Scenario& x = a.scenario;
  const Scenario& y = b.scenario;
  if (x.n_requests != y.n_requests || x.n_prompt_tokens != y.n_prompt_tokens ||
      x.n_output_tokens != y.n_output_tokens) {
    return "the scenario's requests or lengths differ";
  }
  if (x.trace_sha256 != y.trace_sha256) return "the recorded arrivals differ";
  if (auto why = why_lengths_differ(a, b)) return why;
  if (x.seeks_slo_rate && !same_promise(base.slo, candidate.slo))
    return "the SLO under which the rate was sought differs";
  return std::nullopt;
}

std::vector<std::string> labelled_differences(const RunRecord& base, const RunRecord& candidate, const CellKey& cell) {
  const BackendRecord* const backend_a = find_named(base.backends, cell.backend);
  const BackendRecord* const backend_b = find_named(candidate.backends, cell.backend);
  if (backend_a == nullptr || backend_b == nullptr || !backend_a->served || !backend_b->served) return {};
  const ServedFeatures a = features_of(*backend_a);
  const ServedFeatures b = features_of(*backend_b);
  std::vector<std::string> lines;
  for (const LabelledSetting& one : labelled(a, b)) {
    if (!is_known(one.base) && !is_known(one.candidate)) {
      lines.push_back(fmt::format("{}: {} is unknown in both", cell.backend, one.name));
    } else if (one.base.value != one.candidate.value) {
      lines.push_back(fmt::format("{}: {} differs: the base has {}, the candidate {}", cell.backend, one.name,
                                  setting_text(one.base), setting_text(one.candidate)));
    }
  }
  return lines;
}

}  // namespace secondsource
