#include "hub/file_download.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "core/utf8.h"
#include "hub/partial_file.h"

namespace secondsource {
namespace {

HubSetback lasting(ErrorCode code, std::string message) {
  return {.error = {code, std::move(message)}, .may_pass = false};
}

/// The hash in an entity tag, without its quotes; empty for a tag that is not a hash, such as one made by a mirror.
std::string_view hash_in_etag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  constexpr std::size_t kSha1Digits = 40;
  constexpr std::size_t kSha256Digits = 64;
  return is_hexadecimal(etag, kSha1Digits) || is_hexadecimal(etag, kSha256Digits) ? etag : std::string_view();
}

std::string_view header_of(const HttpHeaders& headers, std::string_view name) {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

/// "bytes 5-9/10" as 5 and 10; nullopt for anything else.
std::optional<std::pair<std::int64_t, std::int64_t>> content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  const char* at = text.data() + kUnit.size();
  const char* const end = text.data() + text.size();
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t total = 0;
  const auto take = [&](std::int64_t& value, char after) {
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0) return false;
    at = next;
    if (after == '\0') return at == end;
    return at != end && *at++ == after;
  };
  if (!take(first, '-') || !take(last, '/') || !take(total, '\0')) return std::nullopt;
  return std::pair(first, total);
}

class Download {
 public:
  Download(HubClient& hub, const FileSource& source, const HubFile& file, PartialFile& partial, PullProgress& progress)
      : hub_(hub), source_(source), file_(file), partial_(partial), progress_(progress) {}

  /// Requests the missing part; nullopt if the answer ended normally, though it may be shorter than the file.
  std::optional<HubSetback> attempt();

 private:
  [[nodiscard]] std::string what() const { return fmt::format("hf:{}: {}", source_.repository, printable(file_.path)); }
  [[nodiscard]] std::optional<HubSetback> check_head(const HttpHeaders& headers) const;
  std::optional<HubSetback> begin(const HttpHead& head);
  std::optional<HubSetback> take(const HttpHead& head, std::string_view bytes);

  HubClient& hub_;
  const FileSource& source_;
  const HubFile& file_;
  PartialFile& partial_;
  PullProgress& progress_;
  std::string etag_;  ///< of the content that the partial file began with in this process; strong, or empty
  bool has_begun_ = false;
};

/// Checks that the commit and the hash in the headers are those of the listing.
std::optional<HubSetback> Download::check_head(const HttpHeaders& headers) const {
  const std::string_view commit = header_of(headers, kRepositoryCommit);
  if (!commit.empty() && commit != source_.commit) {
    return lasting(ErrorCode::kIo, fmt::format("{}: expected the file of commit {}, found that of {}", what(),
                                               source_.commit, shown(commit)));
  }
  std::string_view hash = hash_in_etag(header_of(headers, kLinkedEtag));
  if (hash.empty()) hash = hash_in_etag(header_of(headers, kEtag));
  if (hash.size() == file_.hash().size() && hash != file_.hash()) {
    return lasting(ErrorCode::kIo, fmt::format("{}: the hub's list of files gives it the hash {}, its head {}", what(),
                                               file_.hash(), hash));
  }
  return std::nullopt;
}

std::optional<HubSetback> Download::begin(const HttpHead& head) {
  if (head.status == 206) {
    const std::string_view text = header_of(*head.headers, kContentRange);
    const auto range = content_range(text);
    if (!range || range->first != partial_.size_bytes() || range->second != *file_.size_bytes) {
      return lasting(ErrorCode::kIo, fmt::format("{}: expected bytes {} to the end of {}, found the range {}", what(),
                                                 partial_.size_bytes(), *file_.size_bytes, in_quotes(text)));
    }
  } else if (partial_.size_bytes() > 0) {
    // The server does not support ranges, or its content has changed since the last time.
    if (const Result<void> emptied = partial_.restart(); !emptied)
      return lasting(emptied.error().code, emptied.error().message);
  }
  const std::string_view etag = header_of(*head.headers, kEtag);
  etag_ = etag.starts_with('"') ? etag : std::string_view();
  return std::nullopt;
}

std::optional<HubSetback> Download::take(const HttpHead& head, std::string_view bytes) {
  if (!std::exchange(has_begun_, true)) {
    if (auto setback = begin(head)) return setback;
  }
  if (static_cast<std::int64_t>(bytes.size()) > *file_.size_bytes - partial_.size_bytes()) {
    partial_.remove();
    return lasting(ErrorCode::kIo, fmt::format("{}: expected {} bytes, found more", what(), *file_.size_bytes));
  }
  if (const Result<void> written = partial_.append(bytes); !written) {
    return lasting(written.error().code, written.error().message);
  }
  progress_.add(static_cast<std::int64_t>(bytes.size()));
  return std::nullopt;
}

std::optional<HubSetback> Download::attempt() {
  HubRequest request;
  request.path = fmt::format("/{}/resolve/{}/{}", source_.repository, source_.commit, url_part(file_.path, true));
  request.what = what();
  const std::int64_t offset = partial_.size_bytes();
  if (offset > 0) {
    request.headers.push_back(fmt::format("Range: bytes={}-", offset));
    if (!etag_.empty()) request.headers.push_back("If-Range: " + etag_);
  }
  request.check_head = [this](const HttpHeaders& headers) { return check_head(headers); };
  request.take = [this](const HttpHead& head, std::string_view bytes) { return take(head, bytes); };
  has_begun_ = false;
  return hub_.attempt(request);
}

}  // namespace

Result<void> download_file(HubClient& hub, const FileSource& source, const HubFile& file,
                           const std::filesystem::path& target, const std::filesystem::path& partials,
                           PullProgress& progress, const InterruptFlag& interrupt) {
  SS_TRY(PartialFile partial, PartialFile::open(partials, file));
  const std::string what = fmt::format("hf:{}: {}", source.repository, printable(file.path));
  bool is_of_this_process = partial.size_bytes() == 0;
  HubRetries retries(hub.settings(), *progress.progress, interrupt);
  Download download(hub, source, file, partial, progress);
  while (true) {
    // An empty file is requested, too, so that the hub confirms it.
    bool is_asked = partial.size_bytes() == 0 && file.size_bytes == 0;
    while (partial.size_bytes() < *file.size_bytes || std::exchange(is_asked, false)) {
      const std::int64_t n_before = partial.size_bytes();
      std::optional<HubSetback> setback = download.attempt();
      if (partial.size_bytes() > n_before) retries.reset();
      if (!setback && partial.size_bytes() < *file.size_bytes) {
        setback = HubSetback{.error = {ErrorCode::kIo, fmt::format("{}: expected {} bytes, found {}", what,
                                                                   *file.size_bytes, partial.size_bytes())},
                             .may_pass = true};
      }
      if (setback) SS_TRY_VOID(retries.wait_after(*setback));
    }
    SS_TRY(const std::string hash, partial.hash());
    if (hash == file.hash()) return partial.rename_to(target);
    if (std::exchange(is_of_this_process, true)) {
      partial.remove();
      return Error{ErrorCode::kIo, fmt::format("{}: expected the hash {}, found {}; the downloaded file was removed",
                                               what, file.hash(), hash)};
    }
    progress.progress->note(
        fmt::format("{}: the part that an earlier attempt left is of another file, so it is pulled anew", what));
    SS_TRY_VOID(partial.restart());
  }
}

}  // namespace secondsource
