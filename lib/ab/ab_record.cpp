#include "ab/ab_record.h"

#include "record/json_codec.h"

namespace secondsource {

std::string to_json(const AbRecord& record) {
  return json_codec::file_text(record);
}

std::string to_json_line(const ProcessLine& line) {
  return json_codec::to_text(json_codec::to_tree(line), -1);
}

Result<AbRecord> ab_record_from_json(std::string_view text, std::string_view name) {
  return json_codec::from_text<AbRecord>(text, name);
}

Result<ProcessLine> process_line_from_json(std::string_view text, std::string_view name) {
  return json_codec::from_text<ProcessLine>(text, name);
}

Result<LinesFile<ProcessLine>> pairs_from_text(std::string_view text, std::string_view name) {
  return read_lines<ProcessLine>(text, name, process_line_from_json);
}

}  // namespace secondsource
