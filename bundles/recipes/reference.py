"""R and E of a variant: transformers' own model class in FP32, and the same with other roundings.

R has the variant's stored weights, dequantized; activations and the KV cache are FP32. weights.py says which
tensors the variant's rule names. E is the same formula with roundings that a right backend may make, in one or two
ways:

- `bf16`: every matmul input, K, V and the softmax weights rounded to BF16. Both operands of a matmul count,
  so a weight that dequantizes to more than eight bits of mantissa is rounded too. A mixture's router is such a
  matmul: where two experts are nearly as good, E may choose another than R (routing.py). In `fp8` and
  the variants with `w8a8` in their names the operands of the linear layers are codes after the row quantization, which both
  R and E have; there E rounds the inputs before they are quantized.
- `f64`: the sums of the matrix products in FP64, in the variants with quantized activations. There the last bit of
  a sum sometimes decides to which of two steps a value rounds.

Prompts are computed in chunks, so that no matrix has more than CHUNK rows of the whole context.

Reference holds the whole model in FP32; streamed.py computes the same with one layer after the other in memory.
"""

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.utils import logging

import published
import quantize
import weights
from checkpoint import TEXT_PART_NAMES, Checkpoint
from routing import Routing
from weights import Role

CHUNK = 512
PART_VALUES = 1 << 24  # values of a weight that are converted at a time
ROWS = 32  # rows of a chunk that E computes at a time: their scores over a long context stay in the CPU's cache
ATTENTION = "secondsource_reference"


def to_bf16(x: torch.Tensor) -> torch.Tensor:
    """The nearest BF16 values (half to even), kept as FP32."""
    return x.bfloat16().float()


def attention(module, query, key, value, attention_mask, scaling=None, **options):
    """transformers' SDPA for R, or plain steps where scores are soft-capped or heads have sinks, which SDPA does not
    support; for E plain steps with its roundings.

    query [1, heads, rows, head_dim]; key, value [1, kv_heads, length, head_dim]; the mask is
    boolean, [1, 1, rows, length], true where a row may attend. Returns [1, rows, heads, head_dim].
    """
    softcap, sinks = options.get("softcap"), options.get("s_aux")
    if not getattr(module, "rounds_to_bf16", False):
        if softcap is not None or sinks is not None:
            return _plain_attention(query, key, value, attention_mask, scaling, softcap, sinks), None
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    query, key, value = to_bf16(query)[0] * scaling, to_bf16(key)[0], value[0].bfloat16()
    rows, group = query.shape[1], query.shape[0] // key.shape[0]
    mixed = torch.empty(1, rows, query.shape[0], value.shape[-1])
    for start in range(0, rows, ROWS):
        end = min(start + ROWS, rows)
        seen = attention_mask[0, 0, start:end]
        for head in range(key.shape[0]):
            of_group = slice(head * group, (head + 1) * group)
            of_sinks = None if sinks is None else sinks[of_group]
            mixed[0, start:end, of_group] = _mix(query[of_group, start:end], key[head], value[head], seen, softcap,
                                                 of_sinks)
    return mixed, None


def _plain_attention(query, key, value, seen, scaling, softcap, sinks):
    group = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(group, dim=1) for one in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    shares = _shares(scores.masked_fill(~seen, -torch.inf), None if sinks is None else sinks[:, None, None])
    return (shares @ value).transpose(1, 2).contiguous()


def _shares(scores, sinks):
    """The softmax over the last dimension, in which the sinks, if there are any, have a share that is dropped."""
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    with_sinks = torch.cat((scores, sinks.expand(*scores.shape[:-1], 1)), dim=-1)
    return torch.softmax(with_sinks, dim=-1)[..., :-1]


def _mix(query, key, value, seen, softcap, sinks):
    """The rows of one group of heads, [rows, group, head_dim]; `seen` is boolean, [rows, length]."""
    group, rows, size = query.shape
    length = key.shape[0] - int(seen.flip(1).any(0).int().argmax())  # up to the last key that any row sees
    scores = (query.reshape(-1, size) @ key[:length].t()).view(group, rows, length)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    first_hidden = int(seen.all(0)[:length].int().argmin()) if not seen[:, :length].all() else length
    scores[..., first_hidden:].masked_fill_(~seen[:, first_hidden:length], -torch.inf)
    # The product of BF16 operands is accumulated in FP32 and rounded to BF16 once, as E rounds the input of the
    # output projection in any case.
    shares = _shares(scores, None if sinks is None else sinks[:, None, None]).bfloat16().reshape(-1, length)
    return (shares @ value[:length]).view(group, rows, -1).transpose(0, 1).float()


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
    "int4-w8a8": quantize.quantize_int4,
    "fp8": quantize.quantize_fp8,
}

# The embedding, the norms, the biases and the router are never quantized. All variants but bf16 and f16 keep them as
# the checkpoint stores them.
OTHER_WEIGHT = {name: MATMUL_WEIGHT[name] if name in ("bf16", "f16") else lambda w: w for name in MATMUL_WEIGHT}


class Products:
    """How the matrix products of a model are computed; every module that multiplies calls this one object."""

    def __init__(self, variant: str, plain: set[str], input_scales: dict[str, float]) -> None:
        """`plain`: names of weights that a published variant leaves as they were, whose inputs are not quantized either.
        `input_scales`: the scales that it stores for the inputs of weights, by the weights' names."""
        self.quantize_rows, self.plain, self.input_scales = quantize.row_quantizer(variant), plain, input_scales
        self.quantize_by_scale = quantize.static_quantizer(variant)
        self.rounds_to_bf16 = False
        self.sums_in_f64 = False
        self.used: set[str] = set()  # names of the weights that were multiplied with

    def __call__(self, name: str, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None):
        self.used.add(name)
        if self.rounds_to_bf16:
            x = to_bf16(x)
        if self.quantize_by_scale and name not in self.plain:
            x = self.quantize_by_scale(x, self.input_scales[name])
        elif self.quantize_rows and name not in self.plain:
            x = self.quantize_rows(x)
        if not self.sums_in_f64:
            return nn.functional.linear(x, weight, bias)
        wide = nn.functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
        return wide.float()


def experts(module, prefix: str, products: Products, hidden, chosen, shares):
    """The feed-forward networks of a mixture; hidden [rows, dim], chosen and shares [rows, experts per row].

    Like transformers' own loop, except that `products` rounds and quantizes the inputs of the products.
    """
    mixed = torch.zeros_like(hidden)
    is_gpt_oss = hasattr(module, "gate_up_proj_bias")
    for number in chosen.unique().tolist():
        rows, place = torch.where(chosen == number)
        if is_gpt_oss:
            both = products(prefix + ".gate_up_proj", hidden[rows], module.gate_up_proj[number].t(),
                            module.gate_up_proj_bias[number])
            out = products(prefix + ".down_proj", module._apply_gate(both), module.down_proj[number].t(),
                           module.down_proj_bias[number])
            mixed.index_add_(0, rows, out * shares[rows, place, None])
            continue
        both = products(prefix + ".gate_up_proj", hidden[rows], module.gate_up_proj[number])
        gate, up = both.chunk(2, dim=-1)
        out = products(prefix + ".down_proj", module.act_fn(gate) * up, module.down_proj[number])
        mixed.index_add_(0, rows, out * shares[rows, place, None])
    return mixed


@dataclass(frozen=True)
class Feed:
    """Ids to be appended to a cache, and for how many of the last of them logits are wanted."""
    cache: object
    ids: tuple[int, ...] | list[int]
    keep: int
    n_inputs: int          # inputs that the whole sequence may reach; decides the factors of LongRoPE
    is_last: bool = False  # nothing will be appended to this cache afterwards


@dataclass(frozen=True)
class Fed:
    logits: torch.Tensor                                               # [keep, vocabulary]
    scores: dict[str, torch.Tensor] = field(default_factory=dict)  # of each router, [keep, experts]


def text_config(folder: Path):
    """The configuration of a model; for a vision-language model, that of its text part."""
    whole = AutoConfig.from_pretrained(str(folder))
    if not hasattr(whole, "text_config"):
        return whole
    config = whole.text_config
    config.architectures, config.tie_word_embeddings = whole.architectures, whole.tie_word_embeddings
    return config


def load(folder: Path):
    """The model in FP32; of a vision-language model the text part, as a model of its own."""
    options = {"dtype": torch.float32, "attn_implementation": ATTENTION}
    if published.variant_of(folder):
        config = text_config(folder)
        model = AutoModelForCausalLM.from_config(config, **options)
        Checkpoint(folder, model, bool(config.tie_word_embeddings)).read_into(model, list(model.state_dict()))
        return model.eval()
    if not hasattr(AutoConfig.from_pretrained(str(folder)), "text_config"):
        return AutoModelForCausalLM.from_pretrained(str(folder), **options).eval()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # otherwise it warns of every tensor of the vision part
    model, found = AutoModelForCausalLM.from_pretrained(
        str(folder), config=text_config(folder), key_mapping=TEXT_PART_NAMES, output_loading_info=True, **options)
    logging.set_verbosity(verbosity)
    if found["missing_keys"]:
        raise SystemExit(f"{folder}: expected tensors {', '.join(sorted(found['missing_keys']))}, found none")
    return model.eval()


class Reference:
    """One variant of a Hugging Face model folder. Starts as R; `become_envelope` turns it into E."""

    computes_together = False  # whether many sequences are computed in the time of one

    def __init__(self, folder: Path, variant: str) -> None:
        weight_file = published.weight_file(folder)
        self.is_published = weight_file is not None and weight_file.variant == variant
        if variant not in MATMUL_WEIGHT and not self.is_published:
            also = f", {weight_file.variant}" if weight_file else ""
            raise ValueError(f"variant: expected one of {', '.join(MATMUL_WEIGHT)}{also}, found {variant}")
        self.folder, self.variant = folder, variant
        self.checkpoint_is_bf16 = True
        self.largest_change = 0.0  # of any weight, against the checkpoint
        self.model = self._build()
        self.config = self.model.config
        self._rope = self._prepare_long_rope()
        self._has_rotation = False
        self.roles = weights.roles(self.config, dict(self.model.named_parameters()))
        self.plain, input_scales = set(self.roles), {}
        if self.is_published:
            input_scales = weight_file.input_scales()
            self.plain -= published.coded_parameters(self.roles, weight_file.coded)
            if self.config.tie_word_embeddings and "lm_head.weight" in self.roles:
                tied = "model.embed_tokens.weight"
                if tied in input_scales:
                    input_scales["lm_head.weight"] = input_scales[tied]
                self.plain = self.plain | {"lm_head.weight"} if tied in self.plain else self.plain - {"lm_head.weight"}
        self.products = Products(variant, self.plain if self.is_published else set(), input_scales)
        self.routing = Routing()
        self._multiply_by_products()
        self._take_weights()

    def _build(self):
        model = load(self.folder)
        head = model.get_output_embeddings()
        # A tied head is quantized, while the lookup keeps the stored values: two tensors from here on.
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        return model

    @torch.no_grad()
    def _take_weights(self) -> None:
        """Every weight of the checkpoint becomes what the variant stores."""
        for name, weight in self.model.named_parameters():
            self._store(name, weight)

    def _store(self, name: str, weight: torch.Tensor) -> None:
        """Replaces a weight's values by what the variant stores, dequantized; in parts, which takes less memory."""
        # The values that were read for a published variant are already those of its codes.
        rules = MATMUL_WEIGHT if self.roles[name] is Role.MATMUL else OTHER_WEIGHT
        rule = rules["f32" if self.is_published else self.variant]
        if weights.is_transposed(self.config, name):
            of_rows = rule
            rule = lambda part: of_rows(part.transpose(1, 2).contiguous()).transpose(1, 2)
        for part in weight.split(max(1, PART_VALUES // max(1, weight[0].numel()))):  # rules are by row
            stored = rule(part)
            if not bool(stored.isfinite().all()):
                raise SystemExit(
                    f"{self.folder}: {name}: expected finite weights that fit {self.variant}, found others")
            self.checkpoint_is_bf16 = self.checkpoint_is_bf16 and torch.equal(part, to_bf16(part))
            self.largest_change = max(self.largest_change, float((stored - part).abs().max()))
            part.copy_(stored)

    def _of_envelope(self, name: str, stored: torch.Tensor) -> torch.Tensor:
        """A stored weight as an operand of E's products."""
        is_integer = (self.roles[name] is Role.MATMUL and quantize.quantizes_activations(self.variant)
                      and not (self.is_published and name in self.plain))
        return stored if self.roles[name] is Role.OTHER or is_integer else to_bf16(stored)

    def _multiply_by_products(self) -> None:
        for name, module in self.model.named_modules():
            if isinstance(module, nn.Linear) and self.roles[name + ".weight"] in (Role.ROUTER, Role.LATENT):
                module.forward = partial(self._gate, module)
            elif isinstance(module, nn.Linear):
                module.forward = lambda x, name=name, module=module: self.products(
                    name + ".weight", x, module.weight, module.bias)
            elif isinstance(getattr(module, "gate_up_proj", None), nn.Parameter):
                module.forward = partial(experts, module, name, self.products)
            elif self.roles.get(name + ".weight") is Role.ROUTER:
                module.forward = partial(self._route, name, module)

    def _gate(self, module, hidden: torch.Tensor):
        """Computes the gate of a shared expert, or the keys and values of a latent."""
        return nn.functional.linear(to_bf16(hidden) if self.products.rounds_to_bf16 else hidden, module.weight)

    def _route(self, name: str, module, hidden: torch.Tensor):
        """What a router of transformers returns: scores, shares and numbers of the experts of each row."""
        hidden = hidden.reshape(-1, hidden.shape[-1])
        scores = nn.functional.linear(to_bf16(hidden) if self.products.rounds_to_bf16 else hidden, module.weight,
                                      getattr(module, "bias", None))
        if weights.is_deepseek(self.config):
            bias = getattr(module, weights.CHOICE_BIAS, None)
            chosen, shares = self.routing.choose_of_groups(name, scores, self.config, bias)
            return scores, shares, chosen
        chosen, shares = self.routing.choose(name, scores, self.config.num_experts_per_tok,
                                             getattr(self.config, "norm_topk_prob", True))
        return scores, shares, chosen

    @property
    def chooses(self) -> bool:
        """Whether there are routers that leave some experts out."""
        return Role.ROUTER in self.roles.values() and self.config.num_experts_per_tok < weights.experts(self.config)

    def _expect_all_multiplied(self) -> None:
        """Every matmul weight went through `products`: none is multiplied by code that this file does not know."""
        named = {name for name, role in self.roles.items() if role is Role.MATMUL}
        if self.products.used != named:
            raise RuntimeError(f"expected products with {sorted(named - self.products.used)}, found none; and products "
                               f"with {sorted(self.products.used - named)}, expected none")

    def digest(self) -> str:
        """A hash of what this variant computes with; equal digests give equal outputs."""
        digest = hashlib.sha256(f"rows:{quantize.quantizes_activations(self.variant)}".encode())
        for name, scale in sorted(self.products.input_scales.items()):
            digest.update(f"{name}:{scale!r}".encode())
        for name, weight in self._weights_by_name():
            digest.update(name.encode())
            digest.update(weight.contiguous().numpy())
        return digest.hexdigest()

    def _weights_by_name(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from sorted(self.model.state_dict().items())

    def sum_in_f64(self, wide: bool) -> None:
        """Sets whether the sums of the products are FP64, with a result that is rounded to FP32 once."""
        self.products.sums_in_f64 = wide

    @torch.no_grad()
    def become_envelope(self) -> None:
        """Turns R into E with the roundings to BF16. This cannot be undone: for R, make a new Reference."""
        for module in self.model.modules():
            module.rounds_to_bf16 = True
        self.products.rounds_to_bf16 = True
        self._round_weights()

    def _round_weights(self) -> None:
        for name, weight in self.model.named_parameters():
            weight.copy_(self._of_envelope(name, weight))

    @property
    def long_rope_after(self) -> int | None:
        """With LongRoPE: the number of inputs above which a sequence is rotated by the long factors; otherwise None."""
        rope = self._rope
        longest = self.config.max_position_embeddings
        return rope["original"] if rope and longest > rope["original"] else None

    def rotate_for(self, n_inputs: int) -> None:
        """Choose the factors of LongRoPE by the length that a sequence may reach, from its first token on.

        transformers chooses by the number of tokens so far, and its generate() computes a cache again when it outgrows
        the short factors. Here the choice is made once, because keys that are in a cache cannot be rotated again.
        """
        if self.long_rope_after is not None:
            # What transformers compares the length with; both sets of frequencies are made already.
            length = 0 if n_inputs > self.long_rope_after else sys.maxsize
            self._has_rotation = True
            self._rotary.config.rope_parameters["original_max_position_embeddings"] = length

    def _prepare_long_rope(self) -> dict | None:
        self._rotary = self.model.model.rotary_emb
        parameters = self.config.rope_parameters
        if parameters.get("rope_type") != "longrope":
            return None
        original = parameters["original_max_position_embeddings"]
        frequencies, _ = ROPE_INIT_FUNCTIONS["longrope"](self.config, None, seq_len=original + 1)
        self._rotary.long_inv_freq = frequencies
        return {"original": original}

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
        self.routing.forget()
        if self.long_rope_after is not None and not self._has_rotation:
            raise RuntimeError("a model with LongRoPE needs rotate_for() before feed()")
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start:start + CHUNK]
            first_kept = max(0, len(ids) - keep - start)
            wanted = torch.arange(min(first_kept, len(chunk)), len(chunk))
            # An empty selection would mean "all" to some versions: ask for the last row and drop it.
            rows = wanted if len(wanted) else torch.tensor([len(chunk) - 1])
            logits = self.model(input_ids=torch.tensor([chunk]), past_key_values=cache, use_cache=True,
                                logits_to_keep=rows).logits[0]
            self._expect_all_multiplied()
            if len(wanted):
                kept.append(logits)
        return torch.cat(kept) if kept else torch.empty(0, self.config.vocab_size)

    def feed_all(self, feeds: list[Feed]) -> list[Fed]:
        """Every feed, each to a cache of its own."""
        return [self._fed(feed) for feed in feeds]

    def _fed(self, feed: Feed) -> Fed:
        self.rotate_for(feed.n_inputs)
        logits = self.feed(feed.cache, feed.ids, feed.keep)
        return Fed(logits, self.routing.of_last(feed.keep))

    def journaled(self, folder: Path, computation: str) -> contextlib.AbstractContextManager:
        """In this context, results of feed_all() may be stored in the folder, so that a stopped computation can go on."""
        return contextlib.nullcontext()
