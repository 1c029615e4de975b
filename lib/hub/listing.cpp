#include "hub/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "bundle/relative_path.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kMostFiles = 100'000;
constexpr std::size_t kSha1Digits = 40;
constexpr std::size_t kSha256Digits = 64;
constexpr std::size_t kLongestLicense = 100;

/// The hash under `key`, empty if there is none.
Result<std::string> hash_at(const JsonFields& fields, std::string_view key, std::size_t n_digits) {
  if (!fields.has(key)) return std::string();
  SS_TRY(std::string hash, fields.string(key));
  if (!is_hexadecimal(hash, n_digits)) {
    return fields.mismatch(key, fmt::format("{} lower-case hexadecimal digits", n_digits));
  }
  return hash;
}

Result<HubFile> file_of(const nlohmann::json& entry, const std::string& name) {
  SS_TRY(const JsonFields fields, JsonFields::of(entry, name));
  HubFile file;
  SS_TRY(file.path, fields.string("rfilename"));
  const IntegerRange any_size{.min = 0, .max = std::numeric_limits<std::int64_t>::max()};
  if (fields.has("size")) {
    SS_TRY(file.size_bytes, fields.integer("size", any_size));
  }
  if (!fields.has("lfs")) {
    SS_TRY(file.git_hash, hash_at(fields, "blobId", kSha1Digits));
    return file;
  }
  // blobId of such a file is the hash of the small text that stands for it in git.
  SS_TRY(const JsonFields lfs, fields.object("lfs"));
  SS_TRY(file.sha256, hash_at(lfs, "sha256", kSha256Digits));
  if (lfs.has("size")) {
    SS_TRY(const std::int64_t size, lfs.integer("size", any_size));
    if (file.size_bytes && *file.size_bytes != size) {
      return lfs.mismatch("size", fmt::format("{}, the file's size beside it", *file.size_bytes));
    }
    file.size_bytes = size;
  }
  return file;
}

/// The licence in the model's card, if it is one word such as "apache-2.0".
std::string license_of(const nlohmann::json& root) {
  const auto card = root.find("cardData");
  if (card == root.end() || !card->is_object()) return "";
  const auto license = card->find("license");
  if (license == card->end() || !license->is_string()) return "";
  const std::string text = license->get<std::string>();
  const bool is_word = std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
  return is_word && text.size() <= kLongestLicense ? text : "";
}

}  // namespace

bool is_hexadecimal(std::string_view text, std::size_t n_digits) {
  return text.size() == n_digits &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

const HubFile* HubListing::find(std::string_view path) const {
  const auto found = std::ranges::lower_bound(files, path, {}, &HubFile::path);
  return found != files.end() && found->path == path ? &*found : nullptr;
}

Result<HubListing> parse_hub_listing(std::string_view json, std::string_view name) {
  SS_TRY(const nlohmann::json root, parse_json(json, name));
  SS_TRY(const JsonFields fields, JsonFields::of(root, std::string(name)));
  HubListing listing;
  SS_TRY(listing.commit, fields.string("sha"));
  if (!is_hexadecimal(listing.commit, kSha1Digits)) return fields.mismatch("sha", "40 lower-case hexadecimal digits");
  listing.license = license_of(root);
  const nlohmann::json* siblings = fields.find("siblings");
  if (siblings == nullptr || !siblings->is_array()) return fields.mismatch("siblings", "a list of files");
  if (siblings->size() > kMostFiles) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: siblings: expected at most {} files, found {}", name, kMostFiles, siblings->size())};
  }
  for (std::size_t i = 0; i < siblings->size(); ++i) {
    SS_TRY(HubFile file, file_of((*siblings)[i], fmt::format("{}: siblings[{}]", name, i)));
    if (check_relative_path(file.path, name)) {
      listing.files.push_back(std::move(file));
    } else {
      listing.n_left_out += 1;
    }
  }
  std::ranges::sort(listing.files, {}, &HubFile::path);
  const auto twice = std::ranges::adjacent_find(listing.files, {}, &HubFile::path);
  if (twice == listing.files.end()) return listing;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: siblings: expected each file once, found {} twice", name, in_quotes(twice->path))};
}

}  // namespace secondsource
