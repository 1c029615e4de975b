// Compares a bundle of a GGUF file with the folder that another program made of the same weights (assets/models/stories260K-hf).
#include "bundle/gguf_folder.h"

#include <bit>
#include <cstring>

#include "bundle/bundle.h"
#include "bundle/create.h"
#include "bundle/gguf_files.h"
#include "core/file.h"
#include "core/half.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

/// The values of a stored tensor, all of which FP32 represents exactly.
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

/// `value` as little-endian bytes.
std::string little_endian(std::uint64_t value, int n_bytes) {
  std::string out;
  for (int i = 0; i < n_bytes; ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xffU));
  return out;
}

TEST_CASE("a tensor without values whose rows cannot be counted is refused") {
  std::string file = "GGUF" + little_endian(3, 4) + little_endian(1, 8) + little_endian(0, 8);
  file += little_endian(1, 8) + "t" + little_endian(3, 4);  // the name and the number of dimensions
  for (const std::uint64_t extent : {std::uint64_t{0}, std::uint64_t{1} << 40, std::uint64_t{1} << 40}) {
    file += little_endian(extent, 8);
  }
  file += little_endian(0, 4) + little_endian(0, 8);  // F32, at the beginning of the data
  file.resize((file.size() + 31) / 32 * 32, '\0');
  const test::ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "t.gguf", file));
  CHECK_ERROR(GgufFiles::open(scratch.path() / "t.gguf"), ErrorCode::kInvalidInput, "expected fewer rows than 2^63");
}

}  // namespace
}  // namespace secondsource
