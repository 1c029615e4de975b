#include "hub/pull.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "bundle/quantized_folder.h"
#include "bundle/tensor_store.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/units.h"
#include "core/utf8.h"
#include "hub/file_choice.h"
#include "hub/file_download.h"
#include "hub/hub_client.h"
#include "hub/partial_file.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

// Left free beside the files: the bundle's manifest, prompts and the names of its files.
constexpr std::int64_t kSpareBytes = std::int64_t{64} << 20;

class Pull {
 public:
  Pull(const HubModelName& model, HubClient& hub, HubListing listing, const PullFolder& folder, Progress& progress,
       const InterruptFlag& interrupt)
      : model_(model),
        hub_(hub),
        listing_(std::move(listing)),
        folder_(folder),
        progress_(progress),
        interrupt_(interrupt) {}

  /// Pulls what is not there yet.
  Result<void> pull(const std::vector<HubFile>& files);
  /// The files that describe the model, and then its weights.
  Result<void> pull_model_folder();

  [[nodiscard]] const HubListing& listing() const { return listing_; }

 private:
  /// True if the file is there with the right content.
  [[nodiscard]] Result<bool> is_there(const HubFile& file) const;
  Result<void> check_space(std::int64_t n_bytes) const;

  const HubModelName& model_;
  HubClient& hub_;
  HubListing listing_;
  const PullFolder& folder_;
  Progress& progress_;
  const InterruptFlag& interrupt_;
  std::set<std::string> wanted_;
};

Result<bool> Pull::is_there(const HubFile& file) const {
  const fs::path path = folder_.files() / file.path;
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error || std::cmp_not_equal(size, *file.size_bytes)) return false;
  SS_TRY_VOID(interrupt_.check());
  progress_.begin(fmt::format("checking {}", file.path), 0);
  SS_TRY(const std::string hash, hash_like(file, path));
  return hash == file.hash();
}

Result<void> Pull::check_space(std::int64_t n_bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(folder_.path(), error);
  if (error)
    return Error{ErrorCode::kIo,
                 fmt::format("{}: cannot ask for its free space: {}", folder_.path().string(), error.message())};
  if (std::cmp_less(n_bytes, space.available) &&
      space.available - static_cast<std::uintmax_t>(n_bytes) >= kSpareBytes) {
    return {};
  }
  const auto available = static_cast<std::int64_t>(std::min<std::uintmax_t>(space.available, INT64_MAX));
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("{}: expected room for {} (and {} to spare), found {} free on its disk", folder_.path().string(),
                  format_bytes(n_bytes), format_bytes(kSpareBytes), format_bytes(available))};
}

Result<void> Pull::pull(const std::vector<HubFile>& files) {
  SS_TRY_VOID(total_size(files, model_.repository));
  std::vector<HubFile> missing;
  std::int64_t n_partial_bytes = 0;
  for (const HubFile& file : files) {
    wanted_.insert(file.path);
    SS_TRY(const bool is_whole, is_there(file));
    if (is_whole) continue;
    missing.push_back(file);
    std::error_code absent;
    const std::uintmax_t size = fs::file_size(folder_.partials() / (file.hash() + ".partial"), absent);
    if (!absent && std::cmp_less_equal(size, *file.size_bytes)) n_partial_bytes += static_cast<std::int64_t>(size);
  }
  SS_TRY(const std::int64_t n_missing_bytes, total_size(missing, model_.repository));
  const std::int64_t n_bytes = n_missing_bytes - std::min(n_missing_bytes, n_partial_bytes);
  SS_TRY_VOID(check_space(n_bytes));
  if (missing.empty()) return {};
  progress_.note(fmt::format("hf:{}: pulling {} of {} files, {}", model_.repository, missing.size(), files.size(),
                             format_bytes(n_bytes)));
  progress_.begin("pulling (MiB)", n_bytes >> 20);
  PullProgress pulled{&progress_};
  const FileSource source{model_.repository, listing_.commit};
  for (const HubFile& file : missing) {
    SS_TRY_VOID(download_file(hub_, source, file, folder_.files() / file.path, folder_.partials(), pulled, interrupt_));
  }
  return {};
}

Result<void> Pull::pull_model_folder() {
  SS_TRY(const std::vector<HubFile> description, description_files(listing_, model_.repository));
  SS_TRY_VOID(pull(description));
  if (const auto model = describe_checkpoint_files(folder_.files()); !model) {
    return model.error().with_context(fmt::format("hf:{}", model_.repository));
  }
  std::set<std::string> indexed;
  if (listing_.find(kWeightIndexFile) != nullptr) {
    SS_TRY(indexed, files_of_weight_index(folder_.files() / kWeightIndexFile));
  }
  SS_TRY(const std::vector<HubFile> weights, weight_files(listing_, model_.repository, indexed));
  SS_TRY_VOID(pull(weights));
  if (const std::string remark = remark_on_tokenizer(listing_); !remark.empty()) {
    progress_.note(fmt::format("hf:{}: {}", model_.repository, remark));
  }
  return folder_.keep_only(wanted_);
}

Result<void> check_target_is_free(const fs::path& bundle) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(bundle, error))) return {};
  if (fs::is_directory(bundle, error) && fs::is_empty(bundle, error)) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a new or an empty folder, found something there already", bundle.string())};
}

}  // namespace

Result<PulledModel> pull_model(const HubModelName& model, HubSettings settings, const fs::path& bundle,
                               Progress& progress, const InterruptFlag& interrupt) {
  SS_TRY_VOID(check_target_is_free(bundle));
  const std::string endpoint = settings.endpoint;
  SS_TRY(HubClient hub, HubClient::create(std::move(settings), interrupt));
  SS_TRY(HubListing listing, hub.list(model, progress));
  if (listing.n_left_out > 0) {
    progress.note(fmt::format("hf:{}: {} left out, whose names may not become paths here", model.repository,
                              counted(listing.n_left_out, "file")));
  }
  progress.note(fmt::format("hf:{}: {} is commit {}", model.repository, shown(model.revision), listing.commit));
  SS_TRY(PullFolder folder, PullFolder::open(bundle));
  PulledModel pulled{.folder = std::move(folder),
                     .gguf_file = {},
                     .commit = listing.commit,
                     .license = listing.license,
                     .description = fmt::format("{} of the hub, revision {}, commit {}", model.repository,
                                                model.revision, listing.commit),
                     .url = fmt::format("{}/{}/tree/{}", endpoint, model.repository, listing.commit)};
  Pull pull(model, hub, std::move(listing), pulled.folder, progress, interrupt);
  if (model.file.empty()) {
    SS_TRY_VOID(pull.pull_model_folder());
    return pulled;
  }
  SS_TRY(const std::vector<HubFile> files, gguf_model_files(pull.listing(), model.repository, model.file));
  SS_TRY_VOID(pull.pull(files));
  pulled.gguf_file = pulled.folder.files() / model.file;
  pulled.description = fmt::format("{} in {}", model.file, pulled.description);
  return pulled;
}

}  // namespace secondsource
