#include "gate/waiver.h"

#include <fmt/format.h>

#include "support/result.h"

using namespace secondsource;

namespace {
constexpr const char* kGood = R"(waivers:
  - id: W-7
    scope: {backend: onednn, scenario: "offline-*"}
    ceiling_percent: 25
    owner: kim@example.com
    reason: quantizes twice
    link: https://example.com/812
    expires: 2026-12-31
)";

std::string changed(std::string_view from, std::string_view to) {
  std::string text = kGood;
  text.replace(text.find(from), from.size(), to);
  return text;
}
}  // namespace

TEST_CASE("a waiver is read and matches what its scope names, with * for any part") {
  const auto waivers = parse_waivers(kGood, "waivers.yaml");
  REQUIRE_OK(waivers);
  REQUIRE(waivers->size() == 1);
  const WaiverScope& scope = waivers->front().scope;
  CHECK(matches(scope, {"b", "onednn", "int8", "offline-b16"}, "cost"));
  CHECK_FALSE(matches(scope, {"b", "onednn", "int8", "single-stream"}, "cost"));
  CHECK_FALSE(matches(scope, {"b", "cpu", "int8", "offline-b16"}, "ttft"));
  CHECK_FALSE(is_expired(waivers->front(), "2026-12-31"));
  CHECK(is_expired(waivers->front(), "2027-01-01"));
}

TEST_CASE("* is any part of a metric, too") {
  const CellKey cell{"b", "cpu", "int8", "offline-b16"};
  const auto scope_of = [](std::string_view metric) {
    const auto waivers = parse_waivers(changed("backend: onednn", fmt::format("metric: {}", metric)), "waivers.yaml");
    REQUIRE_OK(waivers);
    return waivers->front().scope;
  };
  CHECK(matches(scope_of("\"tt*\""), cell, "ttft"));
  CHECK(matches(scope_of("\"tt*\""), cell, "ttft_later"));
  CHECK_FALSE(matches(scope_of("\"tt*\""), cell, "cost"));
  CHECK_FALSE(matches(scope_of("ttft_later"), cell, "ttft"));
}

TEST_CASE("a waiver that says too little, or something wrong, is refused with its line") {
  const auto [text, part] = GENERATE_COPY(table<std::string, std::string>({
      {changed("owner: kim@example.com", "owner: \"\""), "owner"},
      {changed("owner: kim@example.com", "owner: kim"), "owner: expected an address, name@domain, found \"kim\""},
      {changed("owner: kim@example.com", "owner: kim@"), "owner: expected an address"},
      {changed("    link: https://example.com/812\n", ""), "link"},
      {changed("2026-12-31", "2026-02-30"), "expires: expected YYYY-MM-DD"},
      {changed("2026-12-31", "soon"), "expires: expected YYYY-MM-DD"},
      {changed("ceiling_percent: 25", "ceiling_percent: 0"), "above 0"},
      {changed("ceiling_percent: 25", "ceiling_percent: 100.5"), "up to 100"},
      {changed("{backend: onednn, scenario: \"offline-*\"}", "{}"), "this one waives everything"},
      {changed("{backend: onednn, scenario: \"offline-*\"}", "{backend: \"*\"}"), "this one waives everything"},
      {changed("ceiling_percent: 25", "ceiling: 25"), "ceiling"},
      {changed("backend: onednn", "metric: speed"), "expected cost, ttft, ttft_later or tpot, or a pattern"},
      {changed("backend: onednn", "metric: x*"), "that matches one of them, found \"x*\""},
      {std::string(kGood) + std::string(kGood).substr(9), "is given twice"},
      {std::string(kGood) + changed("W-7", "W-8").substr(9), "scope: expected another one than that of waiver W-7"},
  }));
  CAPTURE(text);
  CHECK_ERROR(parse_waivers(text, "waivers.yaml"), ErrorCode::kInvalidInput, part);
}

TEST_CASE("a waiver is in order until its last day, which is at most a year away") {
  const Waiver waiver = parse_waivers(kGood, "waivers.yaml")->front();  // expires on 2026-12-31
  CHECK_FALSE(fault_on(waiver, "2026-12-31"));
  CHECK(fault_on(waiver, "2027-01-01") == "waiver W-7: expired on 2026-12-31");
  CHECK_FALSE(fault_on(waiver, "2025-12-31"));
  CHECK(fault_on(waiver, "2025-12-30") ==
        "waiver W-7: expires on 2026-12-31, more than a year from today; expected 2026-12-30 at the latest");
}

TEST_CASE("dates are calendar dates") {
  CHECK(is_date("2024-02-29"));
  CHECK_FALSE(is_date("2026-02-29"));
  CHECK_FALSE(is_date("2026-13-01"));
  CHECK_FALSE(is_date("2026-1-01"));
}
