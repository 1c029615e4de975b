#include "bundle/gguf_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

struct NamePair {
  std::string_view model;
  std::string_view gguf;
};

/// Names of a layer's modules, without "weight" and "bias": after "model.layers.N." and after "blk.N.".
constexpr std::array kModules = {
    NamePair{"input_layernorm", "attn_norm"},
    NamePair{"pre_feedforward_layernorm", "ffn_norm"},
    NamePair{"post_feedforward_layernorm", "post_ffw_norm"},
    NamePair{"self_attn.q_proj", "attn_q"},
    NamePair{"self_attn.k_proj", "attn_k"},
    NamePair{"self_attn.v_proj", "attn_v"},
    NamePair{"self_attn.qkv_proj", "attn_qkv"},
    NamePair{"self_attn.o_proj", "attn_output"},
    NamePair{"self_attn.q_norm", "attn_q_norm"},
    NamePair{"self_attn.k_norm", "attn_k_norm"},
    NamePair{"mlp.gate_proj", "ffn_gate"},
    NamePair{"mlp.up_proj", "ffn_up"},
    NamePair{"mlp.down_proj", "ffn_down"},
    NamePair{"mlp.gate_up_proj", "ffn_up"},
    NamePair{"mlp.c_fc", "ffn_up"},
    NamePair{"mlp.c_proj", "ffn_down"},
    NamePair{"mlp.gate", "ffn_gate_inp"},
    NamePair{"mlp.router", "ffn_gate_inp"},
    NamePair{"block_sparse_moe.gate", "ffn_gate_inp"},
    NamePair{"block_sparse_moe.router.layer", "ffn_gate_inp"},
    NamePair{"block_sparse_moe.output_linear", "ffn_down_exps"},
    NamePair{"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    NamePair{"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    NamePair{"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    NamePair{"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
    NamePair{"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    NamePair{"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    NamePair{"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    NamePair{"self_attn.q_a_proj", "attn_q_a"},
    NamePair{"self_attn.q_a_layernorm", "attn_q_a_norm"},
    NamePair{"self_attn.q_b_proj", "attn_q_b"},
    NamePair{"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    NamePair{"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    NamePair{"self_attn.kv_b_proj", "attn_kv_b"},
};

/// Names of one expert's matrices, after "experts.N.".
constexpr std::array kExpertMatrices = {
    NamePair{"gate_proj", "ffn_gate"}, NamePair{"up_proj", "ffn_up"}, NamePair{"down_proj", "ffn_down"},
    NamePair{"w1", "ffn_gate"},        NamePair{"w3", "ffn_up"},      NamePair{"w2", "ffn_down"},
};

/// For gpt-oss, whose tensors hold all experts of a layer: the kind of tensor in GGUF, and the GGUF tensors that are
/// joined into one.
struct JoinedExperts {
  std::string_view model;  ///< behind "mlp.experts."
  std::string_view kind;
  std::span<const std::string_view> parts;
};
constexpr std::array<std::string_view, 2> kGateAndUp = {"ffn_gate_exps", "ffn_up_exps"};
constexpr std::array<std::string_view, 1> kDown = {"ffn_down_exps"};
constexpr std::array kJoinedExperts = {
    JoinedExperts{"gate_up_proj", "weight", kGateAndUp},
    JoinedExperts{"gate_up_proj_bias", "bias", kGateAndUp},
    JoinedExperts{"down_proj", "weight", kDown},
    JoinedExperts{"down_proj_bias", "bias", kDown},
};

/// Tensors that describe the rotation; gguf_config.cpp reads them.
constexpr std::array<std::string_view, 3> kRopeTensors = {"rope_freqs.weight", "rope_factors_long.weight",
                                                          "rope_factors_short.weight"};

/// "q_proj.weight" as its module and its kind.
struct ModuleName {
  std::string_view module;
  std::string_view kind;
};
ModuleName split_kind(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return {name.substr(0, dot), name.substr(dot + 1)};
}

class TensorPlanner {
 public:
  TensorPlanner(const GgufFiles& files, const GgufArchitecture& architecture, const ModelConfig& config)
      : files_(&files), architecture_(&architecture), config_(&config) {}

  Result<GgufTensorPlan> plan(const TensorSpec& spec) {
    GgufTensorPlan plan{.spec = spec, .rows = {}, .change = change_of(spec)};
    SS_TRY(plan.rows, rows_of(spec));
    return plan;
  }

  /// Refuses tensors that no plan has taken.
  Result<void> expect_all_taken() const {
    for (const auto& [name, weight] : files_->weights()) {
      const bool is_rope =
          std::ranges::find(kRopeTensors, name) != kRopeTensors.end() || name.ends_with(".rope_freqs.weight");
      if (is_rope || taken_.contains(name)) continue;
      return Error{ErrorCode::kUnsupported, fmt::format("{}: GGUF: tensor {}: {} of these settings has no such tensor",
                                                        files_->name(), printable(name), architecture_->class_name)};
    }
    return {};
  }

 private:
  [[nodiscard]] GgufChange change_of(const TensorSpec& spec) const {
    if (joined_experts(spec) != nullptr) return GgufChange::kExpertsTurned;
    if (has_heads_apart(spec)) return GgufChange::kHeadKeysTurned;
    if (spec.role == TensorRole::kNorm) {
      return architecture_->norms_hold_one ? GgufChange::kOneAdded : GgufChange::kNone;
    }
    const bool is_rotated =
        spec.name.find(".q_proj.") != std::string::npos || spec.name.find(".k_proj.") != std::string::npos;
    if (!is_rotated || !architecture_->interleaves_halves) return GgufChange::kNone;
    return spec.role == TensorRole::kBias ? GgufChange::kValuesInterleaved : GgufChange::kRowsInterleaved;
  }

  /// Rows of the tensor `name`, which has `n_tensor_rows` in all.
  Result<GgufRows> take(const std::string& name, std::int64_t first_row, std::int64_t n_rows,
                        std::int64_t n_tensor_rows, std::int64_t row_values) {
    const GgufWeight* weight = files_->find(name);
    if (weight == nullptr || weight->n_rows != n_tensor_rows || weight->row_values != row_values) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: GGUF: tensor {}: expected {} rows of {} values, found {}", files_->name(), name,
                               n_tensor_rows, row_values,
                               weight == nullptr ? "no such tensor" : weight->tensor->shape.to_string())};
    }
    taken_.insert(weight->tensor->name);
    SS_TRY(const float global_scale, take_global_scale(name, first_row / n_rows, n_tensor_rows / n_rows));
    return GgufRows{weight, first_row, n_rows, global_scale};
  }

  /// The scale of the products with a matrix, number `part` of `n_parts` of the same size in the tensor `name`: 1 where the file has none.
  /// llama.cpp writes one number for a matrix, and one for each expert of a stack.
  Result<float> take_global_scale(std::string_view name, std::int64_t part, std::int64_t n_parts) {
    constexpr std::string_view kWeight = ".weight";
    if (!name.ends_with(kWeight)) return 1.0F;
    const std::string module(name.substr(0, name.size() - kWeight.size()));
    // Runtimes that quantize activations may start from this one; here activations stay as they are.
    if (const GgufWeight* of_inputs = files_->find(module + ".input_scale")) taken_.insert(of_inputs->tensor->name);
    const GgufWeight* const stored = files_->find(module + ".scale");
    if (stored == nullptr) return 1.0F;
    if (stored->n_rows != 1 || (stored->row_values != 1 && stored->row_values != n_parts)) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: GGUF: tensor {}: expected one scale{}, found {}", files_->name(),
                               printable(stored->tensor->name),
                               n_parts == 1 ? "" : fmt::format(", or one for each of {} parts", n_parts),
                               stored->tensor->shape.to_string())};
    }
    taken_.insert(stored->tensor->name);
    std::vector<std::byte> scratch;
    std::vector<float> scales(static_cast<std::size_t>(stored->row_values));
    SS_TRY_VOID(GgufFiles::read_row(*stored, 0, scratch, scales));
    const float scale = scales[scales.size() == 1 ? 0 : static_cast<std::size_t>(part)];
    if (scale > 0.0F && std::isfinite(scale)) return scale;
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: GGUF: tensor {}: expected positive scales, found {}",
                                                       files_->name(), printable(stored->tensor->name), scale)};
  }
  Result<std::vector<GgufRows>> take_whole(const std::string& name, const TensorSpec& spec) {
    const std::int64_t n_rows = n_rows_of(spec.shape);
    SS_TRY(const GgufRows rows, take(name, 0, n_rows, n_rows, spec.shape.extent(spec.shape.rank() - 1)));
    return std::vector{rows};
  }

  Result<std::vector<GgufRows>> rows_of(const TensorSpec& spec) {
    if (spec.name == kEmbeddingTensor) return take_whole("token_embd.weight", spec);
    if (spec.name == kFinalNormTensor) return take_whole("output_norm.weight", spec);
    if (spec.name == bias_name(kFinalNormTensor)) return take_whole("output_norm.bias", spec);
    if (spec.name == kHeadTensor) return take_whole("output.weight", spec);
    constexpr std::string_view kLayers = "model.layers.";
    std::string_view rest = std::string_view(spec.name).substr(kLayers.size());
    const std::size_t dot = rest.find('.');
    const std::string layer = fmt::format("blk.{}.", rest.substr(0, dot));
    rest.remove_prefix(dot + 1);
    const ModuleName name = split_kind(rest);
    if (name.module == "block_sparse_moe.input_linear") return joined_expert_rows(layer, spec);
    if (const JoinedExperts* joined = joined_experts(spec)) return turned_expert_rows(layer, *joined, spec);
    if (has_heads_apart(spec)) return head_rows(layer, spec);
    if (spec.role == TensorRole::kChoiceBias) return take_whole(layer + "exp_probs_b.bias", spec);
    if (rest == kSinks) return take_whole(layer + "attn_sinks.weight", spec);
    if (const std::size_t experts = name.module.find(".experts."); experts != std::string_view::npos) {
      return expert_rows(layer, name.module.substr(experts + std::string_view(".experts.").size()), spec);
    }
    if (name.module == "post_attention_layernorm") {
      // This is the norm of what attention adds, or the norm before the feed-forward network, which two classes also
      // call post_attention_norm.
      const bool is_after = config_->has_norms_after() || config_->architecture == Architecture::kSeedOss ||
                            config_->architecture == Architecture::kGptOss;
      return take_whole(fmt::format("{}{}.{}", layer, is_after ? "post_attention_norm" : "ffn_norm", name.kind), spec);
    }
    const auto* found = std::ranges::find(kModules, name.module, &NamePair::model);
    if (found == kModules.end()) {
      return Error{ErrorCode::kUnsupported,
                   fmt::format("{}: tensor {}: no name for it in GGUF is known", files_->name(), spec.name)};
    }
    return take_whole(fmt::format("{}{}.{}", layer, found->gguf, name.kind), spec);
  }

  /// One expert's matrix: rows of the tensor that stacks all experts, or a tensor of its own as in early files. `which`
  /// is "5.gate_proj".
  Result<std::vector<GgufRows>> expert_rows(const std::string& layer, std::string_view which, const TensorSpec& spec) {
    const std::size_t dot = which.find('.');
    const std::int64_t expert = parse_number<std::int64_t>(which.substr(0, dot)).value_or(0);
    const auto* matrix = std::ranges::find(kExpertMatrices, which.substr(dot + 1), &NamePair::model);
    const std::string alone = fmt::format("{}{}.{}.weight", layer, matrix->gguf, expert);
    if (files_->find(alone) != nullptr) return take_whole(alone, spec);
    const std::int64_t n_rows = spec.shape.extent(0);
    SS_TRY(const GgufRows rows, take(fmt::format("{}{}_exps.weight", layer, matrix->gguf), expert * n_rows, n_rows,
                                     config_->n_experts * n_rows, spec.shape.extent(1)));
    return std::vector{rows};
  }

  /// The gate and up projections of all experts in one tensor (Granite-MoE): for each expert first the gate, then the
  /// up projection.
  Result<std::vector<GgufRows>> joined_expert_rows(const std::string& layer, const TensorSpec& spec) {
    const std::int64_t n_rows = config_->expert_ffn_dim;
    const std::int64_t n_values = spec.shape.extent(2);
    std::vector<GgufRows> rows;
    for (std::int64_t expert = 0; expert < config_->n_experts; ++expert) {
      for (const std::string_view matrix : {"ffn_gate_exps.weight", "ffn_up_exps.weight"}) {
        SS_TRY(const GgufRows part, take(fmt::format("{}{}", layer, matrix), expert * n_rows, n_rows,
                                         config_->n_experts * n_rows, n_values));
        rows.push_back(part);
      }
    }
    return rows;
  }

  /// The GGUF tensors that the model's tensor joins, if it holds all experts transposed (gpt-oss); otherwise null.
  [[nodiscard]] const JoinedExperts* joined_experts(const TensorSpec& spec) const {
    constexpr std::string_view kModule = "mlp.experts.";
    const std::size_t at = spec.name.find(kModule);
    if (config_->architecture != Architecture::kGptOss || at == std::string::npos) return nullptr;
    const auto* found = std::ranges::find(kJoinedExperts, std::string_view(spec.name).substr(at + kModule.size()),
                                          &JoinedExperts::model);
    return found == kJoinedExperts.end() ? nullptr : found;
  }

  /// For each expert, the matrices that are transposed, or its biases, each of which is one row.
  Result<std::vector<GgufRows>> turned_expert_rows(const std::string& layer, const JoinedExperts& joined,
                                                   const TensorSpec& spec) {
    const bool is_bias = joined.kind == "bias";
    const std::int64_t n_outputs =
        spec.shape.extent(spec.shape.rank() - 1) / static_cast<std::int64_t>(joined.parts.size());
    const std::int64_t n_rows = is_bias ? 1 : n_outputs;
    const std::int64_t n_values = is_bias ? n_outputs : spec.shape.extent(1);
    std::vector<GgufRows> rows;
    for (std::int64_t expert = 0; expert < config_->n_experts; ++expert) {
      for (const std::string_view part : joined.parts) {
        SS_TRY(const GgufRows of_part, take(fmt::format("{}{}.{}", layer, part, joined.kind), expert * n_rows, n_rows,
                                            config_->n_experts * n_rows, n_values));
        rows.push_back(of_part);
      }
    }
    return rows;
  }

  /// Whether the file stores the two parts of kv_b_proj separately, as llama.cpp's converter does since April 2025.
  [[nodiscard]] bool has_heads_apart(const TensorSpec& spec) const {
    constexpr std::string_view kJoined = ".self_attn.kv_b_proj.weight";
    return spec.name.ends_with(kJoined) && files_->find("blk.0.attn_k_b.weight") != nullptr;
  }

  /// For each head, kv_rank rows whose columns produce its keys, and value_dim rows that produce its values.
  Result<std::vector<GgufRows>> head_rows(const std::string& layer, const TensorSpec& spec) {
    const LatentAttention& latent = config_->latent;
    const std::int64_t n_heads = config_->n_heads;
    const std::int64_t kv_rank = spec.shape.extent(1);
    std::vector<GgufRows> rows;
    for (std::int64_t head = 0; head < n_heads; ++head) {
      SS_TRY(const GgufRows keys,
             take(layer + "attn_k_b.weight", head * kv_rank, kv_rank, n_heads * kv_rank, latent.plain_dim));
      SS_TRY(const GgufRows values, take(layer + "attn_v_b.weight", head * latent.value_dim, latent.value_dim,
                                         n_heads * latent.value_dim, kv_rank));
      rows.push_back(keys);
      rows.push_back(values);
    }
    return rows;
  }

  const GgufFiles* files_;
  const GgufArchitecture* architecture_;
  const ModelConfig* config_;
  std::set<std::string_view> taken_;
};

/// Where element `index` of heads of `head_dim` elements is stored if the two halves of each head are interleaved.
std::int64_t interleaved_place(std::int64_t index, std::int64_t head_dim) {
  const std::int64_t in_head = index % head_dim;
  const std::int64_t half = head_dim / 2;
  return index - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

/// Writes the values of row `row` of these rows. `scratch` is reused from call to call.
Result<void> read_values(const GgufRows& rows, std::int64_t row, std::vector<std::byte>& scratch,
                         std::span<float> values) {
  SS_TRY_VOID(GgufFiles::read_row(*rows.weight, rows.first_row + row, scratch, values));
  if (rows.global_scale == 1.0F) return {};
  for (float& value : values) value *= rows.global_scale;
  return {};
}

/// Matrices of the same shape, [part][output][input] in FP32.
struct MatrixParts {
  std::int64_t n_outputs = 0;
  std::int64_t n_inputs = 0;
  std::vector<std::vector<float>> parts;
};

Result<MatrixParts> read_parts(std::span<const GgufRows> parts, bool is_bias) {
  MatrixParts read;
  std::vector<std::byte> scratch;
  for (const GgufRows& part : parts) {
    const std::int64_t n_values = part.weight->row_values;
    read.n_outputs = is_bias ? n_values : part.n_rows;
    read.n_inputs = is_bias ? 1 : n_values;
    std::vector<float>& values = read.parts.emplace_back(static_cast<std::size_t>(part.n_rows * n_values));
    for (std::int64_t row = 0; row < part.n_rows; ++row) {
      const auto of_row =
          std::span(values).subspan(static_cast<std::size_t>(row * n_values), static_cast<std::size_t>(n_values));
      SS_TRY_VOID(read_values(part, row, scratch, of_row));
    }
  }
  return read;
}

using UseRow = std::function<Result<void>(std::span<const float>)>;

/// Calls `use` with each column of the matrices as one row, in which the values of the parts alternate.
Result<void> for_each_column(std::span<const GgufRows> rows, bool is_bias, const UseRow& use) {
  // Rows that are produced together, so that every cache line of the matrices is read once.
  constexpr std::int64_t kRowsAtOnce = 16;
  SS_TRY(const MatrixParts matrices, read_parts(rows, is_bias));
  const std::size_t n_parts = rows.size();
  const std::size_t n_columns = static_cast<std::size_t>(matrices.n_outputs) * n_parts;
  std::vector<float> turned(n_columns * kRowsAtOnce);
  for (std::int64_t input = 0; input < matrices.n_inputs; input += kRowsAtOnce) {
    const auto n = static_cast<std::size_t>(std::min(kRowsAtOnce, matrices.n_inputs - input));
    for (std::size_t column = 0; column < n_columns; ++column) {
      const float* from = matrices.parts[column % n_parts].data() +
                          static_cast<std::int64_t>(column / n_parts) * matrices.n_inputs + input;
      for (std::size_t i = 0; i < n; ++i) turned[i * n_columns + column] = from[i];
    }
    for (std::size_t i = 0; i < n; ++i) SS_TRY_VOID(use(std::span(turned).subspan(i * n_columns, n_columns)));
  }
  return {};
}

/// GgufChange::kExpertsTurned.
Result<void> for_each_expert_row(const GgufTensorPlan& plan, const ModelConfig& config, const UseRow& use) {
  const std::size_t n_parts = plan.rows.size() / static_cast<std::size_t>(config.n_experts);
  for (std::size_t first = 0; first < plan.rows.size(); first += n_parts) {
    SS_TRY_VOID(
        for_each_column(std::span(plan.rows).subspan(first, n_parts), plan.spec.role == TensorRole::kBias, use));
  }
  return {};
}

/// GgufChange::kHeadKeysTurned.
Result<void> for_each_head_row(const GgufTensorPlan& plan, const UseRow& use) {
  std::vector<std::byte> scratch;
  std::vector<float> values(static_cast<std::size_t>(plan.spec.shape.extent(1)));
  for (std::size_t head = 0; head + 1 < plan.rows.size(); head += 2) {
    SS_TRY_VOID(for_each_column(std::span(plan.rows).subspan(head, 1), false, use));
    const GgufRows& of_values = plan.rows[head + 1];
    for (std::int64_t row = 0; row < of_values.n_rows; ++row) {
      SS_TRY_VOID(read_values(of_values, row, scratch, values));
      SS_TRY_VOID(use(values));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<GgufTensorPlan>> plan_gguf_tensors(const GgufFiles& files, const GgufArchitecture& architecture,
                                                      const ModelConfig& config) {
  TensorPlanner planner(files, architecture, config);
  std::vector<GgufTensorPlan> plans;
  for (const TensorSpec& spec : model_tensors(config)) {
    SS_TRY(GgufTensorPlan plan, planner.plan(spec));
    plans.push_back(std::move(plan));
  }
  SS_TRY_VOID(planner.expect_all_taken());
  return plans;
}

std::optional<PublishedForm> published_form_of(const GgufTensorPlan& plan) {
  const bool is_matrix = plan.spec.role == TensorRole::kMatmul || plan.spec.role == TensorRole::kEmbedding;
  const bool is_turned = plan.change == GgufChange::kExpertsTurned;
  const bool keeps_rows = plan.change == GgufChange::kNone || plan.change == GgufChange::kRowsInterleaved || is_turned;
  if (!is_matrix || !keeps_rows || plan.rows.empty() || plan.spec.is_transposed != is_turned) return std::nullopt;
  const GgufRows& first = plan.rows.front();
  const bool is_alike = std::ranges::all_of(plan.rows, [&](const GgufRows& rows) {
    return rows.weight->format == first.weight->format && rows.global_scale == first.global_scale;
  });
  const std::optional<WeightEncoding> encoding = encoding_of_codes(*first.weight->format);
  if (!is_alike || !encoding) return std::nullopt;
  if (*encoding != WeightEncoding::kNvfp4Group16) {
    if (first.global_scale != 1.0F) return std::nullopt;
    return PublishedForm{*encoding, kScaleGroupSize, is_turned};
  }
  // A global scale belongs to one matrix, and rows that are looked up have none.
  if (plan.spec.role != TensorRole::kMatmul || plan.spec.shape.rank() != 2) return std::nullopt;
  return PublishedForm{*encoding, kNvfp4GroupSize};
}

namespace {

/// The codes and scales of single rows.
class CodedRowReader {
 public:
  Result<void> read(const GgufWeight& weight, std::int64_t row) {
    const GgufBlockFormat& format = *weight.format;
    SS_TRY_VOID(GgufFiles::read_blocks(weight, row, bytes_));
    const std::optional<WeightEncoding> encoding = encoding_of_codes(format);
    if (encoding && has_blocks(*encoding)) {  // whole blocks are kept as they are
      codes_.assign(reinterpret_cast<const std::int8_t*>(bytes_.data()),
                    reinterpret_cast<const std::int8_t*>(bytes_.data()) + bytes_.size());
      scales_.clear();
      return {};
    }
    const std::size_t n_blocks = bytes_.size() / format.block_bytes;
    const std::size_t block_scales = format.block_values / static_cast<std::size_t>(group_columns(*encoding));
    codes_.resize(n_blocks * format.block_values);
    scales_.resize(n_blocks * block_scales);
    for (std::size_t block = 0; block < n_blocks; ++block) {
      codes_of_gguf_block(format, bytes_.data() + block * format.block_bytes,
                          std::span(codes_).subspan(block * format.block_values, format.block_values),
                          std::span(scales_).subspan(block * block_scales, block_scales));
    }
    if (std::ranges::none_of(scales_, [](float scale) { return std::isnan(scale); })) return {};
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("GGUF: tensor {}: row {}: expected scales that are numbers, found others",
                             printable(weight.tensor->name), row)};
  }
  [[nodiscard]] PublishedRow row() const { return {codes_, scales_, {}}; }

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::int8_t> codes_;
  std::vector<float> scales_;
};

/// GgufChange::kExpertsTurned: of each expert, the outputs of its parts alternate.
Result<void> for_each_expert_output(const GgufTensorPlan& plan, const ModelConfig& config, const CodedRowUser& use) {
  const std::size_t n_parts = plan.rows.size() / static_cast<std::size_t>(config.n_experts);
  CodedRowReader reader;
  for (std::size_t first = 0; first < plan.rows.size(); first += n_parts) {
    for (std::int64_t row = 0; row < plan.rows[first].n_rows; ++row) {
      for (const GgufRows& part : std::span(plan.rows).subspan(first, n_parts)) {
        SS_TRY_VOID(reader.read(*part.weight, part.first_row + row));
        SS_TRY_VOID(use(reader.row()));
      }
    }
  }
  return {};
}

}  // namespace

Result<void> for_each_gguf_coded_row(const GgufTensorPlan& plan, const ModelConfig& config, const CodedRowUser& use) {
  if (plan.change == GgufChange::kExpertsTurned) return for_each_expert_output(plan, config, use);
  CodedRowReader reader;
  for (const GgufRows& rows : plan.rows) {
    for (std::int64_t row = 0; row < rows.n_rows; ++row) {
      const bool is_moved = plan.change == GgufChange::kRowsInterleaved;
      const std::int64_t source = rows.first_row + (is_moved ? interleaved_place(row, config.head_dim) : row);
      SS_TRY_VOID(reader.read(*rows.weight, source));
      SS_TRY_VOID(use(reader.row()));
    }
  }
  return {};
}

Result<void> for_each_gguf_row(const GgufTensorPlan& plan, const ModelConfig& config,
                               const std::function<Result<void>(std::span<const float>)>& use) {
  if (plan.change == GgufChange::kExpertsTurned) return for_each_expert_row(plan, config, use);
  if (plan.change == GgufChange::kHeadKeysTurned) return for_each_head_row(plan, use);
  std::vector<std::byte> scratch;
  std::vector<float> values(static_cast<std::size_t>(plan.spec.shape.extent(plan.spec.shape.rank() - 1)));
  std::vector<float> moved(plan.change == GgufChange::kValuesInterleaved ? values.size() : 0);
  for (const GgufRows& rows : plan.rows) {
    for (std::int64_t row = 0; row < rows.n_rows; ++row) {
      const bool is_moved = plan.change == GgufChange::kRowsInterleaved;
      SS_TRY_VOID(read_values(rows, is_moved ? interleaved_place(row, config.head_dim) : row, scratch, values));
      if (plan.change == GgufChange::kOneAdded) {
        for (float& value : values) value -= 1.0F;
      }
      if (plan.change == GgufChange::kValuesInterleaved) {
        for (std::size_t i = 0; i < values.size(); ++i) {
          moved[i] = values[static_cast<std::size_t>(interleaved_place(static_cast<std::int64_t>(i), config.head_dim))];
        }
        values.swap(moved);
      }
      SS_TRY_VOID(use(values));
    }
  }
  return {};
}

}  // namespace secondsource
