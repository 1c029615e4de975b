#include "engine/model_weights.h"

#include "bundle/model_tensors.h"
#include "bundle/safetensors_writer.h"
#include "bundle/tensor_store.h"
#include "bundle/variant.h"
#include "core/progress.h"
#include "fake_backend.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

ModelConfig tiny_config(bool tied) {
  const std::string text = R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 48,
      "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 64,
      "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "tie_word_embeddings": )" +
                           std::string(tied ? "true}" : "false}");
  auto config = parse_model_config(text, "test");
  if (!config) FAIL(config.error().message);
  return *config;
}

/// The model's tensors, all zero, in BF16.
TensorStore zero_tensors(const test::ScratchFolder& scratch, const ModelConfig& config) {
  std::vector<TensorToWrite> tensors;
  for (const TensorSpec& spec : model_tensors(config)) tensors.push_back({spec.name, DType::kBf16, spec.shape});
  auto writer = SafetensorsWriter::create(scratch.path() / "model.safetensors", tensors);
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->write(std::vector<std::byte>(static_cast<std::size_t>(n_parameters(config)) * 2)));
  REQUIRE_OK(writer->finish());
  auto store = TensorStore::open(scratch.path());
  REQUIRE_OK(store);
  return std::move(store).value();
}

TEST_CASE("a tied head is the embedding's own weight where the variant stores both alike, and only there") {
  const auto [variant_name, tied, one_weight] = GENERATE(table<std::string, bool, bool>({{"f32", true, true},
                                                                                         {"bf16", true, true},
                                                                                         {"f16", true, true},
                                                                                         {"int8", true, false},
                                                                                         {"int8-g32", true, false},
                                                                                         {"int4", true, false},
                                                                                         {"int8-w8a8", true, false},
                                                                                         {"bf16", false, false}}));
  CAPTURE(variant_name, tied);
  const test::ScratchFolder scratch;
  const ModelConfig config = tiny_config(tied);
  const TensorStore tensors = zero_tensors(scratch, config);
  test::FakeLog log;
  test::FakeBackend backend(log);
  SilentProgress progress;
  const auto weights =
      prepare_model_weights(backend, config, tensors, variant_from_name(variant_name).value(), "test", progress);
  REQUIRE_OK(weights);
  CHECK((weights->head == weights->embedding) == one_weight);
}

}  // namespace
}  // namespace secondsource
