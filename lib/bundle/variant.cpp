#include "bundle/variant.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <vector>

#include "bundle/published_weights.h"
#include "core/nearest_word.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

/// AutoAWQ's checkpoints always have zero points; other methods' names say whether there are any.
constexpr std::string_view kAwqMethod = "awq-";
constexpr std::string_view kZeroPointEnding = "-zp";
/// The method of DeepSeek's and AutoFP8's checkpoints; this name already says that the codes are FP8.
constexpr std::string_view kFp8Method = "fp8-";
constexpr std::string_view kE8m0Ending = "-ue8m0";     ///< of activations whose scales are powers of two
constexpr std::string_view kStaticEnding = "-static";  ///< of activations whose scales were found before
/// The ending for weights in FP8 beside activations that are not quantized; "fp8" without it means quantized
/// activations.
constexpr std::string_view kPlainInputsEnding = "-w8a16";
/// The method of gpt-oss, which is the whole name of its variant.
constexpr std::string_view kMxfp4Method = "mxfp4";

constexpr std::array<std::string_view, 4> kMxfp4Names = {"mxfp4", "gguf-mxfp4", "quark-mxfp4",
                                                         "compressed-tensors-mxfp4"};
constexpr std::array<std::string_view, 2> kNvfp4Methods = {"modelopt-", "compressed-tensors-"};
/// The ending for activations in INT8 whose scales are found at run time.
constexpr std::string_view kInt8InputsEnding = "-w8a8";
/// The ending for weights in NVFP4 beside activations that are not quantized.
constexpr std::string_view kNvfp4PlainInputsEnding = "-w4a16";

/// The published variant of this encoding and group whose name this is, with one of these activations.
std::optional<Variant> variant_with_activations(std::string_view name, std::string_view method, WeightEncoding encoding,
                                                std::int64_t group, std::initializer_list<ActQuant> activations) {
  for (const ActQuant act : activations) {
    if (name != published_variant_name(method, encoding, group, act)) continue;
    return Variant{
        .name = std::string(name), .matmul = encoding, .rest = std::nullopt, .activations = act, .group = group};
  }
  return std::nullopt;
}

/// The variant of a GGUF file's block type.
std::optional<Variant> gguf_variant(std::string_view name) {
  using enum WeightEncoding;
  if (name == "gguf-q4_0") return Variant{.name = "gguf-q4_0", .matmul = kInt4Group32, .rest = {}, .group = 32};
  if (name == "gguf-q8_0") return Variant{.name = "gguf-q8_0", .matmul = kInt8Group32, .rest = {}, .group = 32};
  for (const WeightEncoding encoding : kBlockEncodings) {
    if (!name.starts_with(kGgufMethod) || name.substr(kGgufMethod.size()) != to_string(encoding)) continue;
    return Variant{.name = std::string(name), .matmul = encoding, .rest = {}, .group = kScaleGroupSize};
  }
  // GGUF files do not say whether activations are quantized, so they are never quantized here.
  return variant_with_activations(name, kGgufMethod, kNvfp4Group16, kNvfp4GroupSize, {ActQuant::kNone});
}

/// The variant of a name such as "gptq-int4-g128-zp" or "compressed-tensors-int8-g64-w8a8": whole numbers with a scale
/// for each group of columns.
std::optional<Variant> variant_with_groups(std::string_view name, std::string_view method) {
  using enum WeightEncoding;
  std::string_view codes = name.substr(method.size());
  const bool is_int4 = codes.starts_with("int4");
  const bool is_awq = method == kAwqMethod;
  Variant variant{.name = std::string(name), .rest = std::nullopt};
  if (codes.ends_with(kInt8InputsEnding)) {
    variant.activations = ActQuant::kInt8PerRow;
    codes.remove_suffix(kInt8InputsEnding.size());
  }
  const bool has_zero_points = is_awq || codes.ends_with(kZeroPointEnding);
  if (has_zero_points && variant.activations != ActQuant::kNone) return std::nullopt;
  variant.matmul = !is_int4 ? kInt8Group32 : has_zero_points ? kInt4Group32Zero : kInt4Group32;
  std::string_view rest = codes.substr(std::string_view("int4").size());
  if (!is_awq && has_zero_points) rest.remove_suffix(kZeroPointEnding.size());
  if (!rest.empty()) {
    const auto group = parse_number<std::int64_t>(rest.substr(std::min<std::size_t>(rest.size(), 2)));
    if (!group || *group < 1 || *group > (std::int64_t{1} << 20) || *group % kScaleGroupSize != 0) return std::nullopt;
    variant.group = *group;
  }
  if (name != published_variant_name(method, variant.matmul, variant.group, variant.activations)) return std::nullopt;
  return variant;
}

/// The variant of a name that begins with this method, of those whose codes are whole numbers or FP8.
std::optional<Variant> variant_of_method(std::string_view name, std::string_view method) {
  using enum WeightEncoding;
  const std::string_view codes = name.substr(method.size());
  const bool is_int4 = codes.starts_with("int4");
  if (method == kAwqMethod && !is_int4) return std::nullopt;
  if (method == kFp8Method && (is_int4 || codes.starts_with("int8"))) return std::nullopt;
  if (is_int4 || codes.starts_with("int8-g")) return variant_with_groups(name, method);
  if (codes.starts_with("int8")) {
    return variant_with_activations(name, method, kInt8PerRow, 0,
                                    {ActQuant::kNone, ActQuant::kInt8PerRow, ActQuant::kInt8Static});
  }
  if (auto by_row = variant_with_activations(name, method, kFp8PerRow, 0,
                                             {ActQuant::kNone, ActQuant::kFp8PerRow, ActQuant::kFp8Static})) {
    return by_row;
  }
  return variant_with_activations(name, method, kFp8Group128, kFp8GroupSize,
                                  {ActQuant::kNone, ActQuant::kFp8PerGroup128, ActQuant::kFp8PerGroup128E8m0});
}

/// The variant of a published name; nullopt for any other name.
std::optional<Variant> published_from_name(std::string_view name) {
  using enum WeightEncoding;
  if (auto gguf = gguf_variant(name)) return gguf;
  if (std::ranges::find(kMxfp4Names, name) != kMxfp4Names.end()) {
    return Variant{.name = std::string(name), .matmul = kMxfp4Group32, .rest = {}, .group = kScaleGroupSize};
  }
  for (const std::string_view method : kNvfp4Methods) {
    if (auto nvfp4 = variant_with_activations(name, method, kNvfp4Group16, kNvfp4GroupSize,
                                              {ActQuant::kNone, ActQuant::kNvfp4Static})) {
      return nvfp4;
    }
  }
  for (const std::string_view method : kPublishedMethods) {
    if (method == kGgufMethod || method == kMxfp4Method || !name.starts_with(method)) continue;
    return variant_of_method(name, method);
  }
  return std::nullopt;
}

/// The names that are suggested for a mistyped one. Groups may have any size; only 32 and 128 are tried.
std::vector<std::string> likely_names() {
  using enum WeightEncoding;
  std::vector<std::string> names(kVariantNames.begin(), kVariantNames.end());
  const auto add = [&](std::string name) {
    if (published_from_name(name)) names.push_back(std::move(name));
  };
  for (const std::string_view method : kPublishedMethods) {
    for (const WeightEncoding encoding : {kInt4Group32, kInt4Group32Zero, kInt8Group32, kInt8PerRow, kFp8PerRow,
                                          kFp8Group128, kMxfp4Group32, kNvfp4Group16}) {
      for (const ActQuant act :
           {ActQuant::kNone, ActQuant::kInt8PerRow, ActQuant::kInt8Static, ActQuant::kFp8PerRow, ActQuant::kFp8Static,
            ActQuant::kFp8PerGroup128, ActQuant::kFp8PerGroup128E8m0, ActQuant::kNvfp4Static}) {
        for (const std::int64_t group : {0, 32, 128}) add(published_variant_name(method, encoding, group, act));
      }
    }
  }
  for (const char* const name : {"gguf-q4_0", "gguf-q8_0"}) add(name);
  for (const WeightEncoding encoding : kBlockEncodings) add(fmt::format("{}{}", kGgufMethod, to_string(encoding)));
  return names;
}

}  // namespace

std::vector<std::string> variants_with_published(const std::string& published) {
  std::vector<std::string> names;
  if (!published.empty()) names.push_back(published);
  names.insert(names.end(), kVariantNames.begin(), kVariantNames.end());
  return names;
}

Result<void> check_known_variants(std::string_view subject, const std::vector<std::string>& known,
                                  const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) != known.end()) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected a variant of {}, found {}{}", subject, fmt::join(known, ", "),
                             in_quotes(name), did_you_mean(name, known))};
  }
  return {};
}

std::string published_variant_name(std::string_view method, WeightEncoding encoding, std::int64_t group,
                                   ActQuant activations) {
  if (encoding == WeightEncoding::kMxfp4Group32)
    return fmt::format("{}{}", method, method == kMxfp4Method ? "" : "mxfp4");
  if (encoding == WeightEncoding::kNvfp4Group16)
    return fmt::format("{}nvfp4{}", method, activations == ActQuant::kNone ? kNvfp4PlainInputsEnding : "");
  if (has_fp8_codes(encoding)) {
    std::string name(method.substr(0, method.size() - 1));
    if (method != kFp8Method) name += "-fp8";
    if (encoding == WeightEncoding::kFp8Group128) name += fmt::format("-block{}", kFp8GroupSize);
    if (activations == ActQuant::kFp8PerGroup128E8m0) name += kE8m0Ending;
    if (activations == ActQuant::kFp8Static) name += kStaticEnding;
    if (activations == ActQuant::kNone) name += kPlainInputsEnding;
    return name;
  }
  const bool says_zero_points = encoding == WeightEncoding::kInt4Group32Zero && method != kAwqMethod;
  return fmt::format("{}{}{}{}{}", method, has_int4_codes(encoding) ? "int4" : "int8",
                     group == 0 ? "" : fmt::format("-g{}", group), says_zero_points ? kZeroPointEnding : "",
                     activations == ActQuant::kInt8PerRow   ? kInt8InputsEnding
                     : activations == ActQuant::kInt8Static ? kStaticEnding
                                                            : "");
}

Result<Variant> variant_from_name(std::string_view name) {
  using enum WeightEncoding;
  if (name == "f32") return Variant{.name = "f32", .matmul = kF32, .rest = kF32};
  if (name == "bf16") return Variant{.name = "bf16", .matmul = kBf16, .rest = kBf16};
  if (name == "f16") return Variant{.name = "f16", .matmul = kF16, .rest = kF16};
  if (name == "int8") return Variant{.name = "int8", .matmul = kInt8PerRow, .rest = std::nullopt};
  if (name == "int8-w8a8") {
    return Variant{
        .name = "int8-w8a8", .matmul = kInt8PerRow, .rest = std::nullopt, .activations = ActQuant::kInt8PerRow};
  }
  if (name == "int8-g32") return Variant{.name = "int8-g32", .matmul = kInt8Group32, .rest = std::nullopt};
  if (name == "int8-g32-w8a8") {
    return Variant{
        .name = "int8-g32-w8a8", .matmul = kInt8Group32, .rest = std::nullopt, .activations = ActQuant::kInt8PerRow};
  }
  if (name == "int4") return Variant{.name = "int4", .matmul = kInt4Group32, .rest = std::nullopt};
  if (name == "int4-w8a8") {
    return Variant{
        .name = "int4-w8a8", .matmul = kInt4Group32, .rest = std::nullopt, .activations = ActQuant::kInt8PerRow};
  }
  if (name == "fp8") {
    return Variant{.name = "fp8", .matmul = kFp8PerRow, .rest = std::nullopt, .activations = ActQuant::kFp8PerRow};
  }
  if (std::optional<Variant> published = published_from_name(name)) return *std::move(published);
  return Error{ErrorCode::kInvalidInput,
               fmt::format("variant: expected one of {}, or the published one of a bundle, found {}{}",
                           fmt::join(kVariantNames, ", "), printable(name), did_you_mean(name, likely_names()))};
}

Result<WeightEncoding> encoding_as_stored(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return WeightEncoding::kF32;
    case DType::kF16:
      return WeightEncoding::kF16;
    case DType::kBf16:
      return WeightEncoding::kBf16;
    default:
      return Error{ErrorCode::kUnsupported,
                   fmt::format("expected weights in f32, f16 or bf16, found {}", to_string(dtype))};
  }
}

Result<WeightEncoding> encoding_of(const Variant& variant, TensorRole role, DType stored) {
  if (role == TensorRole::kMatmul) return variant.matmul;
  if (variant.rest && role != TensorRole::kChoiceBias) return *variant.rest;
  return encoding_as_stored(stored);
}

Result<WeightEncoding> encoding_of(const Variant& variant, TensorRole role, const StoredTensor& tensor) {
  if (!variant.is_published()) return encoding_of(variant, role, tensor.info.dtype.value());
  // Rows that are looked up must have the model's order of columns, so codes in another order are given by their
  // values.
  const bool takes_codes = role == TensorRole::kMatmul ||
                           (role == TensorRole::kEmbedding && tensor.published && tensor.published->columns.empty());
  if (tensor.published && takes_codes) return tensor.published->form.encoding;
  return encoding_as_stored(tensor.info.dtype.value());
}

}  // namespace secondsource
