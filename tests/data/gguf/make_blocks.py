"""Blocks of every GGUF type that is read, with their values by the Python package `gguf`.

    python make_blocks.py > blocks.json
    python make_blocks.py --check DEQUANTIZE     # many more blocks, against the program of gguf_dequantize.cpp

The bytes of a block are random. Only its FP16 scales are never infinite or NaN; they have all magnitudes, including subnormal numbers
and both zeros. Values are written as bits. --check ends with 77 if the package is missing.
"""

import json
import subprocess
import sys

try:
    import gguf
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

# The offsets of FP16 scales in a block of each type.
SCALES = {"F32": [], "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
          "MXFP4": [], "NVFP4": []}


def blocks(name: str, count: int, seed: int) -> np.ndarray:
    """Random blocks: [count, bytes of a block]."""
    kind = gguf.GGMLQuantizationType[name]
    _, size = gguf.GGML_QUANT_SIZES[kind]
    source = np.random.default_rng([seed, *name.encode()])
    made = source.integers(0, 256, (count, size), dtype=np.uint8)
    for offset in SCALES[name]:
        bits = source.integers(0, 0x7c00, count, dtype=np.uint16) | source.integers(0, 2, count, dtype=np.uint16) << 15
        bits[:4] = [0x0000, 0x8000, 0x0001, 0x83ff][:count]  # both zeros and two subnormals
        made[:, offset:offset + 2] = bits.astype("<u2").view(np.uint8).reshape(count, 2)
    if name in ("F32", "BF16"):
        made[:, size - 1] &= 0xbf  # avoids exponents of all ones, because the package changes the bits of NaN
    return made


def values(name: str, made: np.ndarray) -> np.ndarray:
    """The dequantized values as bits: [count, values of a block]."""
    found = gguf.quants.dequantize(made.reshape(-1) if name not in ("F32", "F16") else
                                   made.reshape(-1).view({"F32": np.float32, "F16": np.float16}[name]),
                                   gguf.GGMLQuantizationType[name])
    return found.astype(np.float32).reshape(len(made), -1).view(np.uint32)


def check(program: str) -> int:
    wrong = 0
    for name in SCALES:
        made = blocks(name, 4096, 2)
        answer = subprocess.run([program, name], input=made.tobytes(), capture_output=True, check=True).stdout
        same = np.array_equal(np.frombuffer(answer, np.uint32), values(name, made).reshape(-1))
        wrong += not same
        print(f"{name}: {made.shape[0]} blocks, {'the same bits' if same else 'DIFFERENT'}")
    return 1 if wrong else 0


def main() -> int:
    if sys.argv[1:2] == ["--check"]:
        return check(sys.argv[2])
    written = {}
    for name in SCALES:
        count = 6 if gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][0] <= 32 else 3
        made = blocks(name, count, 1)
        written[name] = {"bytes": made.tobytes().hex(), "bits": values(name, made).astype(">u4").tobytes().hex()}
    print(json.dumps({"package": "gguf", "types": written}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
