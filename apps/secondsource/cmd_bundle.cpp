// secondsource bundle create|pull|info|synth|verify|outputs|attach: creates and inspects bundles.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>

#include "bundle/bundle.h"
#include "bundle/bundle_text.h"
#include "bundle/create.h"
#include "bundle/named_shape.h"
#include "bundle/outputs.h"
#include "bundle/prompt_suite.h"
#include "bundle/synth.h"
#include "bundle/verify.h"
#include "commands.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/units.h"
#include "engine/activation_maxima.h"
#include "hub/pull.h"
#include "installed_data.h"
#include "model_flags.h"

namespace secondsource {
namespace {

struct SynthCommandOptions {
  std::string like;
  std::string config;
  std::string out;
  std::string name;
  std::uint64_t seed = 1;
  bool list = false;
};

Result<ExitStatus> run_synth(const SynthCommandOptions& options, CommandContext& context) {
  if (options.list) {
    SS_TRY_VOID(print_text(fmt::format("{}\n", fmt::join(named_shapes(), "\n"))));
    return ExitStatus::kOk;
  }
  if (options.like.empty() == options.config.empty() || options.out.empty()) {
    return Error{ErrorCode::kInvalidInput, "bundle synth: expected --out, and one of --like and --config"};
  }
  SynthOptions synth{.name = options.name, .source = options.config, .config_json = "", .seed = options.seed};
  if (!options.like.empty()) {
    const Result<NamedShape> found = find_named_shape(options.like);
    if (!found) return found.error().with_context("--like");
    const NamedShape& shape = *found;
    synth.source = fmt::format("{} ({})", shape.name, shape.source);
    synth.config_json = shape.config_json;
    if (synth.name.empty()) synth.name = shape.name;
  } else {
    SS_TRY(synth.config_json, read_file(options.config, 1 << 20));
    if (synth.name.empty()) synth.name = "synth";
  }
  SS_TRY_VOID(synthesize_bundle(synth, options.out, context.progress, context.interrupt));
  context.progress.note(
      fmt::format("{}: written. It is unverified, because random weights have no expected outputs", options.out));
  return ExitStatus::kOk;
}

void add_synth_command(CommandNode& bundle, CommandAction& action) {
  auto options = std::make_shared<SynthCommandOptions>();
  CommandNode* command = bundle.add_subcommand("synth", "Write a bundle with random weights in the shape of a model");
  Flag* list = command->add_flag("--list", options->list, "Print the named shapes");
  command->add_option("--like", options->like, "A named shape (--list)")->excludes(list);
  command->add_option("--config", options->config, "A config.json as Hugging Face writes it")->excludes(list);
  command->add_option("--out", options->out, "The folder to write; it must be new or empty")->excludes(list);
  command->add_option("--name", options->name, "The bundle's name; default: the shape's")->excludes(list);
  command->add_option("--seed", options->seed, "Seed of the weights and the prompts")
      ->excludes(list)
      ->capture_default_str();
  command->footer("Example: secondsource bundle synth --like demo-50m --out /tmp/demo-50m");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_synth(*options, context); }; });
}

/// The flags that describe a new bundle, wherever its model comes from.
struct NewBundleFlags {
  std::string out;
  std::string name;
  std::string license;
  std::string prompts;
  std::string chat_template;
  std::string chat_date;
  bool dequantizes = false;

  void add_to(CommandNode& command, const std::string& default_name, const std::string& default_license);
  [[nodiscard]] CreateOptions to_options() const;
};

void NewBundleFlags::add_to(CommandNode& command, const std::string& default_name, const std::string& default_license) {
  command.add_option("--out", out, "The folder to write; it must be new or empty")->required();
  command.add_option("--prompts", prompts, "A folder of golden prompt suites to copy in");
  command.add_option("--chat-template", chat_template,
                     "The chat template: a name such as chatml, a Jinja file, or none; default: the model's own");
  command.add_option("--chat-date", chat_date,
                     "What the template takes for today, so that ids stay the same; default: 2024-07-26");
  command.add_option("--name", name, "The bundle's name; default: " + default_name);
  command.add_option("--license", license, "Licence of the weights; default: " + default_license);
  command.add_flag("--dequantize", dequantizes, "Store the values of quantized weights, not their codes");
}

CreateOptions NewBundleFlags::to_options() const {
  CreateOptions options;
  options.name = name;
  if (!license.empty()) options.license = license;
  if (!prompts.empty()) options.prompts = prompts;
  if (!chat_template.empty()) options.chat_template = chat_template;
  if (!chat_date.empty()) options.chat_date = chat_date;
  if (dequantizes) options.quantized_weights = QuantizedWeights::kAsValues;
  return options;
}

/// Makes the bundle and says what to do next.
Result<ExitStatus> create_and_report(const CreateOptions& options, const std::string& out, CommandContext& context) {
  SS_TRY_VOID(create_bundle(options, out, context.progress, context.interrupt));
  const std::string expect = "bundles/recipes/expect.py --model " + out;
  context.progress.note(
      options.prompts
          ? fmt::format("{}: written. It is unverified until its expected outputs are computed: {}", out, expect)
          : fmt::format("{}: written. It has no golden prompts, and is unverified until there are some, with expected "
                        "outputs: {} --prompts SUITES, a folder of suites as in prompts/README.md",
                        out, expect));
  return ExitStatus::kOk;
}

constexpr double kUsualSmoothing = 0.5;

struct CreateCommandOptions {
  NewBundleFlags bundle;
  std::string from;
  std::string gguf;
  std::string url;
  std::string smooth_text;
  std::optional<double> smooth_alpha = {};
  std::int64_t smooth_tokens = std::int64_t{64} << 10;
};

/// Runs the model over the text, in the type in which its weights are stored, on the backend that choose_backend()
/// picks.
Result<SmoothingPlan> calibrate(const CreateCommandOptions& options, CommandContext& context) {
  constexpr std::int64_t kMostTextBytes = std::int64_t{64} << 20;
  constexpr std::int64_t kWindow = 512;
  SS_TRY(const Bundle model, Bundle::open_model_folder(options.from));
  SS_TRY_VOID(check_can_be_smoothed(model.config(), model.tensors()));
  SS_TRY(const std::string text, read_file(options.smooth_text, kMostTextBytes));
  SS_TRY(const BundleText encoder, BundleText::load(model));
  SS_TRY(std::vector<std::int32_t> ids, encoder.encode(text));
  ids.resize(std::min(ids.size(), static_cast<std::size_t>(options.smooth_tokens)));
  EngineOptions engine;
  engine.scheduler.max_seqs = 1;
  engine.max_context = kWindow;
  engine.observe_all = true;
  SS_TRY(const auto session, open_session(model, ModelFlags{}, engine, context));
  SmoothingPlan plan{.record = {.alpha = options.smooth_alpha.value_or(kUsualSmoothing),
                                .text_sha256 = sha256_hex(text),
                                .n_tokens = static_cast<std::int64_t>(ids.size())},
                     .maxima = {}};
  const std::int64_t window = std::min(kWindow, model.config().max_seq_len);
  auto maxima =
      measure_activation_maxima(session->engine(), model.config(), ids, window, context.progress, context.interrupt);
  if (!maxima) return maxima.error().with_context(options.smooth_text);
  plan.maxima = *std::move(maxima);
  return plan;
}

Result<ExitStatus> run_create(const CreateCommandOptions& options, CommandContext& context) {
  if (options.from.empty() == options.gguf.empty()) {
    return Error{ErrorCode::kInvalidInput, "bundle create: expected one of --from-hf and --from-gguf"};
  }
  CreateOptions create = options.bundle.to_options();
  create.model_folder = options.from;
  create.gguf_file = options.gguf;
  create.source_url = options.url;
  SS_TRY_VOID(check_create_options(create));
  if (options.smooth_text.empty() && options.smooth_alpha) {
    return Error{ErrorCode::kInvalidInput, "bundle create: --smooth-alpha: expected --smooth-text with it"};
  }
  if (!options.smooth_text.empty()) {
    if (options.from.empty()) {
      return Error{ErrorCode::kUnsupported,
                   "--smooth-text reads a folder (--from-hf); make a bundle of the GGUF file first, and smooth that"};
    }
    SS_TRY(create.smoothing, calibrate(options, context));
  }
  return create_and_report(create, options.bundle.out, context);
}

void add_create_command(CommandNode& bundle, CommandAction& action) {
  auto options = std::make_shared<CreateCommandOptions>();
  CommandNode* command = bundle.add_subcommand("create", "Make a bundle from a Hugging Face folder or a GGUF file");
  command->add_option("--from-hf", options->from,
                      "The model's folder; quantized weights keep their codes or are dequantized exactly");
  command->add_option("--from-gguf", options->gguf, "A GGUF file, or the first part of a split one; likewise");
  options->bundle.add_to(*command, "the folder's or the file's", "unknown");
  command->add_option("--url", options->url, "Where the weights come from");
  command->add_option("--smooth-text", options->smooth_text,
                      "A text by whose activations the weights are smoothed (SmoothQuant) for variants with w8a8");
  command
      ->add_option("--smooth-alpha", options->smooth_alpha,
                   "How much moves from activations into weights (default: 0.5)")
      ->check(Range(0.01, 0.99));
  command->add_option("--smooth-tokens", options->smooth_tokens, "At most so many tokens of the text")
      ->check(Range(1, 1 << 24))
      ->capture_default_str();
  command->footer(
      "Example: secondsource bundle create --from-hf SmolLM2-135M --prompts prompts --out smollm2\n"
      "Example: secondsource bundle create --from-hf smollm2 --smooth-text calibration.txt --out smollm2-smooth");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_create(*options, context); }; });
}

struct PullCommandOptions {
  NewBundleFlags bundle;
  std::string model;
  std::string endpoint;
  std::int32_t n_retries = 5;
};

Result<ExitStatus> run_pull(const PullCommandOptions& options, CommandContext& context) {
  SS_TRY(const HubModelName model, parse_hub_model_name(options.model));
  SS_TRY(HubSettings settings, hub_settings_from_environment(options.endpoint));
  settings.n_retries = options.n_retries;
  CreateOptions create = options.bundle.to_options();
  SS_TRY_VOID(check_create_options(create));
  const std::string& out = options.bundle.out;
  SS_TRY(const PulledModel pulled, pull_model(model, std::move(settings), out, context.progress, context.interrupt));
  create.gguf_file = pulled.gguf_file;
  if (create.gguf_file.empty()) {
    create.model_folder = pulled.folder.files();
    if (create.name.empty()) create.name = model.name();
  }
  if (options.bundle.license.empty() && !pulled.license.empty()) create.license = pulled.license;
  create.source_description = pulled.description;
  create.source_url = pulled.url;
  create.takes_files = true;
  SS_TRY(const ExitStatus status, create_and_report(create, out, context));
  SS_TRY_VOID(pulled.folder.remove());
  return status;
}

void add_pull_command(CommandNode& bundle, CommandAction& action) {
  auto options = std::make_shared<PullCommandOptions>();
  CommandNode* command = bundle.add_subcommand("pull", "Make a bundle from a model on a hub");
  command->add_option("model", options->model, "hf:ORG/NAME[@REVISION], or hf:ORG/NAME/FILE.gguf[@REVISION]")
      ->required();
  options->bundle.add_to(*command, "the model's", "what the model's card says, or unknown");
  command->add_option("--endpoint", options->endpoint,
                      "The address of a mirror; default: HF_ENDPOINT, or the public hub");
  command
      ->add_option("--retries", options->n_retries,
                   "How often in a row an attempt that brings no byte may fail before the pull ends")
      ->check(Range(0, 1000))
      ->capture_default_str();
  command->footer(
      "Pulls the configuration, tokenizer, chat templates and safetensors, or the GGUF file, and nothing that "
      "can run code (no pickles). Every file is checked by the hash that the hub lists for the commit.\n"
      "The files are collected in OUT.pull beside the bundle. An interrupted pull goes on there when the same "
      "command is given again; a complete pull removes that folder.\n"
      "Environment, as huggingface_hub reads it: HF_TOKEN is an access token for private and gated models, which "
      "goes to the hub alone and is neither shown nor stored; HF_ENDPOINT a mirror; HF_HUB_DOWNLOAD_TIMEOUT the "
      "seconds after which a silent connection counts as lost; HF_HUB_OFFLINE=1 forbids pulling. HTTPS_PROXY and "
      "NO_PROXY name a proxy.\n"
      "Example: secondsource bundle pull hf:HuggingFaceTB/SmolLM2-135M --prompts prompts --out smollm2\n"
      "Example: secondsource bundle pull hf:org/model-GGUF/model.Q4_K_M.gguf@v1.0 --out model");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_pull(*options, context); }; });
}

std::string describe(const Bundle& bundle) {
  const ModelConfig& config = bundle.config();
  std::string text =
      fmt::format("{}: {}, {} parameters\n", bundle.name(), to_string(config.architecture), n_parameters(config));
  const std::string heads =
      config.latent.is_present()
          ? fmt::format("{} over latents of {} + {}", counted(config.n_heads, "head"), config.latent.kv_rank,
                        config.rotary_dim)
          : fmt::format("{} query and {} KV heads of {}", config.n_heads, config.n_kv_heads, config.head_dim);
  text += fmt::format("  {}, width {}, {}, FFN {}, vocabulary {}, {} positions{}\n", counted(config.n_layers, "layer"),
                      config.dim, heads, config.ffn_dim, config.vocab_size, config.max_seq_len,
                      config.tied_embeddings ? ", tied embeddings" : "");
  const Manifest* manifest = bundle.manifest();
  if (manifest == nullptr) return text + "  no manifest: a plain model folder, unverified\n";
  text += fmt::format("  content {}\n", bundle.content_hash());
  std::int64_t total_bytes = 0;
  for (const ManifestFile& file : manifest->files) total_bytes += file.size_bytes;
  text += fmt::format("  {}, {}; licence {}; {}\n", counted(manifest->files.size(), "file"), format_bytes(total_bytes),
                      manifest->license, manifest->source_description);
  if (!manifest->source_quantization.empty()) {
    text += fmt::format("  quantized at its source: {}; {}\n", manifest->source_quantization, manifest->what_is_kept());
  }
  if (manifest->smoothing) {
    text += fmt::format("  smoothed by alpha {}, from {} of the text {}\n", manifest->smoothing->alpha,
                        counted(manifest->smoothing->n_tokens, "token"), manifest->smoothing->text_sha256);
  }
  for (const ManifestVariant& variant : manifest->variants) {
    text += fmt::format("  variant {}: {}, {}, {}\n", variant.name, to_string(variant.tier),
                        variant.is_stored ? "stored" : "quantized",
                        variant.expected ? "with expected outputs" : "unverified");
  }
  return text;
}

Result<ExitStatus> run_info(const std::string& path, CommandContext& context) {
  SS_TRY(const std::filesystem::path folder, bundle_path(path, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(folder, context.progress, context.interrupt));
  SS_TRY(const GoldenPrompts prompts, bundle.prompts());
  SS_TRY_VOID(print_text(describe(bundle) + fmt::format("  {}\n", counted(prompts.prompts.size(), "golden prompt"))));
  return ExitStatus::kOk;
}

void add_info_command(CommandNode& bundle, CommandAction& action) {
  auto path = std::make_shared<std::string>();
  CommandNode* command = bundle.add_subcommand("info", "What is in a bundle");
  command->add_option("bundle", *path, "Folder or zip")->required();
  command->footer("Example: secondsource bundle info bundles/default");
  command->callback([path, &action] { action = [path](CommandContext& context) { return run_info(*path, context); }; });
}

/// Encodes the golden prompts with the bundle's own tokenizer and template. A tokenizer that cannot be loaded is
/// reported as an error of the bundle.
Result<EncodedPrompts> encode_golden_prompts(const Bundle& bundle, const GoldenPrompts& prompts) {
  SS_TRY(const BundleText text, BundleText::load(bundle));
  SS_TRY(EncodedSuite encoded, encode_prompts(prompts, "all", text, bundle.config().max_seq_len));
  EncodedPrompts ids;
  for (const SkippedPrompt& prompt : encoded.skipped) ids.emplace(prompt.id, std::nullopt);
  for (EncodedPrompt& prompt : encoded.prompts) ids.emplace(prompt.id, std::move(prompt.ids));
  return ids;
}

Result<ExitStatus> run_verify(const std::string& path, CommandContext& context) {
  SS_TRY(const std::filesystem::path folder, bundle_path(path, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(folder, context.progress, context.interrupt));
  const PromptEncoder encode = [&](const GoldenPrompts& prompts) { return encode_golden_prompts(bundle, prompts); };
  SS_TRY(const std::vector<Finding> findings, verify_bundle(bundle, encode, context.progress, context.interrupt));
  bool has_fault = false;
  std::string text;
  for (const Finding& finding : findings) {
    has_fault = has_fault || finding.severity == Severity::kFault;
    text += fmt::format("{}: {}\n", finding.severity == Severity::kFault ? "fault" : "note", finding.message);
  }
  text += fmt::format("{}: {}\n", bundle.name(), has_fault ? "not whole" : "whole");
  SS_TRY_VOID(print_text(text));
  return has_fault ? ExitStatus::kBadInput : ExitStatus::kOk;
}

void add_bundle_verify_command(CommandNode& bundle, CommandAction& action) {
  auto path = std::make_shared<std::string>();
  CommandNode* command = bundle.add_subcommand("verify", "Check a bundle's bytes and structure");
  command->add_option("bundle", *path, "Folder or zip")->required();
  command->footer("Example: secondsource bundle verify bundles/default");
  command->callback(
      [path, &action] { action = [path](CommandContext& context) { return run_verify(*path, context); }; });
}

Result<ExitStatus> run_outputs(const std::string& path, const std::string& out, CommandContext& context) {
  SS_TRY(const std::filesystem::path folder, bundle_path(path, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(folder, context.progress, context.interrupt));
  SS_TRY_VOID(write_outputs(bundle, out, context.progress, context.interrupt));
  context.progress.note(
      fmt::format("{}: written. `secondsource bundle attach BUNDLE {}` adds these outputs to a bundle of the "
                  "same weights",
                  out, out));
  return ExitStatus::kOk;
}

void add_outputs_command(CommandNode& bundle, CommandAction& action) {
  auto path = std::make_shared<std::string>();
  auto out = std::make_shared<std::string>();
  CommandNode* command =
      bundle.add_subcommand("outputs", "Write a bundle's expected outputs, to be published without weights");
  command->add_option("bundle", *path, "Folder or zip")->required();
  command->add_option("--out", *out, "The folder to write; it must be new or empty")->required();
  command->footer("Example: secondsource bundle outputs bundles/default --out /tmp/default-outputs");
  command->callback([path, out, &action] {
    action = [path, out](CommandContext& context) { return run_outputs(*path, *out, context); };
  });
}

struct AttachCommandOptions {
  std::string bundle;
  std::string outputs;
  bool replaces = false;
};

Result<ExitStatus> run_attach(const AttachCommandOptions& options, CommandContext& context) {
  const AttachOptions attach{.bundle = options.bundle, .outputs = options.outputs, .replaces = options.replaces};
  SS_TRY(const AttachedOutputs attached,
         attach_outputs(attach, encode_golden_prompts, context.progress, context.interrupt));
  SS_TRY_VOID(
      print_text(fmt::format("{}: expected outputs of {} for {}, by {} with torch {} and transformers {}\n",
                             options.bundle, fmt::join(attached.variants, ", "), counted(attached.n_prompts, "prompt"),
                             attached.from.program, attached.from.torch, attached.from.transformers)));
  return ExitStatus::kOk;
}

void add_attach_command(CommandNode& bundle, CommandAction& action) {
  auto options = std::make_shared<AttachCommandOptions>();
  CommandNode* command =
      bundle.add_subcommand("attach", "Add somebody's expected outputs, which belong to the weights' hash");
  command->add_option("bundle", options->bundle, "The bundle's folder, which is changed")->required();
  command->add_option("outputs", options->outputs, "What bundle outputs wrote, a zip of it, or another bundle")
      ->required();
  command->add_flag("--replace", options->replaces,
                    "Also where the bundle has other prompts or outputs, which are dropped");
  command->footer("Example: secondsource bundle attach llama-70b llama-70b-outputs.zip");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_attach(*options, context); }; });
}

}  // namespace

CommandNode* add_bundle_command(CommandNode& app, CommandAction& action) {
  CommandNode* bundle = app.add_subcommand("bundle", "Make and check bundles");
  bundle->require_subcommand();
  add_create_command(*bundle, action);
  add_pull_command(*bundle, action);
  add_info_command(*bundle, action);
  add_synth_command(*bundle, action);
  add_bundle_verify_command(*bundle, action);
  add_outputs_command(*bundle, action);
  add_attach_command(*bundle, action);
  add_bundle_accept_command(*bundle, action);
  bundle->footer("Example: secondsource bundle info bundles/default");
  return bundle;
}

}  // namespace secondsource
