#pragma once
// The procurement brief as plain data: what brief.json holds, and what the pages are made from. Every figure carries
// what it rests on (figure.h).

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "brief/figure.h"

namespace secondsource {

inline constexpr int kBriefSchemaVersion = 1;

/// What tokens cost on one SKU at one load.
struct BriefCost {
  std::string load{};  ///< "full load", "at the SLO", "your load"
  Figure usd_per_1k_output{};
  Figure usd_per_1k_output_split{};
  Figure usd_per_1k_input_split{};
  Figure usd_per_1k_blended{};
  Figure device_hours_per_million{};
  Figure joules_per_token{};
};

/// A row of the quarterly evaluation.
struct BriefSku {
  std::string id{};
  std::string description{};
  std::string vendor{};
  std::string model{};
  std::string precision{};
  std::string speed_from{};  ///< where both speeds are from
  std::string price_key{};
  std::string price_date{};
  Figure usd_per_hour{};
  double units_per_replica = 0;
  double instances_per_replica = 0;
  Figure output_tok_per_s{};
  Figure output_tok_per_s_at_slo{};
  Figure ttft_p50_ms{};
  Figure ttft_p95_ms{};
  Figure memory_headroom_percent{};
  std::vector<BriefCost> costs{};
  Figure saving_percent{};  ///< $/1K output at the buyer's load against the SKU that serves most of the load today
  std::string verdict{};    ///< "buy", "no-buy", "in use"
  std::vector<std::string> reasons{};
};

/// One SKU's part in an option.
struct BriefPart {
  std::string sku{};
  std::string role{};  ///< "serves" or "fallback"
  double interactive_percent = 0;
  double batch_percent = 0;
  Figure peak_instances{};
  Figure idle_percent{};
  Figure usd{};  ///< over the years of the decision
};

struct BriefPhase {
  std::string name{};
  std::string from{};  ///< YYYY-MM-DD
  std::string until{};
  std::string what{};
};

struct BriefSensitivity {
  std::string what{};                ///< "price of mi300x"
  Figure saving_percent_if_lower{};  ///< by 30 %
  Figure saving_percent_if_higher{};
};

struct BriefBreakEven {
  std::string sku{};
  Figure usd_per_hour_now{};
  Figure usd_per_hour{};  ///< below it the option costs no more than staying
};

struct BriefOption {
  std::string name{};
  std::string kind{};
  std::string what{};        ///< one sentence
  std::string not_costed{};  ///< why there are no figures; empty when there are
  std::vector<BriefPart> parts{};
  Figure usd_1_year{};
  Figure usd_3_years{};
  Figure saving_percent_1_year{};  ///< against staying
  Figure saving_percent_3_years{};
  Figure saving_usd{};         ///< over the years of the decision
  Figure usd_per_1k_output{};  ///< all of it / output tokens, over the years of the decision
  Figure migration_usd{};
  Figure outage_usd{};  ///< expected, over the years of the decision
  std::vector<BriefBreakEven> break_even_prices{};
  Figure break_even_requests_per_day{};  ///< from there on the option costs no more than staying
  std::vector<BriefSensitivity> sensitivities{};
  std::vector<BriefPhase> timeline{};
  bool is_eligible = false;  ///< within the buyer's risk limits
};

struct BriefRisk {
  std::string level{};  ///< "limit" (takes an option out), "warning", "note"
  std::string text{};
  std::vector<std::string> options{};
};

/// Buying tokens instead of machines.
struct BriefApi {
  std::string name{};
  std::string source{};
  std::string date{};
  Figure usd_1_year{};
  Figure usd_3_years{};
  Figure first_requests_per_day{};   ///< the smallest load at which staying costs no more
  Figure always_requests_per_day{};  ///< the load from which it stays so
};

struct BriefDecision {
  std::string option{};
  std::string line{};
  std::string status{};  ///< "decided", "provisional", "no eligible option"
  std::vector<std::string> reasons{};
};

/// A run, with what it takes to do it again.
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

struct BriefQuote {
  std::string id{};
  std::string what{};
  std::string source{};
  std::string date{};
  std::string note{};
};

struct BriefPrice {
  std::string key{};
  Figure usd_per_hour{};
  std::string source{};
  std::string date{};
  std::string note{};
};

struct Brief {
  int schema_version = kBriefSchemaVersion;
  std::string title{};
  std::string date{};
  std::string model{};
  std::int64_t decision_years = 3;
  BriefDecision decision{};
  std::vector<BriefOption> options{};
  std::vector<BriefRisk> risks{};
  std::vector<BriefSku> skus{};
  std::vector<BriefApi> apis{};            ///< none or one
  std::vector<std::string> demand{};       ///< what was asked for, in sentences
  std::vector<std::string> assumptions{};  ///< what is taken to hold
  std::vector<BriefRunRecord> runs{};
  std::vector<BriefQuote> quotes{};
  std::vector<BriefPrice> prices{};
  std::vector<std::pair<std::string, std::string>> inputs{};  ///< file, SHA-256
  std::string command{};                                      ///< that makes this brief again
};

}  // namespace secondsource
