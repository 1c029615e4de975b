#include <nlohmann/json.hpp>

#include "history/history.h"
#include "report/record_fields.h"

namespace secondsource {
namespace record_fields {

template <typename V>
void fields(V& v, HistoryRun& x) {
  v.field("run_id", x.run_id);
  v.field("started_utc", x.started_utc);
  v.field("branch", x.branch);
  v.field("commit", x.commit);
  v.field("label", x.label);
  v.field("program_version", x.program_version);
  v.field("machine", x.machine);
  v.field("pinned", x.pinned);
  v.field("n_cells", x.n_cells);
  v.field("n_counted", x.n_counted);
  v.field("n_unverified", x.n_unverified);
  v.field("n_wrong", x.n_wrong);
}

}  // namespace record_fields

std::string to_json(const std::vector<HistoryRun>& runs) {
  record_fields::OrderedJson array = record_fields::OrderedJson::array();
  for (HistoryRun run : runs) {
    record_fields::Writer writer;
    record_fields::fields(writer, run);
    array.push_back(std::move(writer).take());
  }
  return array.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string history_schema() {
  record_fields::OrderedJson document = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                                         {"title", "secondsource history list --json"},
                                         {"type", "array"}};
  document["items"] = record_fields::SchemaBuilder::schema_of<HistoryRun>();
  return document.dump(2) + "\n";
}

}  // namespace secondsource
