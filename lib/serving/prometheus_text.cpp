#include "serving/prometheus_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "core/ascii.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// Infinities and "not a number" are written in several ways; from_chars reads them, but takes no leading plus.
std::optional<double> metric_value(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  // from_chars would read "nan(...)" as well.
  if (text.find('(') != std::string_view::npos) return std::nullopt;
  return parse_number<double>(text);
}

/// Reads one line, which is neither empty nor a comment.
class SampleLine {
 public:
  SampleLine(std::string_view line, const MetricsLimits& limits) : rest_(line), limits_(limits) {}

  /// The name, which comes first: a sample that is not wanted needs no copies.
  std::string_view name() {
    skip_blanks();
    return take_name(/*may_have_colons=*/true);
  }

  /// Returns what was expected instead; empty if the line is correct. With `keeps` false nothing is stored.
  std::string_view read_rest(MetricSample& sample, bool keeps) {
    if (!rest_.empty() && !is_blank(rest_.front()) && rest_.front() != '{') return "a blank or { behind the name";
    skip_blanks();
    if (take('{')) {
      if (const std::string_view wrong = read_labels(sample, keeps); !wrong.empty()) return wrong;
      skip_blanks();
    }
    const auto value = metric_value(take_word());
    if (!value) return "a number as the value";
    sample.value = *value;
    skip_blanks();
    if (rest_.empty() || rest_.front() == '#') return "";  // OpenMetrics writes an exemplar behind the sign
    // The time is in milliseconds here, and in seconds with a fraction in OpenMetrics.
    if (!metric_value(take_word())) return "a time or nothing behind the value";
    skip_blanks();
    if (rest_.empty() || rest_.front() == '#') return "";
    return "the end of the line behind the time";
  }

 private:
  std::string_view read_labels(MetricSample& sample, bool keeps) {
    std::size_t n_labels = 0;
    while (true) {
      skip_blanks();
      if (take('}')) return "";
      const std::string_view label = take_name(/*may_have_colons=*/false);
      if (label.empty()) return "the name of a label or }";
      skip_blanks();
      if (!take('=')) return "= behind the name of a label";
      skip_blanks();
      if (!take('"')) return "a label's value in quotes";
      std::string value;
      if (const std::string_view wrong = read_quoted(value); !wrong.empty()) return wrong;
      if (++n_labels > limits_.most_labels) return "fewer labels";
      if (keeps) sample.labels.emplace_back(label, std::move(value));
      skip_blanks();
      if (!take(',') && !rest_.starts_with('}')) return ", or } behind a label";
    }
  }

  std::string_view read_quoted(std::string& value) {
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return "";
      if (c != '\\') {
        value += c;
        continue;
      }
      if (rest_.empty()) break;
      const char escaped = rest_.front();
      rest_.remove_prefix(1);
      if (escaped == 'n') {
        value += '\n';
      } else if (escaped == '"' || escaped == '\\') {
        value += escaped;
      } else {
        value += c;  // the format knows no other escape; a backslash in front of anything else is itself
        value += escaped;
      }
    }
    return "the closing quote of a label's value";
  }

  std::string_view take_name(bool may_have_colons) {
    std::size_t n = 0;
    while (n < rest_.size() &&
           (begins_name(rest_[n]) || (may_have_colons && rest_[n] == ':') || (n > 0 && is_ascii_digit(rest_[n])))) {
      ++n;
    }
    return take_front(n);
  }

  std::string_view take_word() {
    std::size_t n = 0;
    while (n < rest_.size() && !is_blank(rest_[n])) ++n;
    return take_front(n);
  }

  std::string_view take_front(std::size_t n) {
    const std::string_view front = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return front;
  }

  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void skip_blanks() {
    while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
  }

  std::string_view rest_;
  const MetricsLimits& limits_;
};

Error wrong_line(std::size_t number, std::string_view expected, std::string_view line) {
  return Error{ErrorCode::kInvalidInput,
               fmt::format("metrics, line {}: expected {}, found {}", number, expected, in_quotes(line))};
}

}  // namespace

std::string_view MetricSample::label(std::string_view name_of_label) const {
  const auto found = std::ranges::find(labels, name_of_label, [](const auto& one) { return one.first; });
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

Result<std::vector<MetricSample>> parse_prometheus_text(std::string_view text,
                                                        const std::function<bool(std::string_view name)>& is_wanted,
                                                        const MetricsLimits& limits) {
  if (text.size() > limits.most_bytes) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("metrics: expected at most {} bytes, found {}", limits.most_bytes, text.size())};
  }
  std::vector<MetricSample> samples;
  std::size_t n_samples = 0;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > limits.longest_line) {
      return wrong_line(number, fmt::format("at most {} bytes", limits.longest_line), line);
    }
    const auto first = std::ranges::find_if_not(line, is_blank);
    if (first == line.end() || *first == '#') continue;
    if (++n_samples > limits.most_samples) {
      return wrong_line(number, fmt::format("at most {} samples", limits.most_samples), line);
    }
    SampleLine reader(line, limits);
    const std::string_view name = reader.name();
    if (name.empty()) return wrong_line(number, "the name of a metric", line);
    const bool keeps = !is_wanted || is_wanted(name);
    MetricSample sample;
    if (const std::string_view wrong = reader.read_rest(sample, keeps); !wrong.empty()) {
      return wrong_line(number, wrong, line);
    }
    if (!keeps) continue;
    sample.name = name;
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace secondsource
