"""Writes vectors.json: what the quantizers of docs/bundle-format.md must give, computed with NumPy alone.

Independent of lib/bundle and of bundles/recipes/quantize.py. Run: python3 make_vectors.py > vectors.json
Inputs are stored as bit patterns, so that no printing rounds them.
"""

import json

import numpy as np


def int8(row):
    scale = np.float32(np.abs(row).max()) / np.float32(127)
    if scale == 0:
        return scale, np.zeros(len(row), np.int8)
    return scale, np.clip(np.rint(row / scale), -127, 127).astype(np.int8)


def groups(row, limit):
    scales, codes = [], []
    for first in range(0, len(row), 32):
        group = row[first:first + 32]
        scale = np.float32(np.float16(np.float32(np.abs(group).max()) / np.float32(limit)))
        scales.append(scale)
        if scale == 0:
            codes.append(np.zeros(len(group), np.int8))
        else:
            codes.append(np.clip(np.rint(group / scale), -limit, limit).astype(np.int8))
    return np.array(scales, np.float32), np.concatenate(codes)


# The E4M3 numbers of the codes 0 to 126, by the formula of the OCP 8-bit Floating Point Specification.
E4M3 = [(code % 8) * 2.0 ** -9 if code < 8 else (8 + code % 8) * 2.0 ** (code // 8 - 10) for code in range(127)]


def e4m3_code(value):
    """The code of the nearest number. Of two equally near ones, it takes the one whose last bit is 0. All differences are exact in FP64."""
    size = abs(float(value))
    code = min(range(127), key=lambda code: (abs(size - E4M3[code]), code % 2))
    return code + (128 if np.signbit(value) else 0)


def fp8(row):
    scale = np.float32(np.abs(row).max()) / np.float32(448)
    if scale == 0:
        return scale, [0] * len(row)
    return scale, [e4m3_code(ratio) for ratio in row / scale]


def to_bf16_bits(row):
    """Round half to even on the bits; finite input only."""
    bits = row.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def rows():
    random = np.random.default_rng(7)
    yield "normal 64", random.standard_normal(64).astype(np.float32) * np.float32(0.02)
    yield "normal 70: short last group", random.standard_normal(70).astype(np.float32)
    yield "one value", np.array([-3.25], np.float32)
    yield "all zero", np.zeros(40, np.float32)
    yield "negative zero", np.array([-0.0, 0.0] * 20, np.float32)
    yield "ties of int8: max 127, halves", np.array([127] + [i + 0.5 for i in range(-30, 31)], np.float32)
    yield "ties of int4: max 7, halves", np.array([-7] + [i + 0.5 for i in range(-7, 7)], np.float32)
    yield "zero group between", np.concatenate([np.ones(32), np.zeros(32), -np.ones(5)]).astype(np.float32)
    yield "subnormal f32", np.array([1e-42, -1e-44, 3e-43, 0], np.float32)
    yield "int4 scale underflows FP16", np.array([1e-9, -2e-9, 5e-10], np.float32)
    yield "int4 scale is a subnormal of FP16", np.array([1.7e-6, -1.1e-6, 4e-7, 2.2e-7], np.float32)
    yield "wide range", (random.standard_normal(96) * np.exp(random.standard_normal(96) * 4)).astype(np.float32)
    yield "int8-g32 scale is a subnormal of FP16", np.array([2.1e-5, -1.1e-5, 4e-7, 2.2e-7], np.float32)
    yield "int8-g32 scale rounds down by a third: clamped", np.array([1.09e-5, -1.09e-5, 4e-6, 0], np.float32)
    yield "ties of int8-g32: the scale of 127.03 rounds down", np.concatenate(
        [[127], np.arange(-15.5, 15.5), [127.03], np.arange(-15.5, 15.5)]).astype(np.float32)
    steps = [448] + [sign * (8 + k / 2) * 2.0 ** e for sign in (1, -1) for e in (-10, -9, -8, 0, 4) for k in range(16)]
    yield "ties of fp8: max 448, halves of the last place", np.array(steps, np.float32)
    halves = [448] + [k * 2.0 ** -10 for k in range(-18, 19)]
    yield "fp8: subnormal numbers and their halves", np.array(halves, np.float32)
    yield "large", np.array([60000.0, -45000.0, 123.0, 0.5], np.float32)


def main():
    cases = []
    for name, row in rows():
        case = {"name": name}
        with np.errstate(over="ignore", under="ignore"):
            bf16_bits, f16 = to_bf16_bits(row), row.astype(np.float16)
            stored = {"F32": (row.view(np.uint32), row),
                      "BF16": (bf16_bits, (bf16_bits.astype(np.uint32) << 16).view(np.float32)),
                      "F16": (f16.view(np.uint16), f16.astype(np.float32))}
            for dtype, (bits, values) in stored.items():
                if not np.isfinite(values).all():
                    continue
                scale8, q8 = int8(values)
                scales4, q4 = groups(values, 7)
                scales8, q8_groups = groups(values, 127)
                scale_fp8, q_fp8 = fp8(values)
                as_f16 = values.astype(np.float16)
                case[dtype] = {
                    "bits": [int(b) for b in bits],
                    "bf16": [int(b) for b in to_bf16_bits(values)],
                    "f16": [int(b) for b in as_f16.view(np.uint16)],
                    "int8": {"scale": int(np.float32(scale8).view(np.uint32)), "q": [int(v) for v in q8]},
                    "int8-g32": {"scales": [int(s) for s in scales8.view(np.uint32)], "q": [int(v) for v in q8_groups]},
                    "int4": {"scales": [int(s) for s in scales4.view(np.uint32)], "q": [int(v) for v in q4]},
                    "fp8": {"scale": int(np.float32(scale_fp8).view(np.uint32)), "q": q_fp8},
                }
        cases.append(case)
    print(json.dumps({"made_by": "tests/data/quantizers/make_vectors.py", "cases": cases}, separators=(",", ":")))


main()
