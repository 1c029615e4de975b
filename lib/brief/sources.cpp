#include "brief/sources.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <utility>

#include "brief/brief_text.h"

namespace secondsource {
namespace {

BriefRunRecord run_record(const BriefRun& run) {
  const RunRecord& record = run.stored.record;
  BriefRunRecord row{.run_id = record.run_id,
                     .folder = run.shown_as,
                     .started_utc = record.started_utc,
                     .program_version = record.program_version,
                     .commit = record.commit,
                     .compiler = record.compiler,
                     .command = record.command,
                     .seed = record.seed,
                     .suite = record.suite,
                     .files = run.file_hashes};
  for (const HostFact& fact : record.host) {
    // The CPU flags are left out because they would fill a page; run.json has them.
    if (fact.value && fact.name != "cpu_flags") row.host.emplace_back(fact.name, *fact.value);
  }
  for (const BundleRecord& bundle : record.bundles) row.bundles.emplace_back(bundle.name, bundle.content_sha256);
  for (const BackendRecord& backend : record.backends) {
    row.backends.emplace_back(backend.name, backend.unavailable.empty()
                                                ? fmt::format("{}; {}", backend.device.name,
                                                              backend.is_foreign() ? identity_text(backend)
                                                                                   : "module " + backend.module_sha256)
                                                : "unavailable: " + backend.unavailable);
  }
  return row;
}

std::string limits_text(const std::optional<Slo>& slo) {
  return slo ? fmt::format(", {:g} % of requests within {:g} ms and {:g} ms a token", slo->percent, slo->ttft_ms,
                           slo->tpot_ms)
             : "";
}

}  // namespace

void add_sources(const BriefInputs& inputs, std::span<const Sku> skus, Brief& brief) {
  for (const BriefRun& run : inputs.runs) brief.runs.push_back(run_record(run));
  std::set<std::string> quoted;
  std::set<std::string> prices;
  for (const Sku& sku : skus) {
    if (sku.spec.quoted) quoted.insert({sku.spec.quoted->full_load, sku.spec.quoted->slo});
    if (!prices.insert(sku.price.key()).second) continue;
    Figure usd = Figure::stated(sku.price.usd_per_hour, "USD/h",
                                sku.price.commitment == Commitment::kOwn ? "own cost" : "list price");
    brief.prices.push_back({sku.price.key(), std::move(usd), sku.price.source, sku.price.dated(),
                            age_days(sku.price, inputs.date), sku.price.note});
  }
  for (const QuotedRow& row : inputs.quoted) {
    if (!quoted.contains(row.id)) continue;
    brief.quotes.push_back(
        {row.id,
         fmt::format("{} {} on {} {}, {}: {} tok/s{}; {}", row.model, row.precision, row.accelerators, row.accelerator,
                     row.scenario, format_number(row.output_tok_per_s), limits_text(row.slo), row.submitter),
         row.source, row.date, row.note});
  }
  brief.inputs = inputs.files;
}

}  // namespace secondsource
