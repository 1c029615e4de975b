#include "bundle/bundle.h"

#include <fmt/format.h>

#include <utility>

#include "bundle/variant.h"
#include "core/file.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::int64_t kMaxConfigBytes = 1 << 20;
constexpr std::int64_t kMaxTokenizerBytes = std::int64_t{128} << 20;

}  // namespace

Result<void> check_tensors(const ModelConfig& config, const TensorStore& tensors, std::string_view name) {
  for (const TensorSpec& spec : model_tensors(config)) {
    const StoredTensor* stored = tensors.find(spec.name);
    if (stored == nullptr) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected {}, found no such tensor", name,
                                                         spec.name, spec.shape.to_string())};
    }
    if (stored->info.shape != spec.shape) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: tensor {}: expected {}, found {}", name, spec.name,
                                                         spec.shape.to_string(), stored->info.shape.to_string())};
    }
    if (!stored->info.dtype || !encoding_as_stored(*stored->info.dtype)) {
      return Error{ErrorCode::kUnsupported, fmt::format("{}: tensor {}: expected F32, F16 or BF16, found {}", name,
                                                        spec.name, printable(stored->info.dtype_name))};
    }
  }
  return {};
}

Result<void> Bundle::load_model() {
  const std::filesystem::path config_path = folder_ / "config.json";
  SS_TRY(const std::string text, read_file(config_path, kMaxConfigBytes));
  SS_TRY(config_, parse_model_config(text, config_path.string()));
  SS_TRY(tensors_, TensorStore::open(folder_));
  return check_tensors(config_, tensors_, folder_.string());
}

Result<Bundle> Bundle::open_model_folder(const std::filesystem::path& folder) {
  Bundle bundle;
  bundle.folder_ = folder;
  bundle.name_ = std::filesystem::absolute(folder / "").lexically_normal().parent_path().filename().string();
  SS_TRY_VOID(bundle.load_model());
  return bundle;
}

Result<StoredTensor> Bundle::tensor(std::string_view name) const {
  const StoredTensor* found = tensors_.find(name);
  if (found == nullptr) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("bundle {}: tensor {}: found no such tensor", name_, printable(name))};
  }
  return *found;
}

Result<std::optional<std::string>> Bundle::read_optional(std::string_view file) const {
  const std::filesystem::path path = folder_ / file;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<std::string>();
  SS_TRY(std::string text, read_file(path, kMaxTokenizerBytes));
  return std::optional(std::move(text));
}

}  // namespace secondsource
