#include "bundle/synth.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "bundle/bundle_writer.h"
#include "bundle/model_config.h"
#include "bundle/staged_folder.h"
#include "bundle/synth_text.h"
#include "bundle/synth_weights.h"
#include "core/json.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// The configuration, with the byte tokenizer's special ids and the stored type filled in.
Result<std::string> adapted_config(const SynthOptions& options) {
  // The text is checked first, because ordered_json's own parser is less strict.
  SS_TRY_VOID(check_json(options.config_json, options.source, {.max_bytes = 1 << 20}));
  OrderedJson config = OrderedJson::parse(options.config_json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return Error{ErrorCode::kInvalidInput, options.source + ": expected an object"};
  const bool has_part = config.contains("text_config") && config["text_config"].is_object();
  OrderedJson& text = has_part ? config["text_config"] : config;
  text["bos_token_id"] = nullptr;
  text["eos_token_id"] = kByteMessageEnd;
  text["pad_token_id"] = kByteEndOfText;
  config["torch_dtype"] = "bfloat16";
  return config.dump(2) + "\n";
}

Manifest manifest_of(const SynthOptions& options, const ModelConfig& config) {
  Manifest manifest;
  manifest.name = options.name;
  manifest.family = to_string(config.architecture);
  manifest.license = "CC0-1.0";
  manifest.source_description =
      fmt::format("random weights, seed {}, in the shape of {}", options.seed, options.source);
  manifest.chat_template = "chatml";
  for (const std::string_view name :
       {"bf16", "f16", "int8", "int8-w8a8", "int8-g32", "int8-g32-w8a8", "int4", "int4-w8a8", "fp8"}) {
    ManifestVariant variant;
    variant.name = name;
    variant.tier = tier_without_quality(name);
    variant.is_stored = name == "bf16";
    manifest.variants.push_back(std::move(variant));
  }
  return manifest;
}

}  // namespace

Result<void> synthesize_bundle(const SynthOptions& options, const std::filesystem::path& target, Progress& progress,
                               const InterruptFlag& interrupt) {
  if (const Result<void> may_be_name = check_bundle_name(options.name); !may_be_name) {
    return may_be_name.error().with_context("--name");
  }
  SS_TRY(const std::string config_text, adapted_config(options));
  SS_TRY(const ModelConfig config, parse_model_config(config_text, options.source));
  if (config.vocab_size < kByteVocabularyMin) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: vocab_size: expected at least {} for the byte tokenizer, found {}", options.source,
                             kByteVocabularyMin, config.vocab_size)};
  }
  SS_TRY(StagedFolder folder, StagedFolder::create(target));
  BundleWriter writer(folder.path(), progress, interrupt);
  SS_TRY_VOID(writer.add_text("config.json", config_text));
  SS_TRY_VOID(writer.add_text("tokenizer.json", byte_tokenizer_json(config.vocab_size)));
  SS_TRY_VOID(writer.add_text("tokenizer_config.json", byte_tokenizer_config_json(config.max_seq_len)));
  SS_TRY_VOID(writer.add_text("prompts/synthetic.yaml", synthetic_prompts_yaml(options.seed, config.max_seq_len)));
  SS_TRY_VOID(write_synthetic_weights(config, options.seed, writer, progress, interrupt));
  SS_TRY_VOID(writer.finish(manifest_of(options, config)));
  return folder.commit();
}

}  // namespace secondsource
