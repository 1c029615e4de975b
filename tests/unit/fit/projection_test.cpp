// Expected ceilings follow by hand from bytes / rate and operations / peak.
#include "fit/projection.h"

#include "bundle/named_shape.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

ModelConfig shape_config(const char* name) {
  return *parse_model_config(find_named_shape(name)->config_json, name);
}

const Hardware kDevice{.id = "x", .bytes_per_s = 1e12, .peaks = {.bf16 = 100e12, .int8 = 200e12}};

}  // namespace

TEST_CASE("one sequence is bound by reading weights and cache") {
  const ModelConfig config = shape_config("Llama-3.1-8B");
  const auto memory = model_memory(config, *variant_from_name("bf16"), {});
  REQUIRE_OK(memory);
  const auto ceiling = decode_ceiling(config, *memory, rates_of(kDevice, 1, "bf16"), 1, 1000);
  REQUIRE(ceiling);
  CHECK(ceiling->limit == CeilingLimit::kReads);
  const double weights = 2 * (8'030'261'248.0 - 128256.0 * 4096);  // without the embeddings
  CHECK(ceiling->tokens_per_s == Approx(1e12 / (weights + 1000 * 131072.0)));
  const auto two = decode_ceiling(config, *memory, rates_of(kDevice, 2, "bf16"), 1, 1000);
  CHECK(two->tokens_per_s == Approx(2 * ceiling->tokens_per_s));
}

TEST_CASE("many sequences are bound by operations") {
  const ModelConfig config = shape_config("Llama-3.1-8B");
  const auto memory = model_memory(config, *variant_from_name("bf16"), {});
  REQUIRE_OK(memory);
  const auto ceiling = decode_ceiling(config, *memory, rates_of(kDevice, 1, "bf16"), 4096, 1);
  REQUIRE(ceiling);
  CHECK(ceiling->limit == CeilingLimit::kOperations);
  const double flops = 2 * (8'030'261'248.0 - 128256.0 * 4096) + 4.0 * 32 * 128 * 32;
  CHECK(ceiling->tokens_per_s == Approx(100e12 / flops));
}

TEST_CASE("a prompt is bound by operations, with the pairs of attention and one row of logits") {
  const ModelConfig config = shape_config("Llama-3.1-8B");
  const auto memory = model_memory(config, *variant_from_name("bf16"), {});
  REQUIRE_OK(memory);
  const auto ceiling = prefill_ceiling(config, *memory, rates_of(kDevice, 1, "bf16"), 2048);
  REQUIRE(ceiling);
  const double head = 128256.0 * 4096;
  const double body = 8'030'261'248.0 - 2 * head;
  const double pairs = 32 * 2048.0 * 2049 / 2;
  CHECK(ceiling->limit == CeilingLimit::kOperations);
  CHECK(ceiling->tokens_per_s == Approx(2048 * 100e12 / (2 * (body * 2048 + head) + 4 * 32 * 128 * pairs)));
}

TEST_CASE("a prompt of latent attention is projected with expanded keys and values") {
  // Absent keys have the values of DeepSeek-V3.
  const ModelConfig config = *parse_model_config(R"({"architectures": ["DeepseekV3ForCausalLM"]})", "v3");
  const auto memory = model_memory(config, *variant_from_name("bf16"), {});
  REQUIRE_OK(memory);
  const auto ceiling = prefill_ceiling(config, *memory, rates_of(kDevice, 1, "bf16"), 8192);
  REQUIRE(ceiling);
  REQUIRE(ceiling->limit == CeilingLimit::kOperations);
  // The model has 61 layers of 128 heads. A key of a head has 128 + 64 elements and a value has 128.
  const double head = 129280.0 * 7168;
  const double pairs = 61 * 8192.0 * 8193 / 2;
  CHECK(ceiling->tokens_per_s ==
        Approx(8192 * 100e12 /
               (2 * ((memory->n_active_parameters - head) * 8192 + head) + 2 * 128 * (192 + 128) * pairs)));
}

TEST_CASE("a window limits what attention reads") {
  ModelConfig config = shape_config("Mistral-7B");
  const auto memory = model_memory(config, *variant_from_name("bf16"), {});
  REQUIRE_OK(memory);
  const Rates rates = rates_of(kDevice, 1, "bf16");
  config.windows.assign(32, 4096);
  const auto at_window = decode_ceiling(config, *memory, rates, 1, 4096);
  const auto beyond = decode_ceiling(config, *memory, rates, 1, 30000);
  CHECK(at_window->tokens_per_s == beyond->tokens_per_s);
}

TEST_CASE("the step of a mixture reads more experts the more tokens it has") {
  const ModelConfig config = shape_config("Mixtral-8x7B");
  const auto memory = model_memory(config, *variant_from_name("bf16"), {});
  REQUIRE_OK(memory);
  const Rates rates{.bytes_per_s = 1e12, .flops = 1e18};
  const auto one = decode_ceiling(config, *memory, rates, 1, 0);
  const auto two = decode_ceiling(config, *memory, rates, 2, 0);
  CHECK(one->tokens_per_s == Approx(1e12 / (memory->read_bytes + memory->expert_bytes / 4)));
  // Two tokens use 8 (1 - 0.75^2) = 3.5 experts of a layer.
  CHECK(two->tokens_per_s == Approx(2e12 / (memory->read_bytes + memory->expert_bytes * 3.5 / 8)));
}

TEST_CASE("without a peak nothing is projected that it could bind") {
  const ModelConfig config = shape_config("Llama-3.2-1B");
  const auto memory = model_memory(config, *variant_from_name("bf16"), {});
  REQUIRE_OK(memory);
  const Rates rates{.bytes_per_s = 1e11};
  CHECK(decode_ceiling(config, *memory, rates, 1, 100).has_value());
  CHECK_FALSE(decode_ceiling(config, *memory, rates, 2, 100).has_value());
  CHECK_FALSE(prefill_ceiling(config, *memory, rates, 100).has_value());
  CHECK(rates_of(kDevice, 1, "int8-w8a8").flops == 200e12);
  CHECK(rates_of(kDevice, 1, "compressed-tensors-int8-static").flops == 200e12);
  CHECK(rates_of(kDevice, 1, "int8").flops == 100e12);
  // Without FP8 matmuls, E4M3 weights are multiplied in BF16.
  CHECK(rates_of(kDevice, 1, "fp8").flops == 100e12);
  Hardware with_fp8 = kDevice;
  with_fp8.peaks.fp8 = 210e12;
  CHECK(rates_of(with_fp8, 1, "fp8").flops == 210e12);
  // NVFP4 is multiplied in BF16 on devices without matmuls that take its scales, and everywhere if activations are not quantized.
  Hardware with_fp4 = with_fp8;
  with_fp4.peaks.mxfp4 = 430e12;
  CHECK(rates_of(with_fp4, 1, "modelopt-nvfp4").flops == 100e12);
  with_fp4.peaks.fp4 = 420e12;
  for (const char* const variant : {"modelopt-nvfp4", "compressed-tensors-nvfp4"}) {
    CHECK(rates_of(with_fp8, 1, variant).flops == 100e12);
    CHECK(rates_of(with_fp4, 2, variant).flops == 840e12);
  }
  for (const char* const variant : {"modelopt-nvfp4-w4a16", "compressed-tensors-nvfp4-w4a16", "mxfp4"}) {
    CHECK(rates_of(with_fp4, 1, variant).flops == 100e12);
  }
  CHECK(rates_of(with_fp4, 1, "fp8").flops == 210e12);
  CHECK_FALSE(rates_of(kDevice, 1, "f32").flops.has_value());
}
