#include "bundle/foreign_model.h"

#include <fmt/format.h>

#include <array>
#include <span>
#include <vector>

#include "core/folder.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

struct Format {
  std::string_view begin;  ///< of the file's name
  std::string_view end;
  std::string_view advice;
};

// The first row that matches describes the folder, so the most specific formats come first.
constexpr std::array kWeightFormats = {
    Format{
        "adapter_model", ".safetensors",
        "the weights of an adapter (LoRA), which are not a model; merge them into their model with merge_and_unload() of "
        "peft and save that"},
    Format{"consolidated", ".safetensors",
           "weights under the names of their publisher; bring the folder that transformers reads"},
    Format{"", ".gguf",
           "a GGUF file; make a bundle of it with `secondsource bundle create --from-gguf FILE --out FOLDER`"},
    Format{"pytorch_model", ".bin",
           "weights as pickled Python objects, which are not read because they can run code; write safetensors with "
           "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER) of transformers"},
    Format{"", ".pt", "pickled Python objects, which are not read because they can run code; bring safetensors"},
    Format{"", ".pth", "pickled Python objects, which are not read because they can run code; bring safetensors"},
    Format{"", ".ckpt", "pickled Python objects, which are not read because they can run code; bring safetensors"},
    Format{"", ".onnx", "an ONNX file; bring the Hugging Face folder from which it was made"},
    Format{"", ".h5", "weights for TensorFlow; bring safetensors for PyTorch"},
    Format{"", ".msgpack", "weights for Flax; bring safetensors for PyTorch"},
    Format{"", ".safetensors", "safetensors of another name; rename the file, or bring model.safetensors.index.json"},
};

constexpr std::array kTokenizerFormats = {
    Format{"sentencepiece", ".model",
           "the SentencePiece model of a class that gives its pieces other ids; write tokenizer.json with "
           "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of transformers"},
    Format{"vocab", ".json",
           "a vocabulary without tokenizer.json; write that with AutoTokenizer.from_pretrained(FOLDER)"
           ".save_pretrained(FOLDER) of transformers"},
    Format{"", ".tiktoken", kTiktokenAdvice},
    Format{"vocab", ".txt", "a WordPiece vocabulary (BERT); only BPE and Unigram are read"},
};

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  const auto entries = list_folder(folder);
  if (!entries) return names;
  for (const fs::path& entry : *entries) names.push_back(entry.filename().string());
  return names;
}

std::optional<ForeignFile> find_format(std::span<const std::string> names, std::span<const Format> formats) {
  for (const Format& format : formats) {
    for (const std::string& name : names) {
      if (name.starts_with(format.begin) && name.ends_with(format.end)) return ForeignFile{name, format.advice};
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<ForeignFile> foreign_weights(const fs::path& folder) {
  return foreign_weights_among(names_in(folder));
}

std::optional<ForeignFile> foreign_weights_among(std::span<const std::string> names) {
  return find_format(names, kWeightFormats);
}

std::optional<ForeignFile> foreign_tokenizer(const fs::path& folder) {
  return foreign_tokenizer_among(names_in(folder));
}

std::optional<ForeignFile> foreign_tokenizer_among(std::span<const std::string> names) {
  return find_format(names, kTokenizerFormats);
}

Error refuse_foreign(const fs::path& folder, std::string_view expected, const ForeignFile& foreign) {
  return Error{ErrorCode::kUnsupported, fmt::format("{}: expected {}, found {}: {}", folder.string(), expected,
                                                    printable(foreign.file), foreign.advice)};
}

}  // namespace secondsource
