#pragma once
// Requests to a hub: one at a time, following redirects. After a redirect to another address the token is no longer
// sent, not even to further addresses. Attempts that failed for a temporary reason are repeated.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/result.h"
#include "hub/hub_settings.h"
#include "hub/listing.h"
#include "hub/model_name.h"
#include "serving/http_client.h"

namespace secondsource {

/// Why an attempt did not deliver what was requested.
struct HubSetback {
  Error error;
  bool may_pass = false;                 ///< another attempt can succeed
  std::optional<std::int64_t> wait_s{};  ///< for how long the hub asks to wait
};

struct HubRequest {
  std::string path;  ///< after the hub's address: "/api/models/..."
  std::string what;  ///< what is asked for, at the beginning of messages
  std::string_view accept = "*/*";
  std::vector<std::string> headers{};
  /// Judges the head of each answer of the hub itself, not of those to which it redirects.
  std::function<std::optional<HubSetback>(const HttpHeaders&)> check_head{};
  /// Takes a piece of the body of an answer with status 200 or 206. A setback ends the attempt.
  std::function<std::optional<HubSetback>(const HttpHead&, std::string_view)> take;
};

/// Lines of a head that take() and check_head() see.
inline constexpr std::string_view kEtag = "etag";
inline constexpr std::string_view kLinkedEtag = "x-linked-etag";
inline constexpr std::string_view kRepositoryCommit = "x-repo-commit";
inline constexpr std::string_view kContentRange = "content-range";

class HubClient {
 public:
  /// `interrupt` must outlive the client. Errors: as HttpClient::create().
  static Result<HubClient> create(HubSettings settings, const InterruptFlag& interrupt);

  /// One attempt; nullopt if the whole answer came.
  std::optional<HubSetback> attempt(const HubRequest& request);

  /// The files of a model at its revision. Errors: kInvalidInput for a model, a revision or a token that the hub refuses;
  /// kIo; kInterrupted.
  Result<HubListing> list(const HubModelName& model, Progress& progress);

  [[nodiscard]] const HubSettings& settings() const { return settings_; }

 private:
  HubClient(HubSettings settings, HttpClient http, const InterruptFlag& interrupt)
      : settings_(std::move(settings)), http_(std::move(http)), interrupt_(&interrupt) {}
  /// An address of a request: the hub's, or one to which it redirects.
  struct Hop {
    std::string url{};
    bool is_hub = true;  ///< until the first redirect to another origin
  };
  /// What came from an address.
  struct Received {
    HttpEnd end{};
    std::string said{};        ///< the body of a response that has no content of the file
    bool has_content = false;  ///< a piece of the content came
    std::optional<HubSetback> setback{};
  };
  Result<HttpEnd> run(HttpCall call);
  /// Errors: kInterrupted, and as for HttpClient::start().
  Result<Received> receive(const Hop& hop, const HubRequest& request);
  /// What is wrong with content, or with the lack of any response; nullopt if the content is whole.
  std::optional<HubSetback> setback_of_content(const Received& received, const Hop& hop, const HubRequest& request);
  /// Sets `hop` to the address of a redirect, unless it must not be followed.
  [[nodiscard]] std::optional<HubSetback> follow(const HttpEnd& end, const HubRequest& request, Hop& hop) const;
  [[nodiscard]] HubSetback refusal(const HttpEnd& end, const HubRequest& request, std::string_view said,
                                   std::string_view origin) const;

  HubSettings settings_;
  HttpClient http_;
  const InterruptFlag* interrupt_;
  bool has_answered_ = false;
};

/// Counts failed attempts and waits between them.
class HubRetries {
 public:
  HubRetries(const HubSettings& settings, Progress& progress, const InterruptFlag& interrupt)
      : n_allowed_(settings.n_retries), progress_(&progress), interrupt_(&interrupt) {}

  /// Called when data came since the last failure: earlier failures no longer count.
  void reset() { n_failed_ = 0; }
  /// Announces the next attempt and waits before it. Errors: that of the setback if there is to be no further attempt;
  /// kInterrupted.
  Result<void> wait_after(const HubSetback& setback);

 private:
  std::int32_t n_allowed_;
  std::int32_t n_failed_ = 0;
  Progress* progress_;
  const InterruptFlag* interrupt_;
};

}  // namespace secondsource
