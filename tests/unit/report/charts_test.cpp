// Tests what the charts show, by reading their SVG.

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "report/chart/changes.h"
#include "report/chart/pareto.h"
#include "report/chart/roofline.h"
#include "support/catch.h"
#include "support/text_parts.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

MachineLimits limits_of(double bytes_per_s, double flops) {
  MachineLimits limits;
  limits.reads = {{1 << 20, 2 * bytes_per_s}, {1 << 30, bytes_per_s}};
  limits.f32_flops = flops;
  return limits;
}

RooflinePoint point_at(double flops_per_byte, double flops_per_s) {
  return {
      .label = "cpu f32", .steps = "decode", .look = {}, .flops_per_byte = flops_per_byte, .flops_per_s = flops_per_s};
}

}  // namespace

TEST_CASE("a step that was faster than the measured limits raises the roof, so that no point is above it") {
  // The limits are 10 GB/s from memory, 20 GB/s from a cache and 100 GFLOP/s.
  const MachineLimits limits = limits_of(10e9, 100e9);
  const std::vector<RooflinePoint> below = {point_at(1, 19e9), point_at(100, 99e9)};
  const Chart within = roofline_chart("run", limits, below);
  CHECK(count_of(within.body, "roof mark d1") == 0);
  CHECK(within.legend.size() == 1);
  const std::vector<RooflinePoint> above = {point_at(1, 30e9), point_at(100, 150e9)};
  const Chart beyond = roofline_chart("run", limits, above);
  CHECK(count_of(beyond.body, "roof mark d1") == 1);
  CHECK(beyond.body.find("<title>reached: 30.0 GB/s, 150 GFLOP/s</title>") != std::string::npos);
  CHECK(beyond.legend.front().label == "reached beyond the measured limits");
}

TEST_CASE("labels of roofs at about the same height stand below each other") {
  MachineLimits limits = limits_of(10e9, 100e9);
  limits.bf16_flops = 101e9;
  limits.int8_ops = 102e9;
  limits.int4_ops = 103e9;
  const std::vector<RooflinePoint> points = {point_at(1, 5e9)};
  const Chart chart = roofline_chart("run", limits, points);
  std::vector<double> heights;
  for (std::size_t at = chart.body.find("<text class=\"label\""); at != std::string::npos;
       at = chart.body.find("<text class=\"label\"", at + 1)) {
    heights.push_back(std::strtod(chart.body.c_str() + chart.body.find(" y=\"", at) + 4, nullptr));
  }
  REQUIRE(heights.size() == 4);
  CHECK(heights[1] - heights[0] >= 14);
  CHECK(heights[2] - heights[1] >= 14);
  CHECK(heights[3] - heights[2] >= 14);
}

TEST_CASE("each verdict of a gate has its colour, its shape and its word") {
  GateReport gate;
  gate.threshold_percent = 5;
  const auto add = [&](Decision decision, double change, const std::string& waived_by = "") {
    GateVerdict verdict;
    verdict.cell = {"default", "cpu", "bf16", "single-stream"};
    verdict.metric = "ttft";
    verdict.decision = decision;
    verdict.change_percent = change;
    verdict.low_percent = change - 1;
    verdict.high_percent = change + 1;
    verdict.waived_by = waived_by;
    gate.verdicts.push_back(verdict);
  };
  add(Decision::kRegressed, 12);
  add(Decision::kPass, 0);
  add(Decision::kInconclusive, 4);
  add(Decision::kRegressed, 9, "W-1");
  const Chart chart = changes_chart("Changes", gate);
  const auto text_of = [&](std::string_view css_class) {
    const std::size_t at = chart.body.find("<text class=\"" + std::string(css_class) + "\"");
    REQUIRE(at != std::string::npos);
    const std::size_t begin = chart.body.find('>', at) + 1;
    return chart.body.substr(begin, chart.body.find('<', begin) - begin);
  };
  CHECK(text_of("v2") == "REGRESSED: +12.0 % (+11.0 to +13.0)");
  CHECK(text_of("v0") == "pass: +0.0 % (-1.0 to +1.0)");
  CHECK(count_of(chart.body, "point v2") == 1);
  CHECK(count_of(chart.body, "point v0") == 1);
  CHECK(count_of(chart.body, "point v1") == 2);
  std::vector<std::string> legend;
  for (const LegendEntry& entry : chart.legend) legend.push_back(entry.label);
  CHECK(legend == std::vector<std::string>{"REGRESSED", "pass", "inconclusive", "waived", "threshold"});
}

TEST_CASE("labels of points at one place do not stand on each other, and an equal one stands once") {
  const std::vector<ParetoSeries> series = {
      {"cpu bf16", {}, {{"offline-b16", false, 100, 1000}, {"offline-b4", false, 101, 990}}},
      {"cpu int8", {}, {{"offline-b16", false, 100.2, 1001}}},
      {"far", {}, {{"single-stream", false, 900, 100}}}};
  const Chart chart = pareto_chart("default", series);
  CHECK(count_of(chart.body, ">offline-b16</text>") == 1);
  CHECK(count_of(chart.body, ">single-stream</text>") == 1);
}

TEST_CASE("a text is taken to be as wide as usual fonts set it, in characters and not in bytes") {
  CHECK(text_width("ä") == text_width("a"));
  CHECK(text_width("aaaa") == 4 * text_width("a"));
  CHECK(characters_in(text_width("aaaaaaaaaa")) < 10);
  CHECK(characters_in(-5) == 4);
}
