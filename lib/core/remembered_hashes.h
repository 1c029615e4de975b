#pragma once
// Remembers content hashes, so that large files are hashed again only after a change. Each is stored under a text that
// changes whenever the content may have changed, such as MappedFile::identity().
//
//   RememberedHashes hashes(folder / "hashes");
//   if (const auto known = hashes.find(identity)) return *known;
//   ...
//   hashes.remember(identity, hash);
//
// Safe with several processes. A damaged line is never mistaken for other content: either it is not found, or it holds
// a hash that no content has.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace secondsource {

class RememberedHashes {
 public:
  explicit RememberedHashes(std::filesystem::path file) : file_(std::move(file)) {}

  /// The hash, 64 hexadecimal digits; nullopt if it was not remembered. A file that cannot be read remembers nothing.
  [[nodiscard]] std::optional<std::string> find(std::string_view identity);
  /// Remembers a hash for this process and later ones. A failed write is ignored: then the content is hashed again.
  void remember(std::string_view identity, const std::string& hash);

 private:
  void read();

  std::filesystem::path file_;
  /// By the SHA-256 of the identity; nullopt until the file was read.
  std::optional<std::map<std::string, std::string>> hashes_;
};

}  // namespace secondsource
