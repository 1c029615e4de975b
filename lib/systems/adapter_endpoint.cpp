#include "systems/adapter_endpoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "bundle/prompt_suite.h"
#include "core/clock.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::int64_t kAdapterWaitNs = 200'000'000;

Error adapter_lied(std::string text) {
  return {ErrorCode::kIo, "the adapter wrote " + std::move(text)};
}

}  // namespace

AdapterEndpoint::AdapterEndpoint(AdapterProcess process, std::int32_t vocab_size, std::int64_t stall_ns)
    : process_(std::move(process)), vocab_size_(vocab_size), stall_ns_(stall_ns) {}

AdapterEndpoint::~AdapterEndpoint() {
  process_.stop();
}

std::string AdapterEndpoint::name() const {
  return hello().runtime + " behind an adapter";
}

Result<std::int64_t> AdapterEndpoint::send_generate(Open open, std::vector<std::int32_t> ids) {
  const std::int64_t number = next_request_++;
  open.n_prompt = static_cast<std::int32_t>(ids.size());
  open.sent_ns = now_ns();
  if (open_.empty()) last_sign_ns_ = open.sent_ns;
  const std::int32_t n_asked = open.n_asked;
  open_.emplace(number, open);
  SS_TRY_VOID(process_.send(AdapterGenerateRequest{number, std::move(ids), n_asked}));
  return number;
}

Result<void> AdapterEndpoint::submit(const TimedRequest& request) {
  Open open{.tag = request.tag, .n_asked = request.n_output_tokens};
  SS_TRY_VOID(send_generate(open, request.prompt != nullptr ? request.prompt->ids : request.ids));
  return {};
}

Result<void> AdapterEndpoint::poll(std::int64_t until_ns, SystemEvents& events) {
  SS_TRY(std::optional<AdapterAnswer> answer, process_.receive(until_ns));
  while (answer) {
    SS_TRY_VOID(take(*answer, events));
    SS_TRY(answer, process_.receive(0));
  }
  return check_stall();
}

Result<void> AdapterEndpoint::check_stall() const {
  if ((open_.empty() && !scoring_) || now_ns() - last_sign_ns_ <= stall_ns_) return {};
  return Error{ErrorCode::kDeadline, fmt::format("the adapter wrote nothing for {:g} s although a request was open",
                                                 1e-9 * static_cast<double>(stall_ns_))};
}

Result<void> AdapterEndpoint::take(const AdapterAnswer& answer, SystemEvents& events) {
  last_sign_ns_ = now_ns();
  if (const auto* step = std::get_if<AdapterStep>(&answer)) return take_step(*step, events);
  if (const auto* end = std::get_if<AdapterEnd>(&answer)) return take_end(*end, events);
  if (const auto* scores = std::get_if<AdapterScores>(&answer)) return take_scores(*scores);
  return adapter_lied(
      fmt::format("a \"{}\" among answers", tags_of(std::type_identity<AdapterAnswer>()).names[answer.index()]));
}

Result<void> AdapterEndpoint::check_time(std::int64_t at_ns, std::int64_t arrived_ns) {
  const double late_s = 1e-9 * static_cast<double>(arrived_ns - at_ns);
  if (at_ns > arrived_ns) {
    return adapter_lied(fmt::format(
        "a step with a time {:g} s after its arrival: expected times of CLOCK_MONOTONIC of this host", -late_s));
  }
  if (arrived_ns - at_ns > kLatestNs) {
    return adapter_lied(
        fmt::format("a step that arrived {:g} s after the time that it states: expected each line as soon as its "
                    "tokens are known, with a time of CLOCK_MONOTONIC of this host",
                    late_s));
  }
  if (at_ns < last_step_ns_) {
    return adapter_lied(fmt::format("a step whose time is {:g} s before that of the previous step",
                                    1e-9 * static_cast<double>(last_step_ns_ - at_ns)));
  }
  last_step_ns_ = at_ns;
  ++lateness_.n_lines;
  lateness_.sum_ns += arrived_ns - at_ns;
  lateness_.worst_ns = std::max(lateness_.worst_ns.load(), arrived_ns - at_ns);
  return {};
}

Result<void> AdapterEndpoint::take_step(const AdapterStep& step, SystemEvents& events) {
  SS_TRY_VOID(check_time(step.at_ns, last_sign_ns_));
  for (const AdapterToken& token : step.tokens) SS_TRY_VOID(take_token(token, step.at_ns, events));
  return {};
}

Result<void> AdapterEndpoint::take_token(const AdapterToken& token, std::int64_t at_ns, SystemEvents& events) {
  const auto found = open_.find(token.request);
  if (found == open_.end()) return adapter_lied(fmt::format("a token of request {}, which is not open", token.request));
  Open& open = found->second;
  if (open.is_cancelled) return {};
  const std::string where = fmt::format("a token of request {}", token.request);
  if (token.index != open.n_tokens) {
    return adapter_lied(fmt::format("{} with index {}, expected index {}", where, token.index, open.n_tokens));
  }
  if (open.n_tokens == open.n_asked)
    return adapter_lied(fmt::format("{} beyond the {} asked for", where, open.n_asked));
  if (at_ns < open.sent_ns) return adapter_lied(where + " with a time before that of its request");
  const bool gives_ids = hello().tokens == AdapterTokens::kIds;
  if (gives_ids && (token.id < 0 || token.id >= vocab_size_)) {
    return adapter_lied(fmt::format("{} with the id {}, expected one of 0 to {}", where, token.id, vocab_size_ - 1));
  }
  ++open.n_tokens;
  if (open.keep != nullptr) {
    if (gives_ids) open.keep->generated.ids.push_back(token.id);
    open.keep->generated.text += token.text;
    return {};
  }
  events.tokens.push_back(
      {.tag = open.tag, .id = gives_ids ? token.id : -1, .at_ns = at_ns, .visible_ns = token.text.empty() ? 0 : at_ns});
  return {};
}

Result<void> AdapterEndpoint::take_end(const AdapterEnd& end, SystemEvents& events) {
  if (scoring_ && end.request == scoring_->request) {
    if (end.finish != AdapterFinish::kError) return adapter_lied("the end of a score without an error");
    scores_.why_not = end.message;
    scoring_.reset();
    return {};
  }
  const auto found = open_.find(end.request);
  if (found == open_.end()) return adapter_lied(fmt::format("the end of request {}, which is not open", end.request));
  const Open open = found->second;
  open_.erase(found);
  if (open.is_cancelled) return {};
  if (end.finish == AdapterFinish::kCancelled) {
    return adapter_lied(fmt::format("the end of request {} as cancelled, although it was not cancelled", end.request));
  }
  if (end.finish == AdapterFinish::kLength && open.n_tokens != open.n_asked) {
    return adapter_lied(fmt::format("the end of request {} by its length after {} of {} tokens", end.request,
                                    open.n_tokens, open.n_asked));
  }
  if (open.keep != nullptr) {
    open.keep->generated.ended = end.finish == AdapterFinish::kStop;
    open.keep->why_not = end.message;
    return {};
  }
  RequestEnd ended;
  ended.tag = open.tag;
  ended.n_prompt_tokens = open.n_prompt;
  ended.n_output_tokens = open.n_tokens;
  ended.error = end.message;
  if (end.finish == AdapterFinish::kStop && open.n_tokens == 0) ended.error = "the answer ended without a token";
  if (end.finish == AdapterFinish::kStop) ended.finish = RequestFinish::kEos;
  events.ends.push_back(std::move(ended));
  return {};
}

Result<void> AdapterEndpoint::take_scores(const AdapterScores& scores) {
  if (!scoring_ || scores.request != scoring_->request) {
    return adapter_lied(fmt::format("scores of request {}, which is not open", scores.request));
  }
  const std::size_t n_expected = scoring_->ids.size() - static_cast<std::size_t>(scoring_->n_prompt);
  if (scores.scores.size() != n_expected) {
    return adapter_lied(fmt::format("{} scores, expected {}", scores.scores.size(), n_expected));
  }
  for (std::size_t index = 0; index < n_expected; ++index) {
    const AdapterScore& score = scores.scores[index];
    const std::size_t n_wanted = scoring_->wanted.empty() ? 0 : scoring_->wanted[index].size();
    if (score.wanted.size() != n_wanted) {
      return adapter_lied(fmt::format("{} wanted log-probabilities, expected {}", score.wanted.size(), n_wanted));
    }
    const bool needs_best = hello().forced == AdapterForced::kBest || hello().forced == AdapterForced::kLogits;
    if (needs_best && (!score.best || *score.best >= vocab_size_)) {
      return adapter_lied(fmt::format("a best id of {}, expected one of 0 to {}",
                                      score.best ? fmt::to_string(*score.best) : "none", vocab_size_ - 1));
    }
  }
  scores_.scores = scores.scores;
  scoring_.reset();
  return {};
}

Result<std::optional<RequestEnd>> AdapterEndpoint::cancel(std::int64_t tag) {
  for (auto& [number, open] : open_) {
    if (open.tag != tag || open.is_cancelled || open.keep != nullptr) continue;
    open.is_cancelled = true;
    SS_TRY_VOID(process_.send(AdapterCancelRequest{number}));
    return std::optional(RequestEnd{.tag = tag, .n_prompt_tokens = open.n_prompt, .finish = RequestFinish::kCancelled});
  }
  return std::optional<RequestEnd>();
}

Result<void> AdapterEndpoint::abandon() {
  for (auto& [number, open] : open_) {
    open.is_cancelled = true;
    SS_TRY_VOID(process_.send(AdapterCancelRequest{number}));
  }
  SystemEvents dropped;
  return poll_while_open([] { return Result<void>(); }, dropped);
}

Result<void> AdapterEndpoint::poll_while_open(const AdapterWait& wait, SystemEvents& events) {
  while (!open_.empty() || scoring_) {
    SS_TRY_VOID(wait());
    SS_TRY_VOID(poll(now_ns() + kAdapterWaitNs, events));
  }
  return {};
}

Result<std::vector<AdapterEndpoint::Answer>> AdapterEndpoint::generate(
    const std::vector<std::vector<std::int32_t>>& prompts, std::int32_t n_tokens, const AdapterWait& wait) {
  std::vector<Answer> answers(prompts.size());
  for (std::size_t index = 0; index < prompts.size(); ++index) {
    SS_TRY_VOID(send_generate({.n_asked = n_tokens, .keep = &answers[index]}, prompts[index]));
  }
  SystemEvents none;
  SS_TRY_VOID(poll_while_open(wait, none));
  return answers;
}

Result<AdapterEndpoint::Scores> AdapterEndpoint::score(AdapterScoreRequest request, const AdapterWait& wait) {
  request.request = next_request_++;
  last_sign_ns_ = now_ns();
  scores_ = {};
  scoring_ = request;
  SS_TRY_VOID(process_.send(request));
  SystemEvents none;
  SS_TRY_VOID(poll_while_open(wait, none));
  return std::move(scores_);
}

}  // namespace secondsource
