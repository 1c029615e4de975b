#include "bundle/gguf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
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
#include "bundle/safetensors_writer.h"
#include "core/half.h"
#include "core/utf8.h"
#include "tokenizer/gguf_tokenizer_json.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::size_t kWriteBytes = std::size_t{1} << 20;

/// Which of the types hold all values seen so far.
struct ExactTypes {
  bool bf16 = true;
  bool f16 = true;
  bool is_finite = true;

  void see(float value) {
    is_finite = is_finite && std::isfinite(value);
    bf16 = bf16 && round_to_bf16(value) == value;
    f16 = f16 && round_to_f16(value) == value;
  }
  [[nodiscard]] DType smallest() const { return bf16 ? DType::kBf16 : f16 ? DType::kF16 : DType::kF32; }
};

/// Appends the row in the type, which holds every value.
void append_values(std::span<const float> row, DType dtype, std::vector<std::byte>& out) {
  const auto append = [&](const auto& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  for (const float value : row) {
    if (dtype == DType::kBf16) {
      append(to_bf16(value));
    } else if (dtype == DType::kF16) {
      append(to_f16(value));
    } else {
      append(value);
    }
  }
}

/// The values of all tensors, read twice: to find the types that hold them, and to write them.
class WeightConversion {
 public:
  WeightConversion(const ModelConfig& config, const std::vector<GgufTensorPlan>& plans, std::string name,
                   Progress& progress, const InterruptFlag& interrupt)
      : config_(&config), plans_(&plans), name_(std::move(name)), progress_(&progress), interrupt_(&interrupt) {}

  Result<std::vector<TensorToWrite>> find_types() {
    begin("reading the weights (MiB of FP32)");
    std::vector<TensorToWrite> tensors;
    for (const GgufTensorPlan& plan : *plans_) {
      ExactTypes exact;
      SS_TRY_VOID(for_each_gguf_row(plan, *config_, [&](std::span<const float> row) -> Result<void> {
        for (const float value : row) exact.see(value);
        return advance(row.size());
      }));
      if (!exact.is_finite) {
        return Error{ErrorCode::kInvalidInput, fmt::format("{}: GGUF: tensor {}: expected finite values, found others",
                                                           name_, plan.rows.front().weight->tensor->name)};
      }
      tensors.push_back({plan.spec.name, exact.smallest(), plan.spec.shape});
    }
    return tensors;
  }

  Result<void> write(const std::vector<TensorToWrite>& tensors, SafetensorsWriter& writer) {
    begin("writing the weights (MiB of FP32)");
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      SS_TRY_VOID(for_each_gguf_row((*plans_)[i], *config_, [&](std::span<const float> row) -> Result<void> {
        append_values(row, tensors[i].dtype, bytes);
        if (bytes.size() >= kWriteBytes) {
          SS_TRY_VOID(writer.write(bytes));
          bytes.clear();
        }
        return advance(row.size());
      }));
    }
    return writer.write(bytes);
  }

 private:
  void begin(std::string_view what) {
    n_values_ = 0;
    progress_->begin(what, n_parameters(*config_) * 4 >> 20);
  }
  Result<void> advance(std::size_t n_values) {
    n_values_ += static_cast<std::int64_t>(n_values);
    progress_->update(n_values_ * 4 >> 20);
    return interrupt_->check();
  }

  const ModelConfig* config_;
  const std::vector<GgufTensorPlan>* plans_;
  std::string name_;
  Progress* progress_;
  const InterruptFlag* interrupt_;
  std::int64_t n_values_ = 0;
};

/// The name of the type that takes the most bytes, as torch calls it.
std::string torch_type_of_most(const std::vector<TensorToWrite>& tensors) {
  std::map<DType, std::int64_t> bytes;
  for (const TensorToWrite& tensor : tensors) {
    bytes[tensor.dtype] += tensor.shape.n_elements().value_or(0) * static_cast<std::int64_t>(size_of(tensor.dtype));
  }
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most->first == DType::kBf16 ? "bfloat16" : most->first == DType::kF16 ? "float16" : "float32";
}

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

/// "Q4_1 (211 tensors), F32 (61)": the types of the file, that of most tensors first; empty if none is of blocks.
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

/// The name with nothing in it that a manifest refuses.
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

}  // namespace

Result<GgufOrigin> write_gguf_model(const std::filesystem::path& file, BundleWriter& writer, Progress& progress,
                                    const InterruptFlag& interrupt) {
  SS_TRY(const GgufFiles files, GgufFiles::open(file));
  SS_TRY(const GgufArchitecture* architecture, gguf_architecture(files));
  // The type is not known yet; nothing that is checked here depends on it.
  SS_TRY(const std::string draft, gguf_model_config(files, *architecture, {.eos_ids = {}, .stored_type = "float32"}));
  SS_TRY(const ModelConfig config, parse_model_config(draft, fmt::format("{}: as config.json", files.name())));
  SS_TRY(const std::vector<GgufTensorPlan> plans, plan_gguf_tensors(files, *architecture, config));
  SS_TRY(const std::vector<std::int64_t> end_ids, write_tokenizer(files, writer));
  WeightConversion conversion(config, plans, files.name(), progress, interrupt);
  SS_TRY(const std::vector<TensorToWrite> tensors, conversion.find_types());
  SS_TRY(const std::string config_text,
         gguf_model_config(files, *architecture, {.eos_ids = end_ids, .stored_type = torch_type_of_most(tensors)}));
  SS_TRY_VOID(writer.add_text("config.json", config_text));
  constexpr std::string_view kWeightFile = "model.safetensors";
  SS_TRY(const std::filesystem::path path, writer.place_for(std::string(kWeightFile)));
  SS_TRY(SafetensorsWriter weights, SafetensorsWriter::create(path, tensors, {{"format", "pt"}}));
  SS_TRY_VOID(conversion.write(tensors, weights));
  SS_TRY(const WrittenFile written, weights.finish());
  writer.add_written(std::string(kWeightFile), written);
  return GgufOrigin{as_word(files.model_name()), quantization_of(files)};
}

}  // namespace secondsource
