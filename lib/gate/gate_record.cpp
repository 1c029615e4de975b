#include "gate/gate_record.h"

#include <algorithm>

#include "record/json_codec.h"

namespace secondsource {

std::int64_t GateReport::count(Decision decision) const {
  return std::count_if(verdicts.begin(), verdicts.end(), [&](const GateVerdict& verdict) {
    return verdict.decision == decision && verdict.waived_by.empty() && verdict.decides;
  });
}

std::int64_t GateReport::count_waived() const {
  return std::count_if(verdicts.begin(), verdicts.end(),
                       [](const GateVerdict& verdict) { return !verdict.waived_by.empty() && verdict.decides; });
}

std::string to_json(const GateReport& gate) {
  return json_codec::file_text(gate);
}

Result<GateReport> gate_report_from_json(std::string_view text, std::string_view name) {
  return json_codec::from_text<GateReport>(text, name);
}

std::string gate_schema() {
  return json_codec::results_schema_text("gate", json_codec::schema_of<GateReport>());
}

}  // namespace secondsource
