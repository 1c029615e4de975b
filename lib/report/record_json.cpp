#include "report/record_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/json.h"
#include "report/record_fields.h"

namespace secondsource {

using record_fields::Json;
using record_fields::OrderedJson;
using record_fields::Reader;
using record_fields::Writer;

namespace record_fields {

// One list of fields a record, used for both directions: visitor.field("name", member).

template <typename V>
void fields(V& v, Scenario& x) {
  v.choice("kind", x.kind, {"single-stream", "offline", "server"});
  v.field("batch", x.batch);
  v.field("rate_per_s", x.rate_per_s);
  v.field("n_requests", x.n_requests);
  v.field("n_prompt_tokens", x.n_prompt_tokens);
  v.field("n_output_tokens", x.n_output_tokens);
  v.choice("arrivals", x.arrivals, {"poisson", "gamma", "constant", "trace"});
  v.field("burstiness", x.burstiness);
  v.field("trace", x.trace);
  v.field("trace_sha256", x.trace_sha256);
  v.field("trace_speed", x.trace_speed);
  v.field("seeks_slo_rate", x.seeks_slo_rate);
  v.field("n_shared_prefix", x.n_shared_prefix);
  v.field("batching", x.batching);
}
template <typename V>
void fields(V& v, CellKey& x) {
  v.field("bundle", x.bundle);
  v.field("backend", x.backend);
  v.field("variant", x.variant);
  v.field("scenario", x.scenario);
}
template <typename V>
void fields(V& v, BundleRecord& x) {
  v.field("name", x.name);
  v.field("path", x.path);
  v.field("content_sha256", x.content_sha256);
  v.field("verified", x.verified);
}
template <typename V>
void fields(V& v, DeviceInfo& x) {
  v.field("backend", x.backend);
  v.field("id", x.id);
  v.field("name", x.name);
  v.pairs("properties", x.properties);
  v.field("memory_bytes", x.memory_bytes);
  v.field("page_tokens", x.page_tokens);
  v.field("is_host", x.is_host);
}
template <typename V>
void fields(V& v, BackendRecord& x) {
  v.field("name", x.name);
  v.field("module_sha256", x.module_sha256);
  v.object("device", x.device);
  v.pairs("options", x.options);
  v.field("n_units_used", x.n_units_used);
  v.field("unavailable", x.unavailable);
}
template <typename V>
void fields(V& v, HostFact& x) {
  v.field("name", x.name);
  v.field("value", x.value);
  v.field("why_not", x.why_not);
}
template <typename V>
void fields(V& v, Price& x) {
  v.field("usd_per_hour", x.usd_per_hour);
  v.field("n_units", x.n_units);
  v.field("n_units_used", x.n_units_used);
  v.field("source", x.source);
  v.field("date", x.date);
}
template <typename V>
void fields(V& v, ReadLimit& x) {
  v.field("buffer_bytes", x.buffer_bytes);
  v.field("bytes_per_s", x.bytes_per_s);
}
template <typename V>
void fields(V& v, RunLimits& x) {
  v.field("n_threads", x.n_threads);
  v.field("instruction_set", x.instruction_set);
  v.objects("reads", x.reads);
  v.field("f32_flops", x.f32_flops);
  v.field("bf16_flops", x.bf16_flops);
  v.field("int8_ops", x.int8_ops);
  v.field("disturbed", x.disturbed);
  v.field("unmeasured", x.unmeasured);
}
template <typename V>
void fields(V& v, Slo& x) {
  v.field("name", x.name);
  v.field("ttft_ms", x.ttft_ms);
  v.field("tpot_ms", x.tpot_ms);
  v.field("percent", x.percent);
}
template <typename V>
void fields(V& v, PlannedCell& x) {
  v.object("key", x.key);
  v.object("scenario", x.scenario);
  v.field("repetitions", x.repetitions);
}
template <typename V>
void fields(V& v, RunRecord& x) {
  v.version("schema_version", x.schema_version, kResultsSchemaVersion);
  v.field("method_version", x.method_version);
  v.field("run_id", x.run_id);
  v.field("started_utc", x.started_utc);
  v.field("resumed_utc", x.resumed_utc);
  v.field("command", x.command);
  v.field("seed", x.seed);
  v.field("program_version", x.program_version);
  v.field("commit", x.commit);
  v.field("compiler", x.compiler);
  v.field("build_type", x.build_type);
  v.objects("host", x.host);
  v.objects("bundles", x.bundles);
  v.objects("backends", x.backends);
  v.objects("cells", x.cells);
  v.optional_object("price", x.price);
  v.optional_object("slo", x.slo);
  v.optional_object("limits", x.limits);
  v.field("suite", x.suite);
  v.pairs("settings", x.settings);
}
template <typename V>
void fields(V& v, TtftParts& x) {
  v.field("queue_ns", x.queue_ns);
  v.field("tokenize_ns", x.tokenize_ns);
  v.field("transfer_ns", x.transfer_ns);
  v.field("prefill_ns", x.prefill_ns);
  v.field("sample_ns", x.sample_ns);
}
template <typename V>
void fields(V& v, RequestSample& x) {
  v.field("cell", x.cell);
  v.field("repetition", x.repetition);
  v.field("request", x.request);
  v.field("warmup", x.warmup);
  v.field("prompt", x.prompt);
  v.field("n_prompt_tokens", x.n_prompt_tokens);
  v.field("n_output_tokens", x.n_output_tokens);
  v.field("scheduled_ns", x.scheduled_ns);
  v.field("sent_ns", x.sent_ns);
  v.field("first_token_ns", x.first_token_ns);
  v.field("first_visible_ns", x.first_visible_ns);
  v.field("last_token_ns", x.last_token_ns);
  v.field("ttft_kernel_ns", x.ttft_kernel_ns);
  v.field("itl_ns", x.itl_ns);
  v.field("first_received_ns", x.first_received_ns);
  v.field("last_received_ns", x.last_received_ns);
  v.field("engine_tokens", x.engine_tokens);
  v.field("n_cached_prompt_tokens", x.n_cached_prompt_tokens);
  v.object("parts", x.parts);
  v.field("verified_tokens", x.verified_tokens);
  v.field("near_tie_at", x.near_tie_at);
  v.field("wrong_at", x.wrong_at);
  v.field("finish", x.finish);
  v.field("error", x.error);
}
template <typename V>
void fields(V& v, MemoryUse& x) {
  v.field("weights_bytes", x.weights_bytes);
  v.field("kv_bytes", x.kv_bytes);
  v.field("workspace_bytes", x.workspace_bytes);
  v.field("runtime_bytes", x.runtime_bytes);
  v.field("peak_bytes", x.peak_bytes);
  v.field("huge_weights_bytes", x.huge_weights_bytes);
}
template <typename V>
void fields(V& v, HostMemory& x) {
  v.field("peak_rss_bytes", x.peak_rss_bytes);
}
template <typename V>
void fields(V& v, TelemetryReading& x) {
  v.field("name", x.name);
  v.field("value", x.value);
  v.field("why_not", x.why_not);
}
template <typename V>
void fields(V& v, CheckRecord& x) {
  v.field("name", x.name);
  v.choice("outcome", x.outcome, {"passed", "suspect", "invalid", "not available"});
  v.field("detail", x.detail);
}
template <typename V>
void fields(V& v, StepWork& x) {
  v.field("n_steps", x.n_steps);
  v.field("tokens", x.tokens);
  v.field("ns", x.ns);
  v.field("flops", x.flops);
  v.field("weight_bytes", x.weight_bytes);
  v.field("kv_bytes", x.kv_bytes);
}
template <typename V>
void fields(V& v, Repetition& x) {
  v.field("cell", x.cell);
  v.field("repetition", x.repetition);
  v.field("window_start_ns", x.window_start_ns);
  v.field("window_end_ns", x.window_end_ns);
  v.field("window_output_tokens", x.window_output_tokens);
  v.object("prefill", x.prefill);
  v.object("decode", x.decode);
  v.object("mixed", x.mixed);
  v.field("host_ns", x.host_ns);
  v.field("warmup_windows", x.warmup_windows);
  v.field("warmup_settled", x.warmup_settled);
  v.field("warmup_ns_per_token", x.warmup_ns_per_token);
  v.field("load_ns", x.load_ns);
  v.field("compile_ns", x.compile_ns);
  v.object("memory", x.memory);
  v.object("host_memory", x.host_memory);
  v.field("process_cpu_s", x.process_cpu_s);
  v.field("wall_s", x.wall_s);
  v.field("others_cpu_share", x.others_cpu_share);
  v.field("involuntary_switches", x.involuntary_switches);
  v.field("major_faults", x.major_faults);
  v.field("rate_per_s", x.rate_per_s);
  v.field("achieved_rate_per_s", x.achieved_rate_per_s);
  v.objects("telemetry", x.telemetry);
  v.objects("checks", x.checks);
}
template <typename V>
void fields(V& v, GoldenRecord& x) {
  v.field("bundle", x.bundle);
  v.field("backend", x.backend);
  v.field("variant", x.variant);
  v.field("suite", x.suite);
  v.field("verdict", x.verdict);
  v.field("reasons", x.reasons);
  v.field("n_prompts", x.n_prompts);
  v.field("n_skipped", x.n_skipped);
  v.field("n_positions", x.n_positions);
  v.field("n_match", x.n_match);
  v.field("n_near_tie", x.n_near_tie);
  v.field("n_wrong", x.n_wrong);
  v.field("kl_mean", x.kl_mean);
  v.field("kl_worst", x.kl_worst);
  v.field("nll_difference_mean", x.nll_difference_mean);
  v.field("duration_ns", x.duration_ns);
}
template <typename V>
void fields(V& v, FailureRecord& x) {
  v.field("backend", x.backend);
  v.field("cell", x.cell);
  v.field("kind", x.kind);
  v.field("message", x.message);
}
template <typename V>
void fields(V& v, RateProbe& x) {
  v.field("cell", x.cell);
  v.field("index", x.index);
  v.field("rate_per_s", x.rate_per_s);
  v.field("achieved_rate_per_s", x.achieved_rate_per_s);
  v.field("n_requests", x.n_requests);
  v.field("n_kept", x.n_kept);
  v.field("verdict", x.verdict);
  v.field("why", x.why);
}
template <typename V>
void fields(V& v, OperationTime& x) {
  v.field("operation", x.operation);
  v.field("label", x.label);
  v.field("shape_class", x.shape_class);
  v.field("shape", x.shape);
  v.field("kernel", x.kernel);
  v.field("fallback", x.fallback);
  v.field("n_calls", x.n_calls);
  v.field("ns", x.ns);
  v.field("flops", x.flops);
  v.field("bytes", x.bytes);
  v.field("ns_by_layer", x.ns_by_layer);
}
template <typename V>
void fields(V& v, Refusal& x) {
  v.field("operation", x.operation);
  v.field("type", x.type);
  v.field("reason", x.reason);
}
template <typename V>
void fields(V& v, OperationTimes& x) {
  v.field("cell", x.cell);
  v.field("n_requests", x.n_requests);
  v.field("n_steps", x.n_steps);
  v.field("output_tokens", x.output_tokens);
  v.field("wall_ns", x.wall_ns);
  v.field("device_ns", x.device_ns);
  v.field("overhead", x.overhead);
  v.objects("operations", x.operations);
  v.objects("refusals", x.refusals);
}
template <typename V>
void fields(V& v, Estimate& x) {
  v.field("value", x.value);
  v.field("low", x.low);
  v.field("high", x.high);
  v.field("n", x.n);
  v.field("why_not", x.why_not);
}
template <typename V>
void fields(V& v, LimitShare& x) {
  v.field("share", x.share);
  v.field("limit", x.limit);
}
template <typename V>
void fields(V& v, CellSummary& x) {
  v.object("key", x.key);
  v.object("scenario", x.scenario);
  v.field("golden", x.golden);
  v.field("status", x.status);
  v.field("notes", x.notes);
  v.field("n_repetitions", x.n_repetitions);
  v.field("n_samples", x.n_samples);
  v.field("n_errors", x.n_errors);
  v.field("mean_prompt_tokens", x.mean_prompt_tokens);
  v.field("mean_output_tokens", x.mean_output_tokens);
  v.object("ttft_e2e_p50_ns", x.ttft_e2e_p50_ns);
  v.object("ttft_e2e_p95_ns", x.ttft_e2e_p95_ns);
  v.object("ttft_visible_p50_ns", x.ttft_visible_p50_ns);
  v.object("ttft_kernel_p50_ns", x.ttft_kernel_p50_ns);
  v.object("ttft_e2e_p99_ns", x.ttft_e2e_p99_ns);
  v.object("ttft_sent_p50_ns", x.ttft_sent_p50_ns);
  v.object("e2e_p50_ns", x.e2e_p50_ns);
  v.object("e2e_p99_ns", x.e2e_p99_ns);
  v.object("tpot_p50_ns", x.tpot_p50_ns);
  v.object("tpot_p99_ns", x.tpot_p99_ns);
  v.object("itl_p50_ns", x.itl_p50_ns);
  v.object("itl_p99_ns", x.itl_p99_ns);
  v.object("output_tok_per_s", x.output_tok_per_s);
  v.object("decode_tok_per_s", x.decode_tok_per_s);
  v.object("prefill_tok_per_s", x.prefill_tok_per_s);
  v.field("tok_per_s_per_user", x.tok_per_s_per_user);
  v.field("tok_per_s_per_device", x.tok_per_s_per_device);
  v.field("rate_per_s", x.rate_per_s);
  v.field("achieved_rate_per_s", x.achieved_rate_per_s);
  v.object("slo_attainment", x.slo_attainment);
  v.object("goodput_req_per_s", x.goodput_req_per_s);
  v.field("goodput_tok_per_s", x.goodput_tok_per_s);
  v.field("prefix_hit_rate", x.prefix_hit_rate);
  v.field("read_fraction", x.read_fraction);
  v.field("flops_fraction", x.flops_fraction);
  v.optional_object("prefill_of_limit", x.prefill_of_limit);
  v.optional_object("first_token_of_limit", x.first_token_of_limit);
  v.optional_object("decode_of_limit", x.decode_of_limit);
  v.field("first_to_settled", x.first_to_settled);
  v.field("load_ns", x.load_ns);
  v.field("compile_ns", x.compile_ns);
  v.field("device_utilisation", x.device_utilisation);
  v.field("bound", x.bound);
  v.field("bound_why", x.bound_why);
  v.objects("checks", x.checks);
  v.field("verified_share", x.verified_share);
  v.optional_object("memory", x.memory);
  v.field("peak_rss_bytes", x.peak_rss_bytes);
  v.field("usd_per_1k_output", x.usd_per_1k_output);
  v.field("usd_per_1k_total", x.usd_per_1k_total);
  v.field("device_hours_per_million", x.device_hours_per_million);
  v.field("others_cpu_share", x.others_cpu_share);
  v.field("machine_read_bytes_per_s", x.machine_read_bytes_per_s);
  v.field("machine_f32_flops", x.machine_f32_flops);
  v.field("output_tok_per_s_by_repetition", x.output_tok_per_s_by_repetition);
  v.field("ttft_p50_ns_by_repetition", x.ttft_p50_ns_by_repetition);
}
template <typename V>
void fields(V& v, GateVerdict& x) {
  v.object("cell", x.cell);
  v.field("metric", x.metric);
  v.choice("decision", x.decision, {"pass", "regressed", "inconclusive"});
  v.field("base_s", x.base);
  v.field("candidate_s", x.candidate);
  v.field("change_percent", x.change_percent);
  v.field("low_percent", x.low_percent);
  v.field("high_percent", x.high_percent);
  v.field("improved", x.improved);
  v.field("waived_by", x.waived_by);
  v.field("why", x.why);
  v.field("n_pairs", x.n_pairs);
  v.field("n_more_pairs", x.n_more_pairs);
}
template <typename V>
void fields(V& v, LossShare& x) {
  v.object("cell", x.cell);
  v.field("metric", x.metric);
  v.field("operation", x.operation);
  v.field("shape", x.shape);
  v.field("kernel", x.kernel);
  v.field("source", x.source);
  v.field("source_line", x.source_line);
  v.field("base_s", x.base_s);
  v.field("candidate_s", x.candidate_s);
  v.field("share", x.share);
}
template <typename V>
void fields(V& v, GateReport& x) {
  v.field("base_run_id", x.base_run_id);
  v.field("candidate_run_id", x.candidate_run_id);
  v.field("method", x.method);
  v.field("threshold_percent", x.threshold_percent);
  v.objects("verdicts", x.verdicts);
  v.field("wrong_tokens", x.wrong_tokens);
  v.field("failed", x.failed);
  v.field("not_comparable", x.not_comparable);
  v.field("waiver_errors", x.waiver_errors);
  v.objects("losses", x.losses);
}
template <typename V>
void fields(V& v, ConformanceFamily& x) {
  v.field("name", x.name);
  v.field("n_passed", x.n_passed);
  v.field("n_failed", x.n_failed);
  v.field("n_unsupported", x.n_unsupported);
  v.field("findings", x.findings);
}
template <typename V>
void fields(V& v, ConformanceRecord& x) {
  v.version("schema_version", x.schema_version, kResultsSchemaVersion);
  v.field("backend", x.backend);
  v.field("module_sha256", x.module_sha256);
  v.field("device", x.device);
  v.objects("families", x.families);
}
template <typename V>
void fields(V& v, PortabilityPlatform& x) {
  v.field("backend", x.backend);
  v.field("device", x.device);
  v.field("module_sha256", x.module_sha256);
  v.field("is_oracle", x.is_oracle);
}
template <typename V>
void fields(V& v, PortabilityPart& x) {
  v.field("state", x.state);
  v.field("why", x.why);
  v.field("roofline_share", x.roofline_share);
  v.field("time_share", x.time_share);
  v.field("conformance", x.conformance);
  v.field("kernels", x.kernels);
  v.field("fallbacks", x.fallbacks);
}
template <typename V>
void fields(V& v, PortabilityRow& x) {
  v.field("operation", x.operation);
  v.field("type", x.type);
  v.field("shape_class", x.shape_class);
  v.objects("parts", x.parts);
  v.field("portability", x.portability);
}
template <typename V>
void fields(V& v, PortabilityMatrix& x) {
  v.version("schema_version", x.schema_version, kResultsSchemaVersion);
  v.objects("platforms", x.platforms);
  v.objects("rows", x.rows);
  v.field("notes", x.notes);
}
template <typename V>
void fields(V& v, RunSummary& x) {
  v.version("schema_version", x.schema_version, kResultsSchemaVersion);
  v.field("run_id", x.run_id);
  v.objects("cells", x.cells);
  v.objects("golden", x.golden);
  v.objects("failures", x.failures);
}

}  // namespace record_fields

namespace {

template <typename T>
OrderedJson write(const T& record) {
  Writer writer;
  T copy = record;  // the field lists serve both directions and so take a mutable reference
  record_fields::fields(writer, copy);
  return std::move(writer).take();
}

template <typename T>
Result<T> read(const Json& json, std::string_view name) {
  T record;
  Reader reader(json, std::string(name));
  record_fields::fields(reader, record);
  if (reader.error()) return *reader.error();
  return record;
}

/// An unescaped byte that is not UTF-8 (a device's name, an error text of a library) must not stop a journal.
std::string dump(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

constexpr const char* line_type(const JournalLine& line) {
  constexpr const char* kNames[] = {"sample", "repetition", "golden", "failure", "probe", "operations"};
  return kNames[line.index()];
}

}  // namespace

std::string to_json(const RunRecord& record) {
  return dump(write(record), 2) + "\n";
}
std::string to_json(const GateReport& gate) {
  return dump(write(gate), 2) + "\n";
}
std::string to_json(const ConformanceRecord& record) {
  return dump(write(record), 2) + "\n";
}
std::string to_json(const PortabilityMatrix& matrix) {
  return dump(write(matrix), 2) + "\n";
}
std::string to_json(const RunSummary& summary) {
  return dump(write(summary), 2) + "\n";
}

std::string to_json_line(const JournalLine& line) {
  OrderedJson json = {{"type", line_type(line)}};
  json.update(std::visit([](const auto& record) { return write(record); }, line));
  return dump(json, -1);
}

std::string results_schema(std::string_view kind) {
  using record_fields::SchemaBuilder;
  OrderedJson schema;
  if (kind == "run") schema = SchemaBuilder::schema_of<RunRecord>();
  if (kind == "summary") schema = SchemaBuilder::schema_of<RunSummary>();
  if (kind == "gate") schema = SchemaBuilder::schema_of<GateReport>();
  if (kind == "conformance") schema = SchemaBuilder::schema_of<ConformanceRecord>();
  if (kind == "portability") schema = SchemaBuilder::schema_of<PortabilityMatrix>();
  if (kind == "sample") {
    OrderedJson lines = OrderedJson::array();
    const auto add_line = [&](const char* type, OrderedJson line) {
      line["properties"]["type"] = {{"const", type}};
      line["required"].push_back("type");
      lines.push_back(std::move(line));
    };
    add_line("sample", SchemaBuilder::schema_of<RequestSample>());
    add_line("repetition", SchemaBuilder::schema_of<Repetition>());
    add_line("golden", SchemaBuilder::schema_of<GoldenRecord>());
    add_line("failure", SchemaBuilder::schema_of<FailureRecord>());
    add_line("probe", SchemaBuilder::schema_of<RateProbe>());
    add_line("operations", SchemaBuilder::schema_of<OperationTimes>());
    schema = {{"oneOf", std::move(lines)}};
  }
  if (schema.is_null()) return "";
  OrderedJson document = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                          {"title", fmt::format("secondsource {}, results format {}", kind, kResultsSchemaVersion)}};
  document.update(schema);
  return dump(document, 2) + "\n";
}

Result<GateReport> gate_report_from_json(std::string_view text, std::string_view name) {
  SS_TRY(const Json json, parse_json(text, name));
  return read<GateReport>(json, name);
}

Result<ConformanceRecord> conformance_record_from_json(std::string_view text, std::string_view name) {
  SS_TRY(const Json json, parse_json(text, name));
  return read<ConformanceRecord>(json, name);
}

Result<RunRecord> run_record_from_json(std::string_view text, std::string_view name) {
  SS_TRY(const Json json, parse_json(text, name));
  return read<RunRecord>(json, name);
}

Result<RunSummary> run_summary_from_json(std::string_view text, std::string_view name) {
  SS_TRY(const Json json, parse_json(text, name));
  return read<RunSummary>(json, name);
}

Result<JournalLine> journal_line_from_json(std::string_view text, std::string_view name) {
  SS_TRY(const Json json, parse_json(text, name));
  const auto as_line = [](auto result) -> Result<JournalLine> {
    if (!result) return std::move(result).error();
    return JournalLine(std::move(result).value());
  };
  const std::string type = json.is_object() && json.contains("type") && json["type"].is_string()
                               ? json["type"].get<std::string>()
                               : std::string();
  if (type == "sample") return as_line(read<RequestSample>(json, name));
  if (type == "repetition") return as_line(read<Repetition>(json, name));
  if (type == "golden") return as_line(read<GoldenRecord>(json, name));
  if (type == "failure") return as_line(read<FailureRecord>(json, name));
  if (type == "probe") return as_line(read<RateProbe>(json, name));
  if (type == "operations") return as_line(read<OperationTimes>(json, name));
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: type: expected sample, repetition, golden, failure, probe or operations, found \"{}\"",
                           name, type)};
}

Result<Journal> journal_from_text(std::string_view text, std::string_view name) {
  Journal journal;
  std::size_t line_number = 0;
  while (journal.valid_bytes < text.size()) {
    ++line_number;
    const std::size_t end = text.find('\n', journal.valid_bytes);
    if (end == std::string_view::npos) {  // every whole line ends in a newline: this one was cut off
      journal.torn_tail = true;
      return journal;
    }
    const std::string_view line = text.substr(journal.valid_bytes, end - journal.valid_bytes);
    SS_TRY(JournalLine parsed, journal_line_from_json(line, fmt::format("{}:{}", name, line_number)));
    journal.lines.push_back(std::move(parsed));
    journal.valid_bytes = end + 1;
  }
  return journal;
}

Result<StoredRun> read_run(const std::filesystem::path& folder) {
  StoredRun run;
  run.folder = folder;
  const auto record_path = folder / "run.json";
  SS_TRY(const std::string record_text, read_file(record_path));
  SS_TRY(run.record, run_record_from_json(record_text, record_path.string()));
  const auto journal_path = folder / "samples.jsonl";
  if (!std::filesystem::exists(journal_path)) return run;  // stopped before its first sample
  SS_TRY(const MappedFile mapped, MappedFile::map(journal_path));
  const auto bytes = mapped.bytes();
  SS_TRY(run.journal,
         journal_from_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, journal_path.string()));
  return run;
}

}  // namespace secondsource
