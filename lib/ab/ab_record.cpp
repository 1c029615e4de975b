#include "ab/ab_record.h"

#include <fmt/format.h>

#include "core/json.h"
#include "report/record_fields.h"

namespace secondsource {

// One list of fields for writing and reading (report/record_fields.h, which finds them by their namespace).
namespace record_fields {

template <typename V>
void fields(V& v, CellKey& x) {
  v.field("bundle", x.bundle);
  v.field("backend", x.backend);
  v.field("variant", x.variant);
  v.field("scenario", x.scenario);
}
template <typename V>
void fields(V& v, ArmRecord& x) {
  v.field("name", x.name);
  v.field("program", x.program);
  v.field("program_sha256", x.program_sha256);
  v.field("revision", x.revision);
  v.field("arguments", x.arguments);
}
template <typename V>
void fields(V& v, AbStint& x) {
  v.field("backend", x.backend);
  v.field("variant", x.variant);
}
template <typename V>
void fields(V& v, AbGolden& x) {
  v.field("arm", x.arm);
  v.field("backend", x.backend);
  v.field("variant", x.variant);
  v.field("verdict", x.verdict);
  v.field("reason", x.reason);
}
template <typename V>
void fields(V& v, AbRecord& x) {
  v.version("schema_version", x.schema_version, kAbSchemaVersion);
  v.field("ab_id", x.ab_id);
  v.field("started_utc", x.started_utc);
  v.field("resumed_utc", x.resumed_utc);
  v.field("command", x.command);
  v.field("seed", x.seed);
  v.object("base", x.base);
  v.object("candidate", x.candidate);
  v.field("golden_bundle", x.golden_bundle);
  v.field("golden_bundle_sha256", x.golden_bundle_sha256);
  v.field("timed_bundle", x.timed_bundle);
  v.field("timed_bundle_sha256", x.timed_bundle_sha256);
  v.field("suite", x.suite);
  v.field("scenarios", x.scenarios);
  v.field("cell_budget", x.cell_budget);
  v.field("looks", x.looks);
  v.field("threshold_percent", x.threshold_percent);
  v.objects("stints", x.stints);
  v.objects("golden", x.golden);
  v.field("allow_unverified", x.allow_unverified);
}
template <typename V>
void fields(V& v, CellValue& x) {
  v.object("cell", x.cell);
  v.field("metric", x.metric);
  v.field("seconds", x.seconds);
}
template <typename V>
void fields(V& v, ProcessLine& x) {
  v.field("pair", x.pair);
  v.field("attempt", x.attempt);
  v.field("stint", x.stint);
  v.field("arm", x.arm);
  v.field("went_first", x.went_first);
  v.field("run", x.run);
  v.field("started_utc", x.started_utc);
  v.field("wall_s", x.wall_s);
  v.field("others_cpu_share", x.others_cpu_share);
  v.objects("values", x.values);
  v.field("failure", x.failure);
}

template <typename T>
std::string written(const T& record, int indent) {
  Writer writer;
  T copy = record;  // the field lists serve both directions and so take a mutable reference
  fields(writer, copy);
  return std::move(writer).take().dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

template <typename T>
Result<T> parsed(std::string_view text, std::string_view name) {
  SS_TRY(const Json json, parse_json(text, name));
  T record;
  Reader reader(json, std::string(name));
  fields(reader, record);
  if (reader.error()) return *reader.error();
  return record;
}

}  // namespace record_fields

std::string to_json(const AbRecord& record) {
  return record_fields::written(record, 2) + "\n";
}

std::string to_json_line(const ProcessLine& line) {
  return record_fields::written(line, -1);
}

Result<AbRecord> ab_record_from_json(std::string_view text, std::string_view name) {
  return record_fields::parsed<AbRecord>(text, name);
}

Result<ProcessLine> process_line_from_json(std::string_view text, std::string_view name) {
  return record_fields::parsed<ProcessLine>(text, name);
}

Result<PairsFile> pairs_from_text(std::string_view text, std::string_view name) {
  PairsFile pairs;
  while (pairs.valid_bytes < text.size()) {
    const std::size_t end = text.find('\n', pairs.valid_bytes);
    if (end == std::string_view::npos) break;  // torn
    const std::string_view line = text.substr(pairs.valid_bytes, end - pairs.valid_bytes);
    SS_TRY(ProcessLine parsed, process_line_from_json(line, fmt::format("{}:{}", name, pairs.lines.size() + 1)));
    pairs.lines.push_back(std::move(parsed));
    pairs.valid_bytes = end + 1;
  }
  return pairs;
}

}  // namespace secondsource
