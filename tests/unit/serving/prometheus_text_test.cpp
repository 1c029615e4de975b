// The expected values are those of the format's definition; tests/serving/metrics_text_test.py compares the parser with that
// of the Python package prometheus_client.

#include "serving/prometheus_text.h"

#include <cmath>
#include <string>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

TEST_CASE("a page of metrics is read with its labels, escapes, infinities and times") {
  const auto samples = parse_prometheus_text(
      "# HELP http_requests_total The total.\n"
      "# TYPE http_requests_total counter\n"
      "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n"
      "http_requests_total{method=\"post\",code=\"400\",} 3 1395066363000\n"
      "\n"
      "msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} 1.458e9\n"
      "metric_without_timestamp_and_labels 12.47\r\n"
      "something_weird{problem=\"division by zero\"} +Inf -3982045\n"
      "  spaced  { a = \"b\" , c = \"}\" }  -1.5e-3  \n"
      "vllm:gauge NaN\n"
      "exemplar_total{} 5 # {trace_id=\"x\"} 1 2\n"
      "# EOF\n"
      "last 1");
  REQUIRE_OK(samples);
  REQUIRE(samples->size() == 9);
  CHECK((*samples)[0].name == "http_requests_total");
  CHECK((*samples)[0].label("code") == "200");
  CHECK((*samples)[0].label("absent").empty());
  CHECK((*samples)[0].value == 1027);
  CHECK((*samples)[2].label("path") == "C:\\DIR\\FILE.TXT");
  CHECK((*samples)[2].label("error") == "Cannot find file:\n\"FILE.TXT\"");
  CHECK((*samples)[3].value == 12.47);
  CHECK(std::isinf((*samples)[4].value));
  CHECK((*samples)[5].label("c") == "}");
  CHECK((*samples)[5].value == -0.0015);
  CHECK(std::isnan((*samples)[6].value));
  CHECK((*samples)[7].value == 5);
  CHECK((*samples)[8].value == 1);
}

TEST_CASE("samples that are not wanted are checked and left out") {
  const auto wanted = [](std::string_view name) { return name == "b"; };
  const auto samples = parse_prometheus_text("a{x=\"1\"} 1\nb 2\nc 3\n", wanted);
  REQUIRE_OK(samples);
  REQUIRE(samples->size() == 1);
  CHECK(samples->front().value == 2);
  CHECK_FALSE(parse_prometheus_text("a{x=\"1\"} wrong\nb 2\n", wanted));
}

TEST_CASE("what is no page of metrics is refused with the line") {
  const auto [text, part] = GENERATE(table<std::string, std::string>({
      {"{a=\"b\"} 1", "line 1: expected the name of a metric"},
      {"a 1\n<html>", "line 2: expected the name of a metric"},
      {"a", "expected a number as the value"},
      {"a b", "expected a number as the value"},
      {"a 1e999", "expected a number as the value"},
      {"a nan(1)", "expected a number as the value"},
      {"a +-1", "expected a number as the value"},
      {"a\"b 1", "expected a blank or { behind the name"},
      {"a{b} 1", "expected = behind the name of a label"},
      {"a{b=c} 1", "expected a label's value in quotes"},
      {"a{b=\"c} 1", "expected the closing quote"},
      {"a{b=\"c\\", "expected the closing quote"},
      {"a{b=\"c\" d=\"e\"} 1", "expected , or } behind a label"},
      {"a{b=\"c\"", "expected , or } behind a label"},
      {"a{1=\"c\"} 1", "expected the name of a label"},
      {"a{b:c=\"c\"} 1", "expected = behind"},
      {"a 1 noon", "expected a time or nothing"},
      {"a 1 2 3", "expected the end of the line"},
  }));
  CAPTURE(text);
  const auto samples = parse_prometheus_text(text);
  REQUIRE_FALSE(samples);
  CHECK(samples.error().code == ErrorCode::kInvalidInput);
  CHECK(samples.error().message.find(part) != std::string::npos);
}

TEST_CASE("a page has limits in bytes, lines, samples and labels") {
  const MetricsLimits limits{.most_bytes = 100, .longest_line = 40, .most_samples = 3, .most_labels = 2};
  CHECK(parse_prometheus_text("a{b=\"1\",c=\"2\"} 1\na 2\na 3\n", {}, limits));
  CHECK_FALSE(parse_prometheus_text(std::string(101, '\n'), {}, limits));
  CHECK_FALSE(parse_prometheus_text("a " + std::string(39, '1'), {}, limits));
  CHECK_FALSE(parse_prometheus_text("#" + std::string(40, '1'), {}, limits));
  CHECK_FALSE(parse_prometheus_text("a 1\na 1\na 1\na 1\n", {}, limits));
  CHECK_FALSE(parse_prometheus_text("a{b=\"1\",c=\"2\",d=\"3\"} 1\n", {}, limits));
}
