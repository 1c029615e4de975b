#include "bundle/verify.h"

#include <fmt/format.h>

#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "bundle/content.h"
#include "bundle/finite_weights.h"
#include "bundle/relative_path.h"
#include "bundle/unfinished_attach.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/json.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

/// Collects the findings.
class Findings {
 public:
  void fault(std::string message) { findings_.push_back({Severity::kFault, std::move(message)}); }
  void note(std::string message) { findings_.push_back({Severity::kNote, std::move(message)}); }
  /// Turns a failed call into a finding. kIo and kInterrupted are not properties of the bundle and stay errors.
  template <typename T>
  Result<void> take(const Result<T>& result) {
    if (result) return {};
    if (result.error().code == ErrorCode::kIo || result.error().code == ErrorCode::kInterrupted) return result.error();
    fault(result.error().message);
    return {};
  }
  [[nodiscard]] std::vector<Finding> take_all() { return std::move(findings_); }

 private:
  std::vector<Finding> findings_;
};

/// The state that all checks of one bundle share.
struct Verification {
  const Bundle& bundle;
  const Manifest& manifest;
  Progress& progress;
  const InterruptFlag& interrupt;
  Findings findings;
};

Result<void> check_hashes(Verification& verification) {
  std::int64_t total_bytes = 0;
  for (const ManifestFile& file : verification.manifest.files) total_bytes += file.size_bytes;
  verification.progress.begin("hashing (MiB)", total_bytes >> 20);
  std::int64_t n_bytes = 0;
  for (const ManifestFile& file : verification.manifest.files) {
    SS_TRY(const fs::path path, resolve_inside(verification.bundle.folder(), file.path));
    SS_TRY(const std::string hash, hash_large_file(path, verification.progress, verification.interrupt, n_bytes));
    if (hash != file.sha256) {
      verification.findings.fault(fmt::format("{}: expected SHA-256 {}, found {}{}", file.path, file.sha256, hash,
                                              remedy_of_damage(verification.bundle)));
    }
  }
  return {};
}

Result<void> check_unlisted_files(Verification& verification) {
  const fs::path& folder = verification.bundle.folder();
  SS_TRY(const std::vector<fs::path> files, list_files_below(folder));
  for (const fs::path& file : files) {
    const std::string path = file.lexically_relative(folder).generic_string();
    if (path == kManifestFile || verification.manifest.find_file(path) != nullptr) continue;
    if (path == kUnfinishedAttachFile) {
      verification.findings.fault(fmt::format("{}: a `bundle attach` was interrupted: give it again", path));
      continue;
    }
    verification.findings.fault(
        fmt::format("{}: expected every file in the manifest, found it unlisted", printable(path)));
  }
  return {};
}

void check_model(Verification& verification) {
  const ModelConfig& config = verification.bundle.config();
  if (verification.manifest.family != to_string(config.architecture)) {
    verification.findings.fault(fmt::format("manifest.yaml: family: expected {} as config.json says, found {}",
                                            to_string(config.architecture), verification.manifest.family));
  }
  std::set<std::string, std::less<>> known;
  for (const TensorSpec& spec : model_tensors(config)) known.insert(spec.name);
  std::int64_t n_for_pictures = 0;
  std::int64_t n_behind = 0;
  for (const auto& [name, tensor] : verification.bundle.tensors().tensors()) {
    if (known.contains(name)) continue;
    if (is_for_pictures(config, name)) {
      ++n_for_pictures;
      continue;
    }
    if (is_behind_last_layer(config, name)) {
      ++n_behind;
      continue;
    }
    const bool is_harmless = is_without_effect(config, name);
    const std::string message =
        fmt::format("tensor {}: not a tensor of {}", printable(name), to_string(config.architecture));
    is_harmless ? verification.findings.note(message + ": ignored") : verification.findings.fault(message);
  }
  if (n_for_pictures > 0) {
    verification.findings.note(fmt::format("tensors of the part for pictures: {}, ignored", n_for_pictures));
  }
  if (n_behind > 0) {
    verification.findings.note(fmt::format("tensors of layers that predict further tokens: {}, ignored", n_behind));
  }
}

Result<void> check_json_files(Verification& verification) {
  for (const ManifestFile& file : verification.manifest.files) {
    if (!file.path.ends_with(".json")) continue;
    SS_TRY(const fs::path path, resolve_inside(verification.bundle.folder(), file.path));
    SS_TRY(const std::string text, read_file(path));
    // Hugging Face's own readers take the last of several equal keys, so duplicates are allowed.
    SS_TRY_VOID(verification.findings.take(check_json(text, file.path, {.allow_duplicate_keys = true})));
  }
  return {};
}

Result<void> check_prompts_and_outputs(const PromptEncoder& encode, Verification& verification) {
  const Result<GoldenPrompts> prompts = verification.bundle.prompts();
  SS_TRY_VOID(verification.findings.take(prompts));
  if (!prompts) return {};
  EncodedPrompts encoded;  // stays empty without an encoder and if encoding fails, which is a finding
  if (encode) {
    Result<EncodedPrompts> result = encode(*prompts);
    SS_TRY_VOID(verification.findings.take(result));
    if (result) encoded = *std::move(result);
  }
  bool has_expected = false;
  for (const ManifestVariant& variant : verification.manifest.variants) {
    if (!variant.expected) continue;
    has_expected = true;
    const auto outputs = verification.bundle.expected(variant.name);
    SS_TRY_VOID(verification.findings.take(outputs));
    if (!outputs) continue;
    for (std::string& fault :
         faults_of_outputs(**outputs, *variant.expected, *prompts, encoded, verification.bundle.config())) {
      verification.findings.fault(std::move(fault));
    }
  }
  for (const ManifestVariant& variant : verification.manifest.variants) {
    if (variant.tier != Tier::kBlessed) continue;
    if (const std::string outside = variant.outside_limits(); !outside.empty()) {
      verification.findings.fault(
          fmt::format("variant {}: blessed, but outside the limits of its quality: {}", variant.name, outside));
    }
    if (variant.expected) continue;
    std::string message = fmt::format("variant {}: blessed, without expected outputs", variant.name);
    has_expected ? verification.findings.fault(std::move(message))
                 : verification.findings.note(message + ": unverified");
  }
  return {};
}

}  // namespace

Result<std::vector<Finding>> verify_bundle(const Bundle& bundle, const PromptEncoder& encode, Progress& progress,
                                           const InterruptFlag& interrupt) {
  if (bundle.manifest() == nullptr) {
    return std::vector<Finding>{
        {Severity::kFault, fmt::format("{}: expected manifest.yaml, found none", bundle.folder().string())}};
  }
  Verification verification{bundle, *bundle.manifest(), progress, interrupt, {}};
  SS_TRY_VOID(check_hashes(verification));
  SS_TRY_VOID(check_unlisted_files(verification));
  check_model(verification);
  SS_TRY_VOID(verification.findings.take(
      check_finite_weights(bundle.config(), bundle.tensors(), verification.progress, verification.interrupt)));
  SS_TRY_VOID(check_json_files(verification));
  SS_TRY_VOID(check_prompts_and_outputs(encode, verification));
  return verification.findings.take_all();
}

}  // namespace secondsource
