#include "hub/hub_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "core/clock.h"
#include "core/utf8.h"
#include "serving/server_url.h"

namespace secondsource {
namespace {

constexpr int kMostRedirects = 5;
constexpr std::int64_t kNsPerS = 1'000'000'000;
// The whole time of a transfer is not limited, only the time without a byte.
constexpr std::int64_t kLongestTransferNs = std::int64_t{30} * 24 * 3600 * kNsPerS;
constexpr std::size_t kLongestListing = std::size_t{64} << 20;
constexpr std::size_t kLongestRefusal = 4096;
// If a hub asks for a longer wait, the command gives up; running it again resumes.
constexpr std::int64_t kLongestWaitS = 300;
constexpr std::int64_t kFirstPauseNs = kNsPerS / 2;
constexpr std::int64_t kLongestPauseNs = 30 * kNsPerS;
constexpr std::string_view kErrorCode = "x-error-code";
constexpr std::string_view kErrorMessage = "x-error-message";

/// True for the statuses of a response whose body is the file or a range of it.
bool is_content(long status) {
  return status == 200 || status == 206;
}

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// The statuses after which huggingface_hub tries again, too.
bool may_pass(long status) {
  constexpr std::array kPassing = {408L, 429L, 500L, 502L, 503L, 504L};
  return std::ranges::find(kPassing, status) != kPassing.end();
}

std::string_view value_of(const HttpHeaders& headers, std::string_view name) {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

bool has_address(std::string_view url) {
  const std::string_view origin = origin_of(url);
  return (url.starts_with("http://") || url.starts_with("https://")) && !origin.ends_with("://");
}

HubSetback final_setback(ErrorCode code, std::string message) {
  return {.error = {code, std::move(message)}, .may_pass = false};
}

}  // namespace

Result<HubClient> HubClient::create(HubSettings settings, const InterruptFlag& interrupt) {
  SS_TRY(HttpClient http, HttpClient::create({.key = settings.token, .takes_proxy = true}));
  return HubClient(std::move(settings), std::move(http), interrupt);
}

Result<HttpEnd> HubClient::run(HttpCall call) {
  constexpr std::int64_t kId = 1;
  SS_TRY_VOID(http_.start(kId, std::move(call)));
  std::vector<HttpEnd> ends;
  while (ends.empty()) {
    Result<void> going = interrupt_->check();
    if (going) going = http_.poll(now_ns() + kInterruptPeriodNs, ends);
    if (going) continue;
    http_.cancel(kId);
    return going.error();
  }
  return std::move(ends.front());
}

HubSetback HubClient::refusal(const HttpEnd& end, const HubRequest& request, std::string_view said,
                              std::string_view origin) const {
  const bool is_hub = origin == origin_of(settings_.endpoint);
  const std::string_view code = value_of(end.headers, kErrorCode);
  const std::string_view message = value_of(end.headers, kErrorMessage);
  const std::string text = settings_.token.cut_from(shown(message.empty() ? said : message));
  const std::string answer =
      fmt::format("{}: {} answers {}{}{}", request.what, shown(origin), end.status, text.empty() ? "" : ": ", text);
  HubSetback setback{
      .error = {ErrorCode::kIo, answer}, .may_pass = may_pass(end.status) || !is_hub, .wait_s = end.retry_after_s};
  if (setback.may_pass) return setback;
  const auto advise = [&](std::string_view advice) {
    return final_setback(ErrorCode::kInvalidInput, fmt::format("{}; {}", answer, advice));
  };
  const bool has_token = !settings_.token.is_empty();
  if (code == "GatedRepo") {
    return advise(has_token
                      ? "the model is gated: accept its conditions on its page, with the account of HF_TOKEN"
                      : "the model is gated: accept its conditions on its page, then set HF_TOKEN to a token of that "
                        "account");
  }
  if (code == "RevisionNotFound") return advise("there is no such branch, tag or commit");
  if (code == "EntryNotFound") return advise("there is no such file at this commit");
  if (end.status == 401 || end.status == 403 || end.status == 404) {
    return advise(has_token
                      ? "the name is wrong, or the token in HF_TOKEN may not read it"
                      : "the name is wrong, or the model is private or gated: then set HF_TOKEN to an access token");
  }
  return setback;
}

Result<HubClient::Received> HubClient::receive(const Hop& hop, const HubRequest& request) {
  Received received;
  HttpCall call;
  call.url = hop.url;
  call.accept = request.accept;
  call.timeout_ns = kLongestTransferNs;
  call.stall_timeout_ns = settings_.stall_timeout_ns;
  call.max_body_bytes = INT64_MAX;
  call.headers = request.headers;
  call.sends_key = hop.is_hub;
  for (const std::string_view name :
       {kEtag, kLinkedEtag, kRepositoryCommit, kContentRange, kErrorCode, kErrorMessage}) {
    call.wanted_headers.emplace_back(name);
  }
  call.on_body = [&](const HttpHead& head, std::string_view bytes, std::int64_t) {
    if (!is_content(head.status)) {
      received.said += bytes;
      return received.said.size() <= kLongestRefusal;
    }
    std::optional<HubSetback>& setback = received.setback;
    const bool is_first = !std::exchange(received.has_content, true);
    if (is_first && hop.is_hub && request.check_head) setback = request.check_head(*head.headers);
    if (!setback) setback = request.take(head, bytes);
    return !setback;
  };
  SS_TRY(received.end, run(std::move(call)));
  return received;
}

std::optional<HubSetback> HubClient::setback_of_content(const Received& received, const Hop& hop,
                                                        const HubRequest& request) {
  const HttpEnd& end = received.end;
  if (!end.error.empty()) {
    const std::string reason = settings_.token.cut_from(end.error);
    const std::string message = fmt::format("{}: {}: {}", request.what, shown(origin_of(hop.url)), reason);
    return HubSetback{.error = {ErrorCode::kIo, message}, .may_pass = has_answered_ || end.status != 0};
  }
  has_answered_ = true;
  if (!received.has_content && hop.is_hub && request.check_head) return request.check_head(end.headers);
  return std::nullopt;
}

std::optional<HubSetback> HubClient::follow(const HttpEnd& end, const HubRequest& request, Hop& hop) const {
  if (hop.is_hub && request.check_head) {
    if (std::optional<HubSetback> setback = request.check_head(end.headers)) return setback;
  }
  const std::string where = fmt::format("{}: {} answers {}", request.what, shown(origin_of(hop.url)), end.status);
  if (!has_address(end.redirect)) {
    return HubSetback{.error = {ErrorCode::kIo, where + ", a redirect without an address"}, .may_pass = true};
  }
  // Only the origin of the redirect is shown, because its address may contain a signature that is valid for some hours.
  if (hop.url.starts_with("https://") && !end.redirect.starts_with("https://")) {
    return final_setback(ErrorCode::kIo, fmt::format("{}, a redirect to {}: expected https, as before it", where,
                                                     shown(origin_of(end.redirect))));
  }
  hop = {.url = end.redirect, .is_hub = hop.is_hub && origin_of(end.redirect) == origin_of(settings_.endpoint)};
  return std::nullopt;
}

std::optional<HubSetback> HubClient::attempt(const HubRequest& request) {
  Hop hop{.url = settings_.endpoint + request.path};
  for (int n_redirects = 0; n_redirects <= kMostRedirects; ++n_redirects) {
    const Result<Received> received = receive(hop, request);
    if (!received) return HubSetback{.error = received.error(), .may_pass = false};
    if (received->setback) return received->setback;
    const HttpEnd& end = received->end;
    if (end.status == 0 || is_content(end.status)) return setback_of_content(*received, hop, request);
    has_answered_ = true;
    if (!is_redirect(end.status)) return refusal(end, request, received->said, origin_of(hop.url));
    if (std::optional<HubSetback> setback = follow(end, request, hop)) return setback;
  }
  return final_setback(ErrorCode::kIo,
                       fmt::format("{}: expected at most {} redirects, found more", request.what, kMostRedirects));
}

Result<HubListing> HubClient::list(const HubModelName& model, Progress& progress) {
  std::string json;
  HubRequest request;
  request.path =
      fmt::format("/api/models/{}/revision/{}?blobs=true", model.repository, url_part(model.revision, false));
  request.what = fmt::format("hf:{}@{}", model.repository, model.revision);
  request.accept = "application/json";
  request.take = [&](const HttpHead& head, std::string_view bytes) -> std::optional<HubSetback> {
    if (!has_type(head.content_type, "application/json")) {
      return final_setback(ErrorCode::kInvalidInput,
                           fmt::format("{}: {} answers {}: expected the hub's application/json; is this a hub?",
                                       request.what, shown(settings_.endpoint), shown(head.content_type)));
    }
    json += bytes;
    if (json.size() <= kLongestListing) return std::nullopt;
    return final_setback(ErrorCode::kInvalidInput,
                         fmt::format("{}: expected a list of files of at most 64 MiB, found more", request.what));
  };
  HubRetries retries(settings_, progress, *interrupt_);
  while (const std::optional<HubSetback> setback = attempt(request)) {
    SS_TRY_VOID(retries.wait_after(*setback));
    json.clear();
  }
  return parse_hub_listing(json, fmt::format("{}: the hub's answer", request.what));
}

Result<void> HubRetries::wait_after(const HubSetback& setback) {
  if (!setback.may_pass) return setback.error;
  n_failed_ += 1;
  if (n_failed_ > n_allowed_) {
    return Error{setback.error.code, fmt::format("{} (attempt {} of {}); give the same command again to go on "
                                                 "from here",
                                                 setback.error.message, n_failed_, n_allowed_ + 1)};
  }
  std::int64_t pause_ns = std::min(kLongestPauseNs, kFirstPauseNs << std::min(n_failed_ - 1, 10));
  if (setback.wait_s) {
    if (*setback.wait_s > kLongestWaitS) {
      return Error{setback.error.code, fmt::format("{}; the hub asks to wait {} s: give the same command again "
                                                   "after that",
                                                   setback.error.message, *setback.wait_s)};
    }
    pause_ns = *setback.wait_s * kNsPerS;
  }
  progress_->note(fmt::format("{}; again in {:g} s", setback.error.message, static_cast<double>(pause_ns) * 1e-9));
  for (const std::int64_t until = now_ns() + pause_ns; now_ns() < until;) {
    SS_TRY_VOID(interrupt_->check());
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(until - now_ns(), kInterruptPeriodNs)));
  }
  return {};
}

}  // namespace secondsource
