#include "serving/adapter_protocol.h"

#include <fmt/format.h>

#include "core/utf8.h"
#include "record/json_codec.h"

namespace secondsource {
namespace {

// The texts in which an adapter describes itself are stored and shown, so their length is limited.
constexpr std::size_t kLongestFact = 200;
constexpr std::size_t kMostFacts = 64;

Error not_said(std::string_view what) {
  return {ErrorCode::kInvalidInput, fmt::format("the adapter said {}", what)};
}

Result<void> shorten(std::vector<std::pair<std::string, std::string>>& facts, std::string_view what) {
  if (facts.size() > kMostFacts) {
    return not_said(fmt::format("hello: expected at most {} {}, found {}", kMostFacts, what, facts.size()));
  }
  for (auto& [name, value] : facts) {
    name = shown(name, kLongestFact);
    value = shown(value, kLongestFact);
  }
  return {};
}

Result<void> check(AdapterHello& hello) {
  hello.runtime = shown(hello.runtime, kLongestFact);
  if (hello.runtime.empty()) return not_said("hello: expected the name of its runtime, found none");
  if (hello.max_in_flight < 1) {
    return not_said(fmt::format("hello: max_in_flight: expected at least 1, found {}", hello.max_in_flight));
  }
  SS_TRY_VOID(shorten(hello.versions, "versions"));
  return shorten(hello.settings, "settings");
}

Result<void> check(AdapterStep& step) {
  if (step.tokens.empty()) return not_said("step: expected tokens, found none");
  for (const AdapterToken& token : step.tokens) {
    if (token.id < -1) return not_said(fmt::format("step: expected an id, found {}", token.id));
  }
  return {};
}

Result<void> check(AdapterEnd& end) {
  end.message = shown(end.message, kLongestFact);
  if (end.finish == AdapterFinish::kError && end.message.empty()) {
    return not_said("end: expected a message of the error, found none");
  }
  return {};
}

Result<void> check(AdapterScores& scores) {
  for (const AdapterScore& score : scores.scores) {
    if (score.best && *score.best < 0) return not_said(fmt::format("scores: expected an id, found {}", *score.best));
    // Rounding may move a log-probability slightly above 0, which is accepted.
    constexpr double kHighest = 1e-3;
    for (const auto& value : score.wanted) {
      if (value && *value > kHighest) return not_said(fmt::format("scores: a log-probability of {:g}", *value));
    }
    if (score.logprob && *score.logprob > kHighest) {
      return not_said(fmt::format("scores: a log-probability of {:g}", *score.logprob));
    }
  }
  return {};
}

Result<void> check(AdapterFailure& failure) {
  constexpr std::size_t kLongestMessage = 500;
  failure.message = shown(failure.message, kLongestMessage);
  return {};
}

Result<void> check(AdapterLoaded&) {
  return {};
}

Result<AdapterAnswer> parsed(std::string_view line) {
  SS_TRY(const json_codec::Json tree, parse_json(line, "the adapter's line", {.max_bytes = kLongestAdapterLine}));
  return json_codec::from_tree<AdapterAnswer>(tree, "the adapter's line");
}

}  // namespace

std::string to_line(const AdapterRequest& request) {
  return json_codec::to_text(json_codec::to_tree(request), -1);
}

Result<AdapterAnswer> adapter_answer_from_line(std::string_view line) {
  Result<AdapterAnswer> answer = parsed(line);
  if (!answer) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}; it wrote {}", answer.error().message, in_quotes(line.substr(0, 80)))};
  }
  SS_TRY_VOID(std::visit([](auto& one) { return check(one); }, *answer));
  return answer;
}

}  // namespace secondsource
