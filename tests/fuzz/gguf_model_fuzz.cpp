// Fuzzes the conversion of a GGUF file to a model: configuration, plans of the tensors, their values, and the tokenizer.json.
// An accepted tensor must yield as many rows as its shape has, and this project must be able to read the tokenizer.json.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "bundle/gguf_config.h"
#include "bundle/gguf_files.h"
#include "bundle/gguf_tensors.h"
#include "bundle/gguf_tokenizer.h"
#include "tokenizer/gguf_tokenizer_json.h"
#include "tokenizer/tokenizer.h"

namespace {

constexpr std::int64_t kMaxValues = 1 << 20;  // the values of larger models are not read

void read_model(const secondsource::GgufFiles& files) {
  using namespace secondsource;
  const auto architecture = gguf_architecture(files);
  if (!architecture) return;
  const auto text = gguf_model_config(files, **architecture, {.eos_ids = {1}, .stored_type = "float32"});
  if (!text) return;
  const auto config = parse_model_config(*text, "config.json");
  if (!config || n_parameters(*config) > kMaxValues) return;
  const auto plans = plan_gguf_tensors(files, **architecture, *config);
  if (!plans) return;
  for (const GgufTensorPlan& plan : *plans) {
    std::int64_t n_rows = 0;
    const auto read = for_each_gguf_row(plan, *config, [&](std::span<const float>) -> Result<void> {
      ++n_rows;
      return {};
    });
    if (read && n_rows != n_rows_of(plan.spec.shape)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const int file = memfd_create("gguf", MFD_CLOEXEC);
  if (file < 0) std::abort();
  if (write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  if (const auto files = GgufFiles::open("/proc/self/fd/" + std::to_string(file))) {
    read_model(*files);
    if (const auto vocabulary = gguf_vocabulary_of(files->header())) {
      const auto json = gguf_tokenizer_json(*vocabulary, "file");
      if (json && !Tokenizer::from_json(*json, "tokenizer.json")) std::abort();
    }
  }
  close(file);
  return 0;
}
