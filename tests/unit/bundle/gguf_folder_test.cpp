// A bundle of a GGUF file against the folder that another program made of the same weights (assets/models/stories260K-hf).
#include "bundle/gguf_folder.h"

#include <bit>
#include <cstring>

#include "bundle/bundle.h"
#include "bundle/create.h"
#include "core/half.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

/// The values of a stored tensor, all of which FP32 holds.
std::vector<float> values_of(const StoredTensor& tensor) {
  const DType dtype = *tensor.info.dtype;
  std::vector<float> values;
  for (std::size_t offset = 0; offset < tensor.info.size_bytes; offset += size_of(dtype)) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, tensor.bytes().data() + offset, size_of(dtype));
    const auto narrow = static_cast<std::uint16_t>(bits);
    values.push_back(dtype == DType::kF32    ? std::bit_cast<float>(bits)
                     : dtype == DType::kBf16 ? to_float(Bf16{narrow})
                                             : to_float(F16{narrow}));
  }
  return values;
}

TEST_CASE("stories260K from GGUF has the weights of its conversion from the original, with q and k in their order") {
  const auto file = test::asset("models/stories260K/stories260K.gguf");
  const auto folder = test::asset("models/stories260K-hf");
  if (!file || !folder) return;
  const test::ScratchFolder scratch;
  SilentProgress progress;
  const InterruptFlag interrupt;
  CreateOptions options;
  options.gguf_file = *file;
  REQUIRE_OK(create_bundle(options, scratch.path() / "b", progress, interrupt));
  const auto found = Bundle::open(scratch.path() / "b", progress, interrupt);
  REQUIRE_OK(found);
  const auto expected = Bundle::open_model_folder(*folder);
  REQUIRE_OK(expected);
  CHECK(found->name() == "stories260K");
  CHECK(found->manifest()->source_quantization.empty());
  CHECK(found->config().norm_eps == expected->config().norm_eps);
  CHECK(found->config().rope_tables[0].inv_freq == expected->config().rope_tables[0].inv_freq);
  CHECK(found->config().eos_ids == std::vector<std::int32_t>{2});
  for (const TensorSpec& spec : model_tensors(expected->config())) {
    CAPTURE(spec.name);
    CHECK(values_of(*found->tensor(spec.name)) == values_of(*expected->tensor(spec.name)));
  }
}

}  // namespace
}  // namespace secondsource
