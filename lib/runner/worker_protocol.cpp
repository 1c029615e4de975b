#include "runner/worker_protocol.h"

#include <fmt/format.h>

#include "record/json_codec.h"

namespace secondsource {
namespace {

template <typename T>
Result<T> parse_line(std::string_view line) {
  Result<T> parsed = json_codec::from_text<T>(line, "worker");
  if (parsed) return parsed;
  return Error{ErrorCode::kInternal,
               fmt::format("worker: cannot understand \"{}\": {}", line.substr(0, 80), parsed.error().message)};
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
