#include "core/json_text.h"
#include "history/history.h"
#include "record/json_codec.h"

namespace secondsource {

std::string to_json(const std::vector<HistoryRun>& runs) {
  return json_codec::file_text(runs);
}

std::string history_schema() {
  json_codec::OrderedJson document =
      json_codec::schema_document("secondsource history list --json", {{"type", "array"}});
  document["items"] = json_codec::schema_of<HistoryRun>();
  return to_json_text(document, 2) + "\n";
}

}  // namespace secondsource
