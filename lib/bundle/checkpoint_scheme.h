#pragma once
// How a published checkpoint in safetensors stores quantized weights: what the quantization_config of its config.json
// says. Formats: FP8 of DeepSeek, GPTQ (as AutoGPTQ writes it), AWQ (as AutoAWQ writes it), AutoRound,
// compressed-tensors (of vLLM's llm-compressor), FP8 and NVFP4 of NVIDIA's ModelOpt, FP8, INT8 and MXFP4 of AMD's
// Quark, MXFP4 of gpt-oss.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/json_fields.h"
#include "core/result.h"

namespace secondsource {

/// Where the codes of a weight matrix [outputs, inputs] are.
enum class CodeLayout : std::uint8_t {
  kFp8,         ///< `weight`: one E4M3 number a weight, [outputs, inputs]
  kInt8,        ///< `weight`: one signed byte a weight, of which a code of four bits uses -8 to 7, [outputs, inputs]
  kInputWords,  ///< `weight_packed`: words of consecutive inputs, [outputs, inputs / codes of a word]; signed codes
  kGptqWords,   ///< `qweight`: words of consecutive inputs, [inputs / codes of a word, outputs]; unsigned codes
  kAwqWords,    ///< `qweight`: words of eight outputs in AutoAWQ's order, [inputs, outputs / 8]; unsigned codes
  kMxfp4,       ///< `_blocks` of experts: bytes of two consecutive inputs in E2M1, [experts, outputs, inputs / 32, 16]
  kFp4Rows,     ///< `weight` or `weight_packed`: bytes of two consecutive inputs in E2M1, [outputs, inputs / 2]
};

/// How the global scale of a matrix, one number in FP32, acts on its scales in E4M3 (NVFP4).
enum class GlobalScale : std::uint8_t {
  kNone,        ///< there is none, and scales of kFp4Rows are bytes with exponents (E8M0)
  kMultiplies,  ///< `weight_scale_2`
  kDivides,     ///< `weight_global_scale`
};

/// The ending of its tensor's name; empty where there is none.
[[nodiscard]] constexpr std::string_view name_of(GlobalScale kind) {
  return kind == GlobalScale::kMultiplies ? "weight_scale_2"
         : kind == GlobalScale::kDivides  ? "weight_global_scale"
                                          : "";
}

/// Which weights share a scale: `rows` consecutive outputs and `cols` consecutive inputs; 0 means all of them.
struct ScaleBlock {
  std::int64_t rows = 1;
  std::int64_t cols = 0;
};

/// How the runtimes of a checkpoint quantize the inputs of its products.
enum class CheckpointActivations : std::uint8_t {
  kAsTheyAre,
  kInt8PerToken,          ///< in INT8 with a scale for each token, found at run time
  kInt8Static,            ///< in INT8 with one scale for all tokens, which the module stores as `input_scale`
  kFp8PerToken,           ///< in E4M3 with a scale for each token, found at run time
  kFp8Static,             ///< in E4M3 with one scale for all tokens, which the module stores as `input_scale`
  kFp8PerTokenGroup,      ///< in E4M3 with a scale for each 128 consecutive inputs of a token
  kFp8PerTokenGroupE8m0,  ///< the same with scales that are rounded up to powers of two
  kNvfp4,  ///< in E2M1 with a scale in E4M3 for each 16 inputs and one for all tokens, `input_scale` or, dividing, `input_global_scale`
  kInt8ZeroPoints,  ///< in INT8 with zero points beside the scales, which are stored or found at run time
  kOther,  ///< a scale of all tokens found at run time or one for blocks, another format of scales, an upper bound
};

/// Whether modules store a scale of all their inputs.
[[nodiscard]] constexpr bool promises_input_scales(CheckpointActivations act) {
  return act == CheckpointActivations::kInt8Static || act == CheckpointActivations::kFp8Static ||
         act == CheckpointActivations::kNvfp4;
}

struct CheckpointScheme {
  std::string_view method = {};  ///< as names of published variants begin: "gptq-"
  CodeLayout layout = CodeLayout::kFp8;
  int bits = 8;  ///< of a code: 2, 4 or 8 in words, 4 or 8 in kInt8
  /// Absent if the shape of each tensor of scales decides whether it has one scale for all weights or one for each
  /// output.
  std::optional<ScaleBlock> block = std::nullopt;
  GlobalScale global_scale = GlobalScale::kNone;
  bool has_zero_points = false;
  /// The description says that all zero points are the middle of the codes (GPTQ, AutoRound).
  bool is_symmetric = false;
  bool stores_zero_points_less_one = false;  ///< as AutoGPTQ does in its first format
  bool has_input_groups = false;             ///< `g_idx` names the group of each input (act order)
  std::string description = {};              ///< "GPTQ, 4 bits, groups of 128, act order"
  CheckpointActivations activations = CheckpointActivations::kAsTheyAre;

  /// Codes in one 32-bit word.
  [[nodiscard]] int codes_of_word() const { return 32 / bits; }
};

/// Reads the value of `quantization_config`, which messages call `name`. Errors: kInvalidInput; kUnsupported, naming
/// the method or the setting that is not implemented.
Result<CheckpointScheme> parse_checkpoint_scheme(const nlohmann::json& quantization, std::string_view name);

}  // namespace secondsource
