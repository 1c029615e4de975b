// secondsource check BUNDLE: checks with the golden prompts alone whether the tokens are right on the given backends.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>

#include "bundle/content.h"
#include "commands.h"
#include "core/enum_format.h"
#include "core/units.h"
#include "fault/fault.h"
#include "golden/golden_pass.h"
#include "installed_data.h"
#include "model_flags.h"
#include "modules.h"
#include "record/record_json.h"
#include "report/text_table.h"
#include "runner/golden_check.h"
#include "runner/plan_file.h"

namespace secondsource {
namespace {

struct CheckCommandOptions {
  std::string bundle;
  std::vector<std::string> backends;
  std::vector<std::string> variants;
  std::string suite = "smoke";
  std::int32_t n_threads = 0;
  std::string step_deadline;
  std::vector<std::string> faults;
  std::vector<std::string> backend_options;
  bool allow_unverified = false;
  bool json = false;
};

/// The state of a check in progress.
class Check {
 public:
  Check(const CheckCommandOptions& options, const Bundle& bundle, CommandContext& context)
      : options_(options), bundle_(bundle), context_(context), backends_(options.backends) {}

  Result<std::vector<GoldenCheck>> run() {
    SS_TRY(modules_, survey_modules(options_.backends, context_));
    SS_TRY_VOID(read_flags());
    SS_TRY(const BundleText text, BundleText::load(bundle_));
    std::vector<GoldenCheck> rows;
    const std::vector<std::string> variants = options_.variants.empty() ? bundle_.variants() : options_.variants;
    for (const std::string& variant : variants) {
      SS_TRY(const GoldenInputs inputs, load_golden_inputs(bundle_, text, options_.suite, variant));
      for (const std::string& backend : backends_) {
        SS_TRY_VOID(context_.interrupt.check());
        SS_TRY(GoldenCheck row, check_one(backend, inputs));
        rows.push_back(std::move(row));
      }
    }
    return rows;
  }

 private:
  Result<void> read_flags() {
    if (backends_.empty()) {
      for (const ProbedModule& module : modules_.probed) {
        if (module.unavailable.empty()) backends_.push_back(module.name);
      }
    }
    if (backends_.empty()) return Error{ErrorCode::kUnavailable, "no backend is available: see secondsource backends"};
    settings_.threads = options_.n_threads;
    if (!options_.step_deadline.empty()) {
      SS_TRY(settings_.step_deadline_s, parse_seconds_flag("--step-deadline", options_.step_deadline));
    }
    SS_TRY(faults_, parse_fault_flags(options_.faults));
    for (const auto& [backend, fault] : faults_) {
      if (std::find(backends_.begin(), backends_.end(), backend) == backends_.end()) {
        return Error{
            ErrorCode::kInvalidInput,
            fmt::format("--fault {}={}: expected a fault for one of the backends that are checked, which are {}",
                        backend, fault, fmt::join(backends_, ", "))};
      }
      context_.progress.note(planted_fault_note(backend, fault));
    }
    SS_TRY(chosen_options_, parse_backend_option_flags(options_.backend_options));
    for (const BackendOption& option : chosen_options_) {
      if (std::find(backends_.begin(), backends_.end(), option.backend) != backends_.end()) continue;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--backend-option {}:{}={}: expected an option of one of the backends that are checked, "
                               "which are {}",
                               option.backend, option.key, option.value, fmt::join(backends_, ", "))};
    }
    return {};
  }

  Result<GoldenCheck> check_one(const std::string& backend, const GoldenInputs& inputs) {
    GoldenCheck check;
    check.record.bundle = inputs.bundle;
    check.record.backend = backend;
    check.record.variant = inputs.variant;
    check.record.suite = inputs.suite;
    check.record.verdict = GoldenVerdict::kUnverified;
    if (const auto module = modules_.usable(backend); !module) {
      check.failure = WorkerFailure{FailureKind::kUnavailable, module.error().message};
      return check;
    }
    if (!inputs.unverified.empty()) {
      check.record.n_skipped = static_cast<std::int32_t>(inputs.n_left_out);
      check.record.reasons = inputs.left_out;
      check.record.reasons.insert(check.record.reasons.begin(), inputs.unverified);
      return check;
    }
    context_.progress.begin(fmt::format("{} {}", backend, inputs.variant), 0);
    return run_golden_check(job_for(check.record), settings_, context_.interrupt);
  }

  [[nodiscard]] SystemJob job_for(const GoldenRecord& record) const {
    SystemJob job;
    job.program = context_.program;
    job.bundle = options_.bundle;
    job.bundle_name = record.bundle;
    job.variant = record.variant;
    job.backend = record.backend;
    job.suite = record.suite;
    for (const auto& [name, fault] : faults_) {
      if (name == record.backend) job.options.emplace_back("fault", fault);
    }
    for (const BackendOption& option : chosen_options_) {
      if (option.backend == record.backend) job.options.emplace_back(option.key, option.value);
    }
    return job;
  }

  const CheckCommandOptions& options_;
  const Bundle& bundle_;
  CommandContext& context_;
  ModuleSurvey modules_;
  std::vector<std::string> backends_;
  RunSettings settings_;
  std::vector<std::pair<std::string, std::string>> faults_;
  std::vector<BackendOption> chosen_options_;
};

std::string figure(const std::optional<double>& value) {
  return value ? fmt::format("{:.2e}", *value) : "-";
}

std::string upper_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

TextTable table_of(const std::vector<GoldenCheck>& rows) {
  TextTable table{
      .columns = {"backend", "variant", "verdict", "prompts", "skipped", "positions", "match", "near tie", "wrong",
                  "KL mean", "KL worst", "NLL diff", "streamed", "right answers", "time"},
      .right_aligned = {false, false, false, true, true, true, true, true, true, true, true, true, true, true, true},
      .rows = {}};
  for (const auto& [record, failure] : rows) {
    std::vector<std::string> cells = {record.backend, record.variant};
    if (failure) {
      const std::string kind(to_string(failure->kind));
      cells.push_back(failure->kind == FailureKind::kUnsupported ? kind : upper_case(kind));
      cells.resize(table.columns.size(), "-");
    } else {
      cells.push_back(upper_case(std::string(to_string(record.verdict))));
      for (const std::int64_t count : {std::int64_t{record.n_prompts}, std::int64_t{record.n_skipped},
                                       record.n_positions, record.n_match, record.n_near_tie, record.n_wrong}) {
        cells.push_back(std::to_string(count));
      }
      for (const auto& value : {record.kl_mean, record.kl_worst, record.nll_difference_mean}) {
        cells.push_back(figure(value));
      }
      cells.push_back(record.n_streamed ? std::to_string(*record.n_streamed) : "-");
      cells.push_back(record.n_answers ? fmt::format("{} of {}", record.n_answers_right.value_or(0), *record.n_answers)
                                       : "-");
      cells.push_back(format_duration_ns(record.duration_ns));
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

/// The notes below the table: how a backend failed, which rules it broke, and its first wrong position.
std::string notes_of(const std::vector<GoldenCheck>& rows) {
  std::string notes;
  for (const auto& [record, failure] : rows) {
    const std::string name = fmt::format("{} {}", record.backend, record.variant);
    if (failure) {
      notes += fmt::format("{}: {}: {}\n", name, failure->kind, failure->message);
      continue;
    }
    for (const std::string& reason : record.reasons) notes += fmt::format("{}: {}\n", name, reason);
  }
  return notes;
}

Result<void> print_rows(const std::vector<GoldenCheck>& rows, const CheckCommandOptions& options) {
  if (!options.json) {
    SS_TRY_VOID(print_text(render_terminal(table_of(rows))));
    return print_text(notes_of(rows));
  }
  for (const auto& [record, failure] : rows) {
    JournalLine line = record;
    if (failure) {
      line = FailureRecord{.backend = record.backend,
                           .cell = fmt::format("{}/{}/{}", record.bundle, record.backend, record.variant),
                           .kind = failure->kind,
                           .message = failure->message};
    }
    SS_TRY_VOID(print(to_json_line(line) + "\n"));
  }
  return {};
}

ExitStatus status_of(const std::vector<GoldenCheck>& rows, const CheckCommandOptions& options) {
  std::vector<ExitStatus> statuses;
  for (const auto& [record, failure] : rows) {
    if (failure) {
      // By default every backend is tried. One that cannot run a variant counts as failed only if it was requested by
      // name.
      const bool is_fine = failure->kind == FailureKind::kUnsupported && options.backends.empty();
      if (is_fine) continue;
      // The request is at fault and not the backend, for example an option that the backend does not know.
      const bool is_bad_input = failure->kind == FailureKind::kBadInput;
      statuses.push_back(is_bad_input ? ExitStatus::kBadInput : ExitStatus::kBackendFailed);
    } else if (record.verdict == GoldenVerdict::kFailed) {
      statuses.push_back(ExitStatus::kWrongTokens);
    } else if (record.verdict == GoldenVerdict::kUnverified && !options.allow_unverified) {
      statuses.push_back(ExitStatus::kNotComparable);
    }
  }
  return most_serious(statuses);
}

Result<ExitStatus> run_check(CheckCommandOptions options, CommandContext& context) {
  SS_TRY(options.bundle, bundle_path(options.bundle, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(options.bundle, context.progress, context.interrupt));
  SS_TRY_VOID(bundle.check_has_variants(options.variants));
  // A backend must not be blamed for a damaged file.
  SS_TRY([[maybe_unused]] const std::string content, check_content(bundle, context.progress, context.interrupt));
  SS_TRY(const std::vector<GoldenCheck> rows, Check(options, bundle, context).run());
  SS_TRY_VOID(print_rows(rows, options));
  return status_of(rows, options);
}

}  // namespace

CommandNode* add_check_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<CheckCommandOptions>();
  CommandNode* command = app.add_subcommand("check", "Golden prompts only: are the tokens right?");
  command->add_option("bundle", options->bundle, "Bundle folder or zip")->required();
  command->add_option("--backend", options->backends, "Backends; default: all that are available")->delimiter(',');
  command->add_option("--variant", options->variants, "Variants; default: all of the bundle")->delimiter(',');
  command->add_option("--suite", options->suite, "Tag of the prompts: smoke, full, ..., all")->capture_default_str();
  command->add_option("--threads", options->n_threads, "Threads of each backend")->check(Range(0, 4096));
  command->add_option("--step-deadline", options->step_deadline,
                      "Time without progress after which a backend counts as hung (default 120s)");
  command->add_option("--backend-option", options->backend_options,
                      "BACKEND:KEY=VALUE, as the backend's README says: cpu:kv=int8");
  command->add_option("--fault", options->faults, "Plant a fault, as cpu=crash:3 or cpu=garbage:1");
  command->add_flag("--allow-unverified", options->allow_unverified,
                    "A variant without expected outputs does not count as a failure");
  command->add_flag("--json", options->json, "One golden record a line, as in samples.jsonl");
  command->footer(
      "Ends with 0 (all passed), 2 (bad input), 3 (wrong tokens), 4 (a backend failed), 6 (nothing to check against).\n"
      "docs/correctness.md has the rules. Example: secondsource check bundles/default --suite full");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_check(*options, context); }; });
  return command;
}

}  // namespace secondsource
