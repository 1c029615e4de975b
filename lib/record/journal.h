#pragma once
// The lines of samples.jsonl: one line per record of a measurement, in the order in which they were stored.

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"
#include "core/seal.h"
#include "core/variant_tags.h"
#include "record/failure_record.h"
#include "record/golden_record.h"
#include "record/operation_times.h"
#include "record/rate_probe.h"
#include "record/repetition.h"
#include "record/request_sample.h"

namespace secondsource {

using JournalLine = std::variant<RequestSample, Repetition, GoldenRecord, FailureRecord, RateProbe, OperationTimes>;
SS_VARIANT_TAGS(JournalLine, "type", "sample", "repetition", "golden", "failure", "probe", "operations")

/// The parsed lines of a file that grows by whole lines. A crash may have cut off the last line.
template <typename Line>
struct LinesFile {
  std::vector<Line> lines;
  std::vector<std::size_t> line_ends;  ///< for each line, the offset of the byte after its newline
  bool torn_tail = false;              ///< the file continues after its last valid line
  bool all_sealed = true;              ///< every line has a checksum (core/seal.h); earlier versions wrote none

  [[nodiscard]] std::size_t valid_bytes() const { return line_ends.empty() ? 0 : line_ends.back(); }
};

/// Parses line after line and compares their checksums. A last line without a newline is left out. If `zeros_are_torn`,
/// a last line with a zero byte is left out too, since a power cut may leave a block of zeros at the end. Any other line
/// that cannot be parsed is an error with its number, and so is one without a checksum behind one that has one.
/// `parse_line(text, name)` returns Result<Line>.
template <typename Line, typename ParseLine>
Result<LinesFile<Line>> read_lines(std::string_view text, std::string_view name, const ParseLine& parse_line,
                                   bool zeros_are_torn = false) {
  LinesFile<Line> file;
  bool any_sealed = false;
  const auto parse = [&](std::string_view line, const std::string& where) -> Result<Line> {
    SS_TRY(const bool is_sealed, has_good_seal(line, where));
    if (!is_sealed && any_sealed) {
      return Error{ErrorCode::kInvalidInput, where + ": damaged: it has no checksum, and a line before it has one"};
    }
    any_sealed = is_sealed;
    file.all_sealed = file.all_sealed && is_sealed;
    return parse_line(line, where);
  };
  for (std::size_t begin = 0; begin < text.size(); begin = file.valid_bytes()) {
    const std::string where = std::string(name) + ":" + std::to_string(file.lines.size() + 1);
    const std::size_t newline = text.find('\n', begin);
    file.torn_tail = newline == std::string_view::npos;
    if (file.torn_tail) {
      // A line that was cut off has no checksum at its end. If something follows a checksum, the line was not cut off.
      if (seal_of(text.substr(begin, text.size() - begin - 1)) != Seal::kGood) break;
      return Error{ErrorCode::kInvalidInput, where + ": damaged: expected a newline at the end"};
    }
    const std::string_view object = text.substr(begin, newline - begin);
    const bool is_last = newline + 1 == text.size();
    file.torn_tail = zeros_are_torn && is_last && object.find('\0') != std::string_view::npos;
    if (file.torn_tail) break;
    Result<Line> line = parse(object, where);
    if (!line) return std::move(line).error();
    file.lines.push_back(std::move(line).value());
    file.line_ends.push_back(newline + 1);
  }
  return file;
}

using Journal = LinesFile<JournalLine>;

}  // namespace secondsource
