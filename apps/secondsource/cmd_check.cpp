// secondsource check BUNDLE: golden prompts only: are the tokens right on these backends?

#include <fmt/format.h>

#include <memory>

#include "commands.h"
#include "core/units.h"
#include "measure/golden_pass.h"
#include "model_flags.h"
#include "report/record_json.h"
#include "report/text_table.h"

namespace secondsource {
namespace {

constexpr std::size_t kMaxFindingsShown = 5;

struct CheckCommandOptions {
  std::string bundle;
  std::vector<std::string> backends;
  std::vector<std::string> variants;
  std::string suite = "smoke";
  std::int32_t n_threads = 0;
  bool allow_unverified = false;
  bool json = false;
};

/// One backend in one variant: a result, or why there is none.
struct Row {
  std::string backend;
  std::string variant;
  std::optional<GoldenResult> result;
  std::optional<Error> error;
};

/// What the rows have in common.
struct Check {
  const CheckCommandOptions& options;
  const Bundle& bundle;
  const BundleText& text;
  const std::vector<Module>& modules;
  CommandContext& context;
};

Result<GoldenResult> check_one(const Check& check, const std::string& backend_name, const GoldenInputs& inputs) {
  BackendOptions options;
  options.n_threads = check.options.n_threads;
  SS_TRY(std::unique_ptr<Backend> backend, create_backend(check.modules, backend_name, options));
  if (!inputs.unverified.empty()) {
    GoldenResult result;
    result.record.bundle = inputs.bundle;
    result.record.backend = backend_name;
    result.record.variant = inputs.variant;
    result.record.suite = inputs.suite;
    result.record.verdict = "unverified";
    result.record.reasons = {inputs.unverified};
    return result;
  }
  SS_TRY(auto session, ModelSession::open(std::move(backend), check.bundle.config(), check.bundle.tensors(),
                                          inputs.variant, golden_engine_options(inputs), check.context.progress));
  return run_golden_pass(*session, inputs, {}, check.context.progress);
}

Result<std::vector<Row>> run_rows(const Check& check) {
  std::vector<std::string> backends = check.options.backends;
  if (backends.empty()) {
    for (const Module& module : check.modules) {
      if (module.unavailable.empty() && !module.devices.empty()) backends.push_back(module.name);
    }
  }
  const std::vector<std::string> variants =
      check.options.variants.empty() ? check.bundle.variants() : check.options.variants;
  std::vector<Row> rows;
  for (const std::string& variant : variants) {
    SS_TRY_VOID(variant_from_name(variant));
    SS_TRY(const GoldenInputs inputs, load_golden_inputs(check.bundle, check.text, check.options.suite, variant));
    for (const std::string& backend : backends) {
      SS_TRY_VOID(check.context.interrupt.check());
      auto result = check_one(check, backend, inputs);
      Row row{.backend = backend, .variant = variant, .result = {}, .error = {}};
      if (result) {
        row.result = std::move(*result);
      } else {
        row.error = result.error();
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string figure(const std::optional<double>& value) {
  return value ? fmt::format("{:.2e}", *value) : "-";
}

TextTable table_of(const std::vector<Row>& rows) {
  TextTable table{.columns = {"backend", "variant", "verdict", "prompts", "skipped", "positions", "match", "near tie",
                              "wrong", "KL mean", "KL worst", "NLL diff", "time"},
                  .right_aligned = {false, false, false, true, true, true, true, true, true, true, true, true, true},
                  .rows = {}};
  for (const Row& row : rows) {
    if (!row.result) {
      const bool is_unsupported = row.error->code == ErrorCode::kUnsupported;
      table.rows.push_back({row.backend, row.variant, is_unsupported ? "unsupported" : "ERROR", "-", "-", "-", "-", "-",
                            "-", "-", "-", "-", "-"});
      continue;
    }
    const GoldenRecord& record = row.result->record;
    std::string verdict = record.verdict;
    for (char& c : verdict) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    table.rows.push_back({row.backend, row.variant, verdict, std::to_string(record.n_prompts),
                          std::to_string(record.n_skipped), std::to_string(record.n_positions),
                          std::to_string(record.n_match), std::to_string(record.n_near_tie),
                          std::to_string(record.n_wrong), figure(record.kl_mean), figure(record.kl_worst),
                          figure(record.nll_difference_mean), format_duration_ns(record.duration_ns)});
  }
  return table;
}

std::string_view kind_name(PositionKind kind) {
  switch (kind) {
    case PositionKind::kMatch:
      return "match";
    case PositionKind::kNearTie:
      return "near tie";
    case PositionKind::kWrong:
      return "wrong";
    case PositionKind::kNonFinite:
      return "not finite";
  }
  return "?";
}

/// What a person needs beside the table: reasons, and the first positions that went wrong.
std::string notes_of(const std::vector<Row>& rows) {
  std::string notes;
  for (const Row& row : rows) {
    const std::string name = fmt::format("{} {}", row.backend, row.variant);
    if (row.error) notes += fmt::format("{}: {}\n", name, row.error->message);
    if (!row.result) continue;
    for (const std::string& reason : row.result->record.reasons) notes += fmt::format("{}: {}\n", name, reason);
    if (row.result->record.verdict != "failed") continue;
    std::size_t n_shown = 0;
    for (const GoldenFinding& finding : row.result->findings) {
      if (finding.judgement.kind == PositionKind::kNearTie) continue;
      if (++n_shown > kMaxFindingsShown) break;
      notes += fmt::format("{}: prompt {}, token {}: expected id {}, found {} ({}, {:.3g} below in the reference)\n",
                           name, finding.prompt, finding.index, finding.expected_id, finding.judgement.best_id,
                           kind_name(finding.judgement.kind), finding.judgement.reference_gap);
    }
  }
  return notes;
}

Result<void> print_rows(const std::vector<Row>& rows, const CheckCommandOptions& options) {
  if (!options.json) {
    SS_TRY_VOID(print(render_terminal(table_of(rows))));
    return print(notes_of(rows));
  }
  for (const Row& row : rows) {
    JournalLine line = row.result ? JournalLine(row.result->record)
                                  : JournalLine(FailureRecord{.backend = row.backend,
                                                              .cell = row.variant,
                                                              .kind = std::string(to_string(row.error->code)),
                                                              .message = row.error->message});
    SS_TRY_VOID(print(to_json_line(line) + "\n"));
  }
  return {};
}

ExitStatus status_of(const std::vector<Row>& rows, const CheckCommandOptions& options) {
  std::vector<ExitStatus> statuses;
  for (const Row& row : rows) {
    if (row.error) {
      // By default every backend is tried; one that cannot run a variant counts only when it was asked for by name.
      const bool is_fine = row.error->code == ErrorCode::kUnsupported && options.backends.empty();
      if (!is_fine) statuses.push_back(ExitStatus::kBackendFailed);
    } else if (row.result->record.verdict == "failed") {
      statuses.push_back(ExitStatus::kWrongTokens);
    } else if (row.result->record.verdict == "unverified" && !options.allow_unverified) {
      statuses.push_back(ExitStatus::kNotComparable);
    }
  }
  return most_serious(statuses);
}

Result<ExitStatus> run_check(const CheckCommandOptions& options, CommandContext& context) {
  SS_TRY(const Bundle bundle, Bundle::open(options.bundle, context.progress, context.interrupt));
  SS_TRY(const BundleText text, BundleText::load(bundle));
  const std::vector<Module> modules = load_modules(module_folders(context.program));
  SS_TRY(const std::vector<Row> rows, run_rows({options, bundle, text, modules, context}));
  if (rows.empty()) return Error{ErrorCode::kUnavailable, "no backend is available: see secondsource backends"};
  SS_TRY_VOID(print_rows(rows, options));
  return status_of(rows, options);
}

}  // namespace

void add_check_command(CLI::App& app, CommandAction& action) {
  auto options = std::make_shared<CheckCommandOptions>();
  CLI::App* command = app.add_subcommand("check", "Golden prompts only: are the tokens right?");
  command->add_option("bundle", options->bundle, "Bundle folder or zip")->required();
  command->add_option("--backend", options->backends, "Backends; default: all that are available")->delimiter(',');
  command->add_option("--variant", options->variants, "Variants; default: all of the bundle")->delimiter(',');
  command->add_option("--suite", options->suite, "Tag of the prompts: smoke, full, ..., all")->capture_default_str();
  command->add_option("--threads", options->n_threads, "Threads of each backend")->check(CLI::NonNegativeNumber);
  command->add_flag("--allow-unverified", options->allow_unverified,
                    "A variant without expected outputs does not count as a failure");
  command->add_flag("--json", options->json, "One golden record a line, as in samples.jsonl");
  command->footer(
      "Ends with 0 (all passed), 3 (wrong tokens), 4 (a backend failed), 6 (nothing to check against).\n"
      "docs/correctness.md has the rules. Example: secondsource check bundles/default --suite full");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_check(*options, context); }; });
}

}  // namespace secondsource
