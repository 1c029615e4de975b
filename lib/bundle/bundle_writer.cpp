#include "bundle/bundle_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/hash.h"

namespace secondsource {
namespace {

constexpr std::size_t kCopyBytes = std::size_t{1} << 20;

}  // namespace

Result<std::filesystem::path> BundleWriter::place_for(const std::string& path) {
  std::filesystem::path place = folder_ / path;
  std::error_code error;
  std::filesystem::create_directories(place.parent_path(), error);
  if (error)
    return Error{ErrorCode::kIo, fmt::format("{}: cannot create its folder: {}", place.string(), error.message())};
  return place;
}

void BundleWriter::add_written(const std::string& path, const WrittenFile& written) {
  files_.push_back({path, written.size_bytes, written.sha256});
}

Result<void> BundleWriter::add_text(const std::string& path, std::string_view text) {
  SS_TRY(const std::filesystem::path place, place_for(path));
  SS_TRY_VOID(write_file(place, text));
  add_written(path, {static_cast<std::int64_t>(text.size()), sha256_hex(text)});
  return {};
}

Result<void> BundleWriter::add_copy(const std::string& path, const std::filesystem::path& source) {
  SS_TRY(const std::filesystem::path place, place_for(path));
  SS_TRY(OutputFile output, OutputFile::create(place));
  return add_hashed(path, source, &output);
}

Result<void> BundleWriter::add_link(const std::string& path, const std::filesystem::path& source) {
  SS_TRY(const std::filesystem::path place, place_for(path));
  std::error_code error;
  std::filesystem::create_hard_link(source, place, error);
  if (error) return add_copy(path, source);
  return add_hashed(path, place, nullptr);
}

/// Hashes `source`, which is written to `copy` if there is one, and adds it to the list.
Result<void> BundleWriter::add_hashed(const std::string& path, const std::filesystem::path& source, OutputFile* copy) {
  SS_TRY(InputFile input, InputFile::open(source));
  std::error_code ignored;
  const auto total_bytes = std::filesystem::file_size(source, ignored);
  progress_->begin(fmt::format("{} {} (MiB)", copy != nullptr ? "copying" : "hashing", path),
                   ignored ? 0 : static_cast<std::int64_t>(total_bytes >> 20));
  Sha256 hash;
  std::int64_t n_bytes = 0;
  std::vector<std::byte> buffer(kCopyBytes);
  while (true) {
    SS_TRY_VOID(interrupt_->check());
    SS_TRY(const std::size_t n, input.read(buffer));
    if (n == 0) break;
    const std::span<const std::byte> bytes(buffer.data(), n);
    hash.update(bytes);
    if (copy != nullptr) SS_TRY_VOID(copy->write(bytes));
    n_bytes += static_cast<std::int64_t>(n);
    progress_->update(n_bytes >> 20);
  }
  if (copy != nullptr) SS_TRY_VOID(copy->commit());
  add_written(path, {n_bytes, hash.finish()});
  return {};
}

Result<void> BundleWriter::finish(Manifest manifest) {
  std::sort(files_.begin(), files_.end(), [](const ManifestFile& a, const ManifestFile& b) { return a.path < b.path; });
  manifest.files = files_;
  const std::string text = write_manifest(manifest);
  // Parsing the text here refuses a name or a path that a reader would refuse, before it is written.
  SS_TRY_VOID(parse_manifest(text, (folder_ / kManifestFile).string()));
  return write_file(folder_ / kManifestFile, text);
}

}  // namespace secondsource
