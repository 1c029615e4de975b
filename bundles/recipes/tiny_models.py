"""Seeded tiny models of every class that differs from Llama, made by transformers' own classes.

    python tiny_models.py --name granite --out DIR                      # a Hugging Face folder
    python tiny_models.py --list

A model has the real structure of its class and what makes it different: groups of heads, layers of each kind, sizes
that are no multiple of 32. transformers builds it from its configuration and writes the folder, so that config.json and
the names of the tensors are those of a published checkpoint. The weights are random, BF16, and the same for the same seed.
"""

import argparse
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

VOCABULARY = 512

# The settings of all models. In _weights, a wide head keeps the best logits apart.
COMMON = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 3,
          "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
          "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 3}

EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 40}

CHOICE_BIAS = "e_score_correction_bias"  # of DeepSeek-V3: a buffer, not a parameter

# Parts of a head, latents and experts of DeepSeek, smaller than the published ones and in like proportions.
LATENT = {"num_key_value_heads": 4, "q_lora_rank": 40, "kv_lora_rank": 24, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
          "v_head_dim": 16, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 2,
          "moe_intermediate_size": 40}


# Of vision-language models: COMMON's settings are those of the text part; the vision part is as small as possible.
PICTURES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
            "patch_size": 14}


def _mistral3(tie_word_embeddings: bool = False, **text) -> transformers.Mistral3Config:
    return transformers.Mistral3Config(text_config={"model_type": "mistral", **text}, vision_config={**PICTURES, "head_dim": 16},
                                       tie_word_embeddings=tie_word_embeddings)


def _gemma3(tie_word_embeddings: bool = True, **text) -> transformers.Gemma3Config:
    return transformers.Gemma3Config(text_config={"model_type": "gemma3_text", **text}, vision_config=PICTURES,
                                     mm_tokens_per_image=4, tie_word_embeddings=tie_word_embeddings)


# The RoPE of Ministral 3: queries are scaled up with every 24 positions.
GROWING = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0,
           "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 24}


# Plain classes, which the tests that need them add to MODELS.
PLAIN: dict[str, tuple[Callable, dict]] = {
    "llama": (transformers.LlamaConfig, {}),
    "llama-tied": (transformers.LlamaConfig, {"head_dim": 20, "tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 20}),
}

# Name of the model: its configuration class, or a function that makes a configuration, and what it sets beyond COMMON.
MODELS: dict[str, tuple[Callable, dict]] = {
    "llama-biases": (transformers.LlamaConfig, {"attention_bias": True, "mlp_bias": True}),
    "qwen2_moe": (transformers.Qwen2MoeConfig, {**EXPERTS, "shared_expert_intermediate_size": 72}),
    "qwen2_moe-windows": (transformers.Qwen2MoeConfig, {
        **EXPERTS, "shared_expert_intermediate_size": 40, "norm_topk_prob": True, "qkv_bias": False,
        "use_sliding_window": True, "sliding_window": 24, "max_window_layers": 2, "mlp_only_layers": [2]}),
    "qwen3_moe": (transformers.Qwen3MoeConfig, {**EXPERTS, "head_dim": 16, "norm_topk_prob": True}),
    "qwen3_moe-unnormalized": (transformers.Qwen3MoeConfig, {
        **EXPERTS, "head_dim": 16, "attention_bias": True, "mlp_only_layers": [1], "use_sliding_window": True,
        "sliding_window": 24}),
    "qwen3_moe-steps": (transformers.Qwen3MoeConfig, {**EXPERTS, "head_dim": 16, "decoder_sparse_step": 2}),
    "granite": (transformers.GraniteConfig, {
        "embedding_multiplier": 12.0, "residual_multiplier": 0.22, "attention_multiplier": 0.125,
        "logits_scaling": 8.0}),
    "granite-biases": (transformers.GraniteConfig, {
        "attention_bias": True, "embedding_multiplier": 2.0, "residual_multiplier": 0.5, "logits_scaling": 3.0,
        "tie_word_embeddings": True}),
    "smollm3": (transformers.SmolLM3Config, {"no_rope_layer_interval": 2}),
    "smollm3-windows": (transformers.SmolLM3Config, {
        "no_rope_layers": [0, 1, 0], "use_sliding_window": True, "sliding_window": 24, "attention_bias": True,
        "tie_word_embeddings": False}),
    "seed_oss": (transformers.SeedOssConfig, {"head_dim": 20}),
    "seed_oss-biases": (transformers.SeedOssConfig, {"head_dim": 16, "attention_out_bias": True}),
    "ernie4_5": (transformers.Ernie4_5Config, {"head_dim": 20}),
    "ernie4_5-biases": (transformers.Ernie4_5Config, {"head_dim": 16, "use_bias": True, "tie_word_embeddings": False}),
    "phi3": (transformers.Phi3Config, {"sliding_window": 24}),
    "phi3-partial": (transformers.Phi3Config, {
        "num_attention_heads": 3, "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}}),
    "phi3-longrope": (transformers.Phi3Config, {
        "num_attention_heads": 3, "num_key_value_heads": 1, "max_position_embeddings": 256,
        "original_max_position_embeddings": 64, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                            "short_factor": [1.0, 1.05, 1.1, 1.3, 1.5, 2.0],
                            "long_factor": [1.0, 1.4, 2.5, 4.0, 6.0, 9.0]}}),
    "gemma": (transformers.GemmaConfig, {"head_dim": 16}),
    "gemma2": (transformers.Gemma2Config, {
        "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 24, "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 5.0}),
    "gemma3": (transformers.Gemma3TextConfig, {
        "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24, "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "gemma3-pictures": (_gemma3, {
        "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "gemma3-pictures-modules": (_gemma3, {"head_dim": 20, "sliding_window": 40, "tie_word_embeddings": False}),
    "granite_moe": (transformers.GraniteMoeConfig, {
        "intermediate_size": 40, "num_local_experts": 6, "num_experts_per_tok": 2, "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22, "attention_multiplier": 0.125, "logits_scaling": 8.0}),
    "granite_moe-biases": (transformers.GraniteMoeConfig, {
        "intermediate_size": 72, "num_local_experts": 4, "num_experts_per_tok": 3, "attention_bias": True,
        "residual_multiplier": 0.5, "tie_word_embeddings": True}),
    "mistral3": (_mistral3, {"head_dim": 16, "sliding_window": None}),
    "mistral3-modules": (_mistral3, {
        "sliding_window": 24, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0}}),
    "ministral3": (transformers.Ministral3Config, {
        "head_dim": 16, "max_position_embeddings": 384, "rope_parameters": GROWING}),
    "ministral3-windows": (transformers.Ministral3Config, {
        "head_dim": 20, "num_key_value_heads": 1, "sliding_window": 40, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0, "llama_4_scaling_beta": 0.5,
                            "original_max_position_embeddings": 7}}),
    "mistral3-ministral": (_mistral3, {
        "model_type": "ministral3", "head_dim": 16, "max_position_embeddings": 384, "rope_parameters": GROWING}),
    "gpt_oss": (transformers.GptOssConfig, {
        "head_dim": 16, "intermediate_size": 40, "num_local_experts": 6, "num_experts_per_tok": 2, "sliding_window": 24,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
                            "truncate": False, "original_max_position_embeddings": 64}}),
    "gpt_oss-plain": (transformers.GptOssConfig, {
        "head_dim": 20, "intermediate_size": 72, "num_local_experts": 5, "num_experts_per_tok": 4, "sliding_window": 7,
        "attention_bias": False, "tie_word_embeddings": True, "num_key_value_heads": 1,
        "layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
    "cohere": (transformers.CohereConfig, {"logit_scale": 0.25}),
    "cohere-biases": (transformers.CohereConfig, {
        "attention_bias": True, "num_key_value_heads": 1, "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}}),
    "cohere-norms": (transformers.CohereConfig, {"use_qk_norm": True, "logit_scale": 0.25}),
    "cohere2": (transformers.Cohere2Config, {
        "num_hidden_layers": 4, "sliding_window": 24, "logit_scale": 0.25,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]}),
    "cohere2-biases": (transformers.Cohere2Config, {
        "num_hidden_layers": 4, "sliding_window": 7, "attention_bias": True, "num_key_value_heads": 4,
        "tie_word_embeddings": False, "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}}),
    "starcoder2": (transformers.Starcoder2Config, {"sliding_window": 24}),
    "starcoder2-plain": (transformers.Starcoder2Config, {
        "use_bias": False, "tie_word_embeddings": False, "num_attention_heads": 6, "num_key_value_heads": 3}),
    "deepseek_v2": (transformers.DeepseekV2Config, {
        **LATENT, "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy",
        "routed_scaling_factor": 4.0, "num_experts_per_tok": 3,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "beta_fast": 32.0,
                            "beta_slow": 1.0, "mscale": 0.9, "mscale_all_dim": 0.7,
                            "original_max_position_embeddings": 32}}),
    "deepseek_v2-lite": (transformers.DeepseekV2Config, {
        **LATENT, "q_lora_rank": None, "first_k_dense_replace": 0, "n_shared_experts": 1, "v_head_dim": 24,
        "num_experts_per_tok": 3, "tie_word_embeddings": True}),
    "deepseek_v2-biases": (transformers.DeepseekV2Config, {
        **LATENT, "attention_bias": True, "mlp_bias": True, "first_k_dense_replace": 1, "routed_scaling_factor": 2.0}),
    "deepseek_v3": (transformers.DeepseekV3Config, {
        **LATENT, "num_hidden_layers": 4, "first_k_dense_replace": 2, "n_group": 4, "topk_group": 2,
        "n_shared_experts": 1, "num_experts_per_tok": 3,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 32.0,
                            "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                            "original_max_position_embeddings": 32}}),
    "deepseek_v3-halves": (transformers.DeepseekV3Config, {
        **LATENT, "q_lora_rank": None, "rope_interleave": False, "norm_topk_prob": False, "n_group": 2, "topk_group": 1,
        "first_k_dense_replace": 1, "attention_bias": True, "routed_scaling_factor": 1.0, "num_attention_heads": 3,
        "num_key_value_heads": 3, "qk_nope_head_dim": 20, "kv_lora_rank": 22, "v_head_dim": 10}),
    "olmo2": (transformers.Olmo2Config, {"num_attention_heads": 6}),
    "olmo2-biases": (transformers.Olmo2Config, {
        "num_attention_heads": 6, "num_key_value_heads": 6, "attention_bias": True, "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}),
}


def build(name: str, seed: int = 1) -> transformers.PreTrainedModel:
    """The model in BF16, with random weights."""
    config_class, settings = MODELS[name]
    return with_random_weights(config_class(**{**COMMON, **settings}), seed)


def with_random_weights(config: transformers.PreTrainedConfig, seed: int = 1) -> transformers.PreTrainedModel:
    """The model of a configuration in BF16."""
    has_pictures = hasattr(config, "text_config")
    kind = transformers.AutoModelForImageTextToText if has_pictures else transformers.AutoModelForCausalLM
    model = kind.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        learned = [*model.named_parameters(),
                   *((name, buffer) for name, buffer in model.named_buffers() if name.endswith(CHOICE_BIAS))]
        for parameter_name, parameter in learned:
            source = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{parameter_name}".encode()))
            noise = torch.randn(parameter.shape, generator=source)
            parameter.copy_(_weights(parameter_name, parameter, noise))
    return model.bfloat16().eval()


def _weights(name: str, parameter: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    if name.endswith("norm.weight"):
        return parameter + 0.1 * noise  # near the class's initial value: 1, or 0 where the class adds 1
    if name.endswith(CHOICE_BIAS):
        return 0.3 * noise  # enough to matter beside sigmoids between 0 and 1
    if name.endswith(".bias"):
        return 0.3 * noise
    if name.endswith("_proj_bias"):
        return 4.0 * noise  # of gpt-oss's experts: large enough that gates and ups are clamped
    if name.endswith("sinks"):
        return 2.0 * noise
    if "embed_tokens" in name:
        return noise
    gain = 6.0 if name.startswith("lm_head") else 1.5 if "q_proj" in name or "q_b_proj" in name else 0.5 if "down_proj" in name else 1.0
    return gain * noise * parameter.shape[-1] ** -0.5


def write_model(folder: Path, name: str, seed: int = 1) -> None:
    """config.json and model.safetensors as transformers writes them; with its modules' names if `name` ends with
    -modules."""
    folder.mkdir(parents=True, exist_ok=True)
    build(name, seed).save_pretrained(str(folder), save_original_format=not name.endswith("-modules"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", choices=MODELS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(MODELS))
        return 0
    if not options.name or not options.out:
        parser.error("expected --name and --out, or --list")
    write_model(options.out, options.name, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
