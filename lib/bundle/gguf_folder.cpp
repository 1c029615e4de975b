#include "bundle/gguf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bundle/gguf_config.h"
#include "bundle/gguf_files.h"
#include "bundle/gguf_tensors.h"
#include "bundle/gguf_tokenizer.h"
#include "bundle/variant.h"
#include "bundle/weight_conversion.h"
#include "core/utf8.h"
#include "tokenizer/gguf_tokenizer_json.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// All ids that end a generation: those that the metadata names, and special tokens with a usual name, as in llama.cpp.
Result<std::vector<std::int64_t>> end_ids_of(const GgufFiles& files, const Tokenizer& tokenizer) {
  std::vector<std::int64_t> ids;
  const auto add = [&](std::int64_t id) {
    const bool is_token = id >= 0 && id < tokenizer.vocab_size();
    if (is_token && std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  };
  for (const std::string_view key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    if (const auto* id = files.header().find<std::int64_t>(fmt::format("tokenizer.ggml.{}", key))) add(*id);
  }
  for (const std::int32_t id : tokenizer.end_ids()) add(id);
  return ids;
}

/// tokenizer_config.json: the texts of the special tokens, and the chat templates.
Result<std::string> tokenizer_config_of(const GgufFiles& files, const GgufVocabulary& vocabulary) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kSpecial = {
      {{"bos_token_id", "bos_token"},
       {"eos_token_id", "eos_token"},
       {"unknown_token_id", "unk_token"},
       {"padding_token_id", "pad_token"}}};
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  OrderedJson json = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  for (const auto& [key, name] : kSpecial) {
    const auto* id = files.header().find<std::int64_t>(fmt::format("tokenizer.ggml.{}", key));
    const bool is_token = id != nullptr && *id >= 0 && *id < static_cast<std::int64_t>(vocabulary.tokens.size());
    if (is_token) json[std::string(name)] = vocabulary.tokens[static_cast<std::size_t>(*id)];
  }
  OrderedJson named = OrderedJson::array();
  const auto* text = files.header().find<std::string_view>(kTemplate);
  if (text != nullptr) named.push_back({{"name", "default"}, {"template", *text}});
  for (const auto& [key, value] : files.header().metadata) {
    if (!key.starts_with(kTemplate) || key.size() <= kTemplate.size() + 1 || key[kTemplate.size()] != '.') continue;
    const auto* other = std::get_if<std::string_view>(&value.value);
    if (other != nullptr) named.push_back({{"name", key.substr(kTemplate.size() + 1)}, {"template", *other}});
  }
  for (const OrderedJson& entry : named) {
    if (find_invalid_utf8(entry["template"].get<std::string>())) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected UTF-8", files.name(), kTemplate)};
    }
  }
  if (named.size() == 1 && text != nullptr) {
    json["chat_template"] = *text;
  } else if (!named.empty()) {
    json["chat_template"] = named;
  }
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

/// "Q4_1 (211 tensors), F32 (61)": the tensor types of the file, the most frequent first; empty if none is a block
/// type.
std::string quantization_of(const GgufFiles& files) {
  std::map<std::string_view, int> counts;
  bool has_blocks = false;
  for (const auto& [name, weight] : files.weights()) {
    ++counts[weight.format->name];
    has_blocks = has_blocks || weight.format->block_values > 1;
  }
  if (!has_blocks) return "";
  std::vector<std::pair<std::string_view, int>> types(counts.begin(), counts.end());
  std::ranges::stable_sort(types, std::ranges::greater{}, &std::pair<std::string_view, int>::second);
  std::string text;
  for (const auto& [type, count] : types) {
    text += fmt::format("{}{} ({}{})", text.empty() ? "" : ", ", type, count, text.empty() ? " tensors" : "");
  }
  return text;
}

/// The published variant of a file whose matrices mostly are of this type; empty for a type that has none.
std::string variant_of_type(const GgufBlockFormat& format) {
  if (!encoding_of_codes(format)) return "";
  if (encoding_of_codes(format) == WeightEncoding::kNvfp4Group16) {
    return published_variant_name(kGgufMethod, WeightEncoding::kNvfp4Group16, kNvfp4GroupSize, ActQuant::kNone);
  }
  std::string type(format.name);
  std::ranges::transform(type, type.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::string(kGgufMethod) + type;
}

/// Keeps codes if the type of most matrices has a published variant: then all matrices of types that have codes are
/// kept as codes. The note names the other quantized types.
PublishedSource published_gguf(const std::vector<GgufTensorPlan>& plans, const ModelConfig& config) {
  std::map<const GgufBlockFormat*, std::int64_t> values;
  PublishedSource source;
  std::string others;
  for (const GgufTensorPlan& plan : plans) {
    source.forms.push_back(published_form_of(plan));
    const GgufBlockFormat& format = *plan.rows.front().weight->format;
    if (plan.spec.role == TensorRole::kMatmul) {
      const bool is_by_values = encoding_of_codes(format) && !source.forms.back();
      values[is_by_values ? nullptr : &format] += plan.spec.shape.n_elements().value_or(0);
    }
    const bool is_other = !source.forms.back() && format.block_values > 1;
    if (is_other && others.find(format.name) == std::string::npos) {
      others += fmt::format("{}{}", others.empty() ? "" : ", ", format.name);
    }
  }
  const auto most = std::ranges::max_element(values, {}, [](const auto& entry) { return entry.second; });
  source.variant = most == values.end() || most->first == nullptr ? "" : variant_of_type(*most->first);
  if (!source.variant.empty()) {
    for (const GgufTensorPlan& plan : plans) source.global_scales.push_back(plan.rows.front().global_scale);
    source.read_rows = [&plans, &config](std::size_t tensor, const CodedRowUser& use) {
      return for_each_gguf_coded_row(plans[tensor], config, use);
    };
    if (!others.empty()) {
      source.note = fmt::format("{} has the values of tensors in {}, whose codes are not kept", source.variant, others);
    }
    return source;
  }
  if (others.empty()) return {};
  return {.note = fmt::format("no variant keeps these weights as they are stored: codes of {} are not kept", others)};
}

/// The name with the characters that a manifest refuses replaced.
std::string as_word(std::string_view name) {
  std::string word;
  for (const char c : name.substr(0, 100)) {
    const bool is_plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    word.push_back(is_plain ? c : '-');
  }
  if (word.empty() || word.front() == '.' || word.front() == '-') word = "gguf" + word;
  return word.substr(0, 100);
}

/// Writes the files of the tokenizer and returns the ids that end a generation; none for a file without a tokenizer.
Result<std::vector<std::int64_t>> write_tokenizer(const GgufFiles& files, BundleWriter& writer) {
  const auto* model = files.header().find<std::string_view>("tokenizer.ggml.model");
  if (model != nullptr && (*model == "no_vocab" || *model == "none")) return std::vector<std::int64_t>();
  const Result<GgufVocabulary> vocabulary = gguf_vocabulary_of(files.header());
  if (!vocabulary) return vocabulary.error().with_context(files.name());
  SS_TRY(const Tokenizer tokenizer, tokenizer_from_gguf(*vocabulary, files.name()));
  SS_TRY(const std::string json, gguf_tokenizer_json(*vocabulary, files.name()));
  SS_TRY(const std::string config, tokenizer_config_of(files, *vocabulary));
  SS_TRY(std::vector<std::int64_t> end_ids, end_ids_of(files, tokenizer));
  SS_TRY_VOID(writer.add_text("tokenizer.json", json));
  SS_TRY_VOID(writer.add_text("tokenizer_config.json", config));
  if (!end_ids.empty()) {
    const OrderedJson generation = {{"eos_token_id", end_ids}};
    SS_TRY_VOID(writer.add_text("generation_config.json", generation.dump(2) + "\n"));
  }
  return end_ids;
}

/// The type in which a bundle stores the values of such a tensor; for blocks it is FP32 unless a smaller type holds all
/// of them exactly.
DType type_of_values(const GgufBlockFormat& format) {
  return format.name == "F16" ? DType::kF16 : format.name == "BF16" ? DType::kBf16 : DType::kF32;
}

/// An opened file with its configuration and the plans for its tensors.
struct GgufModel {
  GgufFiles files;
  const GgufArchitecture* architecture = nullptr;
  ModelConfig config = {};
  std::vector<GgufTensorPlan> plans = {};  ///< point into `files`

  static Result<GgufModel> open(const std::filesystem::path& file) {
    SS_TRY(GgufFiles files, GgufFiles::open(file));
    GgufModel model{.files = std::move(files)};
    SS_TRY(model.architecture, gguf_architecture(model.files));
    // The stored type of the values is not known yet, and nothing that is checked here depends on it.
    SS_TRY(const std::string draft,
           gguf_model_config(model.files, *model.architecture, {.eos_ids = {}, .stored_type = "float32"}));
    SS_TRY(model.config, parse_model_config(draft, fmt::format("{}: as config.json", model.files.name())));
    SS_TRY(model.plans, plan_gguf_tensors(model.files, *model.architecture, model.config));
    return model;
  }
  [[nodiscard]] std::vector<TensorSpec> specs() const {
    std::vector<TensorSpec> specs;
    for (const GgufTensorPlan& plan : plans) specs.push_back(plan.spec);
    return specs;
  }
};

}  // namespace

Result<ModelDescription> describe_gguf_model(const std::filesystem::path& file) {
  SS_TRY(const GgufModel model, GgufModel::open(file));
  const PublishedSource source = published_gguf(model.plans, model.config);
  ModelDescription description{.config = model.config, .published = types_of(source, model.specs())};
  for (const GgufTensorPlan& plan : model.plans) {
    description.published.values.emplace(plan.spec.name, type_of_values(*plan.rows.front().weight->format));
  }
  if (!source.note.empty()) description.notes.push_back(source.note);
  return description;
}

Result<GgufOrigin> write_gguf_model(const std::filesystem::path& file, QuantizedWeights form, BundleWriter& writer,
                                    Progress& progress, const InterruptFlag& interrupt) {
  SS_TRY(const GgufModel model, GgufModel::open(file));
  const GgufFiles& files = model.files;
  SS_TRY(const std::vector<std::int64_t> end_ids, write_tokenizer(files, writer));
  const std::vector<TensorSpec> specs = model.specs();
  const RowReader read_rows = [&](std::size_t tensor, const RowUser& use) {
    return for_each_gguf_row(model.plans[tensor], model.config, use);
  };
  const PublishedSource published =
      form == QuantizedWeights::kAsCodes ? published_gguf(model.plans, model.config) : PublishedSource();
  if (!published.note.empty()) progress.note(published.note);
  WeightConversion conversion(files.name(), specs, read_rows, published, progress, interrupt);
  SS_TRY(const std::vector<TensorToWrite> tensors, conversion.find_types());
  SS_TRY(
      const std::string config_text,
      gguf_model_config(files, *model.architecture, {.eos_ids = end_ids, .stored_type = torch_type_of_most(tensors)}));
  SS_TRY_VOID(writer.add_text("config.json", config_text));
  SS_TRY_VOID(conversion.write(tensors, writer));
  return GgufOrigin{as_word(files.model_name()), quantization_of(files)};
}

}  // namespace secondsource
