#pragma once
// The contents of a repository on a hub at one revision: the commit, and the size and hash of each file. It is parsed
// from the answer to GET /api/models/ORG/NAME/revision/REVISION?blobs=true, which HfApi.model_info(files_metadata=True)
// of huggingface_hub 2.4.0 requests as well. The answer is untrusted: paths are checked, and negative sizes are
// refused.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct HubFile {
  std::string path;                        ///< relative to the repository; a path that may become a file here
  std::optional<std::int64_t> size_bytes;  ///< absent if the hub does not say it
  std::string sha256;                      ///< of the content, for files in Git LFS; else empty
  std::string git_hash;                    ///< git's name of the content, for files in git itself; else empty

  /// The hash that identifies the content; empty if the hub gives none.
  [[nodiscard]] const std::string& hash() const { return sha256.empty() ? git_hash : sha256; }
};

struct HubListing {
  std::string commit;           ///< 40 lower-case hexadecimal digits
  std::string license;          ///< as the model's card has it; empty: none, or not one word
  std::vector<HubFile> files;   ///< sorted by path
  std::int64_t n_left_out = 0;  ///< files whose names may not become paths here

  [[nodiscard]] const HubFile* find(std::string_view path) const;
};

/// Errors begin with `name`: kInvalidInput.
Result<HubListing> parse_hub_listing(std::string_view json, std::string_view name);

/// True if the text is `n_digits` lower-case hexadecimal digits.
[[nodiscard]] bool is_hexadecimal(std::string_view text, std::size_t n_digits);

}  // namespace secondsource
