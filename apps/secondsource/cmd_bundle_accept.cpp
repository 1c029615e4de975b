// secondsource bundle accept BUNDLE: measures what a variant does to the model, and judges it by its limits.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>

#include "bundle/bundle_lock.h"
#include "bundle/bundle_text.h"
#include "bundle/content.h"
#include "bundle/variant.h"
#include "commands.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/json_text.h"
#include "core/number.h"
#include "golden/quality_pass.h"
#include "installed_data.h"
#include "model_flags.h"
#include "report/text_table.h"

namespace secondsource {
namespace {

/// The limits of a variant for which the manifest and the command line state none; those of bundles/recipes/acceptance.py.
constexpr double kMaxKlMean = 0.05;
constexpr double kMinTop1Agreement = 0.95;
/// Tokens of a text that are scored together.
constexpr std::int64_t kTextWindow = 1024;
constexpr std::int64_t kMaxScoredTextBytes = std::int64_t{64} << 20;

struct AcceptCommandOptions {
  ModelFlags model;
  std::vector<std::string> variants;
  std::string suite = "full";
  std::string text;
  std::vector<std::string> limits;
  bool writes = false;
  bool json = false;
};

/// A figure of Quality with its limit, by the name that both have in the manifest.
struct LimitName {
  std::string_view name;
  std::optional<double> QualityLimits::*limit;
  double max;
};
constexpr LimitName kLimitNames[] = {
    {"kl_mean", &QualityLimits::kl_mean, 1e9},
    {"top1_agreement", &QualityLimits::top1_agreement, 1.0},
    {"perplexity_ratio", &QualityLimits::perplexity_ratio, 1e9},
    {"lookup_accuracy", &QualityLimits::lookup_accuracy, 1.0},
    {"invented_answers", &QualityLimits::invented_answers, 1.0},
};

/// Sets one limit from "kl_mean=0.02".
Result<void> set_limit(const std::string& text, QualityLimits& limits) {
  const auto split = text.find('=');
  const std::string_view name = std::string_view(text).substr(0, split);
  const auto* const known = std::ranges::find(kLimitNames, name, &LimitName::name);
  const auto value = split == std::string::npos ? std::nullopt : parse_number<double>(text.substr(split + 1));
  if (known == std::end(kLimitNames) || !value || !(*value >= 0.0 && *value <= known->max)) {
    std::vector<std::string_view> names;
    for (const LimitName& one : kLimitNames) names.push_back(one.name);
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--limit {}: expected NAME=NUMBER with one of the names {}; shares are from 0 to 1", text,
                             fmt::join(names, ", "))};
  }
  limits.*(known->limit) = *value;
  return {};
}

/// One variant as it was measured here.
struct MeasuredVariant {
  std::string name;
  QualityResult result;
  const ManifestVariant* listed = nullptr;  ///< in the manifest; nullptr: it is not there

  [[nodiscard]] bool is_base() const { return name == kQualityBase; }
  [[nodiscard]] std::string outside() const { return result.quality.outside_limits(); }
  /// A variant without expected outputs of its own is opportunistic: nothing proves a backend's tokens right in it.
  [[nodiscard]] Tier tier() const {
    const bool can_be_proven = listed != nullptr && listed->expected.has_value();
    return can_be_proven ? tier_with_quality(name, result.quality) : Tier::kOpportunistic;
  }
};

class Acceptance {
 public:
  Acceptance(const AcceptCommandOptions& options, const Bundle& bundle, const BundleText& text, CommandContext& context)
      : options_(options), bundle_(bundle), text_(text), context_(context) {}

  /// Measures bf16 and then every variant. The result is empty when the backend computes bf16 itself wrongly, because
  /// nothing could be judged by it then; the reasons are in `faults`.
  Result<std::vector<MeasuredVariant>> run(std::vector<std::string>& faults) {
    SS_TRY_VOID(check_flags());
    SS_TRY(const GoldenInputs inputs, load_golden_inputs(bundle_, text_, options_.suite, kQualityBase));
    if (!inputs.unverified.empty()) {
      faults = {inputs.unverified + "; every variant is compared with its outputs"};
      return std::vector<MeasuredVariant>();
    }
    SS_TRY_VOID(read_text());
    std::vector<MeasuredVariant> measured;
    for (const std::string& name : names()) {
      SS_TRY_VOID(context_.interrupt.check());
      auto variant = measure(name, inputs, faults);
      if (!variant && variant.error().code == ErrorCode::kUnsupported && options_.variants.empty()) {
        context_.progress.note(fmt::format("{}: left out: {}", name, variant.error().message));
        continue;
      }
      if (!variant && variant.error().code == ErrorCode::kInterrupted) return variant.error();
      if (!variant) return variant.error().with_context(name);
      if (!faults.empty()) return std::vector<MeasuredVariant>();
      measured.push_back(std::move(*variant));
    }
    return measured;
  }

 private:
  Result<void> check_flags() const {
    QualityLimits ignored;
    for (const std::string& text : options_.limits) SS_TRY_VOID(set_limit(text, ignored));
    for (const std::string& name : options_.variants) SS_TRY_VOID(variant_from_name(name));
    return {};
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names = {std::string(kQualityBase)};
    for (const std::string& name : options_.variants.empty() ? bundle_.variants() : options_.variants) {
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
    return names;
  }

  Result<void> read_text() {
    if (options_.text.empty()) return {};
    if (text_.tokenizer() == nullptr) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--text {}: expected a bundle with a tokenizer, found none", options_.text)};
    }
    SS_TRY(const std::string text, read_file(options_.text, kMaxScoredTextBytes));
    SS_TRY(text_ids_, text_.encode(text));
    return {};
  }

  Result<MeasuredVariant> measure(const std::string& name, const GoldenInputs& inputs,
                                  std::vector<std::string>& faults) {
    ModelFlags flags = options_.model;
    flags.variant = name;
    EngineOptions engine_options = golden_engine_options(inputs);
    const std::int64_t window = std::min(kTextWindow, bundle_.config().max_seq_len);
    if (!text_ids_.empty()) engine_options.max_context = std::max(engine_options.max_context, window);
    SS_TRY(auto session, open_session(bundle_, flags, engine_options, context_));
    const GoldenPassOptions pass{.interrupt = &context_.interrupt};
    if (name == kQualityBase) {
      SS_TRY(const GoldenResult golden, run_golden_pass(*session, inputs, pass, context_.progress));
      if (golden.record.verdict != GoldenVerdict::kPassed) {
        faults = golden.record.reasons;
        faults.insert(faults.begin(), fmt::format("{} computes {} wrongly, so it cannot judge other variants",
                                                  golden.record.backend, kQualityBase));
        return MeasuredVariant{};
      }
    }
    MeasuredVariant measured{.name = name, .result = {}, .listed = bundle_.manifest()->find_variant(name)};
    SS_TRY(measured.result, run_quality_pass(*session, inputs, pass, context_.progress));
    if (!text_ids_.empty()) {
      SS_TRY(const double nll,
             mean_nll_of_text(session->engine(), text_ids_, window, context_.progress, context_.interrupt));
      if (name == kQualityBase) base_nll_ = nll;
      measured.result.quality.perplexity = std::exp(nll);
      measured.result.quality.perplexity_ratio = std::exp(nll - base_nll_);
    }
    SS_TRY(measured.result.quality.limits, limits_of(measured));
    return measured;
  }

  [[nodiscard]] Result<QualityLimits> limits_of(const MeasuredVariant& variant) const {
    if (variant.is_base()) return QualityLimits{};
    QualityLimits limits{.kl_mean = kMaxKlMean, .top1_agreement = kMinTop1Agreement};
    if (variant.listed != nullptr && variant.listed->quality) {
      const QualityLimits& stated = variant.listed->quality->limits;
      for (const LimitName& one : kLimitNames) {
        if (stated.*(one.limit)) limits.*(one.limit) = stated.*(one.limit);
      }
    }
    for (const std::string& text : options_.limits) SS_TRY_VOID(set_limit(text, limits));
    return limits;
  }

  const AcceptCommandOptions& options_;
  const Bundle& bundle_;
  const BundleText& text_;
  CommandContext& context_;
  std::vector<std::int32_t> text_ids_;
  double base_nll_ = 0.0;  ///< of the text in kQualityBase
};

/// Four digits, for people who read the manifest.
double rounded(double value) {
  return parse_number<double>(fmt::format("{:.4g}", value)).value_or(value);
}

std::string share(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f} %", 100.0 * *value) : "-";
}

/// A row of the table: the figures of one source.
std::vector<std::string> row_of(const std::string& variant, const std::string& source, const Quality& quality,
                                const std::set<std::int64_t>& lengths) {
  const auto number = [](const std::optional<double>& value, auto format) {
    return value ? fmt::format(fmt::runtime(format), *value) : std::string("-");
  };
  std::vector<std::string> row = {variant,
                                  source,
                                  number(quality.kl_mean, "{:.3g}"),
                                  number(quality.top1_agreement, "{:.4f}"),
                                  number(quality.perplexity, "{:.2f}"),
                                  number(quality.perplexity_ratio, "{:.4f}")};
  for (const std::int64_t length : lengths) {
    const auto found = quality.lookup_accuracy.find(length);
    row.push_back(share(found == quality.lookup_accuracy.end() ? std::nullopt : std::optional(found->second)));
  }
  row.push_back(share(quality.invented_answers));
  return row;
}

std::string table_text(const std::vector<MeasuredVariant>& measured) {
  std::set<std::int64_t> lengths;
  for (const MeasuredVariant& one : measured) {
    for (const auto& [length, ignored] : one.result.quality.lookup_accuracy) lengths.insert(length);
  }
  TextTable table{.columns = {"variant", "measured by", "KL mean", "top-1 agreement", "perplexity", "of bf16's"},
                  .right_aligned = {false, false, true, true, true, true},
                  .rows = {}};
  for (const std::int64_t length : lengths) table.columns.push_back(fmt::format("right to {}", length));
  table.columns.insert(table.columns.end(), {"invented", "verdict", "tier"});
  table.right_aligned.resize(table.columns.size() - 2, true);
  table.right_aligned.resize(table.columns.size(), false);
  for (const MeasuredVariant& one : measured) {
    std::vector<std::string> row = row_of(one.name, "here", one.result.quality, lengths);
    row.emplace_back(one.is_base() ? "-" : one.outside().empty() ? "accepted" : "NOT ACCEPTED");
    row.emplace_back(one.is_base() ? "-" : to_string(one.tier()));
    table.rows.push_back(std::move(row));
    if (one.listed == nullptr || !one.listed->quality) continue;
    row = row_of("", "manifest", *one.listed->quality, lengths);
    row.resize(table.columns.size());
    table.rows.push_back(std::move(row));
  }
  return render_terminal(table);
}

std::string notes_of(const std::vector<MeasuredVariant>& measured, const AcceptCommandOptions& options) {
  const QualityResult& base = measured.front().result;
  std::string notes = fmt::format("{}, {} along the reference's answers in {}; {}, {} unanswerable\n",
                                  counted(base.n_prompts, "prompt"), counted(base.n_positions, "token"), kQualityBase,
                                  counted(base.n_lookups, "lookup"), base.n_unanswerable);
  notes += options.text.empty() ? "perplexity: of bf16's answers\n"
                                : fmt::format("perplexity: of {}; the manifest's is of another text\n", options.text);
  for (const std::string& reason : base.skipped) notes += reason + "\n";
  for (const MeasuredVariant& one : measured) {
    if (const std::string outside = one.outside(); !outside.empty()) {
      notes += fmt::format("{}: not accepted: {}\n", one.name, outside);
    } else if (!one.is_base() && one.tier() == Tier::kOpportunistic) {
      notes += fmt::format("{}: opportunistic: {}\n", one.name,
                           rounds_to_int4(one.name) ? "int4 always is" : "it has no expected outputs of its own");
    }
  }
  return notes;
}

nlohmann::json quality_json(const Quality& quality) {
  nlohmann::json json = nlohmann::json::object();
  const auto add = [](nlohmann::json& object, const char* name, const std::optional<double>& value) {
    if (value) object[name] = *value;
  };
  add(json, "kl_mean", quality.kl_mean);
  add(json, "top1_agreement", quality.top1_agreement);
  add(json, "perplexity", quality.perplexity);
  add(json, "perplexity_ratio", quality.perplexity_ratio);
  for (const auto& [length, value] : quality.lookup_accuracy) json["lookup_accuracy"][std::to_string(length)] = value;
  add(json, "invented_answers", quality.invented_answers);
  for (const LimitName& one : kLimitNames) {
    if (quality.limits.*(one.limit)) json["limits"][std::string(one.name)] = *(quality.limits.*(one.limit));
  }
  return json;
}

std::string json_lines(const std::vector<MeasuredVariant>& measured, const std::string& bundle,
                       const std::string& suite) {
  std::string text;
  for (const MeasuredVariant& one : measured) {
    nlohmann::json line = {{"bundle", bundle},
                           {"variant", one.name},
                           {"suite", suite},
                           {"n_prompts", one.result.n_prompts},
                           {"n_positions", one.result.n_positions},
                           {"n_lookups", one.result.n_lookups},
                           {"n_unanswerable", one.result.n_unanswerable},
                           {"quality", quality_json(one.result.quality)},
                           {"outside_limits", one.outside()}};
    if (!one.is_base()) line["tier"] = to_string(one.tier());
    text += to_json_text(line) + "\n";
  }
  return text;
}

/// The manifest with the limits and the tier of every variant, and its figures where the manifest has none yet.
Manifest with_quality(Manifest manifest, const std::vector<MeasuredVariant>& measured) {
  for (const MeasuredVariant& one : measured) {
    if (one.is_base()) continue;
    auto found = std::ranges::find(manifest.variants, one.name, &ManifestVariant::name);
    if (found == manifest.variants.end()) {
      manifest.variants.push_back({.name = one.name});
      found = std::prev(manifest.variants.end());
    }
    const QualityLimits limits = one.result.quality.limits;
    const bool is_measured = found->quality && found->quality->kl_mean;
    if (!is_measured) {
      Quality quality = one.result.quality;
      for (auto* figure : {&quality.kl_mean, &quality.top1_agreement, &quality.perplexity, &quality.perplexity_ratio,
                           &quality.invented_answers}) {
        if (*figure) *figure = rounded(**figure);
      }
      for (auto& [length, value] : quality.lookup_accuracy) value = rounded(value);
      found->quality = std::move(quality);
    }
    found->quality->limits = limits;
    // Figures that the manifest already has are kept and decide the tier, since they come from the reference.
    found->tier = found->expected ? tier_with_quality(one.name, *found->quality) : Tier::kOpportunistic;
  }
  return manifest;
}

/// Says, as a phrase, what changed between the two manifests of that which was measured; empty if nothing did.
std::string change_of_measured(const Manifest& before, const Manifest& now,
                               const std::vector<MeasuredVariant>& measured) {
  if (now.files != before.files) return "its files are not those that were measured";
  if (now.chat_template != before.chat_template || now.chat_date != before.chat_date) {
    return "its chat template is not the one with which it was measured";
  }
  const auto limits_in = [](const Manifest& manifest, const std::string& name) {
    const ManifestVariant* variant = manifest.find_variant(name);
    return variant != nullptr && variant->quality ? variant->quality->limits : QualityLimits{};
  };
  for (const MeasuredVariant& one : measured) {
    const QualityLimits limits = limits_in(now, one.name);
    if (one.is_base() || limits == limits_in(before, one.name) || limits == one.result.quality.limits) continue;
    return fmt::format("the limits of {} are others now", one.name);
  }
  return "";
}

/// Writes the measured variants into the manifest as it is now, so that what another process wrote meanwhile stays.
Result<void> write_measured(const std::filesystem::path& folder, const Manifest& before,
                            const std::vector<MeasuredVariant>& measured, CommandContext& context) {
  SS_TRY(const FileDescriptor lock, lock_bundle(folder, context.progress, context.interrupt));
  SS_TRY(const Manifest now, read_manifest_file(folder));
  if (const std::string change = change_of_measured(before, now, measured); !change.empty()) {
    return Error{ErrorCode::kNotComparable,
                 fmt::format("{}: another process changed the bundle meanwhile: {}; nothing was written: give the "
                             "command again",
                             folder.string(), change)};
  }
  return write_manifest_file(with_quality(now, measured), folder);
}

Result<ExitStatus> run_accept(AcceptCommandOptions options, CommandContext& context) {
  SS_TRY(options.model.bundle, bundle_path(options.model.bundle, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(options.model.bundle, context.progress, context.interrupt));
  const std::filesystem::path folder = options.model.bundle;
  std::error_code error;
  if (bundle.manifest() == nullptr || (options.writes && !std::filesystem::is_directory(folder, error))) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected {}; found none", options.model.bundle,
                             options.writes ? "the folder of a bundle, whose manifest.yaml --write changes"
                                            : "a bundle with manifest.yaml")};
  }
  SS_TRY([[maybe_unused]] const std::string content, check_content(bundle, context.progress, context.interrupt));
  SS_TRY(const BundleText text, BundleText::load(bundle));
  std::vector<std::string> faults;
  SS_TRY(const std::vector<MeasuredVariant> measured, Acceptance(options, bundle, text, context).run(faults));
  if (measured.empty()) {
    for (const std::string& fault : faults) context.progress.note(fault);
    return faults.size() == 1 ? ExitStatus::kNotComparable : ExitStatus::kWrongTokens;
  }
  SS_TRY_VOID(options.json ? print(json_lines(measured, bundle.name(), options.suite))
                           : print_text(table_text(measured) + notes_of(measured, options)));
  if (options.writes) {
    SS_TRY_VOID(write_measured(folder, *bundle.manifest(), measured, context));
    context.progress.note(fmt::format("{}: limits and tiers were written", (folder / kManifestFile).string()));
  }
  const bool all_accepted =
      std::ranges::all_of(measured, [](const MeasuredVariant& one) { return one.outside().empty(); });
  return all_accepted ? ExitStatus::kOk : ExitStatus::kRegressed;
}

}  // namespace

CommandNode* add_bundle_accept_command(CommandNode& bundle, CommandAction& action) {
  auto options = std::make_shared<AcceptCommandOptions>();
  CommandNode* command =
      bundle.add_subcommand("accept", "Is a variant good enough? Its quality beside bf16's, and a verdict by limits");
  add_backend_flags(*command, options->model);
  command->add_option("--variant", options->variants, "Variants to be judged; default: all of the bundle")
      ->delimiter(',');
  command->add_option("--suite", options->suite, "Tag of the prompts: smoke, full, ..., all")->capture_default_str();
  command->add_option("--text", options->text, "A text of yours, over which perplexity is measured");
  command
      ->add_option("--limit", options->limits,
                   "NAME=NUMBER: kl_mean, top1_agreement, perplexity_ratio, lookup_accuracy, invented_answers; "
                   "default: the manifest's, else kl_mean=0.05 and top1_agreement=0.95")
      ->delimiter(',');
  command->add_flag("--write", options->writes,
                    "Write limits and tier into the manifest, and the figures where it has none");
  command->add_flag("--json", options->json, "One JSON object a variant and line");
  command->footer(
      "Every variant follows the reference's answers in bf16, so that it needs no expected outputs of its own.\n"
      "Ends with 0 (all accepted), 1 (a variant is outside its limits), 3 (the backend computes bf16 wrongly),\n"
      "6 (the bundle has no expected outputs of bf16, or another process changed it meanwhile).\n"
      "docs/correctness.md defines the figures.\n"
      "Example: secondsource bundle accept bundles/default --variant int8,int4 --limit perplexity_ratio=1.02");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_accept(*options, context); }; });
  return command;
}

}  // namespace secondsource
