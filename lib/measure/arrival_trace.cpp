#include "measure/arrival_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/calendar.h"
#include "core/csv.h"
#include "core/file.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::int64_t kMostTokens = 100'000'000;
constexpr double kSecondsPerDay = 86'400;
// A longer trace must contain a wrong date. The limit also keeps times in nanoseconds from overflowing.
constexpr double kLongestTraceDays = 3653;

/// Parses "2023-11-16 18:15:46.6805900", optionally followed by "+00:00", as seconds since 1970.
std::optional<double> parse_azure_time(std::string_view text) {
  if (text.ends_with("+00:00")) text.remove_suffix(6);
  if (text.size() < 19 || text[10] != ' ' || text[13] != ':' || text[16] != ':') return std::nullopt;
  const auto days = days_since_1970(text.substr(0, 10));
  const auto hours = parse_number<int>(text.substr(11, 2));
  const auto minutes = parse_number<int>(text.substr(14, 2));
  const auto seconds = parse_number<double>(text.substr(17));
  if (!days || !hours || !minutes || !seconds || *hours > 23 || *minutes > 59 || *seconds >= 61) return std::nullopt;
  return kSecondsPerDay * static_cast<double>(*days) + 3600.0 * *hours + 60.0 * *minutes + *seconds;
}

/// The contents of a line, before times are counted from the first line.
struct Row {
  double at_s = 0;
  std::int64_t n_prompt_tokens = 0;
  std::int64_t n_output_tokens = 0;
  std::vector<std::int64_t> blocks{};
};

class LineParser {
 public:
  virtual ~LineParser() = default;
  /// Errors: kInvalidInput; the caller adds the line number.
  virtual Result<Row> parse(std::string_view line) const = 0;
};

/// Parses comma-separated values with a header.
class CsvParser final : public LineParser {
 public:
  CsvParser(std::string_view header, std::string_view time, std::string_view prompt, std::string_view output,
            std::optional<double> (*parse_time)(std::string_view))
      : parse_time_(parse_time) {
    const std::vector<std::string> names = fields_of(header);
    const auto column = [&](std::string_view name) {
      return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    };
    time_ = column(time);
    prompt_ = column(prompt);
    output_ = column(output);
  }

  Result<Row> parse(std::string_view line) const override {
    const std::vector<std::string> fields = fields_of(line);
    if (std::max({time_, prompt_, output_}) < fields.size()) {
      const auto at_s = parse_time_(fields[time_]);
      const auto n_prompt = parse_number<std::int64_t>(fields[prompt_]);
      const auto n_output = parse_number<std::int64_t>(fields[output_]);
      if (at_s && n_prompt && n_output) return Row{*at_s, *n_prompt, *n_output};
    }
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected a time and two token counts, found {}",
                             in_quotes(line.substr(0, std::min<std::size_t>(line.size(), 60))))};
  }

 private:
  /// The fields of one line; none for a line that is not CSV.
  static std::vector<std::string> fields_of(std::string_view line) {
    Result<std::vector<CsvRow>> rows = parse_csv(line, "the line");
    return rows && rows->size() == 1 ? std::move(rows->front().fields) : std::vector<std::string>();
  }

  std::size_t time_ = 0, prompt_ = 0, output_ = 0;
  std::optional<double> (*parse_time_)(std::string_view);
};

class MooncakeParser final : public LineParser {
 public:
  Result<Row> parse(std::string_view line) const override {
    SS_TRY(const nlohmann::json json, parse_json(line, "the line"));
    SS_TRY(const JsonFields fields, JsonFields::of(json, "the line"));
    SS_TRY(const double at_ms, fields.number("timestamp"));
    SS_TRY(const std::int64_t n_prompt, fields.integer("input_length", {.min = 0, .max = kMostTokens}));
    SS_TRY(const std::int64_t n_output, fields.integer("output_length", {.min = 0, .max = kMostTokens}));
    Row row{1e-3 * at_ms, n_prompt, n_output};
    const nlohmann::json* blocks = fields.find("hash_ids");
    if (blocks == nullptr) return row;
    // More blocks than the prompt has tokens for would belong to another request.
    const std::int64_t n_most = (n_prompt + kTraceBlockTokens - 1) / kTraceBlockTokens;
    if (!blocks->is_array() || static_cast<std::int64_t>(blocks->size()) > n_most) {
      return fields.mismatch("hash_ids",
                             fmt::format("a list of at most {} blocks of {} tokens", n_most, kTraceBlockTokens));
    }
    for (const nlohmann::json& block : *blocks) {
      if (!block.is_number_unsigned() || block.get<std::uint64_t>() > INT64_MAX) {
        return fields.mismatch("hash_ids", "whole numbers from 0 on");
      }
      row.blocks.push_back(block.get<std::int64_t>());
    }
    return row;
  }
};

/// The format of a file, determined by its first line, and whether that line is a header.
struct Format {
  const char* name = nullptr;
  std::unique_ptr<LineParser> parser;
  bool has_header = false;
};

Format format_of(std::string_view first_line) {
  if (first_line.starts_with("{")) return {"mooncake", std::make_unique<MooncakeParser>(), false};
  if (first_line.starts_with("TIMESTAMP,ContextTokens,GeneratedTokens")) {
    return {"azure",
            std::make_unique<CsvParser>(first_line, "TIMESTAMP", "ContextTokens", "GeneratedTokens", parse_azure_time),
            true};
  }
  if (first_line.find("Request tokens") != std::string_view::npos &&
      first_line.find("Response tokens") != std::string_view::npos) {
    return {
        "burstgpt",
        std::make_unique<CsvParser>(first_line, "Timestamp", "Request tokens", "Response tokens", parse_number<double>),
        true};
  }
  return {};
}

}  // namespace

Result<ArrivalTrace> parse_arrival_trace(std::string_view text, std::string_view name) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  Format format;
  ArrivalTrace trace;
  std::vector<Row> rows;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (format.name == nullptr) {
      format = format_of(line);
      if (format.name == nullptr) break;
      trace.format = format.name;
      if (format.has_header) continue;
    }
    const Result<Row> row = format.parser->parse(line);
    if (!row) return row.error().with_context(fmt::format("{}:{}", name, number));
    const bool is_sane = std::isfinite(row->at_s) && row->n_prompt_tokens >= 0 && row->n_output_tokens >= 0 &&
                         std::max(row->n_prompt_tokens, row->n_output_tokens) <= kMostTokens;
    if (!is_sane) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}:{}: expected a time and 0 to {} tokens", name, number, kMostTokens)};
    }
    if (row->n_prompt_tokens == 0 || row->n_output_tokens == 0) {
      ++trace.n_left_out;
    } else {
      rows.push_back(*row);
    }
  }
  if (rows.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a trace as Azure, BurstGPT or Mooncake publish it, found {}", name,
                             trace.format.empty() ? "another first line" : "no request with an answer")};
  }
  std::ranges::stable_sort(rows, {}, &Row::at_s);
  const double n_days = (rows.back().at_s - rows.front().at_s) / kSecondsPerDay;
  if (n_days > kLongestTraceDays) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected arrivals within {:g} days, found {:.6g} between the "
                             "first and the last",
                             name, kLongestTraceDays, n_days)};
  }
  for (Row& row : rows) {
    trace.entries.push_back({std::llround(1e9 * (row.at_s - rows.front().at_s)),
                             static_cast<std::int32_t>(row.n_prompt_tokens),
                             static_cast<std::int32_t>(row.n_output_tokens), std::move(row.blocks)});
  }
  return trace;
}

Result<ArrivalTrace> read_arrival_trace(const std::filesystem::path& path) {
  SS_TRY(const std::string text, read_file(path));
  return parse_arrival_trace(text, path.string());
}

}  // namespace secondsource
