#include "brief/brief_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "report/record_fields.h"

namespace secondsource {

using record_fields::OrderedJson;
using record_fields::Writer;

namespace record_fields {

// One list of fields a record, for the writer and for the schema.

template <typename V>
void fields(V& v, Figure& x) {
  v.field("value", x.value);
  v.field("low", x.low);
  v.field("high", x.high);
  v.field("unit", x.unit);
  v.field("mark", x.mark);
  v.field("basis", x.basis);
  v.field("why_not", x.why_not);
}
template <typename V>
void fields(V& v, BriefCost& x) {
  v.field("load", x.load);
  v.object("usd_per_1k_output", x.usd_per_1k_output);
  v.object("usd_per_1k_output_split", x.usd_per_1k_output_split);
  v.object("usd_per_1k_input_split", x.usd_per_1k_input_split);
  v.object("usd_per_1k_blended", x.usd_per_1k_blended);
  v.object("device_hours_per_million", x.device_hours_per_million);
  v.object("joules_per_token", x.joules_per_token);
}
template <typename V>
void fields(V& v, BriefSku& x) {
  v.field("id", x.id);
  v.field("description", x.description);
  v.field("vendor", x.vendor);
  v.field("model", x.model);
  v.field("precision", x.precision);
  v.field("speed_from", x.speed_from);
  v.field("price_key", x.price_key);
  v.field("price_date", x.price_date);
  v.object("usd_per_hour", x.usd_per_hour);
  v.field("units_per_replica", x.units_per_replica);
  v.field("instances_per_replica", x.instances_per_replica);
  v.object("output_tok_per_s", x.output_tok_per_s);
  v.object("output_tok_per_s_at_slo", x.output_tok_per_s_at_slo);
  v.object("ttft_p50_ms", x.ttft_p50_ms);
  v.object("ttft_p95_ms", x.ttft_p95_ms);
  v.object("memory_headroom_percent", x.memory_headroom_percent);
  v.objects("costs", x.costs);
  v.object("saving_percent", x.saving_percent);
  v.field("verdict", x.verdict);
  v.field("reasons", x.reasons);
}
template <typename V>
void fields(V& v, BriefPart& x) {
  v.field("sku", x.sku);
  v.field("role", x.role);
  v.field("interactive_percent", x.interactive_percent);
  v.field("batch_percent", x.batch_percent);
  v.object("peak_instances", x.peak_instances);
  v.object("idle_percent", x.idle_percent);
  v.object("usd", x.usd);
}
template <typename V>
void fields(V& v, BriefPhase& x) {
  v.field("name", x.name);
  v.field("from", x.from);
  v.field("until", x.until);
  v.field("what", x.what);
}
template <typename V>
void fields(V& v, BriefSensitivity& x) {
  v.field("what", x.what);
  v.object("saving_percent_if_lower", x.saving_percent_if_lower);
  v.object("saving_percent_if_higher", x.saving_percent_if_higher);
}
template <typename V>
void fields(V& v, BriefBreakEven& x) {
  v.field("sku", x.sku);
  v.object("usd_per_hour_now", x.usd_per_hour_now);
  v.object("usd_per_hour", x.usd_per_hour);
}
template <typename V>
void fields(V& v, BriefOption& x) {
  v.field("name", x.name);
  v.field("kind", x.kind);
  v.field("what", x.what);
  v.field("not_costed", x.not_costed);
  v.objects("parts", x.parts);
  v.object("usd_1_year", x.usd_1_year);
  v.object("usd_3_years", x.usd_3_years);
  v.object("saving_percent_1_year", x.saving_percent_1_year);
  v.object("saving_percent_3_years", x.saving_percent_3_years);
  v.object("saving_usd", x.saving_usd);
  v.object("usd_per_1k_output", x.usd_per_1k_output);
  v.object("migration_usd", x.migration_usd);
  v.object("outage_usd", x.outage_usd);
  v.objects("break_even_prices", x.break_even_prices);
  v.object("break_even_requests_per_day", x.break_even_requests_per_day);
  v.objects("sensitivities", x.sensitivities);
  v.objects("timeline", x.timeline);
  v.field("is_eligible", x.is_eligible);
}
template <typename V>
void fields(V& v, BriefRisk& x) {
  v.field("level", x.level);
  v.field("text", x.text);
  v.field("options", x.options);
}
template <typename V>
void fields(V& v, BriefApi& x) {
  v.field("name", x.name);
  v.field("source", x.source);
  v.field("date", x.date);
  v.object("usd_1_year", x.usd_1_year);
  v.object("usd_3_years", x.usd_3_years);
  v.object("first_requests_per_day", x.first_requests_per_day);
  v.object("always_requests_per_day", x.always_requests_per_day);
}
template <typename V>
void fields(V& v, BriefDecision& x) {
  v.field("option", x.option);
  v.field("line", x.line);
  v.field("status", x.status);
  v.field("reasons", x.reasons);
}
template <typename V>
void fields(V& v, BriefRunRecord& x) {
  v.field("run_id", x.run_id);
  v.field("folder", x.folder);
  v.field("started_utc", x.started_utc);
  v.field("program_version", x.program_version);
  v.field("commit", x.commit);
  v.field("compiler", x.compiler);
  v.field("command", x.command);
  v.field("seed", x.seed);
  v.field("suite", x.suite);
  v.pairs("host", x.host);
  v.pairs("bundles", x.bundles);
  v.pairs("backends", x.backends);
  v.pairs("files", x.files);
}
template <typename V>
void fields(V& v, BriefQuote& x) {
  v.field("id", x.id);
  v.field("what", x.what);
  v.field("source", x.source);
  v.field("date", x.date);
  v.field("note", x.note);
}
template <typename V>
void fields(V& v, BriefPrice& x) {
  v.field("key", x.key);
  v.object("usd_per_hour", x.usd_per_hour);
  v.field("source", x.source);
  v.field("date", x.date);
  v.field("note", x.note);
}
template <typename V>
void fields(V& v, Brief& x) {
  v.version("schema_version", x.schema_version, kBriefSchemaVersion);
  v.field("title", x.title);
  v.field("date", x.date);
  v.field("model", x.model);
  v.field("decision_years", x.decision_years);
  v.object("decision", x.decision);
  v.objects("options", x.options);
  v.objects("risks", x.risks);
  v.objects("skus", x.skus);
  v.objects("apis", x.apis);
  v.field("demand", x.demand);
  v.field("assumptions", x.assumptions);
  v.objects("runs", x.runs);
  v.objects("quotes", x.quotes);
  v.objects("prices", x.prices);
  v.pairs("inputs", x.inputs);
  v.field("command", x.command);
}

}  // namespace record_fields

std::string to_json(const Brief& brief) {
  Brief copy = brief;  // the field lists serve readers too, and so take a record that can change
  Writer writer;
  record_fields::fields(writer, copy);
  return std::move(writer).take().dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

namespace {

/// Figures are everywhere: described once, and referred to.
void refer_to_figures(OrderedJson& node, const OrderedJson& figure) {
  if (!node.is_structured()) return;
  for (auto& child : node) {
    if (child == figure) {
      child = {{"$ref", "#/$defs/figure"}};
    } else {
      refer_to_figures(child, figure);
    }
  }
}

}  // namespace

std::string brief_schema() {
  OrderedJson document = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                          {"title", fmt::format("secondsource brief, version {}", kBriefSchemaVersion)}};
  document.update(record_fields::SchemaBuilder::schema_of<Brief>());
  const OrderedJson figure = record_fields::SchemaBuilder::schema_of<Figure>();
  refer_to_figures(document, figure);
  document["$defs"] = {{"figure", figure}};
  return document.dump(2) + "\n";
}

}  // namespace secondsource
