#include "history/history_cell.h"

#include <algorithm>

#include "record/json_codec.h"

namespace secondsource {

CellKey key_of_cell(const std::string& id) {
  CellKey key;
  std::string rest = id;
  for (std::string* part : {&key.scenario, &key.variant, &key.backend}) {
    const std::size_t slash = std::min(rest.rfind('/'), rest.size());
    *part = rest.substr(std::min(slash + 1, rest.size()));
    rest.resize(slash);
  }
  key.bundle = rest;
  return key;
}

std::string to_json_lines(std::span<const HistoryCell> cells) {
  std::string lines;
  for (const HistoryCell& cell : cells) lines += json_codec::to_text(json_codec::to_tree(cell), -1) + "\n";
  return lines;
}

std::string history_cell_schema() {
  return json_codec::to_text(json_codec::schema_document("secondsource history export --format jsonl (a line)",
                                                         json_codec::schema_of<HistoryCell>()),
                             2) +
         "\n";
}

}  // namespace secondsource
