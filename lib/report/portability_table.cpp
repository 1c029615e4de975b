#include "report/portability_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/cell_text.h"

namespace secondsource {
namespace {

std::string text_of(const PortabilityPart& part) {
  if (part.state == PartState::kUnsupported) return "unsupported";
  if (part.state == PartState::kWrong) return "WRONG";
  if (part.state == PartState::kNotMeasured) return kUnknown;
  std::string text = percent_text(part.roofline_share);
  if (!part.roofline_share && part.time_share) text = fmt::format("({:.1f} % of its time)", 100 * *part.time_share);
  if (!part.fallbacks.empty()) text += ", fallback";
  if (part.conformance == ConformanceVerdict::kPassed) text += ", passed";
  return text;
}

}  // namespace

TextTable portability_table(const PortabilityMatrix& matrix) {
  TextTable table;
  table.columns = {"operation", "type", "shapes"};
  table.right_aligned = {false, false, false};
  for (const PortabilityPlatform& platform : matrix.platforms) {
    const auto n_devices = std::ranges::count(matrix.platforms, platform.backend, &PortabilityPlatform::backend);
    std::string name = platform.backend + (n_devices > 1 ? " on " + platform.device : "");
    table.columns.push_back(platform.is_oracle ? name + " (oracle)" : name);
    table.right_aligned.push_back(true);
  }
  table.columns.emplace_back("portability");
  table.right_aligned.push_back(true);
  for (const PortabilityRow& row : matrix.rows) {
    const std::string type = row.type + (row.outside_limits.empty() ? "" : ", outside its limits");
    std::vector<std::string> texts = {row.operation, type, row.shape_class};
    for (const PortabilityPart& part : row.parts) texts.push_back(text_of(part));
    texts.push_back(percent_text(row.portability));
    table.rows.push_back(std::move(texts));
  }
  return table;
}

}  // namespace secondsource
