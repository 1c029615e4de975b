#include "bundle/tensor_store.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "bundle/foreign_model.h"
#include "bundle/join_published_weights.h"
#include "bundle/published_weights.h"
#include "bundle/relative_path.h"
#include "core/check.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

/// Reads the index: a map from tensor name to shard.
Result<std::map<std::string, std::string>> read_index(const std::filesystem::path& path) {
  const std::string name = path.string();
  SS_TRY(const std::string text, read_file(path, std::int64_t{64} << 20));
  SS_TRY(const nlohmann::json root, parse_json(text, name));
  SS_TRY(const JsonFields fields, JsonFields::of(root, name));
  SS_TRY(const JsonFields weight_map, fields.object("weight_map"));
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : fields.find("weight_map")->items()) {
    SS_TRY(const std::string file, weight_map.string(tensor));
    SS_TRY_VOID(check_relative_path(file, name));
    if (!file.ends_with(".safetensors")) return weight_map.mismatch(tensor, "the name of a .safetensors file");
    shards.emplace(tensor, file);
  }
  return shards;
}

std::set<std::string> files_of(const std::map<std::string, std::string>& shards) {
  std::set<std::string> files;
  for (const auto& [tensor, shard] : shards) files.insert(shard);
  return files;
}

}  // namespace

Result<std::set<std::string>> files_of_weight_index(const std::filesystem::path& index) {
  SS_TRY(const auto shards, read_index(index));
  return files_of(shards);
}

Result<void> TensorStore::add_file(const std::filesystem::path& path) {
  SS_TRY(MappedFile mapped, MappedFile::map(path));
  const auto file = std::make_shared<const MappedFile>(std::move(mapped));
  SS_TRY(SafetensorsHeader header, parse_safetensors(file->bytes(), path.string()));
  if (const auto named = header.metadata.find(std::string(kPublishedKey)); named != header.metadata.end()) {
    published_variant_ = named->second;
  }
  for (TensorInfo& info : header.tensors) {
    const std::string name = info.name;
    const auto [entry, is_new] = tensors_.try_emplace(name, StoredTensor{std::move(info), file});
    if (!is_new) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tensor {}: expected it in one file, found it in another too", path.string(),
                               printable(name))};
    }
  }
  return {};
}

Result<TensorStore> TensorStore::open_file(const std::filesystem::path& path) {
  TensorStore store;
  SS_TRY_VOID(store.add_file(path));
  store.files_.push_back(path.filename().string());
  if (!store.published_variant_.empty()) {
    SS_TRY_VOID(join_published_weights(store.published_variant_, store.tensors_, path.string()));
  }
  return store;
}

Result<TensorStore> TensorStore::open(const std::filesystem::path& folder) {
  const std::filesystem::path index_path = folder / kWeightIndexFile;
  std::error_code ignored;
  if (!std::filesystem::exists(index_path, ignored)) {
    if (!std::filesystem::exists(folder / kSingleWeightFile, ignored)) {
      if (const auto foreign = foreign_weights(folder)) return refuse_foreign(folder, kSingleWeightFile, *foreign);
    }
    return open_file(folder / kSingleWeightFile);
  }

  SS_TRY(const auto shards, read_index(index_path));
  TensorStore store;
  for (const std::string& file : files_of(shards)) {
    SS_TRY_VOID(store.add_file(folder / file));
    store.files_.push_back(file);
  }
  if (!store.published_variant_.empty()) {
    return Error{ErrorCode::kUnsupported, fmt::format("{}: expected published codes in {} alone, found them in shards",
                                                      index_path.string(), kSingleWeightFile)};
  }
  for (const auto& [tensor, shard] : shards) {
    const StoredTensor* found = store.find(tensor);
    if (found == nullptr) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected tensor {} in {}, found it nowhere",
                                                         index_path.string(), printable(tensor), shard)};
    }
  }
  return store;
}

void TensorStore::rename(std::string_view from, std::string_view to) {
  auto node = tensors_.extract(tensors_.find(from));
  node.key() = to;
  SS_CHECK(tensors_.insert(std::move(node)).inserted, "a tensor of that name is there already");
}

const StoredTensor* TensorStore::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace secondsource
