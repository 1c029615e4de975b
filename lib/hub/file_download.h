#pragma once
// Downloads one file of a repository. The download resumes where an earlier attempt stopped, and the file gets its name
// only when its size and its hash are those of the listing.

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "hub/hub_client.h"
#include "hub/listing.h"

namespace secondsource {

/// The bytes of all files received so far, as progress.
struct PullProgress {
  Progress* progress;
  std::int64_t n_bytes = 0;
  void add(std::int64_t bytes) {
    n_bytes += bytes;
    progress->update(n_bytes >> 20);
  }
};

struct FileSource {
  std::string repository;
  std::string commit;
};

/// `partials` is the folder for incomplete files. Errors: kInvalidInput; kIo for a connection, a size or a hash that
/// stays wrong; kInterrupted.
Result<void> download_file(HubClient& hub, const FileSource& source, const HubFile& file,
                           const std::filesystem::path& target, const std::filesystem::path& partials,
                           PullProgress& progress, const InterruptFlag& interrupt);

}  // namespace secondsource
