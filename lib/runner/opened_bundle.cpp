#include "runner/opened_bundle.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "bundle/content.h"
#include "core/variant_name.h"

namespace secondsource {
namespace {

Result<BundleRecord> record_of(const Bundle& bundle, const std::filesystem::path& path, Progress& progress,
                               const InterruptFlag& interrupt) {
  BundleRecord record;
  record.name = bundle.name();
  record.path = std::filesystem::absolute(path).lexically_normal().string();
  SS_TRY(record.content_sha256, check_content(bundle, progress, interrupt));
  if (bundle.manifest() != nullptr) {
    record.source_quantization = bundle.manifest()->source_quantization;
    const auto& variants = bundle.manifest()->variants;
    record.verified = std::any_of(variants.begin(), variants.end(),
                                  [](const ManifestVariant& one) { return one.expected.has_value(); });
  }
  for (const std::string& name : bundle.variants()) {
    const ManifestVariant* variant = bundle.manifest() == nullptr ? nullptr : bundle.manifest()->find_variant(name);
    record.variants.push_back(variant == nullptr
                                  ? VariantRecord{name, tier_without_quality(name), ""}
                                  : VariantRecord{name, variant->effective_tier(), variant->outside_limits()});
  }
  return record;
}

/// The variants that are measured where none are named: the published one, bf16 and int8, as far as the bundle has them, or all if it
/// has none of these.
std::vector<std::string> default_variants(const std::vector<std::string>& known) {
  std::vector<std::string> chosen;
  std::ranges::copy_if(known, std::back_inserter(chosen), is_published_variant);
  for (const char* name : {"bf16", "int8"}) {
    if (std::ranges::find(known, name) != known.end()) chosen.emplace_back(name);
  }
  return chosen.empty() ? known : chosen;
}

}  // namespace

Result<std::vector<OpenedBundle>> open_bundles(const std::vector<std::filesystem::path>& paths, Progress& progress,
                                               const InterruptFlag& interrupt) {
  if (paths.empty()) {
    return Error{ErrorCode::kInvalidInput, "run: expected a bundle, found none on the command line or in the plan"};
  }
  std::vector<OpenedBundle> bundles;
  for (const std::filesystem::path& path : paths) {
    SS_TRY(Bundle bundle, Bundle::open(path, progress, interrupt));
    SS_TRY(BundleRecord record, record_of(bundle, path, progress, interrupt));
    for (const OpenedBundle& other : bundles) {
      if (other.record.name != record.name) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: a bundle named {} was given already, {}", record.path,
                                                         record.name, other.record.path)};
    }
    bundles.push_back({std::move(bundle), std::move(record)});
  }
  return bundles;
}

Result<std::vector<std::string>> variants_to_measure(const Bundle& bundle, const std::vector<std::string>& named) {
  if (named.empty()) return default_variants(bundle.variants());
  SS_TRY_VOID(bundle.check_has_variants(named));
  return named;
}

}  // namespace secondsource
