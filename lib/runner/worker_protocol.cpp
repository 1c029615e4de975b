#include "runner/worker_protocol.h"

#include <fmt/format.h>

#include "core/utf8.h"
#include "record/json_codec.h"

namespace secondsource {
namespace {

// A line may hold every sample of a repetition, with the gaps between all tokens.
constexpr JsonLimits kLineLimits{.max_bytes = std::int64_t{256} << 20, .max_values = std::int64_t{64} << 20};

template <typename T>
Result<T> parse_tree(std::string_view line) {
  SS_TRY(const json_codec::Json tree, parse_json(line, "worker", kLineLimits));
  return json_codec::from_tree<T>(tree, "worker");
}

template <typename T>
Result<T> parse_line(std::string_view line) {
  Result<T> parsed = parse_tree<T>(line);
  if (parsed) return parsed;
  return Error{ErrorCode::kInternal,
               fmt::format("worker: cannot understand {}: {}", in_quotes(line), parsed.error().message)};
}

}  // namespace

std::string to_line(const WorkerRequest& request) {
  return json_codec::to_text(json_codec::to_tree(request), -1);
}

std::string to_line(const WorkerMessage& message) {
  return json_codec::to_text(json_codec::to_tree(message), -1);
}

Result<WorkerRequest> worker_request_from_line(std::string_view line) {
  return parse_line<WorkerRequest>(line);
}

Result<WorkerMessage> worker_message_from_line(std::string_view line) {
  return parse_line<WorkerMessage>(line);
}

}  // namespace secondsource
