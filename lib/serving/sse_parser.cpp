#include "serving/sse_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_field_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  });
}

}  // namespace

Result<void> SseParser::push(std::string_view bytes, const OnData& on_data) {
  while (!bytes.empty()) {
    if (after_return_) {
      after_return_ = false;
      if (bytes.front() == '\n') bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view part = bytes.substr(0, end);
    if (line_.size() + data_.size() + part.size() > max_event_bytes_) return too_long();
    if (end == std::string_view::npos) {
      line_ += part;
      return {};
    }
    after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (line_.empty()) {
      SS_TRY_VOID(take_line(part, on_data));
    } else {
      line_ += part;
      SS_TRY_VOID(take_line(line_, on_data));
      line_.clear();
    }
  }
  return {};
}

Result<void> SseParser::finish(const OnData& on_data) {
  if (!line_.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("event stream: expected the end of a line, found the end of the stream behind {}",
                             in_quotes(line_))};
  }
  return dispatch(on_data);
}

Result<void> SseParser::take_line(std::string_view line, const OnData& on_data) {
  if (is_first_line_ && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  is_first_line_ = false;
  if (line.empty()) return dispatch(on_data);
  if (line.front() == ':') return {};  // a comment, which servers send to keep the connection open
  const std::size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  if (!is_field_name(name) ||
      (colon == std::string_view::npos && name != "data" && name != "event" && name != "id" && name != "retry")) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("event stream: expected a line \"data: ...\", found {}", in_quotes(line))};
  }
  if (name != "data") return {};
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (has_data_) data_ += '\n';
  has_data_ = true;
  data_ += value;
  return {};
}

Result<void> SseParser::dispatch(const OnData& on_data) {
  if (!has_data_) return {};
  has_data_ = false;
  const Result<void> taken = on_data(data_);
  data_.clear();
  return taken;
}

Error SseParser::too_long() const {
  return {ErrorCode::kInvalidInput,
          fmt::format("event stream: expected events of at most {} bytes, found a longer one", max_event_bytes_)};
}

}  // namespace secondsource
