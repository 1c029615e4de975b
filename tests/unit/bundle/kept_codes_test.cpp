// Tests which weights of quantized checkpoints can be kept as codes. Their values must equal those of the same weight read as
// numbers; expected orders of columns are written out by hand.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "bundle/checkpoint_form.h"
#include "bundle/checkpoint_weight.h"
#include "bundle/published_weights.h"
#include "bundle/variant.h"
#include "core/e4m3.h"
#include "core/file.h"
#include "core/half.h"
#include "safetensors_bytes.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource::kept_codes_test {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::HandMadeTensor;
using enum WeightEncoding;

constexpr std::int64_t kOutputs = 8;
constexpr std::int64_t kInputs = 64;

/// A matrix [8, 64] of a GPTQ checkpoint with random codes, 4 bits in groups of 32; zero points are stored minus one.
std::vector<HandMadeTensor> gptq_parts(std::uint32_t zeros = 0x77777777U) {
  std::vector<std::uint32_t> words;
  for (std::uint32_t i = 0; i < kInputs / 8 * kOutputs; ++i) words.push_back(i * 2654435761U + 12345U);
  std::vector<F16> scales;
  for (int i = 0; i < 2 * kOutputs; ++i) scales.push_back(to_f16(0.01F * static_cast<float>(i + 1)));
  std::vector<std::int32_t> groups;
  for (int i = 0; i < kInputs; ++i) groups.push_back(i / 32);
  return {{"m.qweight", "I32", {kInputs / 8, kOutputs}, bytes_of(words)},
          {"m.qzeros", "I32", {2, 1}, bytes_of(std::vector<std::uint32_t>{0x77777777U, zeros})},
          {"m.scales", "F16", {2, kOutputs}, bytes_of(scales)},
          {"m.g_idx", "I32", {kInputs}, bytes_of(groups)}};
}

/// Calls `use` with the weight of a checkpoint.
template <typename Use>
void with_weight(const json& quantization, const std::vector<HandMadeTensor>& tensors, const Use& use) {
  const test::ScratchFolder scratch;
  const auto path = scratch.path() / "model.safetensors";
  REQUIRE_OK(write_file(path, test::safetensors_bytes(tensors)));
  const auto store = TensorStore::open_file(path);
  REQUIRE_OK(store);
  const auto scheme = parse_checkpoint_scheme(quantization, "config.json");
  REQUIRE_OK(scheme);
  const TensorSpec spec{"m.weight", {kOutputs, kInputs}, TensorRole::kMatmul};
  const auto weight = CheckpointWeight::find(*store, *scheme, spec, "folder");
  REQUIRE_OK(weight);
  use(*weight);
}

const json kGptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 32}, {"desc_act", false}};

void check_kept(const json& quantization, const std::vector<HandMadeTensor>& tensors, const PublishedForm& expected,
                bool has_order = false) {
  with_weight(quantization, tensors, [&](const CheckpointWeight& weight) {
    const auto form = weight.published_form();
    REQUIRE_OK(form);
    CHECK(*form == expected);
    std::vector<std::int8_t> codes(kInputs);
    std::vector<float> scales(static_cast<std::size_t>(stored_scales_per_row(*form, kInputs)));
    std::vector<std::int8_t> zeros(form->has_zero_points() ? scales.size() : 0);
    std::vector<float> values(kInputs);
    const std::vector<std::int32_t>& order = weight.column_order();
    CHECK(order.empty() != has_order);
    for (std::int64_t row = 0; row < kOutputs; ++row) {
      REQUIRE_OK(weight.read_coded_row(row, *form, {codes, scales, zeros}));
      weight.read_row(row, values);
      for (std::size_t i = 0; i < codes.size(); ++i) {
        const float code = has_fp8_codes(form->encoding) ? to_float(E4m3{static_cast<std::uint8_t>(codes[i])})
                                                         : static_cast<float>(codes[i]);
        const std::size_t group = i * scales.size() / codes.size();
        const float zero = zeros.empty() ? 0.0F : static_cast<float>(zeros[group]);
        const std::size_t input = order.empty() ? i : static_cast<std::size_t>(order[i]);
        CHECK((code - zero) * scales[group] == values[input]);
      }
    }
  });
}

json compressed(const std::string& format, const json& weights, const json& inputs = nullptr) {
  json group = {{"weights", weights}, {"input_activations", inputs}};
  return {{"quant_method", "compressed-tensors"}, {"format", format}, {"config_groups", {{"group_0", group}}}};
}

/// Codes of a matrix [8, 64] as W4A8 stores them: bytes from -8 to 7.
std::string codes_of_four_bits() {
  std::string bytes;
  for (int i = 0; i < kOutputs * kInputs; ++i) bytes.push_back(static_cast<char>(i * 37 % 16 - 8));
  return bytes;
}

TEST_CASE("codes and scales of a symmetric checkpoint are kept, and their products are the weight's values") {
  check_kept(kGptq, gptq_parts(), {kInt4Group32, 32});
  const std::vector<float> scales = {0.1F, 0.2F, 0.3F, 0.4F, 0.5F, 0.6F, 0.7F, 0.8F};
  std::string bytes;
  for (int i = 0; i < kOutputs * kInputs; ++i)
    bytes.push_back(static_cast<char>(i * 37 % 127 - (i % 2 == 0 ? 128 : 0)));
  const json by_token = {{"num_bits", 8}, {"type", "int"}, {"strategy", "token"}, {"dynamic", true}};
  check_kept(
      compressed("int-quantized", {{"num_bits", 8}, {"type", "int"}, {"strategy", "channel"}}, by_token),
      {{"m.weight", "I8", {kOutputs, kInputs}, bytes}, {"m.weight_scale", "F32", {kOutputs, 1}, bytes_of(scales)}},
      {kInt8PerRow, 0});
  const std::string scales_in_f16 = gptq_parts()[2].data;
  const json four_bits = {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 32}};
  const auto in_bytes = [&](const std::string& codes) {
    return std::vector<HandMadeTensor>{{"m.weight", "I8", {kOutputs, kInputs}, codes},
                                       {"m.weight_scale", "F16", {kOutputs, 2}, scales_in_f16}};
  };
  check_kept(compressed("int-quantized", four_bits, by_token), in_bytes(codes_of_four_bits()), {kInt4Group32, 32});
  json with_zeros = four_bits;
  with_zeros["symmetric"] = false;
  std::vector<HandMadeTensor> parts = in_bytes(codes_of_four_bits());
  parts.push_back({"m.weight_zero_point", "I8", {kOutputs, 2}, codes_of_four_bits().substr(0, 2 * kOutputs)});
  check_kept(compressed("int-quantized", with_zeros, by_token), parts, {kInt4Group32Zero, 32});
  json floats = by_token;
  floats["type"] = "float";
  check_kept(compressed("float-quantized", {{"num_bits", 8}, {"type", "float"}, {"strategy", "tensor"}}, floats),
             {{"m.weight", "F8_E4M3", {kOutputs, kInputs}, bytes},
              {"m.weight_scale", "F32", {1}, bytes_of(std::vector<float>{0.3F})}},
             {kFp8PerRow, 0});
}

TEST_CASE("values of codes are exact in BF16 where all scales are powers of two") {
  const std::string codes(kOutputs * kInputs, '\x7f');
  const json fp8 = {{"quant_method", "fp8"}, {"activation_scheme", "dynamic"}};
  const auto expect_type = [&](std::vector<float> scales, DType expected) {
    with_weight(fp8,
                {{"m.weight", "F8_E4M3", {kOutputs, kInputs}, codes},
                 {"m.weight_scale", "F32", {kOutputs, 1}, bytes_of(scales)}},
                [&](const CheckpointWeight& weight) { CHECK(weight.type_of_values() == expected); });
  };
  std::vector<float> scales = {0.125F, 0.25F, 0.5F, 1.0F, 2.0F, 4.0F, 8.0F, 0x1p-40F};
  expect_type(scales, DType::kBf16);
  scales.back() = 0.75F;
  expect_type(scales, DType::kF32);
  with_weight(fp8, {{"m.weight", "F16", {kOutputs, kInputs}, std::string(2 * kOutputs * kInputs, '\0')}},
              [](const CheckpointWeight& weight) { CHECK(weight.type_of_values() == DType::kF16); });
}

TEST_CASE("bytes outside the range of four bits are refused as codes of four bits") {
  const json weights = {
      {"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 32}, {"symmetric", false}};
  const std::string scales = gptq_parts()[2].data;
  const std::string inside(kOutputs * kInputs, '\7');
  const std::string zeros(2 * kOutputs, '\xf8');
  const auto read_rows = [&](std::string codes, std::string of_groups) {
    Result<void> read;
    with_weight(compressed("int-quantized", weights),
                {{"m.weight", "I8", {kOutputs, kInputs}, std::move(codes)},
                 {"m.weight_scale", "F16", {kOutputs, 2}, scales},
                 {"m.weight_zero_point", "I8", {kOutputs, 2}, std::move(of_groups)}},
                [&](const CheckpointWeight& weight) {
                  const auto form = weight.published_form();
                  REQUIRE_OK(form);
                  CHECK(*form == PublishedForm{kInt4Group32Zero, 32});
                  std::vector<std::int8_t> row_codes(kInputs);
                  std::vector<float> row_scales(2);
                  std::vector<std::int8_t> row_zeros(2);
                  for (std::int64_t row = 0; row < kOutputs && read; ++row) {
                    read = weight.read_coded_row(row, *form, {row_codes, row_scales, row_zeros});
                  }
                });
    return read;
  };
  CHECK(read_rows(inside, zeros));
  std::string outside = inside;
  outside.back() = '\10';
  CHECK_ERROR(read_rows(outside, zeros), ErrorCode::kInvalidInput,
              "tensor m.weight: row 7: expected numbers from -8 to 7, found 8");
  std::string zeros_outside = zeros;
  zeros_outside.front() = '\xf7';
  CHECK_ERROR(read_rows(inside, zeros_outside), ErrorCode::kInvalidInput,
              "tensor m.weight_zero_point: row 0: expected numbers from -8 to 7, found -9");
}

/// A matrix [8, 64] of an AWQ checkpoint with random codes in groups of 32, and zero points of 0 to 15.
std::vector<HandMadeTensor> awq_parts() {
  std::vector<std::uint32_t> words;
  for (std::uint32_t i = 0; i < kInputs * kOutputs / 8; ++i) words.push_back(i * 2654435761U + 54321U);
  const std::string scales = gptq_parts()[2].data;
  return {{"m.qweight", "I32", {kInputs, kOutputs / 8}, bytes_of(words)},
          {"m.qzeros", "I32", {2, 1}, bytes_of(std::vector<std::uint32_t>{0xf0123456U, 0x789abcdeU})},
          {"m.scales", "F16", {2, kOutputs}, scales}};
}

TEST_CASE("zero points of four bits are kept, relative to the code 0") {
  check_kept(kGptq, gptq_parts(0x77767777U), {kInt4Group32Zero, 32});
  check_kept(kGptq, gptq_parts(0xe0000000U), {kInt4Group32Zero, 32});  // 15 and 1, stored minus one
  const json awq = {
      {"quant_method", "awq"}, {"bits", 4}, {"group_size", 32}, {"version", "gemm"}, {"zero_point", true}};
  check_kept(awq, awq_parts(), {kInt4Group32Zero, 32});
  check_kept(
      compressed("pack-quantized",
                 {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 32}, {"symmetric", false}}),
      {{"m.weight_packed", "I32", {kOutputs, kInputs / 8}, gptq_parts()[0].data},
       {"m.weight_scale", "F16", {kOutputs, 2}, gptq_parts()[2].data},
       {"m.weight_zero_point", "I32", {1, 2}, bytes_of(std::vector<std::uint32_t>{0x01234567U, 0x89abcdefU})}},
      {kInt4Group32Zero, 32});
  with_weight(awq, awq_parts(), [&](const CheckpointWeight& weight) {
    std::vector<std::int8_t> codes(kInputs);
    std::vector<float> scales(2);
    std::vector<std::int8_t> zeros(2);
    // AWQ stores outputs 0 to 7 at the places 0, 4, 1, 5, 2, 6, 3, 7 of a word.
    const std::vector<int> of_groups[] = {{6, 2, 5, 1, 4, 0, 3, 15}, {14, 10, 13, 9, 12, 8, 11, 7}};
    for (std::int64_t row = 0; row < kOutputs; ++row) {
      REQUIRE_OK(weight.read_coded_row(row, {kInt4Group32Zero, 32}, {codes, scales, zeros}));
      for (std::size_t group = 0; group < 2; ++group) {
        CHECK(static_cast<int>(zeros[group]) == of_groups[group][static_cast<std::size_t>(row)] - 8);
      }
    }
  });
}

TEST_CASE("the zero point beside one scale for all is a byte, also where codes are packed into words") {
  const std::string words = gptq_parts()[0].data;
  with_weight(
      compressed("pack-quantized", {{"num_bits", 4}, {"type", "int"}, {"strategy", "tensor"}, {"symmetric", false}}),
      {{"m.weight_packed", "I32", {kOutputs, kInputs / 8}, words},
       {"m.weight_scale", "F32", {1}, bytes_of(std::vector<float>{0.5F})},
       {"m.weight_zero_point", "I8", {1}, "\xfd"}},
      [&](const CheckpointWeight& weight) {
        std::vector<float> values(kInputs);
        for (std::int64_t row = 0; row < kOutputs; ++row) {
          weight.read_row(row, values);
          for (std::int64_t i = 0; i < kInputs; ++i) {
            // Each byte of a word holds the codes of two inputs, the first input's in its lower four bits. Codes are
            // stored as code + 8.
            const int byte = static_cast<unsigned char>(words[static_cast<std::size_t>((row * kInputs + i) / 2)]);
            const int code = (i % 2 == 0 ? byte & 15 : byte >> 4) - 8;
            CHECK(values[static_cast<std::size_t>(i)] == 0.5F * static_cast<float>(code + 3));
          }
        }
      });
}

/// The parts with tensor `name` replaced by these groups of the inputs.
std::vector<HandMadeTensor> with_groups(std::vector<HandMadeTensor> parts, const std::string& name,
                                        const std::vector<std::int32_t>& groups) {
  std::erase_if(parts, [&](const HandMadeTensor& part) { return part.name == name; });
  parts.push_back({name, "I32", {kInputs}, bytes_of(groups)});
  return parts;
}

/// The group, 0 or 1, of each input: 32 inputs each, interleaved irregularly.
std::vector<std::int32_t> mixed_groups() {
  std::vector<std::int32_t> groups;
  for (std::int32_t i = 0; i < kInputs; ++i) groups.push_back(i * 37 % 64 < 32 ? 1 : 0);
  return groups;
}

TEST_CASE("AutoRound stores zero points less one in the layout of AutoGPTQ alone") {
  const auto auto_round = [](const char* packing) {
    return json{{"quant_method", "auto-round"}, {"bits", 4}, {"group_size", 32}, {"packing_format", packing}};
  };
  check_kept(auto_round("auto_round:auto_gptq"), gptq_parts(), {kInt4Group32, 32});
  std::vector<HandMadeTensor> whole = gptq_parts();
  whole[1].data = bytes_of(std::vector<std::uint32_t>{0x88888888U, 0x88888888U});
  for (const char* const packing : {"auto_round", "auto_round:gptqmodel"}) {
    check_kept(auto_round(packing), whole, {kInt4Group32, 32});
    check_kept(auto_round(packing), gptq_parts(), {kInt4Group32Zero, 32});
  }
  check_kept(auto_round("auto_round:auto_awq"), awq_parts(), {kInt4Group32Zero, 32});
}

TEST_CASE("codes of act order are kept in the order of their groups, those of a group in their own") {
  check_kept(kGptq, with_groups(gptq_parts(), "m.g_idx", mixed_groups()), {kInt4Group32, 32}, true);
  check_kept(kGptq, with_groups(gptq_parts(0x77767777U), "m.g_idx", mixed_groups()), {kInt4Group32Zero, 32}, true);
  const std::vector<HandMadeTensor> by_input = {
      {"m.weight_packed", "I32", {kOutputs, kInputs / 8}, gptq_parts()[0].data},
      {"m.weight_scale", "F16", {kOutputs, 2}, gptq_parts()[2].data}};
  const json weights = {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 32}};
  check_kept(compressed("pack-quantized", weights), with_groups(by_input, "m.weight_g_idx", mixed_groups()),
             {kInt4Group32, 32}, true);
  const std::vector<HandMadeTensor> in_bytes = {{"m.weight", "I8", {kOutputs, kInputs}, codes_of_four_bits()},
                                                {"m.weight_scale", "F16", {kOutputs, 2}, gptq_parts()[2].data}};
  check_kept(compressed("int-quantized", weights), with_groups(in_bytes, "m.weight_g_idx", mixed_groups()),
             {kInt4Group32, 32}, true);
  std::string wide_codes = gptq_parts()[0].data;
  wide_codes += wide_codes;
  const std::vector<HandMadeTensor> eight_bits = {
      {"m.qweight", "I32", {kInputs / 4, kOutputs}, wide_codes},
      {"m.qzeros", "I32", {2, 2}, bytes_of(std::vector<std::uint32_t>(4, 0x7f7f7f7fU))},
      gptq_parts()[2]};
  json quantization = kGptq;
  quantization["bits"] = 8;
  check_kept(quantization, with_groups(eight_bits, "m.g_idx", mixed_groups()), {kInt8Group32, 32}, true);

  // Inputs 0 and 40 exchange their groups.
  std::vector<std::int32_t> groups(kInputs);
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<std::int32_t>(i / 32);
  std::swap(groups[0], groups[40]);
  with_weight(kGptq, with_groups(gptq_parts(), "m.g_idx", groups), [](const CheckpointWeight& weight) {
    const std::vector<std::int32_t>& order = weight.column_order();
    REQUIRE(order.size() == 64);
    CHECK(order[0] == 1);
    CHECK(order[30] == 31);
    CHECK(order[31] == 40);
    CHECK(order[32] == 0);
    CHECK(order[33] == 32);
    CHECK(order[40] == 39);
    CHECK(order[41] == 41);
    CHECK(order[63] == 63);
  });
}

/// A matrix of FP8 codes and the one scale of its block of 128 x 128.
std::pair<HandMadeTensor, HandMadeTensor> fp8_parts() {
  return {{"m.weight", "F8_E4M3", {kOutputs, kInputs}, std::string(kOutputs * kInputs, '\x11')},
          {"m.weight_scale_inv", "F32", {1, 1}, bytes_of(std::vector<float>{0.3F})}};
}

json in_blocks(std::int64_t rows, std::int64_t cols, const char* activations) {
  return {{"quant_method", "fp8"}, {"activation_scheme", activations}, {"weight_block_size", {rows, cols}}};
}

TEST_CASE("what cannot be kept of a checkpoint is named") {
  const auto refused = [](const json& quantization, const std::vector<HandMadeTensor>& tensors, const char* part) {
    CAPTURE(part);
    with_weight(quantization, tensors, [&](const CheckpointWeight& weight) {
      CHECK_ERROR(weight.published_form(), ErrorCode::kUnsupported, part);
    });
  };
  json eight_bits = kGptq;
  eight_bits["bits"] = 8;
  std::string wide_codes = gptq_parts()[0].data;
  wide_codes += wide_codes;
  refused(eight_bits,
          {{"m.qweight", "I32", {kInputs / 4, kOutputs}, wide_codes},
           {"m.qzeros", "I32", {2, 2}, bytes_of(std::vector<std::uint32_t>{0x7f7f7f7eU, 0x7f7f7f7fU, 0, 0})},
           gptq_parts()[2]},
          "zero points of codes of 8 bits");
  std::vector<std::int32_t> groups = mixed_groups();
  groups[7] = 1 - groups[7];
  refused(kGptq, with_groups(gptq_parts(), "m.g_idx", groups), "groups of other sizes than 32 inputs");
  refused(kGptq, with_groups(gptq_parts(), "m.g_idx", std::vector<std::int32_t>(kInputs, 1)),
          "groups of other sizes than 32 inputs");
  json small_groups = kGptq;
  small_groups["group_size"] = 16;
  auto of_16 = gptq_parts();
  of_16[1] = {"m.qzeros", "I32", {4, 1}, of_16[1].data + of_16[1].data};
  of_16[2] = {"m.scales", "F16", {4, kOutputs}, of_16[2].data + of_16[2].data};
  of_16.pop_back();
  refused(small_groups, of_16, "groups of 16");
  std::vector<Bf16> tiny(2 * kOutputs, to_bf16(0x1.02p-24F));  // FP16 has no such number
  refused(compressed("pack-quantized", {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 32}}),
          {{"m.weight_packed", "I32", {kOutputs, kInputs / 8}, gptq_parts()[0].data},
           {"m.weight_scale", "BF16", {kOutputs, 2}, bytes_of(tiny)}},
          "scales that FP16 does not hold");
  const auto in_exponents = [](char exponent) {
    return std::vector<HandMadeTensor>{
        {"m.weight_packed", "I32", {kOutputs, kInputs / 8}, gptq_parts()[0].data},
        {"m.weight_scale", "F8_E8M0", {kOutputs, 2}, std::string(2 * kOutputs - 1, '\x7d') + exponent}};
  };
  const json in_groups =
      compressed("pack-quantized", {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 32}});
  check_kept(in_groups, in_exponents('\x67'), {kInt4Group32, 32});  // 2^-24, the smallest number of FP16
  refused(in_groups, in_exponents('\x66'), "scales that FP16 does not hold");
  const auto [codes, scale] = fp8_parts();
  refused(in_blocks(64, 128, "dynamic"), {codes, scale}, "scales of blocks of 64 x 128");
  refused(in_blocks(128, 64, "dynamic"), {codes, scale}, "scales of blocks of 128 x 64");
  refused(compressed("float-quantized", {{"num_bits", 8}, {"type", "float"}, {"strategy", "group"}, {"group_size", 32}},
                     {{"num_bits", 8}, {"type", "float"}, {"dynamic", true}, {"strategy", "token"}}),
          {codes, {"m.weight_scale", "F32", {kOutputs, 2}, bytes_of(std::vector<float>(2 * kOutputs, 0.3F))}},
          "scales of groups of codes in E4M3");
}

TEST_CASE("codes in E4M3 are kept, and the variant's name says whether activations are quantized") {
  const auto check_variant = [](const json& quantization, const std::vector<HandMadeTensor>& tensors,
                                const PublishedForm& form, const std::string& variant) {
    CAPTURE(variant);
    check_kept(quantization, tensors, form);
    const auto scheme = parse_checkpoint_scheme(quantization, "config.json");
    REQUIRE_OK(scheme);
    CHECK(variant_of_form(*scheme, form) == variant);
    const auto found = variant_from_name(variant);
    REQUIRE_OK(found);
    CHECK(found->matmul == form.encoding);
    CHECK(found->activations == act_of_form(*scheme, form));
    CHECK((found->activations == ActQuant::kNone) == variant.ends_with("-w8a16"));
  };
  const auto [codes, one] = fp8_parts();
  const PublishedForm by_row{kFp8PerRow, 0};
  HandMadeTensor scale = one;
  scale.name = "m.weight_scale";
  scale.shape = Shape();
  check_variant({{"quant_method", "fp8"}, {"activation_scheme", "dynamic"}}, {codes, scale}, by_row, "fp8-w8a16");
  check_variant({{"quant_method", "fbgemm_fp8"}}, {codes, scale}, by_row, "fbgemm-fp8-w8a16");
  check_variant({{"quant_method", "modelopt"}, {"quant_algo", "FP8"}}, {codes, scale}, by_row, "modelopt-fp8-static");
  check_variant({{"quant_method", "fp8"}, {"activation_scheme", "static"}}, {codes, scale}, by_row, "fp8-static");
  check_variant({{"quant_method", "fbgemm_fp8"}, {"activation_scheme", "static"}}, {codes, scale}, by_row,
                "fbgemm-fp8-w8a16");
  const json weights = {{"num_bits", 8}, {"type", "float"}, {"strategy", "tensor"}};
  const json by_token = {{"num_bits", 8}, {"type", "float"}, {"dynamic", true}, {"strategy", "token"}};
  check_variant(compressed("float-quantized", weights, by_token), {codes, scale}, by_row, "compressed-tensors-fp8");
  check_variant(compressed("float-quantized", weights), {codes, scale}, by_row, "compressed-tensors-fp8-w8a16");
  json of_tensor = {{"num_bits", 8}, {"type", "float"}, {"dynamic", false}};
  check_variant(compressed("float-quantized", weights, of_tensor), {codes, scale}, by_row,
                "compressed-tensors-fp8-static");
  of_tensor["dynamic"] = "local";
  check_variant(compressed("float-quantized", weights, of_tensor), {codes, scale}, by_row,
                "compressed-tensors-fp8-w8a16");

  const PublishedForm by_block{kFp8Group128, 128};
  const std::vector<HandMadeTensor> block = {codes, one};
  check_variant(in_blocks(128, 128, "dynamic"), block, by_block, "fp8-block128");
  check_variant(in_blocks(128, 128, "dynamic"), {codes, {"m.weight_scale_inv", "F8_E8M0", {1, 1}, "\x79"}}, by_block,
                "fp8-block128");
  check_variant(in_blocks(128, 128, "static"), block, by_block, "fp8-block128-w8a16");
  json rounded = in_blocks(128, 128, "dynamic");
  rounded["scale_fmt"] = "ue8m0";
  check_variant(rounded, block, by_block, "fp8-block128-ue8m0");
  rounded["scale_fmt"] = "ue4m3";
  check_variant(rounded, block, by_block, "fp8-block128-w8a16");
  HandMadeTensor of_compressed = one;
  of_compressed.name = "m.weight_scale";
  const json in_compressed_blocks = {
      {"num_bits", 8}, {"type", "float"}, {"strategy", "block"}, {"block_structure", {128, 128}}};
  check_variant(compressed("float-quantized", in_compressed_blocks), {codes, of_compressed}, by_block,
                "compressed-tensors-fp8-block128-w8a16");
}

}  // namespace
}  // namespace secondsource::kept_codes_test
