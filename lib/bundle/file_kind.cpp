#include "bundle/file_kind.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bundle/manifest.h"
#include "core/file.h"

namespace secondsource {
namespace {

/// The first bytes of the file; none when it cannot be read.
std::string first_bytes(const std::filesystem::path& file) {
  std::string start(16, '\0');
  const auto read = [&]() -> Result<std::size_t> {
    SS_TRY(InputFile input, InputFile::open(file));
    return input.read(std::as_writable_bytes(std::span(start)));
  };
  const Result<std::size_t> n_read = read();
  start.resize(n_read ? *n_read : 0);
  return start;
}

/// A safetensors file begins with eight bytes for the length of a JSON object, which follows.
bool begins_as_safetensors(std::string_view start) {
  return start.size() > 8 && start[8] == '{';
}

}  // namespace

std::string known_as_no_bundle(const std::filesystem::path& file) {
  const std::string start = first_bytes(file);
  const std::string folder = file.has_parent_path() ? file.parent_path().string() : ".";
  const auto begins_with = [&](std::string_view magic) { return start.compare(0, magic.size(), magic) == 0; };
  if (begins_with("GGUF")) {
    return fmt::format("a GGUF file: make a bundle of it (`secondsource bundle create --from-gguf {} --out FOLDER`)",
                       file.string());
  }
  if (begins_as_safetensors(start)) {
    return fmt::format("a safetensors file, the weights alone: name the folder that also has config.json ({})", folder);
  }
  if (file.filename() == kManifestFile) {
    return fmt::format("a manifest, which lists the files of a bundle: name its folder ({})", folder);
  }
  if (file.extension() == ".yaml" || file.extension() == ".yml") {
    return "a YAML file: name the folder of a bundle (a plan is for `secondsource run --config`)";
  }
  if (begins_with("{")) return fmt::format("a JSON file: name its folder ({})", folder);
  if (begins_with("\x1f\x8b")) return "a gzip archive: unpack it, and name the folder";
  return {};
}

bool may_be_zip(const std::filesystem::path& file) {
  const std::string start = first_bytes(file);
  return start.empty() || start.starts_with("PK");
}

}  // namespace secondsource
