#include "hub/file_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "bundle/foreign_model.h"
#include "bundle/quantized_folder.h"
#include "bundle/sentencepiece_files.h"
#include "bundle/tensor_store.h"
#include "core/checked.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::string_view kConfigFile = "config.json";
constexpr std::string_view kTokenizerFile = "tokenizer.json";
/// A repository without tokenizer.json has the tokenizer's model instead (kTokenizerModelFiles).
constexpr std::array<std::string_view, 10> kDescriptionFiles = {
    kConfigFile,          kModeloptConfigFile,     "generation_config.json",  kTokenizerFile,
    "added_tokens.json",  "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "chat_template.json", kWeightIndexFile};
constexpr std::string_view kTemplates = "additional_chat_templates/";
// The largest that any of these may be when it is read (docs/bundle-format.md).
constexpr std::int64_t kLargestDescription = std::int64_t{64} << 20;
constexpr std::size_t kMostNamed = 20;  // of the files that a message names

std::vector<std::string> top_names(const HubListing& listing) {
  std::vector<std::string> names;
  for (const HubFile& file : listing.files) {
    if (file.path.find('/') == std::string::npos) names.push_back(file.path);
  }
  return names;
}

/// The GGUF files that a person can name: of a split model the first part.
std::vector<std::string> gguf_names(const HubListing& listing) {
  std::vector<std::string> names;
  for (const HubFile& file : listing.files) {
    const bool is_later_part =
        file.path.find("-of-") != std::string::npos && file.path.find("-00001-of-") == std::string::npos;
    if (file.path.ends_with(".gguf") && !is_later_part) names.push_back(printable(file.path));
  }
  if (names.size() > kMostNamed) {
    const std::size_t n_more = names.size() - kMostNamed;
    names.resize(kMostNamed);
    names.push_back(fmt::format("and {} more", n_more));
  }
  return names;
}

/// The name of the tokenizer's file: tokenizer.json, or that of the tokenizer's model; empty if there is neither.
std::string_view tokenizer_name(const HubListing& listing) {
  if (listing.find(kTokenizerFile) != nullptr) return kTokenizerFile;
  for (const std::string_view name : kTokenizerModelFiles) {
    if (listing.find(name) != nullptr) return name;
  }
  return "";
}

/// The error for a repository from which no Hugging Face folder can be pulled.
Error no_model(const HubListing& listing, const std::string& repository, std::string_view expected) {
  if (const std::vector<std::string> ggufs = gguf_names(listing); !ggufs.empty()) {
    return {ErrorCode::kInvalidInput,
            fmt::format("{}: expected {}, found GGUF files: name one, as hf:{}/{}; there are {}", repository, expected,
                        repository, ggufs.front(), fmt::join(ggufs, ", "))};
  }
  if (const auto foreign = foreign_weights_among(top_names(listing)))
    return refuse_foreign(repository, expected, *foreign);
  return {ErrorCode::kInvalidInput, fmt::format("{}: expected {}, found none", repository, expected)};
}

}  // namespace

Result<std::vector<HubFile>> description_files(const HubListing& listing, const std::string& repository) {
  if (listing.find(kConfigFile) == nullptr) return no_model(listing, repository, kConfigFile);
  const bool has_weights = listing.find(kWeightIndexFile) != nullptr || listing.find(kSingleWeightFile) != nullptr;
  if (!has_weights) return no_model(listing, repository, kSingleWeightFile);
  const std::string_view tokenizer = tokenizer_name(listing);
  std::vector<HubFile> files;
  for (const HubFile& file : listing.files) {
    const bool is_template = file.path.starts_with(kTemplates) && file.path.ends_with(".jinja") &&
                             file.path.find('/', kTemplates.size()) == std::string::npos;
    const bool is_description = std::ranges::find(kDescriptionFiles, file.path) != kDescriptionFiles.end();
    if (!is_template && !is_description && file.path != tokenizer) continue;
    if (file.size_bytes.value_or(0) > kLargestDescription) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected at most 64 MiB, found {} bytes", repository,
                                                         printable(file.path), *file.size_bytes)};
    }
    files.push_back(file);
  }
  return files;
}

Result<std::vector<HubFile>> weight_files(const HubListing& listing, const std::string& repository,
                                          const std::set<std::string>& indexed) {
  std::vector<HubFile> files;
  if (indexed.empty()) {
    const HubFile* const file = listing.find(kSingleWeightFile);
    if (file == nullptr) return no_model(listing, repository, kSingleWeightFile);
    files.push_back(*file);
  }
  for (const std::string& path : indexed) {
    const HubFile* const file = listing.find(path);
    if (file == nullptr) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: {} names {}, which is not in the repository", repository,
                                                         kWeightIndexFile, in_quotes(path))};
    }
    files.push_back(*file);
  }
  return files;
}

Result<std::vector<HubFile>> gguf_model_files(const HubListing& listing, const std::string& repository,
                                              const std::string& file) {
  const HubFile* const first = listing.find(file);
  if (first == nullptr) {
    const std::vector<std::string> names = gguf_names(listing);
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: there is no file {} in this repository; its GGUF files are {}", repository,
                             in_quotes(file), names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")))};
  }
  std::vector<HubFile> files = {*first};
  constexpr std::string_view kFirstPart = "-00001-of-";
  const std::size_t at = file.rfind(kFirstPart);
  if (at == std::string::npos) return files;
  const std::size_t digits = at + kFirstPart.size();
  int n_parts = 0;
  const auto [end, error] = std::from_chars(file.data() + digits, file.data() + file.size(), n_parts);
  if (error != std::errc() || std::string_view(end) != ".gguf") return files;
  for (int part = 2; part <= n_parts; ++part) {
    const std::string path = fmt::format("{}-{:05}-of-{}", file.substr(0, at), part, file.substr(digits));
    const HubFile* const found = listing.find(path);
    if (found == nullptr) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: {}, a part of the model, is not in the repository", repository, in_quotes(path))};
    }
    files.push_back(*found);
  }
  return files;
}

std::string remark_on_tokenizer(const HubListing& listing) {
  if (!tokenizer_name(listing).empty()) return "";
  const auto foreign = foreign_tokenizer_among(top_names(listing));
  if (!foreign) return "no tokenizer.json, so the bundle takes only prompts that are given as token ids";
  return fmt::format("no tokenizer.json, but {}: {}", printable(foreign->file), foreign->advice);
}

Result<std::int64_t> total_size(std::span<const HubFile> files, const std::string& repository) {
  std::int64_t total = 0;
  for (const HubFile& file : files) {
    const auto refuse = [&](std::string_view what) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: {}: expected {}", repository, printable(file.path), what)};
    };
    if (!file.size_bytes) return refuse("its size in the hub's answer, found none");
    if (file.hash().empty()) return refuse("its hash in the hub's answer, found none: what comes could not be checked");
    const auto sum = checked_add(total, *file.size_bytes);
    if (!sum) return refuse("sizes that a disk can have, found more than 2^63 bytes in all");
    total = *sum;
  }
  return total;
}

}  // namespace secondsource
