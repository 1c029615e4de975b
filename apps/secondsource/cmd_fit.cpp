// secondsource fit MODEL: says how many devices a model needs, what they have left, and the most that they could do.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "bundle/describe_model.h"
#include "bundle/named_shape.h"
#include "commands.h"
#include "core/folder.h"
#include "core/nearest_word.h"
#include "core/utf8.h"
#include "cost/price_book.h"
#include "fit/memory_fit.h"
#include "installed_data.h"
#include "output.h"
#include "report/fit_document.h"
#include "runner/plan_file.h"

namespace secondsource {
namespace {

struct FitOptions {
  std::string model, hardware_file, memory, prices, out;
  std::vector<std::string> on, variants;
  std::string kv = "bf16", format = "table";
  std::int64_t context = 0, n_sequences = 1, max_devices = 8;
  const Flag* context_flag = nullptr;
  double reserve_percent = 10;
};

/// A built-in shape, or what describe_model() takes.
Result<ModelDescription> model_of(const FitOptions& options, CommandContext& context) {
  SS_TRY(const std::filesystem::path path, bundle_path(options.model, context.program));
  if (path_exists(path)) return describe_model(path, context.progress, context.interrupt);
  Result<NamedShape> shape = find_named_shape(options.model);
  if (!shape) {
    const std::vector<std::string> shapes = named_shapes();
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a bundle, a model folder, a config.json or a GGUF file, or the name of a "
                             "built-in shape ({}); found nothing of this name{}",
                             shown(options.model), fmt::join(shapes, ", "), did_you_mean(options.model, shapes))};
  }
  SS_TRY(ModelConfig config, parse_model_config(shape->config_json, shape->name));
  return ModelDescription{.config = std::move(config)};
}

/// The variants that were asked for; without any, the publisher's own and the usual ones.
std::vector<std::string> variants_of(const FitOptions& options, const PublishedTypes& published) {
  if (!options.variants.empty()) return options.variants;
  std::vector<std::string> variants;
  if (!published.variant.empty()) variants.push_back(published.variant);
  for (const char* const usual : {"bf16", "int8", "int4"}) variants.emplace_back(usual);
  return variants;
}

Result<std::vector<Hardware>> devices_of(const FitOptions& options) {
  SS_TRY(std::vector<Hardware> known,
         options.hardware_file.empty() ? known_hardware() : read_hardware_file(options.hardware_file));
  std::optional<double> memory_bytes;
  if (!options.memory.empty()) {
    const Result<std::int64_t> bytes = parse_bytes(options.memory);
    if (!bytes) return bytes.error().with_context("--memory");
    memory_bytes = static_cast<double>(*bytes);
  }
  std::vector<Hardware> devices;
  for (const std::string& id : options.on) {
    SS_TRY(Hardware device, find_hardware(id, known));
    devices.push_back(std::move(device));
  }
  if (options.on.empty()) {
    // Devices whose memory is not known are left out, unless --memory gives it.
    std::ranges::copy_if(known, std::back_inserter(devices),
                         [&](const Hardware& device) { return memory_bytes || device.memory_bytes; });
  }
  if (memory_bytes) {
    for (Hardware& device : devices) device.memory_bytes = memory_bytes;
  }
  return devices;
}

Result<DType> kv_dtype_of(const std::string& name) {
  if (name == "bf16") return DType::kBf16;
  if (name == "f16") return DType::kF16;
  if (name == "f32") return DType::kF32;
  return DType::kI8;
}

Result<ExitStatus> run_fit(const FitOptions& options, CommandContext& context) {
  SS_TRY(Output output, Output::open(options.out, {options.model, options.hardware_file, options.prices}));
  FitRequest request;
  request.model = options.model;
  SS_TRY(ModelDescription model, model_of(options, context));
  for (const std::string& note : model.notes) context.progress.note(note);
  request.config = std::move(model.config);
  request.published = std::move(model.published);
  SS_TRY(request.devices, devices_of(options));
  request.variants = variants_of(options, request.published);
  constexpr std::int64_t kUsualContext = 8192;
  const bool has_context = options.context_flag->count() > 0;
  request.context = has_context ? options.context : std::min(kUsualContext, request.config.max_seq_len);
  request.n_sequences = options.n_sequences;
  request.max_devices = options.max_devices;
  request.reserved_share = options.reserve_percent / 100;
  SS_TRY(request.plan.kv_dtype, kv_dtype_of(options.kv));
  if (!options.prices.empty()) {
    SS_TRY(request.prices, read_price_book(options.prices));
  }
  SS_TRY(const FitReport report, fit_model(request));
  std::string text;
  if (options.format == "json") {
    text = to_json(report);
  } else if (options.format == "html") {
    text = render_html(fit_document(report));
  } else if (options.format == "markdown") {
    text = render_markdown(fit_document(report));
  } else {
    text = render_terminal(fit_table(report)) + "\n" + terminal_lines(fit_notes(report));
  }
  SS_TRY_VOID(output.write(text));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_fit_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<FitOptions>();
  CommandNode* command =
      app.add_subcommand("fit", "How many devices a model needs, and the most that they could do (projected)");
  command
      ->add_option("model", options->model,
                   "Bundle, model folder, config.json, GGUF file, or a built-in shape such as Llama-3.1-70B")
      ->required();
  command->add_option("--on", options->on, "Devices by id, as h100-sxm,mi300x (default: all whose memory is known)")
      ->delimiter(',');
  command
      ->add_option(
          "--variant", options->variants,
          "Variants, also published ones such as gptq-int4-g128 (default: the model's published one, if any, bf16, int8, int4)")
      ->delimiter(',');
  options->context_flag = command->add_option(
      "--context", options->context, "Tokens of a sequence, prompt and answer (default: 8192, or what the model has)");
  command->add_option("--sequences", options->n_sequences, "Sequences that must fit at once")->capture_default_str();
  command->add_option("--kv", options->kv, "Type of the cache: bf16, f16, f32 or i8")
      ->check(OneOf({"bf16", "f16", "f32", "i8"}))
      ->capture_default_str();
  command->add_option("--max-devices", options->max_devices, "Devices of one server")->capture_default_str();
  command->add_option("--memory", options->memory, "Memory of each device, as 512GiB, instead of the file's");
  command
      ->add_option("--reserve", options->reserve_percent,
                   "Percent of each device's memory for driver, code and fragmentation")
      ->capture_default_str();
  command->add_option("--hardware", options->hardware_file,
                      "File of devices (default: the program's copy of reports/hardware.yaml)");
  command->add_option("--prices", options->prices, "Price book, as reports/prices.yaml: adds costs");
  command->add_option("--format", options->format, "table, markdown, html or json")
      ->check(OneOf({"table", "markdown", "html", "json"}))
      ->capture_default_str();
  command->add_option("--out", options->out, "File (default: stdout)");
  command->footer(
      "Nothing is loaded or measured; docs/fit.md has every formula.\n"
      "Example: secondsource fit Llama-3.1-70B --on h100-sxm,h200,mi300x,mi350x");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_fit(*options, context); }; });
  return command;
}

}  // namespace secondsource
