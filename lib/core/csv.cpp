#include "core/csv.h"

#include <fmt/format.h>

#include "core/utf8.h"

namespace secondsource {
namespace {

class CsvParser {
 public:
  CsvParser(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  Result<std::vector<CsvRow>> parse() {
    std::vector<CsvRow> rows;
    if (text_.size() > kMaxCsvBytes) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: expected at most {} bytes, found {}", name_, kMaxCsvBytes, text_.size())};
    }
    std::size_t n_fields = 0;
    while (at_ < text_.size()) {
      CsvRow row{.line = line_};
      bool row_ends = false;
      while (!row_ends) {
        std::string field;
        if (peek() == '"') {
          SS_TRY(field, quoted_field());
        } else {
          field = plain_field();
        }
        if (++n_fields > kMaxCsvFields) {
          return Error{ErrorCode::kInvalidInput,
                       fmt::format("{}:{}: expected at most {} fields in all", name_, line_, kMaxCsvFields)};
        }
        row.fields.push_back(std::move(field));
        SS_TRY(row_ends, end_of_row());
      }
      if (row.fields.size() > 1 || !row.fields[0].empty()) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\n'; }

  std::string plain_field() {
    const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    std::string field(text_.substr(at_, end - at_));
    at_ = end;
    return field;
  }

  Result<std::string> quoted_field() {
    const int opened_on = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        if (peek() != '"' || at_ >= text_.size()) return field;
      }
      if (text_[at_] == '\n') ++line_;
      field += text_[at_];
    }
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}:{}: expected a quote that ends the field", name_, opened_on)};
  }

  /// Steps over the separator after a field; returns true if it ended the row.
  Result<bool> end_of_row() {
    if (peek() == ',' && at_ < text_.size()) {
      ++at_;
      return false;
    }
    if (peek() == '\r') ++at_;
    if (peek() != '\n') {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}:{}: expected a comma or the end of the line after a quoted field", name_, line_)};
    }
    ++at_;
    ++line_;
    return true;
  }

  std::string_view text_;
  std::string_view name_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

Result<std::vector<CsvRow>> parse_csv(std::string_view text, std::string_view name) {
  return CsvParser(text, name).parse();
}

std::string csv_text(std::string_view text) {
  constexpr std::size_t kMaxCharacters = 1000;
  std::string field = shown(text, kMaxCharacters);  // tabs and line breaks become escapes
  // The second half are full-width forms, which some spreadsheets also read as the beginning of a formula.
  for (const char* sign : {"=", "+", "-", "@", "\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d", "\xef\xbc\xa0"}) {
    // Spreadsheets that trim a field look at what follows its spaces.
    if (std::string_view(field).substr(std::min(field.find_first_not_of(' '), field.size())).starts_with(sign)) {
      field.insert(field.begin(), '\'');
      break;
    }
  }
  if (field.find_first_of(",\"") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace secondsource
