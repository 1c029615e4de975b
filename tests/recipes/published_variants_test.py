"""Tests published variants: checkpoints in GPTQ, AWQ, compressed-tensors, MXFP4, NVFP4 and GGUF, from their files to a verdict on tokens.

    python published_variants_test.py SECONDSOURCE

This file quantizes a tiny Llama, so that the lowest code of every type occurs, and writes it in the format of each publisher. `bundle
create` must keep exactly these codes, scales and zero points. The values that bundles/recipes/published.py reads must equal those that
this file computes. expect.py computes the expected outputs from them, and every backend of the host that supports the encoding must
generate these tokens. If SECONDSOURCE_MODULES names the folder with the module gpu-shim (backends/gpu), so must the GPU kernels, which
the shim runs on the CPU. Ends with 77 if a package is missing.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

try:
    import gguf
    import numpy as np
    import torch
    import transformers
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bundles/recipes"))
import gguf_models_test
import published
import tiny_models

MODULE_FOLDERS = [Path(folder) for folder in os.environ.get("SECONDSOURCE_MODULES", "").split(":") if folder]
HAS_SHIM = any((folder / "libsecondsource-gpu-shim.so").exists() for folder in MODULE_FOLDERS)
PROMPTS = ROOT / "bundles/tiny-mixtral/prompts"
MODEL = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512, "max_position_embeddings": 1024}
MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa",
            "kv_b_proj", "w1", "w2", "w3")
# Matrices that are multiplied by their values even if the checkpoint has codes.
BY_VALUES = ("kv_b_proj",)


def is_quantized(name: str) -> bool:
    return name.rsplit(".", 2)[-2] in MATRICES


def rounded(weight: torch.Tensor, bits: int, group: int | None, scale_type: torch.dtype):
    """Quantizes like llm-compressor to codes in [-2^(bits - 1), 2^(bits - 1) - 1] and scales [rows, groups]. max|w| corresponds to
    2^(bits - 1) - 1/2 steps."""
    parts = weight.float().split(group or weight.shape[1], dim=1)
    half = 2 ** (bits - 1)
    scales = torch.cat([part.abs().amax(1, keepdim=True) / (half - 0.5) for part in parts], 1).to(scale_type)
    codes = [torch.clamp(torch.round(part / scales[:, n:n + 1].float()), -half, half - 1) for n, part in enumerate(parts)]
    codes = torch.cat(codes, 1).to(torch.int8)
    assert int(codes.min()) == -half
    return codes, scales


def rounded_with_zeros(weight: torch.Tensor, group: int | None, scale_type: torch.dtype):
    """Quantizes like AutoAWQ to codes from -8 to 7, with scales and zero points [rows, groups]. The least and the largest value of a group
    are 15 steps apart, and 0 has a code."""
    codes, scales, zeros = [], [], []
    for part in weight.float().split(group or weight.shape[1], dim=1):
        least = part.amin(1, keepdim=True).clamp(max=0)
        scale = ((part.amax(1, keepdim=True).clamp(min=0) - least) / 15).to(scale_type)
        zero = torch.clamp(torch.round(-least / scale.float()), 0, 15)
        codes.append(torch.clamp(torch.round(part / scale.float()) + zero, 0, 15) - 8)
        scales.append(scale)
        zeros.append(zero - 8)
    codes, scales, zeros = torch.cat(codes, 1).to(torch.int8), torch.cat(scales, 1), torch.cat(zeros, 1).to(torch.int8)
    assert int(codes.min()) == -8 and int(codes.max()) == 7 and len(zeros.unique()) > 2
    return codes, scales, zeros


def words(codes: torch.Tensor, bits: int, dim: int) -> torch.Tensor:
    """Packs consecutive codes along `dim` into words of 32 bits, as unsigned codes beginning with the low bits."""
    unsigned = (codes.to(torch.int64) + 2 ** (bits - 1)).movedim(dim, -1)
    places = unsigned.unflatten(-1, (-1, 32 // bits)) << torch.arange(0, 32, bits)
    return places.sum(-1).to(torch.uint32).view(torch.int32).movedim(-1, dim).contiguous()


def in_act_order(weight: torch.Tensor, order: torch.Tensor, quantize):
    """Quantizes like GPTQ with desc_act: inputs are quantized in `order`, in which those of a group are consecutive, and stored in their
    original order. Returns codes, scales, zero points if there are any, and the group of each input."""
    sorted_codes, scales, *zeros = quantize(weight[:, order])
    codes, groups = torch.empty_like(sorted_codes), torch.empty(len(order), dtype=torch.int32)
    codes[:, order] = sorted_codes
    groups[order] = torch.arange(len(order), dtype=torch.int32) * scales.shape[1] // len(order)
    return codes, scales, *zeros, groups


def gptq(weight: torch.Tensor, bits: int, group: int | None, order: torch.Tensor | None = None):
    order = torch.arange(weight.shape[1]) if order is None else order
    codes, scales, groups = in_act_order(weight, order, lambda ordered: rounded(ordered, bits, group, torch.float16))
    n_outputs = codes.shape[0]
    zeros = torch.zeros(scales.shape[1], n_outputs, dtype=torch.int8)
    zeros = words(zeros - 1, bits, 1)  # AutoGPTQ subtracts one from the stored zero points
    tensors = {"qweight": words(codes.t(), bits, 0), "qzeros": zeros, "scales": scales.t().contiguous(), "g_idx": groups}
    return tensors, codes, scales


def gptq_with_zeros(weight: torch.Tensor, group: int | None, version: int = 1, order: torch.Tensor | None = None):
    order = torch.arange(weight.shape[1]) if order is None else order
    codes, scales, zeros, groups = in_act_order(weight, order,
                                                lambda ordered: rounded_with_zeros(ordered, group, torch.float16))
    if version == 1:  # this version stores zero points minus one and therefore cannot represent an unsigned 0
        zeros = torch.clamp(zeros, min=-7)
    stored = words(zeros.t().contiguous() - (1 if version == 1 else 0), 4, 1)
    tensors = {"qweight": words(codes.t(), 4, 0), "qzeros": stored, "scales": scales.t().contiguous(), "g_idx": groups}
    return tensors, codes, scales, zeros


def awq(weight: torch.Tensor, group: int):
    """Packs eight outputs into a word like AutoAWQ: in the order 0, 2, 4, 6, 1, 3, 5, 7, beginning with the low bits."""
    codes, scales, zeros = rounded_with_zeros(weight, group, torch.float16)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])
    def of_outputs(numbers: torch.Tensor) -> torch.Tensor:
        return words(numbers.t().unflatten(1, (-1, 8))[..., order].flatten(1), 4, 1)
    return {"qweight": of_outputs(codes), "qzeros": of_outputs(zeros), "scales": scales.t().contiguous()}, codes, scales, zeros


def packed_with_zeros(weight: torch.Tensor, group: int | None):
    codes, scales, zeros = rounded_with_zeros(weight, group, torch.bfloat16)
    return {"weight_packed": words(codes, 4, 1), "weight_scale": scales, "weight_zero_point": words(zeros, 4, 0),
            "weight_shape": torch.tensor(codes.shape, dtype=torch.int64)}, codes, scales, zeros


def packed(weight: torch.Tensor, bits: int, group: int | None, scale_type: torch.dtype = torch.bfloat16):
    codes, scales = rounded(weight, bits, group, scale_type)
    return {"weight_packed": words(codes, bits, 1), "weight_scale": scales,
            "weight_shape": torch.tensor(codes.shape, dtype=torch.int64)}, codes, scales


def packed_in_act_order(weight: torch.Tensor, bits: int, group: int, order: torch.Tensor):
    codes, scales, groups = in_act_order(weight, order, lambda ordered: rounded(ordered, bits, group, torch.bfloat16))
    return {"weight_packed": words(codes, bits, 1), "weight_scale": scales, "weight_g_idx": groups,
            "weight_shape": torch.tensor(codes.shape, dtype=torch.int64)}, codes, scales


def int8(weight: torch.Tensor):
    codes, scales = rounded(weight, 8, None, torch.float32)
    return {"weight": codes, "weight_scale": scales}, codes, scales


def int8_static(weight: torch.Tensor, scale_type: torch.dtype = torch.float32):
    """Like int8(), with one scale for all inputs, which is exact in BF16 and too small for some of them."""
    tensors, codes, scales = int8(weight)
    scale = torch.tensor(1.5 / weight.shape[1], dtype=torch.bfloat16)
    return tensors | {"input_scale": scale.to(scale_type)}, codes, scales


def int8_static_by_tensor(weight: torch.Tensor):
    """One scale for all weights and one for all inputs, each with a zero point of 0."""
    scale = weight.float().abs().amax() / 127.5
    codes = torch.clamp(torch.round(weight.float() / scale), -128, 127).to(torch.int8)
    tensors = {"weight": codes, "weight_scale": scale, "input_scale": int8_static(weight)[0]["input_scale"],
               "weight_zero_point": torch.zeros((), dtype=torch.int8), "input_zero_point": torch.zeros((), dtype=torch.int8)}
    return tensors, codes, scale.expand(weight.shape[0], 1)


def int4_bytes(weight: torch.Tensor, group: int | None):
    """Codes of four bits stored one per byte, as in llm-compressor's W4A8."""
    codes, scales = rounded(weight, 4, group, torch.bfloat16)
    return {"weight": codes, "weight_scale": scales}, codes, scales


def int4_bytes_in_act_order(weight: torch.Tensor, group: int, order: torch.Tensor):
    codes, scales, groups = in_act_order(weight, order, lambda ordered: rounded(ordered, 4, group, torch.bfloat16))
    return {"weight": codes, "weight_scale": scales, "weight_g_idx": groups}, codes, scales


def fp8(weight: torch.Tensor):
    scales = weight.float().abs().amax(1, keepdim=True) / 448
    codes = (weight.float() / scales).clamp(-448, 448).to(torch.float8_e4m3fn)
    return {"weight": codes, "weight_scale": scales}, codes, scales


def fp8_by_tensor(weight: torch.Tensor):
    """One scale for all weights."""
    scale = weight.float().abs().amax() / 448
    codes = (weight.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
    return {"weight": codes, "weight_scale": scale}, codes, scale.expand(weight.shape[0], 1)


def fp8_static(weight: torch.Tensor, scale_type: torch.dtype = torch.float32):
    """Like fp8_by_tensor(), with one scale for all inputs, which is exact in BF16 and too small for some of them."""
    tensors, codes, scales = fp8_by_tensor(weight)
    scale = torch.tensor(0.375 / weight.shape[1], dtype=torch.bfloat16)
    return tensors | {"input_scale": scale.to(scale_type)}, codes, scales


def fp8_blocks(weight: torch.Tensor, scale_name: str, scale_type: torch.dtype, has_powers_of_two: bool = False):
    """One scale for each block of 128 x 128 weights."""
    rows, cols = weight.shape
    scales = torch.stack([torch.stack([block.abs().amax() / 448 for block in part.split(128, 1)])
                          for part in weight.float().split(128, 0)])
    if has_powers_of_two:
        scales = scales.log2().ceil().exp2()
    scales = scales.to(scale_type)
    of_values = scales.float().repeat_interleave(128, 0).repeat_interleave(128, 1)[:rows, :cols]
    codes = (weight.float() / of_values).clamp(-448, 448).to(torch.float8_e4m3fn)
    return {"weight": codes, scale_name: scales}, codes, scales


# Factors for the stored input scales of these modules. q_proj and k_proj read the same input as v_proj but have another scale, so v_proj
# needs a separate matmul.
INPUT_SCALE_FACTORS = {"v_proj": 0.5, "o_proj": 0.25}


def input_scale_factor(name: str) -> float:
    """The factor for a module's input scale. Among experts, the largest scale of gates and ups is that of expert 2's up_proj, and the
    largest scale of downs is that of expert 1's down_proj."""
    module = name.rsplit(".", 2)[-2]
    expert = re.search(r"experts\.(\d+)\.", name)
    if expert is None:
        return INPUT_SCALE_FACTORS.get(module, 1)
    largest = {"gate_proj": 0, "up_proj": 2, "down_proj": 1}[module]
    return (1.5 if module == "up_proj" else 1.25) - abs(int(expert[1]) - largest) / 8


def compressed(form: str, inputs: dict | None = None, **weights) -> dict:
    return {"quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed", "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"symmetric": True, **weights},
                                          "input_activations": inputs}}}


def dynamic(kind: str) -> dict:
    return {"num_bits": 8, "type": kind, "symmetric": True, "strategy": "token", "dynamic": True}


def quark(weight: dict, inputs: dict | None) -> dict:
    return {"quant_method": "quark", "exclude": ["lm_head"], "export": {"weight_format": "real_quantized"},
            "global_quant_config": {"weight": weight, "input_tensors": inputs}, "layer_quant_config": {}}


def mxfp4_rows(weight: torch.Tensor, ending: str):
    """An MXFP4 matrix as Quark and compressed-tensors store it: the low bits of a byte hold the code of the first of two inputs."""
    codes, exponents, _ = (part[0] for part in mxfp4(weight.unsqueeze(0)))
    pairs = codes[:, 0::2] | codes[:, 1::2] << 4
    return {ending: pairs, "weight_scale": exponents}, E2M1[codes.long()], torch.exp2(exponents.float() - 127)


def nvfp4_rows(weight: torch.Tensor, ending: str, global_ending: str, global_scale: torch.Tensor | None = None):
    """NVFP4 as NVIDIA defines it: unless it is given, the global scale of the matrix is chosen so that the largest scale of a group of 16
    inputs is 448, the largest E4M3 number. compressed-tensors stores the reciprocal of the global scale."""
    parts = weight.float().unflatten(-1, (-1, 16))
    largest = parts.abs().amax(-1)
    global_scale = largest.max() / (6 * 448) if global_scale is None else global_scale
    scales = (largest / 6 / global_scale).to(torch.float8_e4m3fn)
    scaled = (parts / (scales.float() * global_scale).clamp(min=2.0 ** -100)[..., None]).clamp(-6, 6)
    codes = (scaled.abs()[..., None] - E2M1[:8]).abs().argmin(-1)
    codes = torch.where(scaled < 0, codes + 8, codes).to(torch.uint8).flatten(-2)
    assert len(codes.unique()) == 16 and len(scales.view(torch.uint8).unique()) > 4
    stored = global_scale if global_ending == "weight_scale_2" else (1 / global_scale).reshape(1)
    pairs = codes[:, 0::2] | codes[:, 1::2] << 4
    return {ending: pairs, "weight_scale": scales, global_ending: stored}, E2M1[codes.long()], scales


def nvfp4_inputs(made, n_inputs: int):
    """Adds an input scale that is too small for some inputs. compressed-tensors stores its reciprocal."""
    tensors, codes, scales = made
    scale = torch.tensor(0.375 * 448 / n_inputs / (448 * 6))
    if "weight_scale_2" in tensors:
        return tensors | {"input_scale": scale}, codes, scales
    return tensors | {"input_global_scale": (1 / scale).reshape(1)}, codes, scales


def global_scale_of(parts: dict[str, torch.Tensor]) -> torch.Tensor | None:
    """The global scale of an NVFP4 matrix, from the tensors of its module; None for other formats."""
    if "weight_global_scale" in parts:
        return 1 / parts["weight_global_scale"]
    return parts.get("weight_scale_2")


NVFP4 = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group", "group_size": 16}
CHECKPOINTS = {
    "gptq-int4-g128": ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
                       lambda weight: gptq(weight, 4, 128)),
    "gptq-int4": ({"quant_method": "gptq", "bits": 4, "group_size": -1, "desc_act": False, "sym": True},
                  lambda weight: gptq(weight, 4, None)),
    "gptq-int8-g32": ({"quant_method": "gptq", "bits": 8, "group_size": 32, "desc_act": False, "sym": True},
                      lambda weight: gptq(weight, 8, 32)),
    "gptq-int8": ({"quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": False, "sym": True},
                  lambda weight: gptq(weight, 8, None)),
    "auto-round-int4-g128": ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True, "data_type": "int",
                              "packing_format": "auto_round:auto_gptq"}, lambda weight: gptq(weight, 4, 128)),
    "compressed-tensors-int4-g32": (compressed("pack-quantized", num_bits=4, type="int", strategy="group", group_size=32),
                                    lambda weight: packed(weight, 4, 32)),
    "gptq-int4-g64-zp": ({"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": False, "sym": False},
                         lambda weight: gptq_with_zeros(weight, 64)),
    "gptq-int4-zp": ({"quant_method": "gptq", "bits": 4, "group_size": -1, "desc_act": False, "sym": False,
                      "checkpoint_format": "gptq_v2"}, lambda weight: gptq_with_zeros(weight, None, 2)),
    "awq-int4-g128": ({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True},
                      lambda weight: awq(weight, 128)),
    "compressed-tensors-int4-g32-zp": (compressed("pack-quantized", num_bits=4, type="int", strategy="group", group_size=32,
                                                  symmetric=False), lambda weight: packed_with_zeros(weight, 32)),
    "compressed-tensors-int8-w8a8": (compressed("int-quantized", dynamic("int"), num_bits=8, type="int", strategy="channel"),
                                     int8),
    "compressed-tensors-int4-g32-w8a8": (compressed("int-quantized", dynamic("int"), num_bits=4, type="int", strategy="group",
                                                    group_size=32), lambda weight: int4_bytes(weight, 32)),
    "compressed-tensors-int4-w8a8": (compressed("int-quantized", dynamic("int"), num_bits=4, type="int", strategy="channel"),
                                     lambda weight: int4_bytes(weight, None)),
    "compressed-tensors-int8-g32-w8a8": (compressed("pack-quantized", dynamic("int"), num_bits=8, type="int", strategy="group",
                                                    group_size=32), lambda weight: packed(weight, 8, 32, torch.float16)),
    "compressed-tensors-int8-static": (compressed("int-quantized", {**dynamic("int"), "strategy": "tensor", "dynamic": False},
                                                  num_bits=8, type="int", strategy="channel"),
                                       lambda weight: int8_static(weight, torch.bfloat16)),
    "quark-int8-static": (quark({"dtype": "int8", "qscheme": "per_tensor", "symmetric": True},
                                {"dtype": "int8", "qscheme": "per_tensor", "symmetric": True, "is_dynamic": False}),
                          int8_static_by_tensor),
    # Activations have zero points, which are not supported, so the bundle keeps only the weights.
    "compressed-tensors-int8": (compressed("int-quantized", {**dynamic("int"), "strategy": "tensor", "dynamic": False,
                                                             "symmetric": False},
                                           num_bits=8, type="int", strategy="channel"), int8_static),
    "fp8-block128": ({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
                     lambda weight: fp8_blocks(weight, "weight_scale_inv", torch.float32)),
    "fp8-block128-ue8m0": ({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128],
                            "scale_fmt": "ue8m0"},
                           lambda weight: fp8_blocks(weight, "weight_scale_inv", torch.float8_e8m0fnu, has_powers_of_two=True)),
    "compressed-tensors-fp8-block128": (
        compressed("float-quantized", {**dynamic("float"), "strategy": "group", "group_size": 128}, num_bits=8, type="float",
                   strategy="block", block_structure=[128, 128]), lambda weight: fp8_blocks(weight, "weight_scale", torch.bfloat16)),
    "compressed-tensors-fp8": (compressed("float-quantized", dynamic("float"), num_bits=8, type="float",
                                          strategy="channel"), fp8),
    "compressed-tensors-fp8-w8a16": (compressed("float-quantized", num_bits=8, type="float", strategy="channel"), fp8),
    "compressed-tensors-fp8-static": (compressed("float-quantized", {**dynamic("float"), "strategy": "tensor", "dynamic": False},
                                                 num_bits=8, type="float", strategy="tensor"),
                                      lambda weight: fp8_static(weight, torch.bfloat16)),
    "fp8-static": ({"quant_method": "fp8", "activation_scheme": "static"}, fp8_static),
    "fp8-w8a16": ({"quant_method": "fp8", "activation_scheme": "dynamic"}, fp8_by_tensor),
    "modelopt-fp8-static": ({"quant_method": "modelopt", "quant_algo": "FP8"}, fp8_static),
    # The checkpoint lacks the input scales that its configuration promises.
    "modelopt-fp8-w8a16": ({"quant_method": "modelopt", "quant_algo": "FP8"}, fp8_by_tensor),
    "quark-fp8": (quark({"dtype": "fp8_e4m3", "qscheme": "per_channel"},
                        {"dtype": "fp8_e4m3", "qscheme": "per_channel", "is_dynamic": True}), fp8),
    "quark-fp8-static": (quark({"dtype": "fp8_e4m3", "qscheme": "per_tensor"},
                               {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": False}), fp8_static),
    "quark-fp8-w8a16": (quark({"dtype": "fp8_e4m3", "qscheme": "per_tensor"},
                              {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": True}), fp8_by_tensor),
    "quark-mxfp4": (quark({"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "scale_format": "e8m0"}, None),
                    lambda weight: mxfp4_rows(weight, "weight")),
    "compressed-tensors-mxfp4": (compressed("mxfp4-pack-quantized", num_bits=4, type="float", strategy="group", group_size=32),
                                 lambda weight: mxfp4_rows(weight, "weight_packed")),
    "modelopt-nvfp4": ({"quant_method": "modelopt", "quant_algo": "NVFP4"},
                       lambda weight: nvfp4_inputs(nvfp4_rows(weight, "weight", "weight_scale_2"), weight.shape[1])),
    # The checkpoint lacks the input scales that its configuration promises.
    "modelopt-nvfp4-w4a16": ({"quant_method": "modelopt", "quant_algo": "NVFP4"},
                             lambda weight: nvfp4_rows(weight, "weight", "weight_scale_2")),
    "compressed-tensors-nvfp4": (compressed("nvfp4-pack-quantized", {**NVFP4, "dynamic": "local"}, **NVFP4),
                                 lambda weight: nvfp4_inputs(nvfp4_rows(weight, "weight_packed", "weight_global_scale"),
                                                             weight.shape[1])),
    "compressed-tensors-nvfp4-w4a16": (compressed("nvfp4-pack-quantized", **NVFP4),
                                       lambda weight: nvfp4_rows(weight, "weight_packed", "weight_global_scale")),
    "fp8-block128-w8a16": ({"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": [128, 128]},
                           lambda weight: fp8_blocks(weight, "weight_scale_inv", torch.float32)),
}


# Checkpoints with act order, made from a weight and the order in which its inputs are quantized.
WITH_ACT_ORDER = {
    "gptq-int4-g128": ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True},
                       lambda weight, order: gptq(weight, 4, 128, order)),
    "gptq-int8-g32": ({"quant_method": "gptq", "bits": 8, "group_size": 32, "desc_act": True, "sym": True},
                      lambda weight, order: gptq(weight, 8, 32, order)),
    "gptq-int4-g64-zp": ({"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": True, "sym": False},
                         lambda weight, order: gptq_with_zeros(weight, 64, order=order)),
    # Runtimes of this checkpoint quantize inputs. But its gates and ups with different orders are multiplied by their values, so the bundle
    # keeps only the weights.
    "compressed-tensors-int4-g32": (compressed("pack-quantized", dynamic("int"), num_bits=4, type="int", strategy="group",
                                               group_size=32, actorder="group"),
                                    lambda weight, order: packed_in_act_order(weight, 4, 32, order)),
    # Each gate has the same order as its up, so the inputs are quantized.
    "compressed-tensors-int4-g32-w8a8": (compressed("int-quantized", dynamic("int"), num_bits=4, type="int", strategy="group",
                                                    group_size=32, actorder="group"),
                                         lambda weight, order: int4_bytes_in_act_order(weight, 32, order)),
}
ACT_ORDER = "-act-order"


def order_of_inputs(name: str, n_inputs: int) -> torch.Tensor:
    """A random order for each input. GPTQ derives the order from the input alone, so all matrices that multiply one input share it, and
    each expert, which sees other tokens, has its own. In the second layer v_proj and up_proj have different orders, so they cannot be
    joined with the matrices that read the same input."""
    layer, module = name.split(".")[2], name.rsplit(".", 2)[-2]
    expert = name.split(".experts.")[1].split(".")[0] if ".experts." in name else ""
    shared = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj", "w3": "w1"}
    has_own = layer == "1" and module in ("v_proj", "up_proj", "w3")
    of_input = module if has_own else shared.get(module, module)
    return torch.randperm(n_inputs, generator=torch.Generator().manual_seed(zlib.crc32(f"{layer}.{expert}.{of_input}".encode())))


def order_of_joined(name: str, n_inputs: int) -> torch.Tensor:
    """Like order_of_inputs(), with the same order for each gate and its up."""
    return order_of_inputs(name.replace("up_proj", "gate_proj"), n_inputs)


def order_of_layer(name: str, n_inputs: int) -> torch.Tensor:
    """Like order_of_inputs(), with the same order for all experts of a layer."""
    return order_of_inputs(re.sub(r"\.experts\.\d+\.", ".", name), n_inputs)


def run(*command: str | Path, statuses: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode not in statuses:
        raise SystemExit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(what)


def fitted_rows(program: str, model: Path, *arguments: str) -> list[dict]:
    """The rows of `fit`. Its output has notes after the JSON."""
    said = run(program, "fit", model, "--on", "h200", "--format", "json", *arguments)
    return json.JSONDecoder().raw_decode(said)[0]["rows"]


def check_codes(bundle: Path, name: str, order: torch.Tensor | None, codes: torch.Tensor, scales: torch.Tensor,
                zeros: torch.Tensor | None = None) -> None:
    """Checks that the bundle stores these codes, scales and zero points bit for bit, with the columns in `order` if one is given. E2M1
    codes and their scales are given as the numbers that they represent."""
    with safe_open(str(bundle / "model.safetensors"), "pt") as stored:
        found, of_rows = stored.get_tensor(name + ".codes"), stored.get_tensor(name + ".scales")
        expect((zeros is not None) == (name + ".zeros" in stored.keys()), f"{bundle.name}: {name}: zero points")
        expect(zeros is None or torch.equal(stored.get_tensor(name + ".zeros"), zeros), f"{bundle.name}: {name}: other zero points")
        expect((order is not None) == (name + ".columns" in stored.keys()), f"{bundle.name}: {name}: an order of columns")
        expect(order is None or torch.equal(stored.get_tensor(name + ".columns"), order.int()), f"{bundle.name}: {name}: another order")
    if order is not None:
        codes = codes[:, order]
    if of_rows.dtype in (torch.uint8, torch.float8_e4m3fn) and found.dtype == torch.uint8:
        found = E2M1[torch.stack((found & 15, found >> 4), -1).flatten(-2).long()]
        of_rows = torch.exp2(of_rows.float() - 127) if of_rows.dtype == torch.uint8 else of_rows
    elif found.dtype == torch.uint8:
        found = torch.stack((found << 4, found), -1).view(torch.int8).flatten(-2) >> 4
    same = torch.equal(found.view(torch.int8), codes.view(torch.int8)) and torch.equal(of_rows.float(), scales.float())
    expect(same, f"{bundle.name}: {name}: other codes or scales than those of the checkpoint")


def check_one_scales(bundle: Path, ending: str, expected: dict[str, torch.Tensor]) -> None:
    """Checks that the bundle has exactly these tensors with this ending, which hold a single scale per matrix."""
    with safe_open(str(bundle / "model.safetensors"), "pt") as stored:
        found = {key.removesuffix(ending): stored.get_tensor(key) for key in stored.keys() if key.endswith(ending)}
    same = found.keys() == expected.keys() and all(torch.equal(found[name], scale.reshape(1)) for name, scale in expected.items())
    expect(same, f"{bundle.name}: other tensors {ending} than those of the checkpoint")


def check_bundle(program: str, bundle: Path, variant: str, values: dict[str, torch.Tensor], others: str) -> None:
    """Checks the values of all tensors, and that all backends that support the variant generate the expected tokens."""
    found = published.load_values(bundle / "model.safetensors")
    expect(found.keys() == values.keys(), f"{variant}: names: {found.keys() ^ values.keys()}")
    for name, tensor in values.items():
        expect(torch.equal(found[name].float(), tensor.float()), f"{variant}: {name}: other values")
    manifest = (bundle / "manifest.yaml").read_text(encoding="utf-8")
    expect(f"variants:\n  {variant}:" in manifest, f"{variant}: expected it first in the manifest:\n{manifest}")
    asked = f"{variant}{others}"
    run(sys.executable, ROOT / "bundles/recipes/expect.py", "--model", bundle, "--variants", asked)
    run(program, "bundle", "verify", bundle)
    backends = ["reference", "cpu"]
    # oneDNN 2 has no matmuls with FP8, with NVFP4 activations, or with INT8 activations and weights in groups, and no mixtures of experts.
    # Its INT8 by INT8 matmuls are exact only on CPUs with VNNI.
    has_experts = any("experts." in name for name in values)
    has_groups_of_int8_inputs = variant.endswith("-w8a8") and ("-int4" in variant or "-int8-g" in variant)
    is_declined = variant.endswith(("-w8a8", "-int8-static")) and "vnni" not in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    is_declined |= variant.endswith("-nvfp4") or "fp8" in variant or has_experts or has_groups_of_int8_inputs
    if not is_declined:
        backends.append("onednn")
    # The GPU kernels do not support weights of four bits with INT8 activations.
    has_shim = HAS_SHIM and not (variant.endswith("-w8a8") and "-int4" in variant)
    if has_shim:
        backends.append("gpu-shim")
    table = run(program, "check", bundle, "--suite", "full", "--variant", asked, "--backend", ",".join(backends))
    rows = [line.split() for line in table.splitlines() if " PASSED " in line]
    passed = {row[0] for row in rows if row[1] == variant}
    expected = {"reference", "cpu"} | ({"gpu-shim"} if has_shim else set())
    expect(expected <= passed, f"{variant}: expected the tokens of {', '.join(sorted(expected))} to pass:\n{table}")
    print(f"{bundle.name.removesuffix('-bundle')}: {', '.join(sorted(passed))} passed")


def create_small_bundle(program: str, plain: Path, folder: Path, tensors: dict[str, torch.Tensor], bundle: Path) -> None:
    """Writes the checkpoint's weights and makes its bundle, which must keep the codes and therefore be smaller than the plain model."""
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    said = run(program, "bundle", "create", "--from-hf", folder, "--prompts", PROMPTS, "--out", bundle)
    expect("no variant keeps" not in said, said)
    fitted = [fitted_rows(program, model) for model in (folder, bundle)]
    expect(fitted[0] == fitted[1], f"{bundle.name}: fit counts the published files otherwise than the bundle")
    size = (bundle / "model.safetensors").stat().st_size
    expect(size < (plain / "model.safetensors").stat().st_size, f"{bundle.name}: {size} bytes")


def copy_quantized(plain: Path, folder: Path, quantization: dict) -> None:
    """Copies the model's folder and adds this quantization_config. The weights are not yet quantized."""
    shutil.copytree(plain, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def check_checkpoint(program: str, plain: Path, scratch: Path, variant: str, has_act_order: bool = False,
                     order_of=order_of_inputs) -> None:
    quantization, make = (WITH_ACT_ORDER if has_act_order else CHECKPOINTS)[variant]
    label = f"{plain.name}-{variant}{ACT_ORDER if has_act_order else ''}"
    folder, bundle = scratch / label, scratch / f"{label}-bundle"
    copy_quantized(plain, folder, quantization)
    tensors, values, kept, input_scales, global_scales = {}, {}, {}, {}, {}
    for name, weight in load_file(plain / "model.safetensors").items():
        if not is_quantized(name):
            tensors[name] = values[name] = weight
            continue
        parts, codes, scales, *zeros = make(weight, order_of(name, weight.shape[1])) if has_act_order else make(weight)
        if "input_scale" in parts:
            parts["input_scale"] = parts["input_scale"] * input_scale_factor(name)
            if variant.endswith(("-static", "-nvfp4")):
                input_scales[name] = parts["input_scale"].float()
        if "input_global_scale" in parts:  # inputs are divided by this scale
            parts["input_global_scale"] = parts["input_global_scale"] / input_scale_factor(name)
            input_scales[name] = 1 / parts["input_global_scale"]
        tensors |= {f"{name.removesuffix('weight')}{ending}": part for ending, part in parts.items()}
        rows, columns = torch.arange(codes.shape[0]), torch.arange(codes.shape[1])
        if "block128" in variant:
            rows, columns = rows // 128, columns // 128
        else:
            columns = columns * scales.shape[1] // codes.shape[1]
        groups = parts.get("g_idx", parts.get("weight_g_idx"))
        order = None
        if groups is not None and not torch.equal(groups, columns.int()):
            order, columns = groups.argsort(stable=True), groups.long()
        expect((order is not None) == (has_act_order and scales.shape[1] > 1), f"{label}: {name}: act order")
        differences = codes.float() - zeros[0].float()[:, columns] if zeros else codes.float()
        values[name] = differences * scales.float()[rows][:, columns]
        if (global_scale := global_scale_of(parts)) is not None:
            values[name] = values[name] * global_scale
            global_scales[name] = global_scale
        if name.rsplit(".", 2)[-2] not in BY_VALUES:
            kept[name] = (order, codes, scales, *zeros)
    create_small_bundle(program, plain, folder, tensors, bundle)
    for name, parts in kept.items():
        check_codes(bundle, name, *parts)
    check_one_scales(bundle, ".input_scale", input_scales)
    check_one_scales(bundle, ".global_scale", global_scales)
    check_bundle(program, bundle, variant, values, ",int8" if variant == "gptq-int4-g128" else "")
    if has_act_order:
        check_ordered_products(program, bundle, variant)


def check_ordered_products(program: str, bundle: Path, variant: str) -> None:
    """Checks that inputs are permuted to the order of the codes, and that matmuls use the codes. The exception are gates whose ups have
    another order, which are multiplied by their values; variants with quantized inputs have none."""
    table = run(program, "profile", bundle, "--backend", "cpu", "--variant", variant, "--scenario", "single-stream@8/2", "--budget", "0.1s")
    expect(re.search(r"decode +select_columns ", table) is not None, f"{variant}: expected inputs in act order:\n{table}")
    products = set(re.findall(r"decode +matmul +1 x (\d+) -> (\d+) +matmul_(\w+?)_", table))
    by_values = {(inputs, outputs) for inputs, outputs, encoding in products if encoding == "f32"}
    config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    if n_top := config.get("num_experts_per_tok"):
        # The profile shows the outputs of the experts' matmuls: `hidden` for gates with ups, `hidden_size` for downs.
        hidden = n_top * config.get("moe_intermediate_size", config["intermediate_size"])
        of_experts = set(re.findall(r"decode +grouped_matmul +1 x (\d+) +grouped_matmul_(\w+?)_", table))
        kept = {outputs for outputs, encoding in of_experts if encoding != "f32"}
        expect(kept == {str(hidden), str(config["hidden_size"])}, f"{variant}: experts' products from their codes:\n{table}")
        expect({outputs for outputs, encoding in of_experts if encoding == "f32"} == {str(hidden)}, f"{variant}: experts in FP32:\n{table}")
        expect(not by_values, f"{variant}: products in FP32:\n{table}")
        return
    unlike = set() if variant.endswith("-w8a8") else {(str(config["hidden_size"]), str(config["intermediate_size"]))}
    expect(by_values == unlike, f"{variant}: products in FP32:\n{table}")


def with_minima(weight: torch.Tensor, bits: int) -> np.ndarray:
    """Quantizes to blocks of Q4_K or Q5_K. In each group of 32 columns, the range of values, extended to contain 0, has 15 or 31 steps."""
    most = 2 ** bits - 1
    parts = weight.float().unflatten(-1, (-1, 8, 32))
    least = -parts.amin(-1).clamp(max=0)
    wanted = (parts.amax(-1).clamp(min=0) + least) / most
    unit, least_unit = ((one.amax(-1, keepdim=True) / 63).half() for one in (wanted, least))
    scales = torch.round(wanted / unit.float()).clamp(0, 63)
    minima = torch.round(least / least_unit.float()).clamp(0, 63)
    steps = (scales * unit.float())[..., None]
    codes = torch.round((parts + (minima * least_unit.float())[..., None]) / steps.clamp(min=1e-30)).clamp(0, most).to(torch.uint8)
    scales, minima = scales.to(torch.uint8), minima.to(torch.uint8)
    packed = torch.cat((scales[..., :4] | scales[..., 4:] >> 4 << 6, minima[..., :4] | minima[..., 4:] >> 4 << 6,
                        scales[..., 4:] & 15 | (minima[..., 4:] & 15) << 4), -1)
    pairs = (codes & 15).unflatten(-2, (4, 2))
    fifth = [sum(codes[..., part, :] >> 4 << part for part in range(8))] if bits == 5 else []
    blocks = torch.cat((unit.view(torch.uint8), least_unit.view(torch.uint8), packed, *fifth,
                        (pairs[..., 0, :] | pairs[..., 1, :] << 4).flatten(-2)), -1)
    return blocks.flatten(-2).numpy()


def q6_k(weight: torch.Tensor) -> np.ndarray:
    """Quantizes to blocks of Q6_K. The largest magnitude of 16 columns is 31 steps, and every other part has a negative scale."""
    parts = weight.float().unflatten(-1, (-1, 16, 16))
    wanted = parts.abs().amax(-1) / 31
    unit = (wanted.amax(-1, keepdim=True) / 127).half()
    scales = torch.round(wanted / unit.float()).clamp(1, 127) * (1 - 2 * (torch.arange(16) % 2))
    codes = (torch.round(parts / (scales * unit.float())[..., None]).clamp(-32, 31) + 32).to(torch.uint8)
    quarters = codes.flatten(-2).unflatten(-1, (2, 4, 32))  # the four quarters of each 128 columns
    low = torch.cat((quarters[..., 0, :] & 15 | (quarters[..., 2, :] & 15) << 4,
                     quarters[..., 1, :] & 15 | (quarters[..., 3, :] & 15) << 4), -1).flatten(-2)
    high = sum(quarters[..., part, :] >> 4 << 2 * part for part in range(4)).flatten(-2)
    blocks = torch.cat((low, high, scales.to(torch.int8).view(torch.uint8), unit.view(torch.uint8)), -1)
    return blocks.flatten(-2).numpy()


def in_pairs_of_bits(codes: torch.Tensor) -> torch.Tensor:
    """Packs codes of two bits, [.., 256], into 64 bytes: among each 128 columns, those that are 32 apart share a byte."""
    quarters = codes.unflatten(-1, (2, 4, 32))
    return sum(quarters[..., part, :] << 2 * part for part in range(4)).flatten(-2)


def q2_k(weight: torch.Tensor) -> np.ndarray:
    """Quantizes to blocks of Q2_K. In each group of 16 columns, the range of values, extended to contain 0, has 3 steps."""
    parts = weight.float().unflatten(-1, (-1, 16, 16))
    least = -parts.amin(-1).clamp(max=0)
    wanted = (parts.amax(-1).clamp(min=0) + least) / 3
    unit, least_unit = ((one.amax(-1, keepdim=True) / 15).half() for one in (wanted, least))
    scales = torch.round(wanted / unit.float()).clamp(0, 15)
    minima = torch.round(least / least_unit.float()).clamp(0, 15)
    steps = (scales * unit.float())[..., None].clamp(min=1e-30)
    codes = torch.round((parts + (minima * least_unit.float())[..., None]) / steps).clamp(0, 3).to(torch.uint8)
    of_parts = scales.to(torch.uint8) | minima.to(torch.uint8) << 4
    blocks = torch.cat((of_parts, in_pairs_of_bits(codes.flatten(-2)), unit.view(torch.uint8), least_unit.view(torch.uint8)), -1)
    return blocks.flatten(-2).numpy()


def signed_parts(parts: torch.Tensor, steps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The FP16 units of blocks, and integers that store the scales of their parts, of which every other one is negative."""
    wanted = parts.abs().amax(-1) / steps
    unit = (wanted.amax(-1, keepdim=True) / 31).half()
    return unit, torch.round(wanted / unit.float()).clamp(1, 31) * (1 - 2 * (torch.arange(parts.shape[-2]) % 2))


def q3_k(weight: torch.Tensor) -> np.ndarray:
    """Quantizes to blocks of Q3_K. The largest magnitude of 16 columns is 4 steps."""
    parts = weight.float().unflatten(-1, (-1, 16, 16))
    unit, scales = signed_parts(parts, 4)
    codes = (torch.round(parts / (scales * unit.float())[..., None]).clamp(-4, 3) + 4).to(torch.uint8).flatten(-2)
    eighths = codes.unflatten(-1, (8, 32))
    third = sum(eighths[..., part, :] >> 2 << part for part in range(8))
    stored = (scales + 32).to(torch.uint8)
    low = stored[..., :8] & 15 | (stored[..., 8:] & 15) << 4
    high = sum(stored[..., 4 * part:4 * part + 4] >> 4 << 2 * part for part in range(4))
    blocks = torch.cat((third, in_pairs_of_bits(codes & 3), low, high, unit.view(torch.uint8)), -1)
    return blocks.flatten(-2).numpy()


CURVE = torch.tensor([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=torch.float32)


def on_curve(scaled: torch.Tensor) -> torch.Tensor:
    """The indices of the nearest numbers in CURVE, [.., 32], two per byte: the first 16 are in the low bits."""
    places = (scaled[..., None] - CURVE).abs().argmin(-1).to(torch.uint8)
    return places[..., :16] | places[..., 16:] << 4


def iq4_nl(weight: torch.Tensor) -> np.ndarray:
    """Quantizes to blocks of IQ4_NL. The largest magnitude of 32 columns is 127 steps."""
    parts = weight.float().unflatten(-1, (-1, 32))
    unit = (parts.abs().amax(-1, keepdim=True) / 127).half()
    return torch.cat((unit.view(torch.uint8), on_curve(parts / unit.float())), -1).flatten(-2).numpy()


def iq4_xs(weight: torch.Tensor) -> np.ndarray:
    """Quantizes to blocks of IQ4_XS. The largest magnitude of 32 columns is 127 steps."""
    parts = weight.float().unflatten(-1, (-1, 8, 32))
    unit, scales = signed_parts(parts, 127)
    stored = (scales + 32).to(torch.int32)
    high = sum(stored[..., part] >> 4 << 2 * part for part in range(8))
    low = (stored[..., 0::2] & 15 | (stored[..., 1::2] & 15) << 4).to(torch.uint8)
    places = on_curve(parts / (scales * unit.float())[..., None]).flatten(-2)
    of_high = torch.stack((high & 255, high >> 8), -1).to(torch.uint8)
    return torch.cat((unit.view(torch.uint8), of_high, low, places), -1).flatten(-2).numpy()


def product_widths(config: transformers.PretrainedConfig, kind: str) -> set[int]:
    """The numbers of outputs of the matmuls that compute q, k and v. All three are joined if they have the same type, q and k if only v has
    another type, and none if k has another type than q."""
    queries, keys = (n * config.head_dim for n in (config.num_attention_heads, config.num_key_value_heads))
    widths = set()
    for layer in range(config.num_hidden_layers):
        q, k, v = (type_of(f"model.layers.{layer}.self_attn.{part}_proj.weight", kind) for part in "qkv")
        widths |= {queries, keys} if q != k else {queries + keys, keys} if q != v else {queries + 2 * keys}
    return widths


def type_of(name: str, kind: str) -> str:
    """The type of a tensor in the file of this kind. As in llama.cpp's Q4_K_M and Q5_K_M, the head is Q6_K, and so are v_proj and down_proj
    in half of the layers. As in llama.cpp's Q3_K_M and IQ4_XS, the head is Q6_K and the first layer's v_proj is Q5_K. In Q4_0, the first
    layer's v_proj is Q8_0. The last layer's k_proj is Q8_0 in Q4_K, as in llama.cpp's files of Mixtral-8x7B, and Q5_1 in Q5_0. Beside NVFP4
    the embedding and the head have other types, as in files that llama.cpp converts from checkpoints in NVFP4."""
    if kind == "NVFP4" and name in ("model.embed_tokens.weight", "lm_head.weight"):
        return "Q8_0" if name.startswith("lm_head") else "BF16"
    if kind in ("Q4_K", "Q5_0") and "layers.1.self_attn.k_proj" in name:
        return "Q8_0" if kind == "Q4_K" else "Q5_1"
    if kind in ("Q3_K", "IQ4_XS") and ("lm_head" in name or "layers.0.self_attn.v_proj" in name):
        return "Q6_K" if "lm_head" in name else "Q5_K"
    if kind in ("Q4_K", "Q5_K") and ("lm_head" in name or re.search(r"layers\.0\..*(v|down)_proj", name)):
        return "Q6_K"
    return "Q8_0" if kind == "Q4_0" and "layers.0.self_attn.v_proj" in name else kind


def blocks_of(weight: torch.Tensor, kind: str) -> np.ndarray:
    """The blocks of a weight. This file makes those of K-quants and IQ4, because the package gguf cannot."""
    makers = {"Q2_K": q2_k, "Q3_K": q3_k, "Q6_K": q6_k, "IQ4_NL": iq4_nl, "IQ4_XS": iq4_xs}
    if kind in makers:
        return makers[kind](weight)
    if kind in ("Q4_K", "Q5_K"):
        return with_minima(weight, int(kind[1]))
    return gguf.quantize(weight.float().numpy(), gguf.GGMLQuantizationType[kind])


def nvfp4_blocks(weight: torch.Tensor, global_scale: torch.Tensor | None) -> tuple[np.ndarray, torch.Tensor]:
    """The blocks that llama.cpp's converter makes of a matrix in NVFP4, and its global scale. A block of 64 columns has four scales, and
    for each 16 columns eight bytes with the codes of the first eight in their low bits."""
    tensors, _, scales = nvfp4_rows(weight, "codes", "weight_scale_2", global_scale)
    codes = torch.stack((tensors["codes"] & 15, tensors["codes"] >> 4), -1).unflatten(-2, (-1, 8)).flatten(-2).unflatten(-1, (2, 8))
    pairs = (codes[..., 0, :] | codes[..., 1, :] << 4).unflatten(-2, (-1, 4)).flatten(-2)
    blocks = torch.cat((scales.view(torch.uint8).unflatten(-1, (-1, 4)), pairs), -1)
    return blocks.flatten(-2).numpy(), tensors["weight_scale_2"]


# The types that a bundle keeps as whole blocks.
GGUF_BLOCKS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL")


def check_gguf(program: str, plain: Path, scratch: Path, kind: str) -> None:
    """Tests a GGUF file in which all matrices and the embedding consist of blocks (in NVFP4 all matrices). The package gguf computes the
    expected values; global scales, of which it knows nothing, multiply them."""
    variant, file = f"gguf-{kind.lower()}" + ("-w4a16" if kind == "NVFP4" else ""), scratch / f"{kind}.gguf"
    bundle = scratch / f"{variant}-bundle"
    config = transformers.AutoConfig.from_pretrained(str(plain))
    values, kept, global_scales = {}, {}, {}
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    for name, weight in load_file(plain / "model.safetensors").items():
        if weight.dim() == 1:
            values[name] = weight.float()
            writer.add_tensor(gguf_name(name), weight.float().numpy())
            continue
        quantized = gguf.GGMLQuantizationType[type_of(name, kind)]
        if quantized.name == "NVFP4":
            # The file has no global scale for one of the matrices, which means 1.
            is_without = "layers.1.self_attn.k_proj" in name
            blocks, global_scale = nvfp4_blocks(weight, torch.tensor(1.0) if is_without else None)
            global_scales[name] = global_scale.reshape(1)
            if not is_without:
                module = gguf_name(name).removesuffix(".weight")
                writer.add_tensor(f"{module}.scale", global_scales[name].numpy())
                writer.add_tensor(f"{module}.input_scale", np.float32([0.01]))
        else:
            blocks = blocks_of(weight, quantized.name)
        values[name] = torch.from_numpy(gguf.dequantize(blocks, quantized).copy()) * global_scales.get(name, 1)
        if quantized.name != "BF16":
            kept[name] = blocks
        part = name.rsplit(".", 2)[-2]
        n_heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(part)
        if n_heads:  # in llama.cpp's order, rows of the two halves of a head alternate
            blocks = blocks.reshape(n_heads, 2, -1, blocks.shape[-1]).swapaxes(1, 2).reshape(blocks.shape)
        writer.add_tensor(gguf_name(name), np.ascontiguousarray(blocks), raw_dtype=quantized)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    run(program, "bundle", "create", "--from-gguf", file, "--prompts", PROMPTS, "--out", bundle)
    with safe_open(str(bundle / "model.safetensors"), "pt") as stored:
        endings = (".codes", *(f".{one.lower()}" for one in GGUF_BLOCKS))
        found = {key.rpartition(".")[0]: key for key in stored.keys() if key.endswith(endings)}
        expect(found.keys() == kept.keys(), f"{variant}: codes of {sorted(found)}")
        for name, key in found.items():
            same = key.endswith(".codes") or np.array_equal(stored.get_tensor(key).numpy(), kept[name])
            expect(same, f"{variant}: {key}: other blocks than those of the file")
    check_one_scales(bundle, ".global_scale", global_scales)
    counted = [fitted_rows(program, model, "--variant", variant)[0]["weights_bytes"] for model in (file, bundle)]
    expect(abs(counted[0] / counted[1] - 1) < 0.01, f"{variant}: fit counts {counted} bytes of the file and of the bundle")
    check_bundle(program, bundle, variant, values, "")
    check_products(program, bundle, variant, config, product_widths(config, kind))


def check_products(program: str, bundle: Path, variant: str, config: transformers.PretrainedConfig, widths: set[int]) -> None:
    """Checks that no matmul uses weights in FP32, and that those of q, k and v that have the same type are joined."""
    table = run(program, "profile", bundle, "--backend", "cpu", "--variant", variant, "--scenario", "single-stream@8/2", "--budget", "0.1s")
    products = re.findall(r"x \d+ -> (\d+) +matmul_(\w+?)_", table)
    queries, keys = (n * config.head_dim for n in (config.num_attention_heads, config.num_key_value_heads))
    found = {int(width) for width, _ in products}
    joined = {queries + keys, queries + 2 * keys}
    expect(widths <= found and joined & found == joined & widths, f"{variant}: products of q, k and v:\n{table}")
    expect("f32" not in {encoding for _, encoding in products}, f"{variant}: a product in FP32:\n{table}")


E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def mxfp4(weight: torch.Tensor):
    """Quantizes [experts, outputs, inputs] as the OCP specification does: scales are such that the largest of 32 inputs gets the exponent
    of 4, the largest power of two in E2M1. Returns codes, exponents of the scales plus 127, and values."""
    parts = weight.float().unflatten(-1, (-1, 32))
    exponents = torch.floor(torch.log2(parts.abs().amax(-1, keepdim=True).clamp(min=2.0 ** -100))) - 2
    scaled = (parts / torch.exp2(exponents)).clamp(-6, 6)
    codes = (scaled.abs()[..., None] - E2M1[:8]).abs().argmin(-1)
    codes = torch.where(scaled < 0, codes + 8, codes).to(torch.uint8)
    values = E2M1[codes.long()] * torch.exp2(exponents)
    assert len(codes.unique()) == 16 and len(exponents.unique()) > 1
    return codes.flatten(-2), (exponents + 127).squeeze(-1).to(torch.uint8), values.flatten(-2)


def check_codes_of_experts(bundle: Path, name: str, codes: torch.Tensor, exponents: torch.Tensor) -> None:
    with safe_open(str(bundle / "model.safetensors"), "pt") as stored:
        pairs, scales = (stored.get_tensor(f"{name}.transposed.{part}") for part in ("codes", "scales"))
    found = torch.stack((pairs & 15, pairs >> 4), -1).flatten(-2)
    expect(torch.equal(found, codes) and torch.equal(scales, exponents), f"{bundle.name}: {name}: other codes or scales")


def is_of_experts(name: str) -> bool:
    return name.endswith(("experts.gate_up_proj", "experts.down_proj"))


def check_gpt_oss(program: str, plain: Path, scratch: Path) -> None:
    """Tests gpt-oss as OpenAI publishes it: experts are in MXFP4 with alternating gates and ups, and everything else is in BF16."""
    folder, bundle = scratch / "gpt-oss-mxfp4", scratch / "gpt-oss-mxfp4-bundle"
    shutil.copytree(plain, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors, values, kept = {}, {}, {}
    for name, weight in load_file(plain / "model.safetensors").items():
        if not is_of_experts(name):
            tensors[name] = values[name] = weight
            continue
        codes, exponents, rows = mxfp4(weight.transpose(1, 2))
        kept[name], values[name] = (codes, exponents), rows.transpose(1, 2)
        pairs = codes.unflatten(-1, (-1, 16, 2))
        tensors |= {name + "_blocks": (pairs[..., 0] | pairs[..., 1] << 4).contiguous(), name + "_scales": exponents}
    create_small_bundle(program, plain, folder, tensors, bundle)
    for name, parts in kept.items():
        check_codes_of_experts(bundle, name, *parts)
    check_bundle(program, bundle, "mxfp4", values, ",bf16")


def check_gpt_oss_gguf(program: str, plain: Path, scratch: Path) -> None:
    """Tests gpt-oss in GGUF as ggml-org publishes it: experts in MXFP4 and all other matrices in Q8_0, both made by the package gguf."""
    file, bundle = scratch / "gpt-oss-mxfp4.gguf", scratch / "gpt-oss-gguf-mxfp4-bundle"
    config = transformers.AutoConfig.from_pretrained(str(plain))
    # Every token uses all experts. Otherwise, if two experts have nearly equal scores, rounding to BF16 could change which one is used.
    config.num_experts_per_tok = config.num_local_experts
    tensors = load_file(plain / "model.safetensors")
    writer = gguf.GGUFWriter(str(file), "gpt-oss")
    gguf_models_test.add_metadata(writer, config, "gpt_oss")
    read = {}
    for name, weight in gguf_models_test.converted(tensors, config, "gpt-oss").items():
        kind = gguf.GGMLQuantizationType["MXFP4" if "_exps.weight" in name else "Q8_0"]
        if weight.dim() == 1 or name.endswith("bias") or "gate_inp" in name:
            read[name] = weight.float()
            writer.add_tensor(name, weight.float().numpy())
            continue
        blocks = gguf.quantize(weight.float().contiguous().numpy(), kind)
        read[name] = torch.from_numpy(gguf.dequantize(blocks, kind).copy()).reshape(weight.shape)
        writer.add_tensor(name, np.ascontiguousarray(blocks), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    run(program, "bundle", "create", "--from-gguf", file, "--prompts", PROMPTS, "--out", bundle)
    with safe_open(str(bundle / "model.safetensors"), "pt") as stored:
        experts = {key.removesuffix(".transposed.codes") for key in stored.keys() if key.endswith(".transposed.codes")}
    expect(experts == {name for name in tensors if is_of_experts(name)}, f"gguf-mxfp4: transposed codes of {sorted(experts)}")
    values = published.load_values(bundle / "model.safetensors")
    for name, found in gguf_models_test.converted(values, config, "gpt-oss").items():
        expect(torch.equal(found.float(), read[name]), f"gguf-mxfp4: {name}: other values")
    check_bundle(program, bundle, "gguf-mxfp4", values, "")


def check_experts_in_nvfp4(program: str, plain: Path, scratch: Path) -> None:
    """Tests a mixture in GGUF whose experts are in NVFP4, stacked in one tensor of a layer that has a global scale for each of them."""
    file, bundle = scratch / "experts-nvfp4.gguf", scratch / "experts-gguf-nvfp4-bundle"
    config = transformers.AutoConfig.from_pretrained(str(plain))
    writer = gguf.GGUFWriter(str(file), "qwen3moe")
    gguf_models_test.add_metadata(writer, config, "qwen3_moe")
    kind = gguf.GGMLQuantizationType.NVFP4
    read = {}
    for name, weight in gguf_models_test.converted(load_file(plain / "model.safetensors"), config, "qwen3moe").items():
        if weight.dim() == 1 or "gate_inp" in name or name in ("token_embd.weight", "output.weight"):
            read[name] = weight.float()
            writer.add_tensor(name, weight.float().numpy())
            continue
        made = [nvfp4_blocks(one, None) for one in (weight if weight.dim() == 3 else weight[None])]
        blocks = np.stack([one for one, _ in made]).reshape(*weight.shape[:-1], -1)
        scales = torch.stack([scale for _, scale in made])
        writer.add_tensor(name, blocks, raw_dtype=kind)
        writer.add_tensor(name.replace(".weight", ".scale"), scales.numpy())
        values = torch.from_numpy(gguf.dequantize(blocks, kind).copy()).reshape(weight.shape)
        read[name] = values * (scales[:, None, None] if weight.dim() == 3 else scales)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    run(program, "bundle", "create", "--from-gguf", file, "--prompts", PROMPTS, "--out", bundle)
    values = published.load_values(bundle / "model.safetensors")
    for name, found in gguf_models_test.converted(values, config, "qwen3moe").items():
        expect(torch.equal(found.float(), read[name]), f"experts in NVFP4: {name}: other values")
    check_bundle(program, bundle, "gguf-nvfp4-w4a16", values, "")


def gguf_name(name: str) -> str:
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
             "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    module = name.removesuffix(".weight")
    if module in parts:
        return f"{parts[module]}.weight"
    _, _, layer, rest = module.split(".", 3)
    return f"blk.{layer}.{parts[rest]}.weight"


def main() -> int:
    program = sys.argv[1]
    transformers.utils.logging.disable_progress_bar()
    tiny_models.MODELS["llama-published"] = (transformers.LlamaConfig, MODEL)
    # Rows consist of whole blocks of 256 columns.
    tiny_models.MODELS["llama-wide"] = (transformers.LlamaConfig, MODEL | {
        "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8})
    of_family, settings = tiny_models.MODELS["gpt_oss"]
    tiny_models.MODELS["gpt_oss-published"] = (of_family, settings | {"hidden_size": 96, "intermediate_size": 64})
    of_family, settings = tiny_models.MODELS["qwen3_moe"]
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        plain = scratch / "plain"
        tiny_models.write_model(plain, "llama-published")
        wide = scratch / "wide"
        tiny_models.write_model(wide, "llama-wide")
        gpt_oss = scratch / "gpt-oss"
        tiny_models.write_model(gpt_oss, "gpt_oss-published")
        tiny_models.MODELS["qwen3_moe-all-experts"] = (of_family, settings | {
            "hidden_size": 128, "moe_intermediate_size": 128, "num_attention_heads": 8, "num_experts_per_tok": settings["num_experts"]})
        all_experts = scratch / "qwen3_moe-all"
        tiny_models.write_model(all_experts, "qwen3_moe-all-experts")
        # Like TheBloke's Mixtral-8x7B-GPTQ, whose modules are w1, w2 and w3. Rows have several groups of 128.
        tiny_models.MODELS["mixtral-published"] = (transformers.MixtralConfig, MODEL | {
            "hidden_size": 256, "num_attention_heads": 8, "num_local_experts": 4, "num_experts_per_tok": 4})
        mixtral = scratch / "mixtral"
        tiny_models.write_model(mixtral, "mixtral-published")
        # A cache in BF16 may change which of two nearly equal experts a random router selects. These three models use all experts.
        of_family, settings = tiny_models.MODELS["deepseek_v3"]
        tiny_models.MODELS["deepseek_v3-published"] = (of_family, settings | {
            "num_experts_per_tok": settings["n_routed_experts"], "topk_group": settings["n_group"]})
        deepseek = scratch / "deepseek"
        tiny_models.write_model(deepseek, "deepseek_v3-published")
        with_act_order = [variant + ACT_ORDER for variant in WITH_ACT_ORDER]
        everything = [*CHECKPOINTS, *with_act_order, "experts-act-order", "experts-quantized-inputs", "mxfp4", "deepseek", "Q4_0", "Q8_0",
                      "NVFP4", *GGUF_BLOCKS]
        for variant in sys.argv[2:] or everything:
            if variant == "experts-act-order":
                check_checkpoint(program, all_experts, scratch, "gptq-int4-g64-zp", has_act_order=True)
                check_checkpoint(program, mixtral, scratch, "gptq-int4-g128", has_act_order=True)
                check_checkpoint(program, mixtral, scratch, "compressed-tensors-int4-g32", has_act_order=True)
                check_checkpoint(program, all_experts, scratch, "compressed-tensors-int4-g32", has_act_order=True,
                                 order_of=order_of_layer)
            elif variant == "experts-quantized-inputs":
                check_checkpoint(program, all_experts, scratch, "fp8-static")
                check_checkpoint(program, all_experts, scratch, "compressed-tensors-int8-static")
                check_checkpoint(program, all_experts, scratch, "modelopt-nvfp4")
                check_checkpoint(program, all_experts, scratch, "compressed-tensors-int4-g32-w8a8")
            elif variant == "NVFP4":
                check_gguf(program, wide, scratch, variant)
                check_experts_in_nvfp4(program, all_experts, scratch)
            elif variant == "deepseek":
                check_checkpoint(program, deepseek, scratch, "fp8-block128")
                check_checkpoint(program, deepseek, scratch, "fp8-block128-ue8m0")
            elif variant == "mxfp4":
                check_gpt_oss(program, gpt_oss, scratch)
                check_gpt_oss_gguf(program, gpt_oss, scratch)
            elif variant.endswith(ACT_ORDER):
                # Only the wide model has several groups of 128 in each row.
                of_model, kept = wide if "g128" in variant else plain, variant.removesuffix(ACT_ORDER)
                check_checkpoint(program, of_model, scratch, kept, has_act_order=True,
                                 order_of=order_of_joined if kept.endswith("-w8a8") else order_of_inputs)
            elif variant in CHECKPOINTS:
                check_checkpoint(program, plain, scratch, variant)
            else:
                check_gguf(program, wide if variant.endswith(("_K", "_XS")) else plain, scratch, variant)
    return 0


if __name__ == "__main__":
    sys.exit(main())
