#include "report/sarif.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/json_text.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kRegression = "regression";
constexpr const char* kWrongTokens = "wrong-tokens";
constexpr const char* kNotMeasured = "not-measured";
// Location of findings without a kernel: the file that defines the build.
constexpr const char* kProjectFile = "CMakeLists.txt";

OrderedJson rule(const char* id, const char* text) {
  return {{"id", id}, {"shortDescription", {{"text", text}}}};
}

OrderedJson result(const char* rule_id, const char* level, const std::string& text, const std::string& file, int line) {
  return {{"ruleId", rule_id},
          {"level", level},
          {"message", {{"text", text}}},
          {"locations",
           {{{"physicalLocation",
              {{"artifactLocation", {{"uri", file}, {"uriBaseId", "SRCROOT"}}}, {"region", {{"startLine", line}}}}}}}}};
}

bool belongs_to(const LossShare& loss, const GateVerdict& verdict) {
  return loss.cell == verdict.cell && loss.metric == verdict.metric;
}

void add_regression(const GateReport& report, const GateVerdict& verdict, OrderedJson& results) {
  const char* const level = verdict.waived_by.empty() && verdict.decides ? "error" : "note";
  const std::string what = fmt::format("{} {}: {}{}", verdict.cell.id(), verdict.metric, verdict.why,
                                       verdict.waived_by.empty() ? "" : ", waived by " + verdict.waived_by);
  bool has_place = false;
  for (const LossShare& loss : report.losses) {
    if (!belongs_to(loss, verdict) || loss.source.empty()) continue;
    has_place = true;
    results.push_back(result(kRegression, level,
                             fmt::format("{}. Here: {:.0f} % of the loss, {} ({}) of {}", what, 100 * loss.share,
                                         loss.operation, loss.shape, loss.kernel),
                             loss.source, loss.source_line));
  }
  if (!has_place) results.push_back(result(kRegression, level, what, kProjectFile, 1));
}

void notify(std::string_view level, const std::string& text, OrderedJson& notifications) {
  notifications.push_back({{"level", level}, {"message", {{"text", text}}}});
}

/// Describes how the gate's own work ended. It was not successful if something was left undecided, since a reader would take an empty list
/// of results for a pass.
OrderedJson invocation(const GateReport& report) {
  OrderedJson notifications = OrderedJson::array();
  for (const GateVerdict& verdict : report.verdicts) {
    if (verdict.decision == Decision::kInconclusive && verdict.decides) {
      notify("warning", fmt::format("{} {}: inconclusive: {}", verdict.cell.id(), verdict.metric, verdict.why),
             notifications);
    }
  }
  if (!report.cannot_decide.empty()) notify("warning", report.cannot_decide, notifications);
  for (const std::string& what : report.not_comparable) notify("warning", "not comparable: " + what, notifications);
  for (const std::string& what : report.waiver_errors) notify("error", "waiver: " + what, notifications);
  const bool is_decided = notifications.empty();
  for (const std::string& cell : report.not_judged) notify("note", "not judged: " + cell, notifications);
  return {{"executionSuccessful", is_decided}, {"toolExecutionNotifications", notifications}};
}

}  // namespace

std::string write_sarif(const GateReport& report) {
  OrderedJson results = OrderedJson::array();
  for (const GateVerdict& verdict : report.verdicts) {
    if (verdict.decision == Decision::kRegressed) add_regression(report, verdict, results);
  }
  for (const std::string& cell : report.wrong_tokens) {
    results.push_back(result(kWrongTokens, "error", cell, kProjectFile, 1));
  }
  for (const std::string& cell : report.failed) {
    results.push_back(result(kNotMeasured, "error", cell, kProjectFile, 1));
  }
  const OrderedJson rules = {rule(kRegression, "Cost per token or time to the first token grew past the threshold"),
                             rule(kWrongTokens, "Generated tokens failed their golden check"),
                             rule(kNotMeasured, "A backend that the base has could not be measured")};
  const OrderedJson run = {{"tool", {{"driver", {{"name", "secondsource"}, {"rules", rules}}}}},
                           {"invocations", OrderedJson::array({invocation(report)})},
                           {"results", results}};
  const OrderedJson document = {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                                {"version", "2.1.0"},
                                {"runs", OrderedJson::array({run})}};
  return to_json_text(document, 2) + "\n";
}

}  // namespace secondsource
