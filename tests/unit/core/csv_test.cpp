#include "core/csv.h"

#include "core/calendar.h"
#include "support/result.h"

using namespace secondsource;

TEST_CASE("CSV fields may be quoted, and then hold commas, quotes and line breaks") {
  const auto rows = parse_csv("a,b\r\n\"x,\"\"y\"\"\n z\",\n\n1,\"\"", "t.csv");
  REQUIRE_OK(rows);
  REQUIRE(rows->size() == 3);
  CHECK((*rows)[1].fields == std::vector<std::string>{"x,\"y\"\n z", ""});
  CHECK((*rows)[1].line == 2);
  CHECK((*rows)[2].line == 5);
  CHECK((*rows)[2].fields == std::vector<std::string>{"1", ""});
  CHECK(parse_csv("", "t.csv")->empty());
}

TEST_CASE("CSV that breaks its own quotes is refused with the line") {
  CHECK_ERROR(parse_csv("a\n\"b\n\n", "t.csv"), ErrorCode::kInvalidInput, "t.csv:2: expected a quote");
  CHECK_ERROR(parse_csv("a\n\"b\"c\n", "t.csv"), ErrorCode::kInvalidInput, "t.csv:2: expected a comma");
  CHECK_ERROR(parse_csv("a\rb\n", "t.csv"), ErrorCode::kInvalidInput, "t.csv:1");
}

TEST_CASE("a text that a spreadsheet would take for a formula gets a quote in front, as OWASP says") {
  const auto [text, field] = GENERATE(table<std::string, std::string>({
      {"plain", "plain"},
      {"=1+1", "'=1+1"},
      {"+1", "'+1"},
      {"-1", "'-1"},
      {"@SUM(A1)", "'@SUM(A1)"},
      {"\t=1", "\\x09=1"},
      {"\r=1", "\\x0d=1"},
      {"\xef\xbc\x9d"
       "1",
       "'\xef\xbc\x9d"
       "1"},  // a full-width equals sign
      {"a,\"b\"", "\"a,\"\"b\"\"\""},
      {"=a,b", "\"'=a,b\""},
      {"  =1+1", "'  =1+1"},
      {" a", " a"},
      {"  ", "  "},
      {"a=1", "a=1"},
      {"", ""},
  }));
  CHECK(csv_text(text) == field);
  const auto rows = parse_csv("x," + csv_text(text) + "\n", "t.csv");
  REQUIRE_OK(rows);
  CHECK(rows->at(0).fields.size() == 2);
}

TEST_CASE("calendar days are counted, and what is none is told apart") {
  CHECK(days_since_1970("1970-01-01") == 0);
  CHECK(days_since_1970("2026-11-20") == 20777);  // date -d 2026-11-20 +%s / 86400
  CHECK(days_since_1970("2028-02-29"));
  CHECK(seconds_since_1970("2026-11-20T07:43:09Z") == 1795160589);  // date -d 2026-11-20T07:43:09Z +%s
  for (const char* bad : {"", "2026-11-20", "2026-11-20T24:00:00Z", "2026-02-30T00:00:00Z", "2026-11-20T07:43:00+01"}) {
    CAPTURE(bad);
    CHECK_FALSE(seconds_since_1970(bad));
  }
  for (const char* bad :
       {"", "2026-02-29", "2026-13-01", "2026-00-10", "2026-1-01", "2026/01/01", "20260101", "2026-01-0a"}) {
    CAPTURE(bad);
    CHECK_FALSE(days_since_1970(bad));
  }
  CHECK(add_days("2026-11-20", 42) == "2027-01-01");
  CHECK(add_days("2028-03-01", -1) == "2028-02-29");
  // Texts have years of four digits, so that these are the first and the last day that can be written. By Python's datetime
  // there are 3652058 days from 0001-01-01 to 9999-12-31, and the year 0 before them has 366.
  CHECK(add_days("9999-12-31", -(366 + 3'652'058)) == "0000-01-01");
  CHECK(add_days("0000-01-01", 366 + 3'652'058) == "9999-12-31");
  for (const char* good : {"2026-11-20", "2026-11", "2026-Q2", "2026"}) CHECK(is_day_month_quarter_or_year(good));
  for (const char* bad : {"", "26", "2026-Q5", "2026-13", "undated", "2026-11-31", "2026-Qx"}) {
    CHECK_FALSE(is_day_month_quarter_or_year(bad));
  }
}

TEST_CASE("a month, a quarter and a year begin on their first day") {
  CHECK(first_day_of("2026-11-20") == "2026-11-20");
  CHECK(first_day_of("2026-11") == "2026-11-01");
  CHECK(first_day_of("2026-Q4") == "2026-10-01");
  CHECK(first_day_of("2026-Q1") == "2026-01-01");
  CHECK(first_day_of("2026") == "2026-01-01");
}
