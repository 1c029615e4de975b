#include "report/annotations.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kAnnotationCharacters = 1000;

/// The text of a command, which ends at the end of the line.
std::string escape_message(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '%') {
      escaped += "%25";
    } else if (c == '\r') {
      escaped += "%0D";
    } else if (c == '\n') {
      escaped += "%0A";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

/// The value of a property, made printable and cut as shown() does; it ends at a comma or a colon.
std::string escape_property(std::string_view text) {
  std::string escaped;
  for (const char c : escape_message(shown(text))) {
    if (c == ':') {
      escaped += "%3A";
    } else if (c == ',') {
      escaped += "%2C";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string annotation(std::string_view level, std::string_view place, std::string_view title, std::string_view text) {
  return fmt::format("::{} {}title={}::{}\n", level, place, escape_property(title),
                     escape_message(shown(text, kAnnotationCharacters)));
}

/// The kernel that lost most of the cell's time, where its source is known: "file=...,line=12,".
std::string place_of(const GateReport& report, const GateVerdict& verdict) {
  const auto loss = std::ranges::find_if(report.losses, [&](const LossShare& share) {
    return share.cell == verdict.cell && share.metric == verdict.metric && !share.source.empty();
  });
  if (loss == report.losses.end()) return {};
  return fmt::format("file={},line={},", escape_property(loss->source), loss->source_line);
}

}  // namespace

std::string write_annotations(const GateReport& report) {
  std::string errors, warnings, notices;
  for (const std::string& cell : report.wrong_tokens) errors += annotation("error", "", "wrong tokens", cell);
  for (const std::string& cell : report.failed) errors += annotation("error", "", "not measured", cell);
  for (const GateVerdict& verdict : report.verdicts) {
    const std::string text = fmt::format("{} {}: {}", verdict.cell.id(), verdict.metric, verdict.why);
    if (verdict.decision == Decision::kRegressed && !verdict.waived_by.empty()) {
      notices += annotation("notice", place_of(report, verdict),
                            verdict.metric + " regressed, waived by " + verdict.waived_by, text);
    } else if (verdict.decision == Decision::kRegressed && verdict.decides) {
      errors += annotation("error", place_of(report, verdict), verdict.metric + " regressed", text);
    } else if (verdict.decision == Decision::kInconclusive && verdict.decides) {
      warnings += annotation("warning", "", verdict.metric + " inconclusive", text);
    }
  }
  for (const std::string& what : report.not_comparable) warnings += annotation("warning", "", "not comparable", what);
  for (const std::string& cell : report.not_judged) notices += annotation("notice", "", "not judged", cell);
  if (!report.cannot_decide.empty()) warnings += annotation("warning", "", "inconclusive", report.cannot_decide);
  for (const std::string& what : report.waiver_errors) errors += annotation("error", "", "waiver", what);
  return errors + warnings + notices;
}

}  // namespace secondsource
