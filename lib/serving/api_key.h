#pragma once
// The key of a server. It comes from the environment or from a file, lives in memory only, and is cut from every text
// that leaves the client.

#include <filesystem>
#include <string>
#include <string_view>

#include "core/fields.h"
#include "core/result.h"

namespace secondsource {

/// Where a key is found; never the key itself.
struct KeySource {
  std::string environment;     ///< name of an environment variable
  std::filesystem::path file;  ///< whose first line is the key
  [[nodiscard]] bool is_empty() const { return environment.empty() && file.empty(); }
};
SS_FIELDS(KeySource, environment, file)

class ApiKey {
 public:
  ApiKey() = default;  ///< no key
  /// Errors: kInvalidInput for a variable that is not set, an empty key and one with characters that no header may have;
  /// kIo.
  static Result<ApiKey> read(const KeySource& source);

  [[nodiscard]] bool is_empty() const { return key_.empty(); }
  /// The value of the header Authorization. For the HTTP client alone.
  [[nodiscard]] std::string authorization() const { return "Bearer " + key_; }
  /// The text with "[key]" in place of the key.
  [[nodiscard]] std::string cut_from(std::string text) const;

 private:
  std::string key_;
};

}  // namespace secondsource
