"""R and E of a variant: transformers' own model class in FP32, and the same with BF16 roundings.

R has the variant's stored weights, dequantized; activations and the KV cache are FP32.
E is R with every matmul input, K, V and the softmax weights rounded to BF16: the roundings that a
backend may make. Both operands of a matmul count, so a weight that dequantizes to more than eight
bits of mantissa is rounded too. In `int8-w8a8` and `int8-g32-w8a8` the operands of the linear layers
are integers after the row quantization, which both R and E have; there E rounds what is quantized.

Prompts go through in chunks, so that no matrix has more than CHUNK rows of the whole context.
"""

import hashlib
from pathlib import Path

import torch
from torch import nn
from transformers import AttentionInterface, AutoModelForCausalLM, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

import quantize

CHUNK = 512
ROWS = 32  # of a chunk at a time in E: their scores over a long context stay in the cache
ATTENTION = "secondsource_reference"


def to_bf16(x: torch.Tensor) -> torch.Tensor:
    """The nearest BF16 values (half to even), kept as FP32."""
    return x.bfloat16().float()


def attention(module, query, key, value, attention_mask, scaling=None, **options):
    """transformers' SDPA for R; for E the same in plain steps, with its roundings.

    query [1, heads, rows, head_dim]; key, value [1, kv_heads, length, head_dim]; the mask is
    boolean, [1, 1, rows, length], true where a row may look. Returns [1, rows, heads, head_dim].
    """
    if not getattr(module, "rounds_to_bf16", False):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    if options.get("softcap") is not None:
        raise ValueError("the envelope of a model with soft-capped attention is not defined here")
    query, key, value = to_bf16(query)[0] * scaling, to_bf16(key)[0], value[0].bfloat16()
    rows, group = query.shape[1], query.shape[0] // key.shape[0]
    mixed = torch.empty(1, rows, *query.shape[::2])
    for start in range(0, rows, ROWS):
        end = min(start + ROWS, rows)
        seen = attention_mask[0, 0, start:end]
        for head in range(key.shape[0]):
            of_group = slice(head * group, (head + 1) * group)
            mixed[0, start:end, of_group] = _mix(query[of_group, start:end], key[head], value[head], seen)
    return mixed, None


def _mix(query, key, value, seen):
    """The rows of one group of heads, [rows, group, head_dim]; `seen` is boolean, [rows, length]."""
    group, rows, size = query.shape
    length = key.shape[0] - int(seen.flip(1).any(0).int().argmax())  # up to the last key that anyone sees
    scores = (query.reshape(-1, size) @ key[:length].t()).view(group, rows, length)
    first_hidden = int(seen.all(0)[:length].int().argmin()) if not seen[:, :length].all() else length
    scores[..., first_hidden:].masked_fill_(~seen[:, first_hidden:length], -torch.inf)
    # The BF16 result of the BF16 product is accumulated in FP32 and rounded once, which is the
    # rounding that the output projection makes of its input in any case.
    weights = torch.softmax(scores, dim=-1).bfloat16().view(-1, length)
    return (weights @ value[:length]).view(group, rows, size).transpose(0, 1).float()


def full_mask(*arguments, **options):
    """The boolean mask even where SDPA could do without one: E's plain steps need it."""
    return sdpa_mask(*arguments, **{**options, "allow_is_causal_skip": False})


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, full_mask)


# How a variant stores a matmul weight, dequantized. The input is the checkpoint's values, exact in FP32.
MATMUL_WEIGHT = {
    "f32": lambda w: w,
    "bf16": to_bf16,
    "f16": lambda w: w.half().float(),
    "int8": quantize.quantize_int8,
    "int8-w8a8": quantize.quantize_int8,
    "int8-g32": quantize.quantize_int8_groups,
    "int8-g32-w8a8": quantize.quantize_int8_groups,
    "int4": quantize.quantize_int4,
}

# Embedding and norm weights: never quantized, and in the integer variants as the checkpoint has them.
OTHER_WEIGHT = {name: MATMUL_WEIGHT[name] if name in ("bf16", "f16") else lambda w: w for name in MATMUL_WEIGHT}


class Reference:
    """One variant of a Hugging Face model folder. Starts as R; `become_envelope` turns it into E."""

    def __init__(self, folder: Path, variant: str) -> None:
        if variant not in MATMUL_WEIGHT:
            raise ValueError(f"variant: expected one of {', '.join(MATMUL_WEIGHT)}, found {variant}")
        self.variant = variant
        self.model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, attn_implementation=ATTENTION).eval()
        self.config = self.model.config
        self.checkpoint_is_bf16 = all(torch.equal(w, to_bf16(w)) for w in self.model.parameters())
        head = self.model.get_output_embeddings()
        # A tied head is quantized, while the lookup keeps the stored values: two tensors from here on.
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        self._linears = [m for m in self.model.modules() if isinstance(m, nn.Linear)]
        matmul_weights = {id(m.weight) for m in self._linears}
        self.largest_change = 0.0  # of any weight, against the checkpoint
        with torch.no_grad():
            for weight in self.model.parameters():
                stored = (MATMUL_WEIGHT if id(weight) in matmul_weights else OTHER_WEIGHT)[variant](weight)
                if not bool(stored.isfinite().all()):
                    raise SystemExit(f"{folder}: expected finite weights that fit {variant}, found others")
                self.largest_change = max(self.largest_change, float((stored - weight).abs().max()))
                weight.copy_(stored)
        if quantize.quantizes_activations(variant):
            for module in self._linears:
                module.register_forward_pre_hook(lambda _, inputs: (quantize.fake_quant_rows_int8(inputs[0]),))

    def digest(self) -> str:
        """A hash of what this variant computes with; equal digests give equal outputs."""
        digest = hashlib.sha256(f"rows:{quantize.quantizes_activations(self.variant)}".encode())
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def become_envelope(self) -> None:
        """Put in the roundings. There is no way back: load a new one for R."""
        for module in self.model.modules():
            module.rounds_to_bf16 = True
        for module in self._linears:
            if not quantize.quantizes_activations(self.variant):
                module.weight.copy_(to_bf16(module.weight))
            module.register_forward_pre_hook(lambda _, inputs: (to_bf16(inputs[0]),), prepend=True)

    def empty_cache(self) -> DynamicCache:
        """A cache without a configuration keeps every position, also of layers with a window."""
        return DynamicCache()

    def fork(self, cache: DynamicCache) -> DynamicCache:
        """A cache that begins as the given one; feeding it leaves the given one as it is."""
        copy = DynamicCache()
        for number, layer in enumerate(cache.layers):
            copy.update(layer.keys, layer.values, number)
        return copy

    @torch.no_grad()
    def feed(self, cache: DynamicCache, ids: list[int] | tuple[int, ...], keep: int) -> torch.Tensor:
        """Append ids to the cache; the logits [keep, vocabulary] after each of the last `keep` of them."""
        kept = []
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start:start + CHUNK]
            first_kept = max(0, len(ids) - keep - start)
            wanted = torch.arange(min(first_kept, len(chunk)), len(chunk))
            # An empty selection would mean "all" to some versions: ask for the last row and drop it.
            rows = wanted if len(wanted) else torch.tensor([len(chunk) - 1])
            logits = self.model(input_ids=torch.tensor([chunk]), past_key_values=cache, use_cache=True,
                                logits_to_keep=rows).logits[0]
            if len(wanted):
                kept.append(logits)
        return torch.cat(kept) if kept else torch.empty(0, self.config.vocab_size)
