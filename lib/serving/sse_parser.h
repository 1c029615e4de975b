#pragma once
// Parses server-sent events (WHATWG HTML, section 9.2) as bytes arrive. It is stricter than the standard where the
// standard would hide damage: a line that is not a field, a line without an end and a truncated event are errors.
//
//   SseParser parser;
//   SS_TRY_VOID(parser.push(bytes, [&](std::string_view data) { return take(data); }));
//   SS_TRY_VOID(parser.finish(take));   // when the stream has ended

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

class SseParser {
 public:
  /// Takes the data of one event, with newlines between its lines. An error ends the parsing.
  using OnData = std::function<Result<void>(std::string_view data)>;

  explicit SseParser(std::size_t max_event_bytes = std::size_t{8} << 20) : max_event_bytes_(max_event_bytes) {}

  /// Takes the next bytes of the stream. Errors: kInvalidInput for a line that is no field of an event and for an event
  /// or a line that is too long; those of `on_data`.
  Result<void> push(std::string_view bytes, const OnData& on_data);
  /// The stream has ended. An event whose last empty line is missing counts. Errors: kInvalidInput for a line that is cut
  /// off; those of `on_data`.
  Result<void> finish(const OnData& on_data);
  /// A line has begun whose end has not come yet.
  [[nodiscard]] bool is_within_line() const { return !line_.empty(); }

 private:
  Result<void> take_line(std::string_view line, const OnData& on_data);
  Result<void> dispatch(const OnData& on_data);
  [[nodiscard]] Error too_long() const;

  std::size_t max_event_bytes_;
  std::string line_;  ///< the beginning of a line whose end has not come yet
  std::string data_;
  bool has_data_ = false;
  bool after_return_ = false;  ///< the last byte was a carriage return, which a line feed may follow
  bool is_first_line_ = true;
};

}  // namespace secondsource
