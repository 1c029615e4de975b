"""A second implementation of R and E, with which the tests compare the first: NumPy in FP64, and nothing else.

Written from docs/bundle-format.md (variants), docs/supported-models.md (architectures, names of the tensors) and
docs/correctness.md (the envelope) without PyTorch, transformers or this folder's other files. It reads the tensors as the checkpoint
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


def e4m3(x):
    """The nearest numbers of sign, four bits of exponent and three of mantissa, half to even, at most 448."""
    _, exponent = np.frexp(x)  # |x| is in [2^(exponent - 1), 2^exponent)
    place = np.ldexp(np.float32(1), np.maximum(exponent - 1, -6) - 3)
    return np.clip(np.rint(x / place) * place, np.float32(-448), np.float32(448))


def in_e4m3_rows(x):
    scale = np.abs(x).max(-1, keepdims=True) / np.float32(448)
    divisor = np.where(scale == 0, np.float32(1), scale)
    return np.where(scale == 0, np.float32(0), e4m3(x / divisor) * scale)


def in_rows(x, limit=127):
    return round_to_steps(x, np.abs(x).max(-1, keepdims=True) / np.float32(limit), np.float32(limit))


def in_groups(w, limit):
    out = np.empty_like(w)
    for start in range(0, w.shape[-1], 32):
        part = w[..., start:start + 32]
        scale = f16(np.abs(part).max(-1, keepdims=True) / np.float32(limit))
        out[..., start:start + 32] = round_to_steps(part, scale, np.float32(limit))
    return out


MATMUL = {"f32": lambda w: w, "bf16": bf16, "f16": f16, "int8": in_rows, "int8-w8a8": in_rows,
          "int8-g32": lambda w: in_groups(w, 127), "int8-g32-w8a8": lambda w: in_groups(w, 127),
          "int4": lambda w: in_groups(w, 7), "int4-w8a8": lambda w: in_groups(w, 7),
          "fp8": in_e4m3_rows}
OTHER = {"bf16": bf16, "f16": f16}


def read_model(folder: Path) -> tuple[dict, dict]:
    """config.json and the tensors; of a vision-language model, those of the language model."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = read_safetensors(folder / "model.safetensors")
    if "text_config" not in config:
        return config, tensors
    of_text = {name.replace("language_model.", "", 1): tensor for name, tensor in tensors.items()
               if "language_model." in name or name == "lm_head.weight"}
    return config["text_config"], {name: of_text[name] for name in sorted(of_text)}


class Plain:
    def __init__(self, folder: Path, variant: str, envelope: bool = False) -> None:
        self.config, self.stored = read_model(folder)
        self.variant, self.envelope = variant, envelope
        self.row_steps = in_e4m3_rows if variant == "fp8" else in_rows if variant.endswith("-w8a8") else None
        self.is_deepseek = self.config["model_type"].startswith("deepseek")
        self.is_gemma = self.config["model_type"].startswith("gemma")
        self.size = self.config.get("head_dim") or self.config["hidden_size"] // self.config["num_attention_heads"]
        self.multiplied: set[str] = set()

    def other(self, name):
        return OTHER.get(self.variant, lambda w: w)(self.stored[name])

    def operand(self, x):
        """The input of a matmul."""
        x = np.asarray(x, np.float32)
        if self.envelope:
            x = bf16(x)
        return self.row_steps(x) if self.row_steps else x

    def matmul(self, x, name, rows=slice(None)):
        """x times these rows of a matrix, and its bias."""
        tied_head = name == "lm_head.weight" and name not in self.stored
        self.multiplied.add(name)
        weight = MATMUL[self.variant](self.stored["model.embed_tokens.weight" if tied_head else name][rows])
        if self.envelope and not self.row_steps:
            weight = bf16(weight)
        product = self.operand(x).astype(np.float64) @ weight.astype(np.float64).T
        bias = name.replace(".weight", ".bias")
        return product + self.other(bias) if bias in self.stored else product

    def precise(self, x, name):
        """x times a matrix that no variant quantizes, such as a router's."""
        weight = self.other(name)
        operands = (bf16(x), bf16(weight)) if self.envelope else (np.asarray(x, np.float32), weight)
        return operands[0].astype(np.float64) @ operands[1].astype(np.float64).T

    def norm(self, x, name):
        key = {"cohere": "layer_norm_eps", "cohere2": "layer_norm_eps", "starcoder2": "norm_epsilon"}.get(self.config["model_type"])
        if key:  # LayerNorm, in StarCoder 2 with a bias
            x = x - x.mean(-1, keepdims=True)
            normed = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config[key]) * self.other(name).astype(np.float64)
            bias = name.replace(".weight", ".bias")
            return normed + self.other(bias) if bias in self.stored else normed
        is_of_latent = name.endswith(("q_a_layernorm.weight", "kv_a_layernorm.weight"))
        epsilon = 1e-6 if is_of_latent else self.config["rms_norm_eps"]
        weight = self.other(name).astype(np.float64) + (1 if self.is_gemma else 0)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight

    def scale(self, key, otherwise=1.0):
        """A multiplier of Granite."""
        return self.config[key] if self.config["model_type"] in ("granite", "granitemoe") else otherwise

    def is_rotated(self, layer):
        if self.config["model_type"] == "cohere2":
            return self.config["layer_types"][layer] == "sliding_attention"
        return self.config["model_type"] != "smollm3" or bool(self.config["no_rope_layers"][layer])

    def window(self, layer, positions):
        """How many positions a token sees, itself included."""
        config = self.config
        if config["model_type"] in ("mistral", "mixtral", "phi3", "starcoder2", "ministral3"):
            return config.get("sliding_window") or positions
        if config["model_type"] in ("gpt_oss", "cohere2"):
            return config["sliding_window"] if config["layer_types"][layer] == "sliding_attention" else positions
        if not config.get("use_sliding_window") and not self.is_gemma:
            return positions
        if config["model_type"] == "gemma":
            return positions
        types = config.get("layer_types") or ["sliding_attention"] * config["num_hidden_layers"]
        return config["sliding_window"] if types[layer] == "sliding_attention" else positions

    def rotate(self, x, layer):
        """x [positions, heads, head_dim]; of the first r elements, pair i turns by position * theta^(-2 i / r).

        The elements of a pair are i and i + r/2, or 2 i and 2 i + 1 in ERNIE.
        """
        rope = self.config.get("rope_parameters") or {"rope_theta": self.config["rope_theta"]}
        rope = rope.get(self.config["layer_types"][layer], rope) if "layer_types" in self.config else rope
        half = int(x.shape[-1] * rope.get("partial_rotary_factor", 1)) // 2
        x, rest = x[..., :2 * half], x[..., 2 * half:]
        frequencies, length = rope["rope_theta"] ** (-np.arange(half) / half), 1.0
        if rope.get("rope_type") == "linear":
            frequencies = frequencies / rope["factor"]
        if rope.get("rope_type") == "longrope":
            original = rope["original_max_position_embeddings"]
            frequencies = frequencies / np.array(rope["long_factor" if len(x) > original else "short_factor"])
            length = (1 + np.log(self.config["max_position_embeddings"] / original) / np.log(original)) ** 0.5
        if rope.get("rope_type") == "yarn":  # arXiv:2309.00071: fast pairs stay, slow ones are slowed down
            original, dim = rope["original_max_position_embeddings"], 2 * half
            pair_of = lambda turns: dim * np.log(original / (turns * 2 * np.pi)) / (2 * np.log(rope["rope_theta"]))
            low, high = pair_of(rope["beta_fast"]), pair_of(rope["beta_slow"])
            if rope.get("truncate", True):
                low, high = np.floor(low), np.ceil(high)
            low, high = max(low, 0), min(high, dim - 1)
            slowed = np.clip((np.arange(half) - low) / (high - low), 0, 1)
            frequencies = frequencies * (slowed / rope["factor"] + 1 - slowed)
            length = self.magnitude(1)
            if rope.get("mscale") and rope.get("mscale_all_dim"):
                length = self.magnitude(rope["mscale"]) / self.magnitude(rope["mscale_all_dim"])
        angle = np.arange(len(x))[:, None] * frequencies
        cos, sin = length * np.cos(angle)[:, None], length * np.sin(angle)[:, None]
        are_neighbours = self.config["model_type"] in ("ernie4_5", "cohere", "cohere2", "deepseek_v2")
        are_neighbours |= self.config["model_type"] == "deepseek_v3" and self.config["rope_interleave"]
        places = (slice(0, None, 2), slice(1, None, 2)) if are_neighbours else (slice(0, half), slice(half, None))
        first, second = (x[..., place] for place in places)
        out = np.empty_like(x, dtype=np.float64)
        out[..., places[0]], out[..., places[1]] = first * cos - second * sin, second * cos + first * sin
        return np.concatenate((out, rest), -1)

    def magnitude(self, mscale):
        """YaRN's scale of cos and sin (or of the scores) for its factor."""
        return 0.1 * mscale * np.log(self.config["rope_parameters"]["factor"]) + 1

    def attend_latent(self, x, prefix, layer):
        """DeepSeek: keys and values of all heads are made of one latent a token, and the rotated part of keys is shared."""
        config, positions, heads = self.config, len(x), self.config["num_attention_heads"]
        latent, plain, width = config["kv_lora_rank"], config["qk_nope_head_dim"], config["v_head_dim"]
        if config["q_lora_rank"] is None:
            query = self.matmul(x, prefix + "q_proj.weight")
        else:
            compressed = self.norm(self.matmul(x, prefix + "q_a_proj.weight"), prefix + "q_a_layernorm.weight")
            query = self.matmul(compressed, prefix + "q_b_proj.weight")
        query = query.reshape(positions, heads, -1)
        cached = self.matmul(x, prefix + "kv_a_proj_with_mqa.weight")
        normed = self.norm(cached[:, :latent], prefix + "kv_a_layernorm.weight")
        made = self.precise(normed, prefix + "kv_b_proj.weight").reshape(positions, heads, plain + width)
        turned = self.rotate(cached[:, None, latent:], layer).repeat(heads, 1)
        key, value = np.concatenate((made[..., :plain], turned), -1), made[..., plain:]
        query = np.concatenate((query[..., :plain], self.rotate(query[..., plain:], layer)), -1)
        if self.envelope:
            query, key, value = bf16(query), bf16(key), bf16(value)
        scale = query.shape[-1] ** -0.5
        rope = config["rope_parameters"]
        if rope["rope_type"] != "default" and rope.get("mscale_all_dim"):
            scale *= self.magnitude(rope["mscale_all_dim"]) ** 2
        out = np.empty((positions, heads, width))
        for position in range(positions):
            seen = slice(0, position + 1)
            for head in range(heads):
                scores = key[seen, head].astype(np.float64) @ query[position, head].astype(np.float64) * scale
                share = np.exp(scores - scores.max())
                share /= share.sum()
                if self.envelope:
                    share = bf16(share)
                out[position, head] = share.astype(np.float64) @ value[seen, head].astype(np.float64)
        return self.matmul(out.reshape(positions, -1), prefix + "o_proj.weight")

    def capped(self, x, key):
        """The soft cap of Gemma 2; Gemma 3 has only that of the logits, and not in the class for text and pictures."""
        caps = {"gemma2": ("attn_logit_softcapping", "final_logit_softcapping"), "gemma3_text": ("final_logit_softcapping",)}
        cap = self.config.get(key) if key in caps.get(self.config["model_type"], ()) else None
        return cap * np.tanh(x / cap) if cap else x

    def attend(self, x, prefix, layer):
        if self.is_deepseek:
            return self.attend_latent(x, prefix, layer)
        config, positions = self.config, len(x)
        heads, kv_heads, size = config["num_attention_heads"], config["num_key_value_heads"], self.size
        ends = np.cumsum([0, heads * size, kv_heads * size, kv_heads * size])
        if config["model_type"] == "phi3":
            parts = [(prefix + "qkv_proj.weight", slice(*ends[one:one + 2])) for one in range(3)]
        else:
            parts = [(f"{prefix}{one}_proj.weight", slice(None)) for one in "qkv"]
        query, key, value = (self.matmul(x, *part) for part in parts)
        is_over_all = config["model_type"] == "olmo2"  # one norm over all heads
        if not is_over_all:
            query, key = query.reshape(positions, heads, size), key.reshape(positions, kv_heads, size)
        if prefix + "q_norm.weight" in self.stored:
            query, key = self.norm(query, prefix + "q_norm.weight"), self.norm(key, prefix + "k_norm.weight")
        query, key, value = (one.reshape(positions, -1, size) for one in (query, key, value))
        if self.is_rotated(layer):
            query, key = self.rotate(query, layer), self.rotate(key, layer)
        if config["model_type"] == "ministral3":  # queries are scaled up in steps of positions
            rope = config["rope_parameters"]
            step = np.arange(positions) // rope["original_max_position_embeddings"]
            query = query * (1 + rope["llama_4_scaling_beta"] * np.log(1 + step))[:, None, None]
        if self.envelope:
            query, key, value = bf16(query), bf16(key), bf16(value)
        window = self.window(layer, positions)
        scale = self.scale("attention_multiplier", config.get("query_pre_attn_scalar", size) ** -0.5)
        out = np.empty((positions, heads, size))
        for position in range(positions):
            first = max(0, position + 1 - window)
            for head in range(heads):
                group = head // (heads // kv_heads)
                keys = key[first:position + 1, group].astype(np.float64)
                scores = keys @ query[position, head].astype(np.float64) * scale
                scores = self.capped(scores, "attn_logit_softcapping")
                share = np.exp(scores - scores.max())
                dropped = 0.0  # the share of the attention sink, a learned score whose value is 0
                if prefix + "sinks" in self.stored:
                    dropped = np.exp(float(self.other(prefix + "sinks")[head]) - scores.max())
                share /= share.sum() + dropped
                if self.envelope:
                    share = bf16(share)
                out[position, head] = share.astype(np.float64) @ value[first:position + 1, group].astype(np.float64)
        return self.matmul(out.reshape(positions, -1), prefix + "o_proj.weight")

    def gated(self, x, gate, up, down, expert=slice(None)):
        """gate and up are the arguments of matmul; down names a matrix, or a tensor with one for each expert."""
        a = self.matmul(x, *gate)
        if self.is_gemma:
            activated = a / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a ** 3)))
        else:
            activated = a / (1 + np.exp(-a))
        return self.matmul(activated * self.matmul(x, *up), down, expert)

    def network(self, x, prefix, matrices=("gate_proj", "up_proj", "down_proj")):
        gate, up, down = (f"{prefix}{one}.weight" for one in matrices)
        return self.gated(x, (gate,), (up,), down)

    def of_expert(self, x, name, expert):
        """x times an expert of gpt-oss, [experts, inputs, outputs], and its bias."""
        self.multiplied.add(name)
        weight = MATMUL[self.variant](np.ascontiguousarray(self.stored[name][expert].T))
        if self.envelope and not self.row_steps:
            weight = bf16(weight)
        product = self.operand(x).astype(np.float64) @ weight.astype(np.float64).T
        return product + self.other(name + "_bias")[expert]

    def mix_gpt_oss(self, x, prefix):
        """The experts with the best router scores, whose shares sum to 1; gates and ups alternate and are clamped."""
        router = self.other(prefix + "router.weight")
        operands = (bf16(x), bf16(router)) if self.envelope else (x, router)
        scores = operands[0].astype(np.float64) @ operands[1].astype(np.float64).T + self.other(prefix + "router.bias")
        out = np.zeros_like(x)
        for row, of_row in enumerate(scores):
            best = np.argsort(-of_row, kind="stable")[:self.config["num_experts_per_tok"]]
            share = np.exp(of_row - of_row.max())
            share /= share[best].sum()
            for expert in best:
                both = self.of_expert(x[row:row + 1], prefix + "experts.gate_up_proj", expert)
                gate, up = np.minimum(both[:, 0::2], 7), np.clip(both[:, 1::2], -7, 7)
                hidden = (up + 1) * gate / (1 + np.exp(-1.702 * gate))
                out[row] += share[expert] * self.of_expert(hidden, prefix + "experts.down_proj", expert)[0]
        return out

    def mix(self, x, prefix):
        """The best experts' outputs by their softmax shares, which are scaled to the sum 1 if the class does that."""
        is_granite = self.config["model_type"] == "granitemoe"
        router = self.other(prefix + ("router.layer.weight" if is_granite else "gate.weight"))
        operands = (bf16(x), bf16(router)) if self.envelope else (x, router)
        scores = operands[0].astype(np.float64) @ operands[1].astype(np.float64).T
        is_mixtral = self.config["model_type"] == "mixtral"
        matrices = ("w1", "w3", "w2") if is_mixtral else ("gate_proj", "up_proj", "down_proj")
        out = np.zeros_like(x)
        for row, of_row in enumerate(scores):
            best = np.argsort(-of_row, kind="stable")[:self.config["num_experts_per_tok"]]
            share = np.exp(of_row - of_row.max())
            share /= share[best].sum() if self.config.get("norm_topk_prob", True) else share.sum()
            for expert in best:
                if is_granite:  # [experts, gate rows and then up rows, inputs]
                    joined, inner = prefix + "input_linear.weight", self.config["intermediate_size"]
                    gate, up = ((joined, (expert, rows)) for rows in (slice(0, inner), slice(inner, None)))
                    made = self.gated(x[row:row + 1], gate, up, prefix + "output_linear.weight", expert)
                else:
                    made = self.network(x[row:row + 1], f"{prefix}experts.{expert}.", matrices)
                out[row] += share[expert] * made[0]
        if prefix + "shared_expert_gate.weight" in self.stored:
            gate = self.other(prefix + "shared_expert_gate.weight")
            operands = (bf16(x), bf16(gate)) if self.envelope else (x, gate)
            scores = operands[0].astype(np.float64) @ operands[1].astype(np.float64).T
            out += self.network(x, prefix + "shared_expert.") / (1 + np.exp(-scores))
        return out

    def mix_deepseek(self, x, prefix):
        """The best experts of the best groups, and the shared ones, which have no gate."""
        config, is_v3 = self.config, self.config["model_type"] == "deepseek_v3"
        scores = self.precise(x, prefix + "gate.weight")
        shares = 1 / (1 + np.exp(-scores)) if is_v3 else np.exp(scores - scores.max(-1, keepdims=True))
        if not is_v3:
            shares /= shares.sum(-1, keepdims=True)
        out = self.network(x, prefix + "shared_experts.")
        for row, share in enumerate(shares):
            merit = share + self.stored[prefix + "gate.e_score_correction_bias"] if is_v3 else share.copy()
            if is_v3 or config["topk_method"] == "group_limited_greedy":
                of_groups = np.sort(merit.reshape(config["n_group"], -1), -1)
                worth = of_groups[:, -2:].sum(-1) if is_v3 else of_groups[:, -1]
                left_out = np.argsort(-worth, kind="stable")[config["topk_group"]:]
                merit.reshape(config["n_group"], -1)[left_out] = -np.inf
            best = np.argsort(-merit, kind="stable")[:config["num_experts_per_tok"]]
            if is_v3 and config["norm_topk_prob"]:
                share = share / share[best].sum()
            for expert in best:
                made = self.network(x[row:row + 1], f"{prefix}experts.{expert}.")[0]
                out[row] += config["routed_scaling_factor"] * share[expert] * made
        return out

    def feed_forward(self, x, prefix):
        if self.is_deepseek and prefix + "mlp.gate.weight" in self.stored:
            return self.mix_deepseek(x, prefix + "mlp.")
        if prefix + "mlp.router.weight" in self.stored:
            return self.mix_gpt_oss(x, prefix + "mlp.")
        for router in ("block_sparse_moe.gate", "block_sparse_moe.router.layer", "mlp.gate"):
            if f"{prefix}{router}.weight" in self.stored:
                return self.mix(x, prefix + router.split(".")[0] + ".")
        if self.config["model_type"] == "starcoder2":
            a = self.matmul(x, prefix + "mlp.c_fc.weight")
            gelu = a / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a ** 3)))
            return self.matmul(gelu, prefix + "mlp.c_proj.weight")
        if self.config["model_type"] == "phi3":
            name, inner = prefix + "mlp.gate_up_proj.weight", self.config["intermediate_size"]
            return self.gated(x, (name, slice(0, inner)), (name, slice(inner, None)), prefix + "mlp.down_proj.weight")
        return self.network(x, prefix + "mlp.")

    def logits(self, ids):
        x = self.other("model.embed_tokens.weight")[list(ids)].astype(np.float64) * self.scale("embedding_multiplier")
        if self.is_gemma:
            x = x * self.config["hidden_size"] ** 0.5
        added = self.scale("residual_multiplier")
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            has_norms_after = prefix + "post_feedforward_layernorm.weight" in self.stored
            has_norms_before = prefix + "input_layernorm.weight" in self.stored
            before = "pre_feedforward_layernorm" if has_norms_after else "post_attention_layernorm"
            normed = self.norm(x, prefix + "input_layernorm.weight") if has_norms_before else x
            mixed = self.attend(normed, prefix + "self_attn.", layer)
            if has_norms_after:
                mixed = self.norm(mixed, prefix + "post_attention_layernorm.weight")
            if self.config["model_type"] in ("cohere", "cohere2"):  # both blocks read the same norm
                x = x + mixed + self.feed_forward(normed, prefix)
                continue
            x = x + added * mixed
            made = self.feed_forward(self.norm(x, f"{prefix}{before}.weight") if has_norms_before else x, prefix)
            if has_norms_after:
                made = self.norm(made, prefix + "post_feedforward_layernorm.weight")
            x = x + added * made
        logits = self.matmul(self.norm(x, "model.norm.weight"), "lm_head.weight") / self.scale("logits_scaling")
        return self.capped(logits * self.config.get("logit_scale", 1), "final_logit_softcapping")
