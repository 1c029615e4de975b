#include "bundle/outputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "bundle/bundle_lock.h"
#include "bundle/bundle_writer.h"
#include "bundle/content.h"
#include "bundle/extraction_cache.h"
#include "bundle/relative_path.h"
#include "bundle/staged_folder.h"
#include "bundle/unfinished_attach.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/folder.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

bool is_part_of_outputs(const ManifestFile& file) {
  return file.path.starts_with(kPromptsFolder) || file.path.starts_with(kExpectedFolder);
}

/// Files that decide which logits a prompt's ids have, and where a generation ends.
bool is_of_model(const ManifestFile& file) {
  return file.path == "config.json" || file.path == "generation_config.json" || file.path == kWeightIndexFile ||
         file.path.ends_with(".safetensors");
}

bool is_verified(const ManifestVariant& variant) {
  return variant.expected.has_value();
}

/// The manifest and the folder of outputs, which stays in the cache of zips while this object lives.
struct Outputs {
  std::optional<CacheLease> lease;
  fs::path folder;
  Manifest manifest;
};

Result<Outputs> open_outputs(const fs::path& path, Progress& progress, const InterruptFlag& interrupt) {
  Outputs outputs;
  outputs.folder = path;
  std::error_code error;
  if (fs::is_regular_file(path, error)) {
    SS_TRY(outputs.lease, extract_to_cache(path, progress, interrupt, {}));
    outputs.folder = outputs.lease->bundle_folder();
  }
  const fs::path manifest = outputs.folder / kManifestFile;
  if (!fs::exists(manifest, error)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected what `bundle outputs` wrote, a folder with manifest.yaml, prompts and "
                             "expected, or a zip of one; found no manifest.yaml",
                             path.string())};
  }
  SS_TRY(outputs.manifest, read_manifest_file(outputs.folder));
  if (std::ranges::none_of(outputs.manifest.variants, is_verified)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a variant with expected outputs, found none", path.string())};
  }
  return outputs;
}

Result<void> check_is_folder(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a bundle's folder, which is changed in place; found {}", path.string(),
                           fs::exists(path, error) ? "a file: extract it first" : "nothing")};
}

/// Opens the bundle to which outputs are added and checks its content against its manifest.
Result<Bundle> open_target(const fs::path& path, Progress& progress, const InterruptFlag& interrupt) {
  SS_TRY(Bundle bundle, Bundle::open(path, progress, interrupt));
  if (bundle.manifest() == nullptr) {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: expected manifest.yaml, found none: make a bundle first, with bundle create --from-hf",
                    path.string())};
  }
  SS_TRY_VOID(check_content(bundle, progress, interrupt));
  return bundle;
}

std::string hash_in(const Manifest& manifest, const std::string& path) {
  const ManifestFile* file = manifest.find_file(path);
  return file == nullptr ? "none" : file->sha256;
}

Result<void> check_same_model(const Manifest& bundle, const Manifest& outputs, const fs::path& where) {
  std::vector<std::string> paths;
  for (const Manifest* manifest : {&bundle, &outputs}) {
    for (const ManifestFile& file : manifest->files) {
      if (is_of_model(file)) paths.push_back(file.path);
    }
  }
  for (const std::string& path : paths) {
    const std::string expected = hash_in(outputs, path);
    const std::string found = hash_in(bundle, path);
    if (expected == found) continue;
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: outputs of another model: {}: expected SHA-256 {} as in the outputs' manifest, found {}",
                    where.string(), path, expected, found)};
  }
  return {};
}

/// Checks that the outputs' own files are those of their manifest.
Result<void> check_files(const Outputs& outputs, Progress& progress, const InterruptFlag& interrupt) {
  std::int64_t n_bytes = 0;
  for (const ManifestFile& file : outputs.manifest.files) {
    if (!is_part_of_outputs(file)) continue;
    SS_TRY(const fs::path path, resolve_inside(outputs.folder, file.path));
    SS_TRY(const std::string hash, hash_large_file(path, progress, interrupt, n_bytes));
    if (hash == file.sha256) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected SHA-256 {}, found {}", path.string(), file.sha256, hash)};
  }
  return {};
}

/// Checks every output against its prompt and against the ids that the bundle makes of the prompt. Returns the number
/// of prompts.
Result<std::size_t> check_answers(const Outputs& outputs, const Bundle& bundle, const PromptEncoderOf& encode) {
  SS_TRY(const GoldenPrompts prompts, read_prompts(outputs.folder / "prompts"));
  SS_TRY(const EncodedPrompts encoded, encode(bundle, prompts));
  for (const ManifestVariant& variant : outputs.manifest.variants) {
    if (!variant.expected) continue;
    SS_TRY(const fs::path path, resolve_inside(outputs.folder, *variant.expected));
    SS_TRY(const auto answers, read_expected(path, bundle.config().vocab_size));
    const auto faults = faults_of_outputs(answers, *variant.expected, prompts, encoded, bundle.config());
    if (!faults.empty()) {
      const std::string others =
          faults.size() == 1 ? "" : fmt::format(" (and {})", counted(faults.size() - 1, "other"));
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}{}", outputs.folder.string(), faults.front(), others)};
    }
  }
  return prompts.prompts.size();
}

std::vector<ManifestFile> files_where(const Manifest& manifest, bool (*condition)(const ManifestFile&)) {
  std::vector<ManifestFile> files;
  std::ranges::copy_if(manifest.files, std::back_inserter(files), condition);
  return files;
}

bool is_prompt(const ManifestFile& file) {
  return file.path.starts_with(kPromptsFolder);
}

/// How the bundle's own expected outputs contradict the new ones, as a phrase; empty if both can be kept.
std::string contradiction(const Manifest& bundle, const Manifest& outputs) {
  if (std::ranges::none_of(bundle.variants, is_verified)) return "";
  if (files_where(bundle, is_prompt) != files_where(outputs, is_prompt)) {
    return "expected the same prompts, found others";
  }
  const ExpectedFrom& a = *bundle.expected_from;
  const ExpectedFrom& b = *outputs.expected_from;
  if (a.program_sha256 != b.program_sha256 || a.torch != b.torch || a.transformers != b.transformers) {
    return fmt::format("expected outputs of the same program, found torch {}, transformers {} and another program",
                       b.torch, b.transformers);
  }
  for (const ManifestVariant& variant : outputs.variants) {
    const ManifestVariant* own = bundle.find_variant(variant.name);
    if (!variant.expected || own == nullptr || !own->expected) continue;
    if (hash_in(bundle, *own->expected) != hash_in(outputs, *variant.expected)) {
      return fmt::format("variant {}: expected the same outputs, found others", variant.name);
    }
  }
  return "";
}

/// The bundle's manifest with the outputs' prompts, files and variants.
Manifest merged(const Manifest& bundle, const Manifest& outputs, bool keeps_own) {
  Manifest manifest = bundle;
  std::erase_if(manifest.files, [&](const ManifestFile& file) {
    const bool is_kept = keeps_own && outputs.find_file(file.path) == nullptr;
    return is_part_of_outputs(file) && !is_kept;
  });
  std::ranges::copy_if(outputs.files, std::back_inserter(manifest.files), is_part_of_outputs);
  std::ranges::sort(manifest.files, {}, &ManifestFile::path);
  manifest.variants.clear();
  std::ranges::copy_if(outputs.variants, std::back_inserter(manifest.variants), is_verified);
  for (const ManifestVariant& variant : bundle.variants) {
    if (!keeps_own || !variant.expected || manifest.find_variant(variant.name) != nullptr) continue;
    manifest.variants.push_back(variant);
  }
  manifest.expected_from = outputs.expected_from;
  return manifest;
}

/// The bundle's manifest without the files that will change. If there are any, no variant keeps its expected outputs.
Manifest without_what_changes(const Manifest& bundle, const Manifest& result) {
  Manifest manifest = bundle;
  const auto changes = [&](const ManifestFile& file) { return hash_in(result, file.path) != file.sha256; };
  const bool has_changes = std::ranges::any_of(bundle.files, changes);
  std::erase_if(manifest.files, changes);
  if (!has_changes) return manifest;
  for (ManifestVariant& variant : manifest.variants) {
    variant.expected.reset();
    variant.acceptance.reset();
  }
  return manifest;
}

Result<void> copy_outputs(const Outputs& outputs, const Manifest& bundle, const fs::path& folder,
                          const InterruptFlag& interrupt) {
  for (const ManifestFile& file : outputs.manifest.files) {
    if (!is_part_of_outputs(file) || hash_in(bundle, file.path) == file.sha256) continue;
    SS_TRY_VOID(interrupt.check());
    SS_TRY(const fs::path source, resolve_inside(outputs.folder, file.path));
    SS_TRY(const std::string content, read_file(source));
    SS_TRY_VOID(create_folder((folder / file.path).parent_path()));
    SS_TRY_VOID(write_file(folder / file.path, content));
  }
  return {};
}

/// Adds to `record` the files that change between two manifests: those that `from` lists and `to` does not, with their
/// content.
void add_changes(const Manifest& from, const Manifest& to, UnfinishedAttach& record) {
  for (const ManifestFile& file : from.files) {
    if (is_part_of_outputs(file) && hash_in(to, file.path) != file.sha256) record.add(file);
  }
}

}  // namespace

Result<void> write_outputs(const Bundle& bundle, const fs::path& target, Progress& progress,
                           const InterruptFlag& interrupt) {
  const Manifest* manifest = bundle.manifest();
  if (manifest == nullptr || std::ranges::none_of(manifest->variants, is_verified)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a bundle with expected outputs, found none", bundle.folder().string())};
  }
  SS_TRY(StagedFolder folder, StagedFolder::create(target));
  BundleWriter writer(folder.path(), progress, interrupt);
  for (const ManifestFile& file : manifest->files) {
    if (!is_part_of_outputs(file)) continue;
    SS_TRY(const fs::path source, resolve_inside(bundle.folder(), file.path));
    SS_TRY_VOID(writer.add_copy(file.path, source));
  }
  SS_TRY(const std::string text, read_file(bundle.folder() / kManifestFile, kMaxManifestBytes));
  SS_TRY_VOID(write_file(folder.path() / kManifestFile, text));
  return folder.commit();
}

Result<AttachedOutputs> attach_outputs(const AttachOptions& options, const PromptEncoderOf& encode, Progress& progress,
                                       const InterruptFlag& interrupt) {
  SS_TRY(const Outputs outputs, open_outputs(options.outputs, progress, interrupt));
  SS_TRY_VOID(check_is_folder(options.bundle));
  SS_TRY(const FileDescriptor lock, lock_bundle(options.bundle, progress, interrupt));
  SS_TRY(const Bundle bundle, open_target(options.bundle, progress, interrupt));
  const Manifest& before = *bundle.manifest();
  SS_TRY_VOID(check_same_model(before, outputs.manifest, options.bundle));
  const std::string conflict = contradiction(before, outputs.manifest);
  if (!conflict.empty() && !options.replaces) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: {}; the bundle has expected outputs already, which --replace would drop",
                             options.bundle.string(), conflict)};
  }
  SS_TRY_VOID(check_files(outputs, progress, interrupt));
  AttachedOutputs attached;
  SS_TRY(attached.n_prompts, check_answers(outputs, bundle, encode));
  const Manifest result = merged(before, outputs.manifest, conflict.empty());
  SS_TRY(UnfinishedAttach record, UnfinishedAttach::read(bundle.folder()));
  add_changes(before, result, record);
  add_changes(result, before, record);
  SS_TRY_VOID(record.write());
  const Manifest meanwhile = without_what_changes(before, result);
  if (meanwhile.files.size() != before.files.size()) SS_TRY_VOID(write_manifest_file(meanwhile, bundle.folder()));
  SS_TRY_VOID(copy_outputs(outputs, before, bundle.folder(), interrupt));
  SS_TRY_VOID(write_manifest_file(result, bundle.folder()));
  SS_TRY_VOID(record.finish(result));
  for (const ManifestVariant& variant : result.variants) attached.variants.push_back(variant.name);
  attached.from = *result.expected_from;
  return attached;
}

}  // namespace secondsource
