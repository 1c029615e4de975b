#pragma once
// The procurement brief as plain data: the content of brief.json and of the rendered pages. Every figure carries the
// evidence it rests on (figure.h).

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "brief/brief_states.h"
#include "brief/figure.h"
#include "core/fields.h"
#include "record/schema_version.h"

namespace secondsource {

inline constexpr int kBriefSchemaVersion = 1;

/// The cost of tokens on one SKU at one load.
struct BriefCost {
  std::string load{};  ///< "full load", "at the SLO", "your load"
  Figure usd_per_1k_output{};
  Figure usd_per_1k_output_split{};
  Figure usd_per_1k_input_split{};
  Figure usd_per_1k_blended{};
  Figure device_hours_per_million{};
  Figure joules_per_token{};
};
SS_FIELDS(BriefCost, load, usd_per_1k_output, usd_per_1k_output_split, usd_per_1k_input_split, usd_per_1k_blended,
          device_hours_per_million, joules_per_token)

/// One SKU in the quarterly evaluation.
struct BriefSku {
  std::string id{};
  std::string description{};
  std::string vendor{};
  std::string model{};
  std::string precision{};
  std::string speed_from{};  ///< sources of both speeds
  std::string price_key{};
  std::string price_date{};
  Figure usd_per_hour{};
  double rated_units = 0;  ///< accelerators, or vCPUs of a machine without, that were measured or quoted
  double units_per_replica = 0;
  double instances_per_replica = 0;
  Figure output_tok_per_s{};
  Figure output_tok_per_s_at_slo{};
  Figure ttft_p50_ms{};
  Figure ttft_p95_ms{};
  Figure memory_headroom_percent{};
  std::vector<BriefCost> costs{};
  Figure saving_percent{};    ///< of $/1K output at the buyer's load, against the SKU that serves most of today's load
  std::string best_option{};  ///< of the options with this SKU, the one that saves most; empty: none
  Figure best_option_saving_percent{};  ///< what it saves over the years of the decision
  SkuVerdict verdict = SkuVerdict::kNoBuy;
  std::vector<std::string> reasons{};
};
SS_FIELDS(BriefSku, id, description, vendor, model, precision, speed_from, price_key, price_date, usd_per_hour,
          rated_units, units_per_replica, instances_per_replica, output_tok_per_s, output_tok_per_s_at_slo, ttft_p50_ms,
          ttft_p95_ms, memory_headroom_percent, costs, saving_percent, best_option, best_option_saving_percent, verdict,
          reasons)
SS_ADDED_FIELDS(BriefSku, rated_units, best_option, best_option_saving_percent)

/// One SKU's part in an option.
struct BriefPart {
  std::string sku{};
  PartRole role = PartRole::kServes;
  double interactive_percent = 0;
  double batch_percent = 0;
  Figure peak_instances{};
  Figure idle_percent{};
  Figure usd{};  ///< over the years of the decision

  /// False for machines that are owed and serve nothing.
  [[nodiscard]] bool has_load() const { return role != PartRole::kOwed; }
};
SS_FIELDS(BriefPart, sku, role, interactive_percent, batch_percent, peak_instances, idle_percent, usd)

struct BriefPhase {
  std::string name{};
  std::string from{};  ///< YYYY-MM-DD
  std::string until{};
  std::string what{};
};
SS_FIELDS(BriefPhase, name, from, until, what)

struct BriefSensitivity {
  std::string what{};                ///< for example "price of mi300x"
  Figure saving_percent_if_lower{};  ///< when it is 30 % lower
  Figure saving_percent_if_higher{};
};
SS_FIELDS(BriefSensitivity, what, saving_percent_if_lower, saving_percent_if_higher)

struct BriefBreakEven {
  std::string sku{};
  Figure usd_per_hour_now{};
  Figure usd_per_hour{};  ///< up to this price, the option costs no more than staying
};
SS_FIELDS(BriefBreakEven, sku, usd_per_hour_now, usd_per_hour)

struct BriefOption {
  std::string name{};
  OptionKind kind = OptionKind::kStay;
  std::string what{};        ///< description in one sentence
  std::string not_costed{};  ///< why there are no figures; empty if there are
  std::vector<BriefPart> parts{};
  Figure usd_1_year{};
  Figure usd_3_years{};
  Figure saving_percent_1_year{};  ///< compared with staying
  Figure saving_percent_3_years{};
  Figure saving_usd{};         ///< over the years of the decision
  Figure usd_per_1k_output{};  ///< total cost / output tokens, over the years of the decision
  Figure migration_usd{};
  Figure outage_usd{};  ///< expected loss over the years of the decision
  std::vector<BriefBreakEven> break_even_prices{};
  Figure break_even_requests_per_day{};  ///< from this load on, the option costs no more than staying
  std::vector<BriefSensitivity> sensitivities{};
  std::vector<BriefPhase> timeline{};
  bool is_eligible = false;  ///< within the buyer's risk limits
};
SS_FIELDS(BriefOption, name, kind, what, not_costed, parts, usd_1_year, usd_3_years, saving_percent_1_year,
          saving_percent_3_years, saving_usd, usd_per_1k_output, migration_usd, outage_usd, break_even_prices,
          break_even_requests_per_day, sensitivities, timeline, is_eligible)

struct BriefRisk {
  RiskLevel level = RiskLevel::kNote;
  std::string text{};
  std::vector<std::string> options{};
};
SS_FIELDS(BriefRisk, level, text, options)

/// The alternative of buying tokens from an API instead of running machines.
struct BriefApi {
  std::string name{};
  std::string source{};
  std::string date{};
  Figure usd_1_year{};
  Figure usd_3_years{};
  Figure first_requests_per_day{};   ///< the smallest load at which staying costs no more than the API
  Figure always_requests_per_day{};  ///< from this load on, staying never costs more than the API
};
SS_FIELDS(BriefApi, name, source, date, usd_1_year, usd_3_years, first_requests_per_day, always_requests_per_day)

struct BriefDecision {
  std::string option{};
  std::string unasked{};  ///< an option that nobody asked for and that saves more; empty: none
  std::string line{};
  DecisionStatus status = DecisionStatus::kDecided;
  std::vector<std::string> reasons{};
};
SS_FIELDS(BriefDecision, option, unasked, line, status, reasons)
SS_ADDED_FIELDS(BriefDecision, unasked)

/// A run with everything that is needed to repeat it.
struct BriefRunRecord {
  std::string run_id{};
  std::string folder{};
  std::string started_utc{};
  std::string program_version{};
  std::string commit{};
  std::string compiler{};
  std::vector<std::string> command{};
  std::uint64_t seed = 0;
  std::string suite{};
  std::vector<std::pair<std::string, std::string>> host{};
  std::vector<std::pair<std::string, std::string>> bundles{};   ///< name, SHA-256 of the content
  std::vector<std::pair<std::string, std::string>> backends{};  ///< name, device and SHA-256 of the module
  std::vector<std::pair<std::string, std::string>> files{};     ///< name, SHA-256
};
SS_FIELDS(BriefRunRecord, run_id, folder, started_utc, program_version, commit, compiler, command, seed, suite, host,
          bundles, backends, files)

struct BriefQuote {
  std::string id{};
  std::string what{};
  std::string source{};
  std::string date{};
  std::string note{};
};
SS_FIELDS(BriefQuote, id, what, source, date, note)

struct BriefPrice {
  std::string key{};
  Figure usd_per_hour{};
  std::string source{};
  std::string date{};
  std::int64_t age_days = 0;  ///< on the date of the brief; of an undated price, since it was read
  std::string note{};
};
SS_FIELDS(BriefPrice, key, usd_per_hour, source, date, age_days, note)
SS_ADDED_FIELDS(BriefPrice, age_days)

struct Brief {
  SchemaVersion<kBriefSchemaVersion> schema_version{};
  std::string title{};
  std::string date{};
  std::string model{};
  std::int64_t decision_years = 3;
  BriefDecision decision{};
  std::vector<BriefOption> options{};
  std::vector<BriefRisk> risks{};
  std::vector<BriefSku> skus{};
  std::vector<BriefApi> apis{};            ///< none or one
  std::vector<std::string> demand{};       ///< the demand, in sentences
  std::vector<std::string> assumptions{};  ///< assumptions behind the figures
  std::vector<BriefRunRecord> runs{};
  std::vector<BriefQuote> quotes{};
  std::vector<BriefPrice> prices{};
  std::vector<std::pair<std::string, std::string>> inputs{};  ///< file, SHA-256
  std::string command{};                                      ///< command that creates this brief again
};
SS_FIELDS(Brief, schema_version, title, date, model, decision_years, decision, options, risks, skus, apis, demand,
          assumptions, runs, quotes, prices, inputs, command)

}  // namespace secondsource
