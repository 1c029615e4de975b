"""The quantizers of the variants, as the reference computes them: dequantized values in FP32.

int8: weights only, symmetric per output channel (row of the [N, K] matrix).
    s = max|w| / 127, kept in FP32;  q = clamp(round-half-even(w / s), -127, 127);  s = 0 gives q = 0.
int8-g32: weights only, symmetric, groups of 32 along K.
    s = max|w| / 127, rounded to FP16 first;  q = clamp(round-half-even(w / s), -127, 127);  s = 0 gives q = 0.
int4: weights only, symmetric, groups of 32 along K.
    s = max|w| / 7, rounded to FP16 first;  q = clamp(round-half-even(w / s), -7, 7);  s = 0 gives q = 0.
int8-w8a8, int8-g32-w8a8, int4-w8a8: int8, int8-g32 or int4 weights, and every matmul input quantized per row (token)
    in the same way as int8, in prefill and decode alike.
fp8: weights per output channel and every matmul input per row, in E4M3 (torch.float8_e4m3fn), in prefill and decode alike.
    s = max|w| / 448, kept in FP32;  q = w / s rounded to E4M3, half to even, at most 448;  s = 0 gives q = 0.

Which tensors: every matmul weight of the layers, and the output head. A tied head is quantized as
a matmul weight, while the embedding LOOKUP keeps the stored BF16 values. Norm weights are never
quantized. K that is no multiple of 32 leaves a shorter last group in int8-g32 and int4.
"""

import functools

import torch
from torch import nn

VARIANTS = ("bf16", "f16", "int8", "int8-g32", "int4", "int8-w8a8", "int8-g32-w8a8", "int4-w8a8", "fp8")
FP8_STATIC_ENDING, INT8_STATIC_ENDING = "fp8-static", "int8-static"  # of published variants that store the scales of inputs
E8M0_ENDING = "fp8-block128-ue8m0"  # of published variants whose scales of inputs are powers of two
NVFP4_ENDING = "-nvfp4"  # of published variants whose inputs are in NVFP4, by scales that they store
E2M1 = (0, 0.5, 1, 1.5, 2, 3, 4, 6)


def quantizes_activations(variant):
    return variant.endswith(("-w8a8", INT8_STATIC_ENDING, NVFP4_ENDING)) or multiplies_fp8(variant)


def multiplies_fp8(variant):
    """fp8, and published variants such as compressed-tensors-fp8, fp8-static and fp8-block128-ue8m0."""
    return variant == "fp8" or variant.endswith(("-fp8", FP8_STATIC_ENDING)) or multiplies_fp8_blocks(variant)


def multiplies_fp8_blocks(variant):
    """Published variants with a scale for 128 x 128 weights and for 128 inputs of a token."""
    return variant.endswith(("fp8-block128", E8M0_ENDING))


def _quantize(w, scale, limit):
    """round() of torch rounds half to even; a zero scale stands for a row of zeros."""
    safe = torch.where(scale == 0, torch.ones_like(scale), scale)
    q = torch.clamp(torch.round(w / safe), -limit, limit)
    return torch.where(scale == 0, torch.zeros_like(q), q)


def int8_codes(w):
    """(q, s): q as int8 [N, K], s as FP32 [N]."""
    w = w.float()
    scale = w.abs().amax(dim=-1, keepdim=True) / 127
    return _quantize(w, scale, 127).to(torch.int8), scale.squeeze(-1)


def _group_codes(w, limit, group):
    """(q, s): q as int8 in [-limit, limit] [N, K], s as FP16 [N, ceil(K / group)]."""
    w = w.float()
    codes, scales = [], []
    for part in w.split(group, dim=-1):
        scale = (part.abs().amax(dim=-1, keepdim=True) / limit).half().float()
        codes.append(_quantize(part, scale, limit))
        scales.append(scale)
    return torch.cat(codes, dim=-1).to(torch.int8), torch.cat(scales, dim=-1).half()


def int8_group_codes(w, group=32):
    """(q, s): q as int8 in [-127, 127] [N, K], s as FP16 [N, ceil(K / group)]."""
    return _group_codes(w, 127, group)


def int4_codes(w, group=32):
    """(q, s): q as int8 in [-7, 7] [N, K], s as FP16 [N, ceil(K / group)]."""
    return _group_codes(w, 7, group)


def _spread(codes, scales, group):
    return codes.float() * scales.float().repeat_interleave(group, dim=-1)[..., :codes.shape[-1]]


def quantize_int8(w):
    codes, scale = int8_codes(w)
    return codes.float() * scale.unsqueeze(-1)


def quantize_int8_groups(w, group=32):
    return _spread(*int8_group_codes(w, group), group)


def quantize_int4(w, group=32):
    return _spread(*int4_codes(w, group), group)


def _rows_in_e4m3(x, has_e8m0_scales=False):
    """(q, s): q as float8_e4m3fn, s as FP32 [..., 1]; in E8M0 the smallest power of two that is not below max|x| / 448, 2^-126 at least."""
    scale = x.abs().amax(dim=-1, keepdim=True) / 448
    if has_e8m0_scales:
        half, exponent = torch.frexp(scale)  # scale = half * 2^exponent, with half in [0.5, 1), or 0
        exponent = torch.where(half == 0.5, exponent - 1, exponent).clamp(min=-126)
        scale = torch.where(scale == 0, scale, torch.ldexp(torch.ones_like(scale), exponent))
    ratio = torch.where(scale == 0, torch.zeros_like(x), x / torch.where(scale == 0, torch.ones_like(scale), scale))
    # PyTorch rounds half to even and makes NaN of what is too large.
    return ratio.clamp(-448, 448).to(torch.float8_e4m3fn), scale


def fp8_codes(w):
    """(q, s): q as float8_e4m3fn [N, K], s as FP32 [N]."""
    codes, scale = _rows_in_e4m3(w.float())
    return codes, scale.squeeze(-1)


def quantize_fp8(w):
    codes, scale = fp8_codes(w)
    return codes.float() * scale.unsqueeze(-1)


def fake_quant_rows_int8(x):
    """The input of a matmul after int8 quantization per row, dequantized."""
    scale = x.abs().amax(dim=-1, keepdim=True) / 127
    return _quantize(x, scale, 127) * scale


def fake_quant_rows_fp8(x, has_e8m0_scales=False):
    """The input of a matmul after E4M3 quantization per row, dequantized."""
    codes, scale = _rows_in_e4m3(x, has_e8m0_scales)
    return codes.float() * scale


def fake_quant_groups_fp8(x, has_e8m0_scales=False, group=128):
    """The same with a scale for each group of consecutive inputs; the last one may be shorter."""
    return torch.cat([fake_quant_rows_fp8(part, has_e8m0_scales) for part in x.split(group, dim=-1)], dim=-1)


def fake_quant_static_int8(x, scale):
    """The input of a matmul after int8 quantization with a stored scale, dequantized; codes are in [-128, 127]."""
    scale = x.new_tensor(scale)  # PyTorch on GPUs would multiply by the reciprocal of a Python number
    return (x / scale).round().clamp(-128, 127) * scale


def fake_quant_static_fp8(x, scale):
    """The same in E4M3; at most 448 times the scale."""
    scale = x.new_tensor(scale)  # as above
    return (x / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale


def nearest_e2m1(ratio):
    """Rounded half to even, that is to the neighbour with an even code; at most 6."""
    numbers = ratio.new_tensor(E2M1)
    magnitude = ratio.abs().clamp(max=6)
    upper = torch.searchsorted(numbers, magnitude).clamp(max=len(E2M1) - 1)
    lower = (upper - 1).clamp(min=0)
    to_upper, to_lower = numbers[upper] - magnitude, magnitude - numbers[lower]
    takes_upper = (to_upper < to_lower) | ((to_upper == to_lower) & (upper % 2 == 0))
    return torch.where(takes_upper, numbers[upper], numbers[lower]) * torch.sign(ratio)


def fake_quant_nvfp4(x, global_scale, group=16):
    """The input of a matmul in NVFP4, dequantized: 16 inputs share a scale in E4M3, and all a stored global one."""
    global_scale = x.new_tensor(global_scale)
    parts = []
    for part in x.split(group, dim=-1):
        largest = part.abs().amax(dim=-1, keepdim=True)
        scale = (largest / 6 / global_scale).clamp(max=448).to(torch.float8_e4m3fn).float()
        step = scale * global_scale
        ratio = torch.where(scale == 0, torch.zeros_like(part), part / torch.where(scale == 0, torch.ones_like(step), step))
        parts.append(nearest_e2m1(ratio) * scale * global_scale)
    return torch.cat(parts, dim=-1)


def static_quantizer(variant):
    """The function that quantizes the input of a matmul by its stored scale; None if the variant has none."""
    if variant.endswith(NVFP4_ENDING):
        return fake_quant_nvfp4
    if variant.endswith(INT8_STATIC_ENDING):
        return fake_quant_static_int8
    return fake_quant_static_fp8 if variant.endswith(FP8_STATIC_ENDING) else None


def row_quantizer(variant):
    """The function that quantizes the inputs of matmuls with dynamic scales; None if the variant quantizes none, or does
    so with stored scales (static_quantizer)."""
    if not quantizes_activations(variant) or static_quantizer(variant):
        return None
    if multiplies_fp8_blocks(variant):
        return functools.partial(fake_quant_groups_fp8, has_e8m0_scales=variant.endswith(E8M0_ENDING))
    return fake_quant_rows_fp8 if multiplies_fp8(variant) else fake_quant_rows_int8


def stored(w, variant):
    """A matmul weight of the BF16 bundle as the variant stores it, dequantized to FP32."""
    w = w.bfloat16()
    if variant == "bf16":
        return w.float()
    if variant == "f16":
        return w.half().float()
    if variant in ("int8", "int8-w8a8"):
        return quantize_int8(w)
    if variant in ("int8-g32", "int8-g32-w8a8"):
        return quantize_int8_groups(w)
    if variant in ("int4", "int4-w8a8"):
        return quantize_int4(w)
    if variant == "fp8":
        return quantize_fp8(w)
    raise ValueError(f"unknown variant {variant!r}; known: {', '.join(VARIANTS)}")


@torch.no_grad()
def apply(model, variant):
    """Turn a model.Model holding the bundle's weights into the reference of a variant, in place."""
    of_rows = row_quantizer(variant)
    dtype = torch.float16 if variant == "f16" else torch.bfloat16
    embedding = model.model.embed_tokens.weight
    model.head = stored(embedding, variant)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.weight.copy_(stored(module.weight, variant))
            if of_rows:
                module.register_forward_pre_hook(lambda _, inputs: (of_rows(inputs[0]), *inputs[1:]))
        elif isinstance(module, nn.Embedding) or name.endswith("norm"):
            module.weight.copy_(module.weight.bfloat16().to(dtype).float())
    if of_rows:
        plain = model.logits
        model.logits = lambda hidden: plain(of_rows(hidden))
    return model
