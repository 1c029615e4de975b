#include "ab/attribution.h"

#include <filesystem>
#include <fstream>

#include "pair_lines.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// A request with 30 ms of prefill and some 70 ms of decode, nearly all of it in two matmuls.
ProfileSeconds profile(double decode_product_s) {
  return {
      .prefill_s = 0.030,
      .decode_s = 0.010 + decode_product_s,
      .operations = {{"prefill", "matmul", "128 x 64 -> 64", "matmul_f32_avx2", 0.028},
                     {"decode", "matmul", "1 x 64 -> 64", "matmul_f32_avx2", decode_product_s},
                     {"decode", "attention", "1 x 4 heads of 16, 4 for keys and values", "attention_f32_avx2", 0.005}}};
}

std::vector<ProfilePair> pairs(double base_s, double candidate_s) {
  std::vector<ProfilePair> result;
  for (int i = 0; i < 8; ++i) {
    const double noise = 0.0001 * i;
    result.push_back({profile(base_s + noise), profile(candidate_s + noise)});
  }
  return result;
}

}  // namespace

TEST_CASE("a loss is given to the operation that lost beyond chance, and the rest to the host") {
  const auto losses = divide_loss(tiny_cell(), "cost", pairs(0.060, 0.090));
  REQUIRE(losses.size() == 1);
  CHECK(losses[0].operation == "matmul");
  CHECK(losses[0].shape == "decode, 1 x 64 -> 64");
  CHECK(losses[0].kernel == "matmul_f32_avx2");
  CHECK(losses[0].share == Approx(1.0));
  CHECK(losses[0].candidate_s - losses[0].base_s == Approx(0.030));
}

TEST_CASE("shares add up to one: an operation that lost more than the whole request has all of the loss") {
  auto measured = pairs(0.060, 0.090);
  for (ProfilePair& pair : measured) pair.candidate.decode_s -= 0.010;  // the rest of the request became faster
  const auto losses = divide_loss(tiny_cell(), "cost", measured);
  REQUIRE(losses.size() == 1);
  CHECK(losses[0].operation == "matmul");
  CHECK(losses[0].share == Approx(1.0));

  for (ProfilePair& pair : measured) pair.candidate.decode_s += 0.050;  // now most of the loss is outside of matmul
  const auto two = divide_loss(tiny_cell(), "cost", measured);
  REQUIRE(two.size() == 2);
  CHECK(two[0].share == Approx(0.030 / 0.070));
  CHECK(two[1].operation == kOtherThanOperations);
  CHECK(two[0].share + two[1].share == Approx(1.0));
}

TEST_CASE("what is not beyond chance is not resolved, and not the host's") {
  // Outside of all operations, half of the pairs lost 20 ms and half gained 5 ms: the median loss is not significant.
  auto measured = pairs(0.060, 0.060);
  for (std::size_t i = 0; i < measured.size(); ++i) measured[i].candidate.decode_s += i % 2 == 0 ? 0.020 : -0.005;
  const auto whole = divide_loss(tiny_cell(), "cost", measured);
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].operation == kNotResolved);
  CHECK(whole[0].share == Approx(1.0));
  // The same unattributed time, together with a significant loss of one operation.
  measured = pairs(0.060, 0.090);
  for (std::size_t i = 0; i < measured.size(); ++i) measured[i].candidate.decode_s += i % 2 == 0 ? 0.020 : -0.005;
  const auto rest = divide_loss(tiny_cell(), "cost", measured);
  REQUIRE(rest.size() == 2);
  CHECK(rest[0].operation == "matmul");
  CHECK(rest[1].operation == kNotResolved);
}

TEST_CASE("a loss that no operation has is the host's") {
  auto measured = pairs(0.060, 0.060);
  for (ProfilePair& pair : measured) pair.candidate.decode_s += 0.020;
  const auto losses = divide_loss(tiny_cell(), "cost", measured);
  REQUIRE(losses.size() == 1);
  CHECK(losses[0].operation == kOtherThanOperations);
  CHECK(losses[0].share == Approx(1.0));
}

TEST_CASE(
    "the time to the first token is lost in prefill alone, and a loss that the profiles do not show is not resolved") {
  for (const auto& [metric, candidate_s] : {std::pair("ttft", 0.090), std::pair("cost", 0.050)}) {
    const auto losses = divide_loss(tiny_cell(), metric, pairs(0.060, candidate_s));
    REQUIRE(losses.size() == 1);
    CHECK(losses[0].operation == kNotResolved);
  }
}

TEST_CASE("a side that cannot be profiled leaves no shares") {
  CHECK(divide_loss(tiny_cell(), "cost", {}).empty());
}

TEST_CASE("one small gain among eight pairs changes nothing, one large one is noise") {
  auto measured = pairs(0.060, 0.090);
  measured[3].candidate.operations[1].seconds = measured[3].base.operations[1].seconds - 0.001;
  CHECK(divide_loss(tiny_cell(), "cost", measured).front().operation == "matmul");
  measured[3].candidate.operations[1].seconds = 0.001;
  const auto losses = divide_loss(tiny_cell(), "cost", measured);
  REQUIRE(losses.size() == 1);
  CHECK(losses[0].operation == kOtherThanOperations);
}

TEST_CASE("a profile is read strictly") {
  const char* const good =
      R"({"prefill_s": 1, "decode_s": 2, "operations": [{"phase": "decode", "operation": "matmul", "shape": "1 x 2 -> 3",
          "kernel": "k", "n_calls": 4, "seconds": 0.5}]})";
  const auto profile = profile_from_json(good, "profile");
  REQUIRE_OK(profile);
  CHECK(profile->operations.at(0).seconds == 0.5);
  CHECK_ERROR(profile_from_json(R"({"prefill_s": 1})", "profile"), ErrorCode::kInvalidInput, "decode_s");
  CHECK_ERROR(profile_from_json("[]", "profile"), ErrorCode::kInvalidInput, "profile");
}

TEST_CASE("a kernel is found where the longest beginning of its name stands") {
  const ScratchFolder scratch;
  const auto write = [&](const char* path, const char* text) {
    const auto file = scratch.path() / "backends" / "cpu" / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  };
  write("backend.cpp", "// matmul and attention are elsewhere\n");
  write("kernels/isa_avx2.cpp", "\n\n  {multiply<F32>, \"matmul_f32\"};\n");
  write("attention.cpp", "void attention() {}\n");
  const auto find = [&](const char* operation, const char* kernel) {
    return find_kernel_source(scratch.path(), "cpu", operation, kernel);
  };
  CHECK(find("matmul", "matmul_f32_avx2").file == "backends/cpu/kernels/isa_avx2.cpp");
  CHECK(find("matmul", "matmul_f32_avx2").line == 3);
  CHECK(find("matmul", "own matmul_f32_openmp").line == 3);
  CHECK(find("matmul", "onednn matmul_f32_f32acc brg:avx2, rows kept").line == 3);
  CHECK(find("attention", "attention_bf16_avx2").file == "backends/cpu/attention.cpp");
  CHECK(find("rms_norm", "rms_norm_f32").file == "backends/cpu");
  CHECK(find_kernel_source(scratch.path(), "cuda", "matmul", "matmul_f32").file.empty());
}
