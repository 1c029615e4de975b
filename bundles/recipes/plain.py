"""A second implementation of R and E, to hold the first against: NumPy in FP64, and nothing else.

Written from docs/bundle-format.md (variants, architectures, names of the tensors) and docs/correctness.md (the
envelope) without PyTorch, transformers or this folder's other files. It reads the tensors as the checkpoint
stores them, so each expert of a mixture is three matrices here. One sequence at a time, every position
at once, no cache: slow, and short enough to be checked by reading.

    Plain(Path("bundles/tiny-mixtral"), "int4").logits([5, 9, 2])    # [positions, vocabulary]
"""

import json
import struct
from pathlib import Path

import numpy as np


def bf16(x):
    """The nearest BF16 values, half to even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32)


def f16(x):
    return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


def read_safetensors(file: Path) -> dict:
    content = file.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    tensors = {}
    for name, entry in json.loads(content[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            flat = (np.frombuffer(content[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            flat = np.frombuffer(content[begin:end], {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]).astype(np.float32)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def round_to_steps(x, scale, limit):
    """scale * clamp(round(x / scale)); a zero scale gives zeros. All in FP32."""
    divisor = np.where(scale == 0, np.float32(1), scale)
    return np.where(scale == 0, np.float32(0), np.clip(np.rint(x / divisor), -limit, limit) * scale)


def in_rows(x, limit=127):
    return round_to_steps(x, np.abs(x).max(-1, keepdims=True) / np.float32(limit), np.float32(limit))


def in_groups(w, limit):
    out = np.empty_like(w)
    for start in range(0, w.shape[-1], 32):
        part = w[:, start:start + 32]
        scale = f16(np.abs(part).max(-1, keepdims=True) / np.float32(limit))
        out[:, start:start + 32] = round_to_steps(part, scale, np.float32(limit))
    return out


MATMUL = {"f32": lambda w: w, "bf16": bf16, "f16": f16, "int8": in_rows, "int8-w8a8": in_rows,
          "int8-g32": lambda w: in_groups(w, 127), "int8-g32-w8a8": lambda w: in_groups(w, 127),
          "int4": lambda w: in_groups(w, 7)}
OTHER = {"bf16": bf16, "f16": f16}


class Plain:
    def __init__(self, folder: Path, variant: str, envelope: bool = False) -> None:
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.stored = read_safetensors(folder / "model.safetensors")
        self.variant, self.envelope = variant, envelope
        self.row_steps = variant.endswith("-w8a8")
        self.multiplied: set[str] = set()

    def other(self, name):
        return OTHER.get(self.variant, lambda w: w)(self.stored[name])

    def operand(self, x):
        """The input of a matmul."""
        x = np.asarray(x, np.float32)
        if self.envelope:
            x = bf16(x)
        return in_rows(x) if self.row_steps else x

    def matmul(self, x, name):
        tied_head = name == "lm_head.weight" and name not in self.stored
        self.multiplied.add(name)
        weight = MATMUL[self.variant](self.stored["model.embed_tokens.weight" if tied_head else name])
        if self.envelope and not self.row_steps:
            weight = bf16(weight)
        product = self.operand(x).astype(np.float64) @ weight.astype(np.float64).T
        bias = name.replace(".weight", ".bias")
        return product + self.other(bias) if bias in self.stored else product

    def norm(self, x, name):
        epsilon = self.config["rms_norm_eps"]
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * self.other(name)

    def rotate(self, x):
        """x [positions, heads, head_dim]; i and i + half turn together by position * theta^(-2 i / head_dim)."""
        half = x.shape[-1] // 2
        angle = np.arange(len(x))[:, None] * self.config["rope_theta"] ** (-np.arange(half) / half)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        first, second = x[..., :half], x[..., half:]
        return np.concatenate((first * cos - second * sin, second * cos + first * sin), -1)

    def attend(self, x, prefix):
        config, positions = self.config, len(x)
        heads, kv_heads, size = (config[key] for key in ("num_attention_heads", "num_key_value_heads", "head_dim"))
        query, key, value = (self.matmul(x, f"{prefix}{one}_proj.weight").reshape(positions, -1, size) for one in "qkv")
        if prefix + "q_norm.weight" in self.stored:
            query, key = self.norm(query, prefix + "q_norm.weight"), self.norm(key, prefix + "k_norm.weight")
        query, key = self.rotate(query), self.rotate(key)
        if self.envelope:
            query, key, value = bf16(query), bf16(key), bf16(value)
        window = config.get("sliding_window") or positions
        out = np.empty((positions, heads, size))
        for position in range(positions):
            first = max(0, position + 1 - window)
            for head in range(heads):
                group = head // (heads // kv_heads)
                keys = key[first:position + 1, group].astype(np.float64)
                scores = keys @ query[position, head].astype(np.float64) * size ** -0.5
                share = np.exp(scores - scores.max())
                share /= share.sum()
                if self.envelope:
                    share = bf16(share)
                out[position, head] = share.astype(np.float64) @ value[first:position + 1, group].astype(np.float64)
        return self.matmul(out.reshape(positions, -1), prefix + "o_proj.weight")

    def gated(self, x, gate, up, down):
        hidden = self.matmul(x, gate)
        return self.matmul(hidden / (1 + np.exp(-hidden)) * self.matmul(x, up), down)

    def mix(self, x, prefix):
        """Softmax over the router's scores; the best are scaled to the sum 1 and add their networks' outputs."""
        router = self.other(prefix + "gate.weight")
        operands = (bf16(x), bf16(router)) if self.envelope else (x, router)
        scores = operands[0].astype(np.float64) @ operands[1].astype(np.float64).T
        out = np.zeros_like(x)
        for row, of_row in enumerate(scores):
            best = np.argsort(-of_row, kind="stable")[:self.config["num_experts_per_tok"]]
            share = np.exp(of_row[best] - of_row.max())
            for expert, part in zip(best, share / share.sum()):
                names = (f"{prefix}experts.{expert}.{one}.weight" for one in ("w1", "w3", "w2"))
                out[row] += part * self.gated(x[row:row + 1], *names)[0]
        return out

    def logits(self, ids):
        x = self.other("model.embed_tokens.weight")[list(ids)].astype(np.float64)
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            x = x + self.attend(self.norm(x, prefix + "input_layernorm.weight"), prefix + "self_attn.")
            normed = self.norm(x, prefix + "post_attention_layernorm.weight")
            if self.config.get("num_local_experts"):
                x = x + self.mix(normed, prefix + "block_sparse_moe.")
            else:
                x = x + self.gated(normed, *(f"{prefix}mlp.{one}_proj.weight" for one in ("gate", "up", "down")))
        return self.matmul(self.norm(x, "model.norm.weight"), "lm_head.weight")
