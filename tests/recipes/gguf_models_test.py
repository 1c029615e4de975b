"""Tests `bundle create --from-gguf` on tiny models of every architecture, written with the Python package `gguf`.

    python gguf_models_test.py SECONDSOURCE CONFIG_READER [NAME...]

transformers' own classes make each model (bundles/recipes/tiny_models.py and MORE below). This file writes it as llama.cpp's converter
does: with names from the package's table, stacked experts, permuted Q and K, 1 added to Gemma's norms, and RoPE factors as tensors. The
resulting bundle must have every weight bit for bit (Gemma's norms up to the rounding of the sum) and an equivalent configuration, with
RoPE frequencies within 1e-6. Every type of block is compared with the package's dequantization, and every pre-tokenizer that a file can
name with the package `tokenizers`, which gets the patterns of the model's own tokenizer.json. Damaged files must be refused in one line
with status 2. Ends with 77 if a package is missing.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

try:
    import gguf
    import numpy as np
    import tokenizers
    import torch
    import transformers
    from safetensors.torch import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "bundles/recipes"), str(ROOT / "tests/data/gguf")]
import make_blocks
import published
import tiny_models

LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
GEMMA3_ROPE = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
               "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
# Models that follow llama.cpp's fixed rules for windows and for layers without rotation, unlike the models in tiny_models.py.
MORE = {
    **tiny_models.PLAIN,
    "llama-llama3": (transformers.LlamaConfig, {"head_dim": 16, "rope_parameters": LLAMA3}),
    "llama-linear": (transformers.LlamaConfig, {
        "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}}),
    "mixtral": (transformers.MixtralConfig, {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2": (transformers.Qwen2Config, {}),
    "qwen3-yarn": (transformers.Qwen3Config, {"head_dim": 16, "rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "rope_theta": 1000000.0, "original_max_position_embeddings": 1024}}),
    "smollm3-gguf": (transformers.SmolLM3Config, {"num_hidden_layers": 4}),
    "gemma2-gguf": (transformers.Gemma2Config, {
        "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24, "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0}),
    "gemma3-gguf": (transformers.Gemma3TextConfig, {
        "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24, "num_hidden_layers": 7,
        "rope_parameters": GEMMA3_ROPE}),
    "cohere2-gguf": (transformers.Cohere2Config, {
        "num_hidden_layers": 5, "sliding_window": 24, "logit_scale": 0.25,
        "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}}),
    "starcoder2-gguf": (transformers.Starcoder2Config, {"sliding_window": None}),
    "ministral3-plain": (transformers.Ministral3Config, {"head_dim": 16, "rope_parameters": {
        "rope_type": "default", "rope_theta": 10000.0, "llama_4_scaling_beta": 0.2,
        "original_max_position_embeddings": 512}}),
}
# mscale and mscale_all_dim are equal, because GGUF's metadata has only one of them. "-joined" is written as converters did before April
# 2025, with kv_b_proj as one tensor.
DEEPSEEK_V2 = {
    **tiny_models.LATENT, "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 3,
    "topk_method": "group_limited_greedy", "routed_scaling_factor": 4.0,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "beta_fast": 32.0, "beta_slow": 1.0,
                        "mscale": 0.707, "mscale_all_dim": 0.707, "original_max_position_embeddings": 32}}
MORE["deepseek_v2-gguf"] = (transformers.DeepseekV2Config, DEEPSEEK_V2)
MORE["deepseek_v2-joined"] = (transformers.DeepseekV2Config, DEEPSEEK_V2)
# Maps the names of the models to llama.cpp's architectures.
ARCHITECTURES = {
    "llama": "llama", "llama-tied": "llama", "llama-biases": "llama", "llama-llama3": "llama", "llama-linear": "llama",
    "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3-yarn": "qwen3", "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe", "granite": "granite", "granite_moe": "granitemoe", "smollm3-gguf": "smollm3",
    "seed_oss": "seed_oss", "ernie4_5": "ernie4_5", "ernie4_5-biases": "ernie4_5", "phi3": "phi3",
    "phi3-partial": "phi3", "phi3-longrope": "phi3", "gemma": "gemma", "gemma2-gguf": "gemma2", "gemma3-gguf": "gemma3",
    "olmo2": "olmo2", "gpt_oss": "gpt-oss", "cohere": "command-r", "cohere-norms": "command-r",
    "cohere2-gguf": "cohere2", "starcoder2-gguf": "starcoder2",
    "starcoder2-plain": "starcoder2", "deepseek_v2-gguf": "deepseek2", "deepseek_v2-joined": "deepseek2",
    "deepseek_v2-lite": "deepseek2", "deepseek_v3": "deepseek2", "ministral3": "mistral3", "ministral3-plain": "mistral3",
}
DEEPSEEK_WORDS = (
    r"\s?["
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-"
    "ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-"
    "ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
    "]+")
LLAMA3_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
                  r"|\s+")
# Maps names in tokenizer.ggml.pre to the patterns by which a text is split, from the tokenizer.json of DeepSeek-V3, deepseek-llm-7b-base
# (whose last step splits digits), Seed-Coder-8B and Llama 3. llama.cpp (src/llama-vocab.cpp) uses Llama 3's for Falcon 3 and Pixtral.
PRE_TOKENIZERS = {
    "deepseek-v3": [
        r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
        r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""],
    "deepseek-llm": ["[\r\n]", DEEPSEEK_WORDS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥\u0800-一가-\ud7ff]+",
                     tokenizers.pre_tokenizers.Digits(individual_digits=True)],
    "seed-coder": [
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"],
    "falcon3": [LLAMA3_PATTERN],
    "pixtral": [LLAMA3_PATTERN],
}
LIKE_LLAMA3 = ("falcon3", "pixtral")  # a word that is a token is not split by merges, and the first token is added to every text
FIRST_TOKEN = 0  # the file may name any token as the first one
# The parts of random texts: letters, marks, numbers, punctuation and spaces of several scripts, and strings that the patterns match.
PIECES = [*"aZéßЖ中文字ひらカナ한กัا٣५Ⅻ²½0123456789", *"µªʔǅͻ\u1f7d\u1fb6\u212bℂႠᎠᲐﬁＡꚀ𐐀𞤀ꬰ", *" \t\n\r\u00a0\u3000\u200b",
          *"!'.,-_/\\(){}$€+=«»—…。、‘‟！／：～`", "e\u0301", "n\u0303", "😀", "👩\u200d🚀", "'s", "'LL", " the", "ing", "  ", "\r\n",
          "\U00020000", "１２"]
PERMUTED = ("llama", "granite", "granitemoe", "smollm3", "mistral3")


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Reorders rows (or values of a bias) to GGUF's order, in which rows of the two halves of each head alternate."""
    return (weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2)
            .reshape(weight.shape))


def llama3_factors(config) -> list[float]:
    """The factors by which Llama 3.1 multiplies wavelengths, as the converter writes them."""
    rope, dim = config.rope_parameters, config.head_dim
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    original = rope["original_max_position_embeddings"]
    factors = []
    for frequency in 1.0 / rope["rope_theta"] ** (torch.arange(0, dim, 2).double() / dim):
        wavelength = 2 * torch.pi / float(frequency)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(rope["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return factors


def add_latent_metadata(writer: gguf.GGUFWriter, config, name: str) -> None:
    """Adds the metadata of latent attention. Since April 2025 the converter declares one KV head with the length of the latent; for
    "-joined" models, the function writes the older form."""
    qk_dim = config.qk_nope_head_dim + config.qk_rope_head_dim
    writer.add_kv_lora_rank(config.kv_lora_rank)
    if config.q_lora_rank is not None:
        writer.add_q_lora_rank(config.q_lora_rank)
    if name.endswith("-joined"):
        writer.add_head_count_kv(config.num_attention_heads)
        writer.add_key_length(qk_dim)
        writer.add_value_length(config.v_head_dim)
    else:
        writer.add_head_count_kv(1)
        writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim)
        writer.add_value_length(config.kv_lora_rank)
        writer.add_key_length_mla(qk_dim)
        writer.add_value_length_mla(config.v_head_dim)
    writer.add_leading_dense_block_count(config.first_k_dense_replace)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    if config.norm_topk_prob:
        writer.add_expert_weights_norm(True)
    if config.n_group is not None:
        writer.add_expert_group_count(config.n_group)
        writer.add_expert_group_used_count(config.topk_group)
    is_third = config.model_type == "deepseek_v3"
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID if is_third else gguf.ExpertGatingFuncType.SOFTMAX)


def add_metadata(writer: gguf.GGUFWriter, config, name: str) -> None:
    is_latent = hasattr(config, "kv_lora_rank")
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    if is_latent:
        add_latent_metadata(writer, config, name)
    else:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(config.layer_norm_eps if name.startswith("cohere") else config.norm_epsilon)
    writer.add_vocab_size(config.vocab_size)
    rope = config.rope_parameters
    own = rope.get("full_attention", rope)
    writer.add_rope_freq_base(own["rope_theta"])
    writer.add_rope_dimension_count(config.qk_rope_head_dim if is_latent else
                                    int(head_dim * own.get("partial_rotary_factor", 1.0)))
    if own["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(own["rope_type"]))
        writer.add_rope_scaling_factor(own["factor"])
    if own["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(own["original_max_position_embeddings"])
    if "mscale_all_dim" in own:
        writer.add_rope_scaling_yarn_log_mul((1 if name.startswith("ministral3") else 0.1) * own["mscale_all_dim"])
    if "llama_4_scaling_beta" in own:
        writer.add_attn_temperature_scale(own["llama_4_scaling_beta"])
        if own["rope_type"] == "default":
            writer.add_rope_scaling_orig_ctx_len(own["original_max_position_embeddings"])
    if own["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", np.array(llama3_factors(config), np.float32))
    if own["rope_type"] == "longrope":
        original = config.original_max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(original)
        scale = config.max_position_embeddings / original
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
        for kind in ("long", "short"):
            writer.add_tensor(f"rope_factors_{kind}.weight", np.array(own[f"{kind}_factor"], np.float32))
    experts = next((count for key in ("n_routed_experts", "num_experts", "num_local_experts")
                    if (count := getattr(config, key, None))), None)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if experts and hasattr(config, "moe_intermediate_size"):
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if hasattr(config, "shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    if name.startswith("granite"):
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if name.startswith("gemma2"):
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if name.startswith("cohere"):
        writer.add_logit_scale(config.logit_scale)
    if name.startswith(("gemma2", "gemma3", "gpt_oss", "cohere2")) or (name.startswith("phi3") and config.sliding_window):
        writer.add_sliding_window(config.sliding_window)
    writer.add_tokenizer_model("no_vocab")


def converted(tensors: dict[str, torch.Tensor], config, architecture: str, joins_heads: bool = False) -> dict[str, torch.Tensor]:
    """Converts names and values to those of GGUF."""
    names = gguf.get_tensor_name_map({v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[architecture],
                                     config.num_hidden_layers)
    out, experts = {}, defaultdict(dict)
    for name, tensor in tensors.items():
        base, _, suffix = name.rpartition(".")
        if architecture == "gpt-oss" and ".mlp.experts." in name:
            layer, kind = name.split(".")[2], "bias" if suffix.endswith("_bias") else "weight"
            columns = tensor.transpose(1, 2) if kind == "weight" else tensor
            if suffix.startswith("gate_up"):
                out[f"blk.{layer}.ffn_gate_exps.{kind}"] = columns[:, 0::2]
                out[f"blk.{layer}.ffn_up_exps.{kind}"] = columns[:, 1::2]
            else:
                out[f"blk.{layer}.ffn_down_exps.{kind}"] = columns
            continue
        if suffix == tiny_models.CHOICE_BIAS:
            out[f"blk.{name.split('.')[2]}.exp_probs_b.bias"] = tensor
            continue
        if base.endswith("kv_b_proj") and not joins_heads:
            heads = tensor.view(config.num_attention_heads, -1, tensor.shape[1])
            keys, values = heads.split([config.qk_nope_head_dim, config.v_head_dim], dim=1)
            out[names.get_name(base.replace("kv_b_proj", "k_b_proj")) + ".weight"] = keys.transpose(1, 2)
            out[names.get_name(base.replace("kv_b_proj", "v_b_proj")) + ".weight"] = values
            continue
        if suffix == "sinks":
            out[f"blk.{name.split('.')[2]}.attn_sinks.weight"] = tensor
            continue
        if ".experts." in name:
            layer, rest = name.split(".mlp.experts." if ".mlp." in name else ".block_sparse_moe.experts.")
            number, matrix, _ = rest.split(".")
            kind = {"w1": "gate", "w3": "up", "w2": "down"}.get(matrix, matrix.split("_")[0])
            experts[f"blk.{layer.split('.')[-1]}.ffn_{kind}_exps.weight"][int(number)] = tensor
            continue
        if base.endswith("block_sparse_moe.input_linear"):
            layer, half = base.split(".")[2], tensor.shape[1] // 2
            out[f"blk.{layer}.ffn_gate_exps.weight"] = tensor[:, :half]
            out[f"blk.{layer}.ffn_up_exps.weight"] = tensor[:, half:]
            continue
        if architecture in PERMUTED and base.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if base.endswith("q_proj") else config.num_key_value_heads
            tensor = interleaved(tensor, heads)
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            tensor = tensor.float() + 1
        if name.endswith("shared_expert_gate.weight"):
            tensor = tensor.reshape(-1)
        found = names.get_name(base)
        if found is None and base.endswith("qkv_proj"):
            found = f"blk.{base.split('.')[2]}.attn_qkv"
        out[f"{found}.{suffix}"] = tensor
    for name, parts in experts.items():
        out[name] = torch.stack([parts[i] for i in range(len(parts))])
    return out


def write_file(path: Path, folder: Path, name: str, extra: dict[str, np.ndarray] | None = None, **split) -> None:
    """extra: tensors that are added to those of the model."""
    config = transformers.AutoConfig.from_pretrained(str(folder))
    architecture = ARCHITECTURES[name]
    writer = gguf.GGUFWriter(str(path), architecture, **split)
    add_metadata(writer, config, name)
    tensors = converted(load_file(folder / "model.safetensors"), config, architecture, name.endswith("-joined"))
    for tensor_name, tensor in tensors.items():
        if tensor.dim() == 1 or tensor_name.endswith("_norm.weight"):  # the converter writes these in F32
            writer.add_tensor(tensor_name, tensor.float().numpy())
        else:
            writer.add_tensor(tensor_name, tensor.bfloat16().contiguous().view(torch.uint16).numpy(),
                              raw_dtype=gguf.GGMLQuantizationType.BF16)
    for tensor_name, values in (extra or {}).items():
        writer.add_tensor(tensor_name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Checks:
    def __init__(self, program: str, reader: str) -> None:
        self.program, self.reader, self.n_failed = program, reader, 0

    def expect(self, holds: bool, what: str) -> None:
        self.n_failed += not holds
        if not holds:
            print(f"FAILED: {what}")

    def create(self, file: Path, out: Path) -> subprocess.CompletedProcess:
        return subprocess.run([self.program, "bundle", "create", "--from-gguf", str(file), "--out", str(out)],
                              capture_output=True, text=True)

    def create_or_fail(self, file: Path, out: Path) -> bool:
        done = self.create(file, out)
        self.expect(done.returncode == 0, f"{file.name}: {done.stderr.strip()}")
        return done.returncode == 0

    def described(self, folder: Path) -> dict:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        done = subprocess.run([self.reader], input=json.dumps(config) + "\n", capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def same_config(self, name: str, expected: dict, found: dict) -> None:
        self.expect("error" not in found and found.keys() == expected.keys(), f"{name}: config: {found}")
        for key in expected:
            if key in ("bos_token_id", "eos_token_id"):
                continue
            a, b = expected[key], found.get(key)
            if isinstance(a, float) or (isinstance(a, list) and a and isinstance(a[0], float)):
                same = np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=0)
            else:
                same = a == b
            self.expect(bool(same), f"{name}: {key}: expected {a}, found {b}")

    def same_weights(self, name: str, folder: Path, out: Path) -> None:
        expected, found = load_file(folder / "model.safetensors"), load_file(out / "model.safetensors")
        self.expect(expected.keys() == found.keys(), f"{name}: names of tensors differ")
        for tensor in expected.keys() & found.keys():
            a, b = expected[tensor].float(), found[tensor].float()
            is_sum = name.startswith("gemma") and tensor.endswith("norm.weight")
            same = a.shape == b.shape and (bool((a - b).abs().max() <= 2.0 ** -24) if is_sum else torch.equal(a, b))
            self.expect(same, f"{name}: {tensor} differs")
            self.expect(is_sum or found[tensor].dtype == torch.bfloat16, f"{name}: {tensor}: {found[tensor].dtype}")


def check_model(checks: Checks, name: str, scratch: Path) -> None:
    folder, file, out = scratch / name, scratch / f"{name}.gguf", scratch / f"{name}-bundle"
    tiny_models.write_model(folder, name)
    write_file(file, folder, name)
    if checks.create_or_fail(file, out):
        checks.same_weights(name, folder, out)
        checks.same_config(name, checks.described(folder), checks.described(out))
    print(f"{name}: {ARCHITECTURES[name]}")


def check_split(checks: Checks, scratch: Path) -> None:
    folder, out = scratch / "split", scratch / "split-bundle"
    tiny_models.write_model(folder, "llama")
    write_file(scratch / "split.gguf", folder, "llama", split_max_tensors=9)
    parts = sorted(scratch.glob("split-0*.gguf"))
    checks.expect(len(parts) > 2, f"expected several parts, found {parts}")
    if checks.create_or_fail(parts[0], out):
        checks.same_weights("llama", folder, out)
        checks.expect("name: \"split\"" in (out / "manifest.yaml").read_text(), "the name of a split model")
    refused(checks, "the second part of a split model", parts[1], scratch)
    kept = parts[1].read_bytes()
    parts[1].unlink()
    refused(checks, "a part is missing", parts[0], scratch)
    parts[1].write_bytes(parts[2].read_bytes())
    refused(checks, "a part is there twice", parts[0], scratch)
    parts[1].write_bytes(kept)
    print(f"split: {len(parts)} parts")


def refused(checks: Checks, what: str, file: Path, scratch: Path) -> None:
    out = scratch / "refused"
    done = checks.create(file, out)
    lines = done.stderr.strip().splitlines()
    checks.expect(done.returncode == 2 and len(lines) == 1 and not out.exists(),
                  f"{what}: expected status 2 and one line, found {done.returncode}: {done.stderr[:500]}")


def check_global_scales(checks: Checks, scratch: Path) -> None:
    """Tests NAME.scale, by which the products with NAME.weight are multiplied whatever its type, and NAME.input_scale, which is ignored."""
    folder, file, out = scratch / "scaled", scratch / "scaled.gguf", scratch / "scaled-bundle"
    tiny_models.write_model(folder, "llama")
    write_file(file, folder, "llama", {"blk.0.ffn_up.scale": np.float32([0.5]), "blk.0.ffn_up.input_scale": np.float32([3])})
    if checks.create_or_fail(file, out):
        name = "model.layers.0.mlp.up_proj.weight"
        expected, found = (load_file(place / "model.safetensors")[name].float() for place in (folder, out))
        checks.expect(torch.equal(found, expected / 2), f"{name}: expected half of the stored values")
    for what, scales in {"a scale of 0": {"blk.0.ffn_up.scale": np.float32([0])},
                         "a scale that is NaN": {"blk.0.ffn_up.scale": np.float32([np.nan])},
                         "two scales of one matrix": {"blk.0.ffn_up.scale": np.float32([1, 2])},
                         "a scale of no matrix": {"blk.0.ffn_none.scale": np.float32([1])}}.items():
        write_file(file, folder, "llama", scales)
        refused(checks, what, file, scratch)
    print("global scales: of a BF16 matrix, and 4 that are refused")


def check_blocks(checks: Checks, scratch: Path) -> None:
    """Tests every type of block: the matrices of a Llama consist of blocks with random bytes."""
    name = "llama-wide"
    tiny_models.MODELS[name] = (transformers.LlamaConfig, {
        "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1, "head_dim": 64})
    ARCHITECTURES[name] = "llama"
    folder = scratch / name
    tiny_models.write_model(folder, name)
    config = transformers.AutoConfig.from_pretrained(str(folder))
    tensors = converted(load_file(folder / "model.safetensors"), config, "llama")
    for kind in make_blocks.SCALES:
        file, out = scratch / f"wide-{kind}.gguf", scratch / f"wide-{kind}"
        writer = gguf.GGUFWriter(str(file), "llama")
        add_metadata(writer, config, name)
        expected = {}
        for seed, (tensor_name, tensor) in enumerate(tensors.items()):
            if tensor.dim() == 1:
                writer.add_tensor(tensor_name, tensor.float().numpy())
                continue
            values, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
            made = make_blocks.blocks(kind, tensor.numel() // values, seed)
            if kind == "MXFP4":
                made[:, 0] %= 240  # limits the exponent, so that all values are finite
            if kind == "NVFP4":
                made[:, :4] &= 127  # no signs, which scales do not have: the bits of -NaN would be no E4M3 number
            bits = make_blocks.values(kind, made)
            expected[tensor_name] = torch.from_numpy(bits.view(np.float32).reshape(tensor.shape).copy())
            writer.add_tensor(tensor_name, made.reshape(tensor.shape[0], -1), raw_dtype=gguf.GGMLQuantizationType[kind])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        if not checks.create_or_fail(file, out):
            continue
        found = converted(published.load_values(out / "model.safetensors"), config, "llama")
        for tensor_name, values in expected.items():
            checks.expect(torch.equal(found[tensor_name].float(), values), f"{kind}: {tensor_name} differs")
        manifest = (out / "manifest.yaml").read_text(encoding="utf-8")
        is_quantized = kind not in ("F32", "F16", "BF16")
        checks.expect((f'quantization: "{kind} (' in manifest) == is_quantized, f"{kind}: quantization in the manifest")
        print(f"{kind}: stored as {sorted({str(t.dtype) for t in found.values()})}")


def check_pre_tokenizer(checks: Checks, pre: str, patterns: list, scratch: Path) -> None:
    """Compares the ids of random texts. The vocabulary is trained on them, so that merges reach up to the pre-tokenizer's boundaries."""
    dice = random.Random(pre)
    texts = ["".join(dice.choices(PIECES, k=dice.randint(1, 40))) for _ in range(3000)]
    steps = [tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated") if isinstance(pattern, str) else pattern
             for pattern in patterns]
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([*steps, byte_level])
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=1500, initial_alphabet=byte_level.alphabet(), show_progress=False)
    theirs.train_from_iterator(texts, trainer)
    theirs.model.ignore_merges = pre in LIKE_LLAMA3
    model = json.loads(theirs.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    file = scratch / f"{pre}.gguf"
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(FIRST_TOKEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    done = subprocess.run([checks.program, "tokenize", str(file)], capture_output=True, text=True,
                          input="".join(json.dumps({"text": text}) + "\n" for text in texts))
    checks.expect(done.returncode == 0, f"{pre}: {done.stderr.strip()}")
    answers = [json.loads(line)["ids"] for line in done.stdout.splitlines()]
    checks.expect(len(answers) == len(texts), f"{pre}: {len(answers)} answers to {len(texts)} texts")
    for text, ids in zip(texts, answers):
        expected = [FIRST_TOKEN] * (pre in LIKE_LLAMA3) + theirs.encode(text).ids
        checks.expect(ids == expected, f"{pre}: {text!r}: expected {expected}, found {ids}")
    print(f"{pre}: {len(texts)} texts with {len(tokens)} tokens")


def check_damaged(checks: Checks, scratch: Path) -> None:
    folder = scratch / "damaged"
    tiny_models.write_model(folder, "llama")
    file = scratch / "whole.gguf"
    write_file(file, folder, "llama")
    whole = file.read_bytes()
    cases = {
        "cut in its header": whole[:200], "cut in its data": whole[:-100], "no GGUF at all": b"{}" + whole[2:],
        "another architecture": whole.replace(b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
                                              b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0mamba"),
        "a key without a value that fits": whole.replace(b"llama.block_count", b"llama.block_kount"),
        "a layer too many": whole.replace(b"llama.block_count\x04\0\0\0\x03", b"llama.block_count\x04\0\0\0\x04"),
        "a layer too few": whole.replace(b"llama.block_count\x04\0\0\0\x03", b"llama.block_count\x04\0\0\0\x02"),
        "no heads": whole.replace(b"llama.attention.head_count\x04\0\0\0\x04", b"llama.attention.head_count\x04\0\0\0\0"),
        "not finite": whole[:-4] + b"\0\0\x80\x7f",
        "a tensor of another name": whole.replace(b"blk.1.attn_q.weight", b"blk.1.attn_z.weight"),
    }
    for what, content in cases.items():
        checks.expect(content != whole, f"{what}: the file is not changed")
        damaged = scratch / "file.gguf"
        damaged.write_bytes(content)
        refused(checks, what, damaged, scratch)
    print(f"damaged: {len(cases)} files")


def main() -> int:
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    checks = Checks(sys.argv[1], sys.argv[2])
    tiny_models.MODELS.update(MORE)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in sys.argv[3:] or ARCHITECTURES:
            check_model(checks, name, scratch)
        if not sys.argv[3:]:
            check_split(checks, scratch)
            check_global_scales(checks, scratch)
            check_blocks(checks, scratch)
            for pre, patterns in PRE_TOKENIZERS.items():
                check_pre_tokenizer(checks, pre, patterns, scratch)
            check_damaged(checks, scratch)
    print(f"{checks.n_failed} failed")
    return 1 if checks.n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
