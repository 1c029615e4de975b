"""Makes tiny checkpoints with quantized weights in every supported format, and their values as computed by the formats' own code.

    python make_checkpoints.py            # writes NAME/config.json, NAME/model.safetensors and expected.json
    python make_checkpoints.py --check    # computes them again and compares; ends with 77 where a package is missing

Codes, scales and zero points are random. The values come from the torch code of transformers (FP8 in blocks, MXFP4), AutoGPTQ,
AutoAWQ and compressed-tensors. It gets the scales in FP32, because most of it would otherwise round products to the type of the
scales. What this code does not support (blocks that extend beyond the weight; act order in compressed-tensors' packed words; ModelOpt's
NVFP4) is computed from the definition, by plain(). expected.json has the SHA-256 of each tensor's values as little-endian FP32.

Needs torch, transformers, compressed-tensors, auto-gptq, autoawq (the last two with pip's --no-deps).
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
    from compressed_tensors.compressors.mx_utils import decompress_mx_scale
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    from safetensors.torch import save_file
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    def module_of(package: str, file: str):
        """Imports a single file of a package, because the package's other files need compiled kernels."""
        path = next(entry for entry in importlib.metadata.files(package) if str(entry) == file).locate()
        spec = importlib.util.spec_from_file_location(Path(file).stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    auto_gptq = module_of("auto-gptq", "auto_gptq/nn_modules/qlinear/qlinear_cuda.py")
    auto_awq = module_of("autoawq", "awq/utils/packing_utils.py")
except (ImportError, StopIteration) as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

HERE = Path(__file__).resolve().parent
HIDDEN, FFN, KV, VOCAB = 32, 48, 16, 16


def matrices(ffn: int) -> dict[str, tuple[int, int]]:
    return {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (KV, HIDDEN), "self_attn.v_proj": (KV, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (ffn, HIDDEN), "mlp.up_proj": (ffn, HIDDEN),
            "mlp.down_proj": (HIDDEN, ffn)}


MATRICES = matrices(FFN)
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": FFN,
          "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": VOCAB,
          "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
          "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}
GROUP = 16


class Source:
    """Random parts of one checkpoint."""

    def __init__(self, name: str) -> None:
        self.random = np.random.default_rng([*name.encode()])

    def scales(self, shape, dtype=torch.float32) -> torch.Tensor:
        """Random scales of many magnitudes, including a zero and a number that is subnormal in FP16."""
        values = np.exp(self.random.normal(-4, 1.5, shape)).astype(np.float32).reshape(-1)
        if values.size > 3:
            values[:2] = [0.0, 3e-7]
        return torch.from_numpy(values.reshape(shape)).to(dtype)

    def words(self, shape) -> torch.Tensor:
        bits = self.random.integers(0, 1 << 32, shape, dtype=np.uint64).astype(np.uint32)
        return torch.from_numpy(bits.view(np.int32))

    def codes(self, shape, low: int, high: int) -> torch.Tensor:
        return torch.from_numpy(self.random.integers(low, high, shape).astype(np.int8))

    def fp8(self, shape) -> torch.Tensor:
        """Random E4M3 numbers without NaN."""
        bits = self.random.integers(0, 255, shape).astype(np.uint8)
        bits[bits == 0x7f] = 0x80
        return torch.from_numpy(bits).view(torch.float8_e4m3fn)


def plain(codes: torch.Tensor, scale_of, zero_of=lambda row, col: 0.0) -> torch.Tensor:
    """(code - zero point) * scale, weight by weight."""
    values = np.empty(codes.shape, np.float32)
    numbers = codes.float().numpy()
    for row in range(codes.shape[0]):
        for col in range(codes.shape[1]):
            values[row, col] = (numbers[row, col] - np.float32(zero_of(row, col))) * np.float32(scale_of(row, col))
    return torch.from_numpy(values)


def fp8_blocks(source, shape):
    weight, rows, cols = source.fp8(shape), 12, 20
    scales = source.scales((-(-shape[0] // rows), -(-shape[1] // cols)))
    values = plain(weight, lambda row, col: scales[row // rows, col // cols].item())
    # transformers must give the same values for the part of the weight that consists of whole blocks.
    whole = weight[:shape[0] // rows * rows, :shape[1] // cols * cols]
    if whole.numel() > 0:
        theirs = Fp8Dequantize(None)._dequantize_one(whole, scales[:shape[0] // rows, :shape[1] // cols], torch.float32)
        assert torch.equal(theirs, values[:whole.shape[0], :whole.shape[1]])
    return {"weight": weight, "weight_scale_inv": scales}, values


def compressed(weight, scales, zero_points=None, **options) -> torch.Tensor:
    return dequantize(weight, scales.float(), zero_points, args=QuantizationArgs(**options))


def fp8_per_tensor(source, shape):
    weight, scale = source.fp8(shape), source.scales(())
    values = compressed(weight, scale.reshape(1), num_bits=8, type="float", strategy="tensor")
    return {"weight": weight, "weight_scale": scale, "input_scale": source.scales(())}, values


def float_per_channel(source, shape):
    weight, scales = source.fp8(shape), source.scales((shape[0], 1), torch.bfloat16)
    return {"weight": weight, "weight_scale": scales}, compressed(weight, scales, num_bits=8, type="float", strategy="channel")


def int8_per_channel(source, shape):
    weight, scales = source.codes(shape, -128, 128), source.scales((shape[0], 1))
    zeros = source.codes((shape[0], 1), -128, 128)
    values = compressed(weight, scales, zeros, num_bits=8, type="int", strategy="channel", symmetric=False)
    return {"weight": weight, "weight_scale": scales, "weight_zero_point": zeros}, values


def packed(source, shape, bits: int, dtype, has_zeros: bool):
    codes = source.codes(shape, -(1 << (bits - 1)), 1 << (bits - 1))
    scales = source.scales((shape[0], shape[1] // GROUP), dtype)
    tensors = {"weight_packed": pack_to_int32(codes, bits), "weight_scale": scales,
               "weight_shape": torch.tensor(shape, dtype=torch.int64)}
    zeros = None
    if has_zeros:
        zeros = source.codes(scales.shape, -(1 << (bits - 1)), 1 << (bits - 1))
        tensors["weight_zero_point"] = pack_to_int32(zeros, bits, packed_dim=0).contiguous()
    values = compressed(codes, scales, zeros, num_bits=bits, type="int", strategy="group", group_size=GROUP,
                        symmetric=not has_zeros)
    return tensors, values


def packed_by_input(source, shape):
    codes = source.codes(shape, -8, 8)
    scales = source.scales((shape[0], shape[1] // GROUP), torch.bfloat16)
    groups = torch.from_numpy(source.random.permutation(np.arange(shape[1]) // GROUP).astype(np.int32))
    values = plain(codes, lambda row, col: scales[row, groups[col]].item())
    return {"weight_packed": pack_to_int32(codes, 4), "weight_scale": scales, "weight_g_idx": groups,
            "weight_shape": torch.tensor(shape, dtype=torch.int64)}, values


def gptq(source, shape, bits: int, group: int, by_input: bool, less_one: bool):
    n_outputs, n_inputs = shape
    n_groups = 1 if group == -1 else n_inputs // group
    linear = auto_gptq.QuantLinear(bits, group, n_inputs, n_outputs, bias=False)
    linear.qweight = source.words((n_inputs * bits // 32, n_outputs))
    zeros = source.random.integers(0, (1 << bits) - 1, (n_groups, n_outputs))  # excludes the largest code
    stored = np.zeros((n_groups, n_outputs * bits // 32), np.uint32)
    for place in range(32 // bits):
        stored |= (zeros[:, place::32 // bits] << (bits * place)).astype(np.uint32)
    linear.qzeros = torch.from_numpy(stored.view(np.int32))
    scales = source.scales((n_groups, n_outputs), torch.float16)
    scales[scales == 0] = 2.0**-20  # the sums of the product below would turn -0 into 0
    linear.scales = scales.float()
    groups = np.arange(n_inputs) // (n_inputs if group == -1 else group)
    if by_input:
        groups = source.random.permutation(groups)
    linear.g_idx = torch.from_numpy(groups.astype(np.int32))
    linear.wf = linear.wf.to(torch.int32)
    with torch.no_grad():
        values = linear(torch.eye(n_inputs)).t().contiguous()
    if not less_one:  # AutoGPTQ adds one to the stored zero points, which is wrong for its second format
        values = values + linear.scales[linear.g_idx.long()].t()
        # The sum is exact, because both products have at most 20 bits.
    return {"qweight": linear.qweight, "qzeros": linear.qzeros, "scales": scales, "g_idx": linear.g_idx}, values


def awq(source, shape):
    n_outputs, n_inputs = shape
    qweight = source.words((n_inputs, n_outputs // 8))
    qzeros = source.words((n_inputs // GROUP, n_outputs // 8))
    scales = source.scales((n_inputs // GROUP, n_outputs), torch.float16)
    values = auto_awq.dequantize_gemm(qweight, qzeros, scales.float(), 4, GROUP).t().contiguous()
    return {"qweight": qweight, "qzeros": qzeros, "scales": scales}, values


def fp4_rows(source, shape, group: int):
    """Random bytes with the codes of two consecutive inputs, the E2M1 numbers that compressed-tensors reads from them, and the shape of
    the scales."""
    pairs = torch.from_numpy(source.random.integers(0, 256, (shape[0], shape[1] // 2)).astype(np.uint8))
    return pairs, unpack_fp4_from_uint8(pairs, *shape, dtype=torch.float32), (shape[0], shape[1] // group)


def mxfp4_rows(source, shape):
    """MXFP4 as Quark and compressed-tensors store it. The code of compressed-tensors computes the values."""
    pairs, numbers, of_groups = fp4_rows(source, shape, 32)
    exponents = torch.from_numpy(source.random.integers(90, 140, of_groups).astype(np.uint8))
    values = compressed(numbers, decompress_mx_scale(exponents), num_bits=4, type="float", strategy="group", group_size=32)
    return {"weight": pairs, "weight_scale": exponents}, values


def nvfp4(source, shape):
    pairs, numbers, of_groups = fp4_rows(source, shape, 16)
    scales, global_scale = source.fp8(of_groups), source.scales((1,)) + 1
    values = dequantize(numbers, scales.float(), None, global_scale=global_scale,
                        args=QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16))
    return {"weight_packed": pairs, "weight_scale": scales, "weight_global_scale": global_scale}, values


def nvfp4_of_modelopt(source, shape):
    """NVFP4 as ModelOpt stores it: values are multiplied by the global scale, whereas compressed-tensors divides by its own."""
    pairs, numbers, of_groups = fp4_rows(source, shape, 16)
    scales, global_scale = source.fp8(of_groups), source.scales(())
    products = scales.float() * global_scale
    values = plain(numbers, lambda row, col: products[row, col // 16].item())
    return {"weight": pairs, "weight_scale": scales, "weight_scale_2": global_scale,
            "input_scale": source.scales(())}, values


def groups(**weights):
    return {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}


PACKED = {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed"}
CHECKPOINTS = {
    "fp8-blocks": ({"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [12, 20]},
                   fp8_blocks),
    "fp8-per-tensor": ({"quant_method": "fp8", "activation_scheme": "static"}, fp8_per_tensor),
    "float-per-channel": ({"quant_method": "compressed-tensors", "format": "float-quantized",
                           "config_groups": groups(num_bits=8, type="float", strategy="channel", symmetric=True)},
                          float_per_channel),
    "int8-per-channel": ({"quant_method": "compressed-tensors", "format": "int-quantized",
                          "config_groups": groups(num_bits=8, type="int", strategy="channel", symmetric=False)},
                         int8_per_channel),
    "packed-4": (PACKED | {"config_groups": groups(num_bits=4, type="int", strategy="group", group_size=GROUP,
                                                   symmetric=True)},
                 lambda source, shape: packed(source, shape, 4, torch.bfloat16, False)),
    "packed-4-zeros": (PACKED | {"config_groups": groups(num_bits=4, type="int", strategy="group", group_size=GROUP,
                                                         symmetric=False)},
                       lambda source, shape: packed(source, shape, 4, torch.float16, True)),
    "packed-8": (PACKED | {"config_groups": groups(num_bits=8, type="int", strategy="group", group_size=GROUP,
                                                   symmetric=True)},
                 lambda source, shape: packed(source, shape, 8, torch.float32, False)),
    "packed-by-input": (PACKED | {"config_groups": groups(num_bits=4, type="int", strategy="group", group_size=GROUP,
                                                          symmetric=True, actorder="group")}, packed_by_input),
    "gptq-4": ({"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": False},
               lambda source, shape: gptq(source, shape, 4, GROUP, False, True)),
    "gptq-8-act-order": ({"quant_method": "gptq", "bits": 8, "group_size": GROUP, "desc_act": True, "sym": False,
                          "checkpoint_format": "gptq_v2"},
                         lambda source, shape: gptq(source, shape, 8, GROUP, True, False)),
    "gptq-2-whole": ({"quant_method": "gptq", "bits": 2, "group_size": -1, "desc_act": False, "sym": False},
                     lambda source, shape: gptq(source, shape, 2, -1, False, True)),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}, awq),
    "mxfp4-rows": ({"quant_method": "quark", "export": {"weight_format": "real_quantized", "pack_method": "reorder"},
                    "global_quant_config": {"weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32,
                                                       "scale_format": "e8m0", "is_dynamic": False},
                                            "input_tensors": None}, "layer_quant_config": {}, "exclude": ["lm_head"]},
                   mxfp4_rows),
    "nvfp4": ({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "config_groups": groups(
        num_bits=4, type="float", strategy="tensor_group", group_size=16, symmetric=True)}, nvfp4),
    "nvfp4-modelopt": ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, nvfp4_of_modelopt),
}
WIDTHS = {"mxfp4-rows": 64}  # widths of the feed-forward network that differ from FFN, because they must be multiples of the block size


EXPERTS = 3
GPT_OSS = CONFIG | {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "intermediate_size": 32,
                    "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "sliding_window": 8, "swiglu_limit": 7.0,
                    "attention_bias": True}


def mxfp4(source, n_inputs: int, n_outputs: int):
    """Random experts of one layer. Their scales range from the smallest one to some that FP32 and BF16 can just represent."""
    blocks = torch.from_numpy(source.random.integers(0, 256, (EXPERTS, n_outputs, n_inputs // 32, 16)).astype(np.uint8))
    scales = source.random.integers(90, 140, (EXPERTS, n_outputs, n_inputs // 32)).astype(np.uint8)
    scales.reshape(-1)[:4] = [0, 1, 127, 250]
    scales = torch.from_numpy(scales)
    return {"_blocks": blocks, "_scales": scales}, convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)


def make_mxfp4(folder: Path) -> dict[str, str]:
    """A gpt-oss model with one layer, in which only the experts are quantized."""
    source, tensors, values = Source("mxfp4"), {}, {}
    layer = "model.layers.0."
    shapes = {"model.embed_tokens.weight": (VOCAB, HIDDEN), "model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCAB, HIDDEN),
              layer + "input_layernorm.weight": (HIDDEN,), layer + "post_attention_layernorm.weight": (HIDDEN,),
              layer + "self_attn.sinks": (2,), layer + "mlp.router.weight": (EXPERTS, HIDDEN),
              layer + "mlp.router.bias": (EXPERTS,), layer + "mlp.experts.gate_up_proj_bias": (EXPERTS, 64),
              layer + "mlp.experts.down_proj_bias": (EXPERTS, HIDDEN)}
    for matrix, (rows, cols) in list(MATRICES.items())[:4]:
        shapes |= {f"{layer}{matrix}.weight": (rows, cols), f"{layer}{matrix}.bias": (rows,)}
    for name, shape in shapes.items():
        tensors[name] = torch.from_numpy(source.random.normal(0, 1, shape).astype(np.float32)).to(torch.bfloat16)
        values[name] = digest(tensors[name])
    for name, n_inputs, n_outputs in (("gate_up_proj", HIDDEN, 64), ("down_proj", 32, HIDDEN)):
        parts, weight = mxfp4(source, n_inputs, n_outputs)
        tensors |= {f"{layer}mlp.experts.{name}{ending}": part.contiguous() for ending, part in parts.items()}
        values[f"{layer}mlp.experts.{name}"] = digest(weight.contiguous())
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = GPT_OSS | {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return values


LATENT = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 12, "qk_rope_head_dim": 4, "v_head_dim": 10}
DEEPSEEK = {key: value for key, value in CONFIG.items() if key != "head_dim"} | LATENT | {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "num_hidden_layers": 2,
    "num_key_value_heads": 2, "n_routed_experts": EXPERTS, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "moe_intermediate_size": 20, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
    "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "num_nextn_predict_layers": 1}


def feed_forward(module: str, width: int) -> dict[str, tuple]:
    return {f"{module}.gate_proj": (width, HIDDEN), f"{module}.up_proj": (width, HIDDEN),
            f"{module}.down_proj": (HIDDEN, width)}


def make_deepseek(folder: Path) -> dict[str, str]:
    """A small DeepSeek-V3 in the form of the published checkpoint: FP8 in blocks except for embeddings, norms, routers and head, and a
    further layer for multi-token prediction, which is not used."""
    source, tensors, values = Source("fp8-deepseek"), {}, {}
    n_heads, qk_dim, v_dim = 2, LATENT["qk_nope_head_dim"] + LATENT["qk_rope_head_dim"], LATENT["v_head_dim"]
    plain_shapes = {"model.embed_tokens": (VOCAB, HIDDEN), "model.norm": (HIDDEN,), "lm_head": (VOCAB, HIDDEN)}
    quantized = {}
    for number in range(3):
        layer = f"model.layers.{number}."
        plain_shapes |= {layer + "input_layernorm": (HIDDEN,), layer + "post_attention_layernorm": (HIDDEN,),
                         layer + "self_attn.q_a_layernorm": (LATENT["q_lora_rank"],),
                         layer + "self_attn.kv_a_layernorm": (LATENT["kv_lora_rank"],)}
        quantized |= {layer + "self_attn.q_a_proj": (LATENT["q_lora_rank"], HIDDEN),
                      layer + "self_attn.q_b_proj": (n_heads * qk_dim, LATENT["q_lora_rank"]),
                      layer + "self_attn.kv_a_proj_with_mqa": (LATENT["kv_lora_rank"] + LATENT["qk_rope_head_dim"], HIDDEN),
                      layer + "self_attn.kv_b_proj": (n_heads * (LATENT["qk_nope_head_dim"] + v_dim), LATENT["kv_lora_rank"]),
                      layer + "self_attn.o_proj": (HIDDEN, n_heads * v_dim)}
        if number == 0:
            quantized |= feed_forward(layer + "mlp", FFN)
            continue
        plain_shapes[layer + "mlp.gate"] = (EXPERTS, HIDDEN)
        quantized |= feed_forward(layer + "mlp.shared_experts", 20)
        for expert in range(EXPERTS):
            quantized |= feed_forward(f"{layer}mlp.experts.{expert}", 20)
        bias = f"{layer}mlp.gate.e_score_correction_bias"
        tensors[bias] = torch.from_numpy(source.random.normal(0, 1, (EXPERTS,)).astype(np.float32))
        values[bias] = digest(tensors[bias])
    plain_shapes |= {"model.layers.2.enorm": (HIDDEN,), "model.layers.2.hnorm": (HIDDEN,),
                     "model.layers.2.shared_head.norm": (HIDDEN,), "model.layers.2.shared_head.head": (VOCAB, HIDDEN)}
    quantized["model.layers.2.eh_proj"] = (HIDDEN, 2 * HIDDEN)
    for name, shape in plain_shapes.items():
        weight = torch.from_numpy(source.random.normal(0, 1, shape).astype(np.float32)).to(torch.bfloat16)
        tensors[f"{name}.weight"], values[f"{name}.weight"] = weight, digest(weight)
    for name, shape in quantized.items():
        parts, weight = fp8_blocks(source, shape)
        tensors |= {f"{name}.{ending}": part.contiguous() for ending, part in parts.items()}
        values[f"{name}.weight"] = digest(weight)
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = DEEPSEEK | {"quantization_config": CHECKPOINTS["fp8-blocks"][0]}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return {name: value for name, value in values.items() if not name.startswith("model.layers.2.")}


def digest(values: torch.Tensor) -> str:
    return hashlib.sha256(values.float().numpy().astype("<f4").tobytes()).hexdigest()


def make(folder: Path) -> None:
    expected = {}
    for name, (quantization, make_weight) in CHECKPOINTS.items():
        source = Source(name)
        tensors, values = {}, {}

        def add_plain(tensor: str, shape) -> None:
            tensors[tensor] = torch.from_numpy(source.random.normal(0, 1, shape).astype(np.float32)).to(torch.bfloat16)
            values[tensor] = digest(tensors[tensor])
        add_plain("model.embed_tokens.weight", (VOCAB, HIDDEN))
        for norm in ("model.norm", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm"):
            add_plain(f"{norm}.weight", (HIDDEN,))
        add_plain("lm_head.weight", (VOCAB, HIDDEN))
        ffn = WIDTHS.get(name, FFN)
        for matrix, shape in matrices(ffn).items():
            module = f"model.layers.0.{matrix}"
            parts, weight = make_weight(source, shape)
            tensors |= {f"{module}.{ending}": tensor.contiguous() for ending, tensor in parts.items()}
            values[f"{module}.weight"] = digest(weight)
        (folder / name).mkdir(exist_ok=True)
        save_file(tensors, folder / name / "model.safetensors", {"format": "pt"})
        config = CONFIG | {"intermediate_size": ffn, "quantization_config": quantization}
        (folder / name / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        expected[name] = values
    expected["mxfp4"] = make_mxfp4(folder / "mxfp4")
    expected["fp8-deepseek"] = make_deepseek(folder / "fp8-deepseek")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    if sys.argv[1:] != ["--check"]:
        make(HERE)
        return 0
    with tempfile.TemporaryDirectory() as again:
        make(Path(again))
        files = sorted(path.relative_to(again) for path in Path(again).rglob("*") if path.is_file())
        differ = [str(file) for file in files if (HERE / file).read_bytes() != (Path(again) / file).read_bytes()]
    print(f"{len(files)} files, {len(differ)} differ {differ}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
