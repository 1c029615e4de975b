"""Compares how the program and transformers' own classes read random configurations in which random keys are absent.

    python config_defaults_test.py CONFIG_READER [SEED [COUNT]]

CONFIG_READER is the program of config_reader.cpp. Where the program refuses what transformers takes, the refusal must
be one of REFUSALS. Ends with 77 where transformers is not installed.
"""

import json
import random
import subprocess
import sys

try:
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, logging
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

CLASSES = {"LlamaForCausalLM": transformers.LlamaConfig, "MistralForCausalLM": transformers.MistralConfig,
           "Qwen2ForCausalLM": transformers.Qwen2Config, "Qwen3ForCausalLM": transformers.Qwen3Config,
           "MixtralForCausalLM": transformers.MixtralConfig, "Qwen3MoeForCausalLM": transformers.Qwen3MoeConfig,
           "GraniteForCausalLM": transformers.GraniteConfig, "SmolLM3ForCausalLM": transformers.SmolLM3Config,
           "SeedOssForCausalLM": transformers.SeedOssConfig, "Ernie4_5ForCausalLM": transformers.Ernie4_5Config,
           "Qwen2MoeForCausalLM": transformers.Qwen2MoeConfig, "Phi3ForCausalLM": transformers.Phi3Config,
           "GemmaForCausalLM": transformers.GemmaConfig, "Gemma2ForCausalLM": transformers.Gemma2Config,
           "Gemma3ForCausalLM": transformers.Gemma3TextConfig, "Olmo2ForCausalLM": transformers.Olmo2Config,
           "GraniteMoeForCausalLM": transformers.GraniteMoeConfig, "GptOssForCausalLM": transformers.GptOssConfig,
           "CohereForCausalLM": transformers.CohereConfig, "Cohere2ForCausalLM": transformers.Cohere2Config, "Starcoder2ForCausalLM": transformers.Starcoder2Config,
           "Mistral3ForConditionalGeneration": transformers.Mistral3Config,
           "Gemma3ForConditionalGeneration": transformers.Gemma3Config,
           "DeepseekV2ForCausalLM": transformers.DeepseekV2Config, "DeepseekV3ForCausalLM": transformers.DeepseekV3Config,
           "Ministral3ForCausalLM": transformers.Ministral3Config}

# The vision part of models for text and images; it is small, so that the models are quick to create.
PICTURES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
            "head_dim": 16}

# The classes in which transformers' types allow null for this key. It does not read files of other classes that have a null there.
NULL_HEAD_DIM = ("LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "SeedOssForCausalLM",
                 "Ernie4_5ForCausalLM", "Mistral3ForConditionalGeneration")
NULL_KV_HEADS = ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "GraniteForCausalLM", "SmolLM3ForCausalLM",
                 "SeedOssForCausalLM", "Ernie4_5ForCausalLM", "Phi3ForCausalLM", "Olmo2ForCausalLM",
                 "GraniteMoeForCausalLM", "CohereForCausalLM", "Cohere2ForCausalLM")

# Refusals that docs/supported-models.md documents, and those of sizes with which no model of the class can compute.
REFUSALS = ("num_key_value_heads: expected a divisor",
            "hidden_size: expected a multiple", "sliding_window: expected an integer from 1",
            "sliding_window: expected a window", "use_sliding_window: expected a window",
            "num_experts_per_tok: expected at most", "num_experts_per_tok: expected an integer", "n_group: ", "topk_group: ",
            "num_key_value_heads: expected num_attention_heads", "norm_topk_prob: expected false",
            "partial_rotary_factor: ", "head_dim: expected an even",
            "hidden_act: expected gelu_pytorch_tanh without a gate", "rope_parameters: parameters per kind", "short_factor: expected", "rope_scaling: rope_type: expected")

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
         "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "hidden_act")


def scaling(source: random.Random) -> dict:
    kind = source.choice(["default", "linear", "dynamic", "yarn", "llama3"])
    made = {source.choice(["rope_type", "type"]): kind}
    if kind != "default":
        made["factor"] = source.choice([1.0, 2.0, 8.0])
    if kind == "llama3":
        made |= {"low_freq_factor": 1.0, "high_freq_factor": source.choice([4.0, 8.0])}
    if kind in ("llama3", "yarn") and source.random() < 0.6:
        made["original_max_position_embeddings"] = source.choice([128, 256])
    if kind == "yarn":
        optional = {"beta_fast": 24.0, "beta_slow": 2.0, "mscale": 0.8, "mscale_all_dim": 0.5, "attention_factor": 1.25}
        made |= {key: value for key, value in optional.items() if source.random() < 0.3}
    if source.random() < 0.3:
        made["rope_theta"] = source.choice([5e3, 2e5])
    return made


def configuration(source: random.Random) -> dict:
    layers = source.choice([1, 2, 3])
    layer_types = [source.choice(["full_attention", "sliding_attention"]) for _ in range(layers)]
    choices = {
        "vocab_size": [64, 257], "hidden_size": [256, 384], "intermediate_size": [48, 112],
        "num_hidden_layers": [layers], "num_attention_heads": [4, 8, 16, 64],
        "num_key_value_heads": [2, 4, None], "head_dim": [8, 16, 32, None], "max_position_embeddings": [512, 4096],
        "rms_norm_eps": [1e-5, 1e-6, 1e-3], "rope_theta": [1e4, 5e5], "rope_scaling": [None, {}, scaling(source)],
        "rope_parameters": [None, scaling(source)], "hidden_act": ["silu", "gelu_pytorch_tanh"],
        "tie_word_embeddings": [True, False], "attention_bias": [True, False, False], "mlp_bias": [True, False, False],
        "sliding_window": [None, 0, 7, 100], "use_sliding_window": [True, True, False], "max_window_layers": [0, 1, 2],
        "layer_types": [None, layer_types], "bos_token_id": [None, 3], "eos_token_id": [None, 5, [5, 6]],
        "num_local_experts": [1, 4], "num_experts_per_tok": [1, 2, 3], "original_max_position_embeddings": [64],
        "num_experts": [1, 5], "moe_intermediate_size": [24, 40], "norm_topk_prob": [True, False],
        "decoder_sparse_step": [1, 2, 3], "mlp_only_layers": [None, [], [1], [0, 7]], "use_bias": [True, False, None],
        "attention_out_bias": [True, False], "no_rope_layers": [None, [0, 1, 1, 0], [1, 0, 0]],
        "no_rope_layer_interval": [1, 2, 4], "embedding_multiplier": [12, 0.5], "residual_multiplier": [0.22, 1],
        "attention_multiplier": [0.0078125, 2], "logits_scaling": [8, 0.5], "qkv_bias": [True, False],
        "shared_expert_intermediate_size": [40, 56], "hidden_activation": ["gelu_pytorch_tanh", "silu"],
        "query_pre_attn_scalar": [16, 144], "attn_logit_softcapping": [None, 20.0],
        "final_logit_softcapping": [None, 15.0], "sliding_window_pattern": [2, 3], "rope_local_base_freq": [5e3],
        "partial_rotary_factor": [0.5], "layer_norm_eps": [1e-5, 1e-3], "norm_epsilon": [1e-5, 1e-3],
        "logit_scale": [0.5, 2.0], "kv_lora_rank": [16, 40], "q_lora_rank": [None, 24], "qk_nope_head_dim": [12, 32],
        "qk_rope_head_dim": [8, 16], "v_head_dim": [12, 32], "n_routed_experts": [4, 16], "n_shared_experts": [1, 2],
        "first_k_dense_replace": [0, 1, 5], "n_group": [1, 2, 4], "topk_group": [1, 2],
        "topk_method": ["greedy", "group_limited_greedy"], "routed_scaling_factor": [1.0, 16.0],
        "rope_interleave": [True, False],
    }
    kept = {"num_hidden_layers": 0.9, "original_max_position_embeddings": 0.1, "attention_bias": 0.3, "mlp_bias": 0.3,
            "rope_parameters": 0.3, "layer_types": 0.4, "partial_rotary_factor": 0.05}
    config = {key: source.choice(values) for key, values in choices.items() if source.random() < kept.get(key, 0.6)}
    name = source.choice(list(CLASSES))
    for key, allowed in (("head_dim", NULL_HEAD_DIM), ("num_key_value_heads", NULL_KV_HEADS)):
        if config.get(key, 0) is None and name not in allowed:
            del config[key]
    if "num_hidden_layers" not in config:
        config.pop("layer_types", None)  # transformers checks their number in every class
    if name == "MixtralForCausalLM" and "factor" in json.dumps(config) and config.get("head_dim") is None:
        config["head_dim"] = 16  # in this class, transformers 5.23 cannot scale the rotation without it
    if name == "Qwen3MoeForCausalLM" and "num_experts" in config:
        config.pop("num_local_experts", None)  # both names mean the same key
    if name.startswith("Deepseek"):  # needs as many KV heads as heads, and has another key for the number of experts
        config["num_key_value_heads"] = config.setdefault("num_attention_heads", 8)
        config.pop("head_dim", None)
        config.pop("num_experts", None)
        config.pop("num_local_experts", None)
        config["norm_topk_prob"] = name == "DeepseekV3ForCausalLM" and source.random() < 0.5
    if name == "Starcoder2ForCausalLM" and config.get("use_bias", True) is None:
        del config["use_bias"]  # transformers' types do not allow null here either
    if name.startswith("Gemma3"):
        config.pop("rope_parameters", None)  # the class cannot read a single object for all layers
    if name == "Phi3ForCausalLM" and source.random() < 0.5:
        pairs = (config.get("hidden_size", 3072) // config.get("num_attention_heads", 32)) // 2
        config |= {"rope_scaling": {"type": "longrope", "short_factor": [1.0 + i / 8 for i in range(pairs)],
                                    "long_factor": [2.0 + i for i in range(pairs)]}, "head_dim": 2 * pairs}
        config.pop("rope_parameters", None)
    is_ministral = name.startswith("Ministral3") or (name.startswith("Mistral3") and source.random() < 0.3)
    if is_ministral:
        for key in ("head_dim", "num_key_value_heads"):
            if config.get(key, 0) is None:
                del config[key]  # transformers' types do not allow null in this class
        for key in ("rope_scaling", "rope_parameters"):
            if config.get(key) and source.random() < 0.9:
                config[key]["llama_4_scaling_beta"] = source.choice([0.1, 0.5])
                config[key].setdefault("original_max_position_embeddings", 256)
    if name.startswith("Mistral3"):
        # The class ties embeddings by default. The program uses the key of the text part and whether a head is stored.
        tied = config.pop("tie_word_embeddings", False)
        kind = {"model_type": "ministral3"} if is_ministral else {"model_type": "mistral"} if source.random() < 0.5 else {}
        part = {**kind, **config, "pad_token_id": 0}
        return {"architectures": [name], "tie_word_embeddings": tied, "text_config": part, "vision_config": PICTURES}
    if name == "Gemma3ForConditionalGeneration":
        kind = {"model_type": "gemma3_text"} if source.random() < 0.5 else {}
        part = {"text_config": {**kind, **config, "pad_token_id": 0}, "vision_config": PICTURES}
        if "tie_word_embeddings" in config:  # the class reads this key from the whole model's configuration
            part["tie_word_embeddings"] = part["text_config"].pop("tie_word_embeddings")
        return {"architectures": [name], **part}
    return {"architectures": [name], "pad_token_id": 0, **config}


def has_hidden_activation(name: str) -> bool:
    return name.startswith(("Gemma2", "Gemma3"))


def in_transformers(config: dict) -> dict:
    """How transformers reads the configuration: most values come from the class, tensors and frequencies from a model. Raises an exception
    if transformers refuses it."""
    name = config["architectures"][0]
    read = CLASSES[name].from_dict(json.loads(json.dumps(config)))
    with torch.device("meta"):
        kind = AutoModelForImageTextToText if hasattr(read, "text_config") else AutoModelForCausalLM
        model = kind.from_config(read)
    state = {key: list(value.shape) for key, value in model.state_dict().items()}
    if hasattr(read, "text_config"):
        state = {key.replace("language_model.", ""): shape for key, shape in state.items()
                 if "vision_tower" not in key and "multi_modal_projector" not in key}
        read.text_config.tie_word_embeddings = read.tie_word_embeddings
        read, model.model = read.text_config, model.model.language_model
    rotary = type(model.model.rotary_emb)(read)
    growth = [read.rope_parameters.get(key) for key in ("llama_4_scaling_beta", "original_max_position_embeddings")]
    if read.model_type == "ministral3" and None in growth:
        raise ValueError("queries that do not grow")  # the model would fail in its first step
    found = {key: getattr(read, key) for key in SIZES if hasattr(read, key)}
    if has_hidden_activation(name):
        found["hidden_act"] = read.hidden_activation
    if name == "GptOssForCausalLM":
        found["hidden_act"] = "clamped_swish"  # the class ignores the key
    if name in ("CohereForCausalLM", "Cohere2ForCausalLM", "Starcoder2ForCausalLM"):
        found["rms_norm_eps"] = read.layer_norm_eps if name.startswith("Cohere") else read.norm_epsilon
    found["llama_4_scaling_beta"], found["query_period"] = growth if read.model_type == "ministral3" else (0.0, 0)
    found["head_dim"] = getattr(read, "head_dim", None) or read.hidden_size // read.num_attention_heads
    layers = model.model.layers
    is_deepseek = name.startswith("Deepseek")
    if is_deepseek:  # the cache holds one latent and one rotated key per token
        found |= {"head_dim": read.kv_lora_rank + read.qk_rope_head_dim, "num_key_value_heads": 1}
    if name in ("MistralForCausalLM", "MixtralForCausalLM", "Phi3ForCausalLM", "Mistral3ForConditionalGeneration",
                "Starcoder2ForCausalLM", "Ministral3ForCausalLM"):
        found["windows"] = [read.sliding_window] * read.num_hidden_layers
    else:
        found["windows"] = [getattr(layer.self_attn, "sliding_window", None) for layer in layers]
    if name.startswith("Qwen") and "Qwen3Moe" not in name and "sliding_attention" in read.layer_types:
        if read.sliding_window is None:
            raise ValueError("sliding_attention without a window")  # the model would raise this in its first step
    if 0 in found["windows"]:
        raise ValueError("a window that hides every token")
    found["windows"] = [window or 0 for window in found["windows"]]
    found["bos_token_id"] = read.bos_token_id
    ends = read.eos_token_id
    found["eos_token_id"] = [] if ends is None else ends if isinstance(ends, list) else [ends]
    is_mixture = name in ("MixtralForCausalLM", "Qwen3MoeForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM",
                          "GptOssForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM")
    experts = read.num_experts if name == "Qwen2MoeForCausalLM" else getattr(read, "num_local_experts", 0)
    if is_deepseek:
        experts = read.n_routed_experts
    found["num_local_experts"] = experts if is_mixture else 0
    is_shared = name == "Qwen2MoeForCausalLM"
    found["shared_expert_intermediate_size"] = read.shared_expert_intermediate_size if is_shared else 0
    if is_deepseek:
        found["shared_expert_intermediate_size"] = read.n_shared_experts * read.moe_intermediate_size
        found["routed_scaling_factor"] = read.routed_scaling_factor
        has_groups = name == "DeepseekV3ForCausalLM" or read.topk_method == "group_limited_greedy"
        found |= {key: getattr(read, key) if has_groups else 1 for key in ("n_group", "topk_group")}
        found["rope_interleave"] = name == "DeepseekV2ForCausalLM" or read.rope_interleave
    found["num_experts_per_tok"] = read.num_experts_per_tok if is_mixture else 0
    found["mixture_layers"] = [hasattr(layer, "block_sparse_moe") or hasattr(layer.mlp, "experts") for layer in layers]
    if is_mixture:
        has_width = "Qwen" in name or is_deepseek
        found["moe_intermediate_size"] = read.moe_intermediate_size if has_width else read.intermediate_size
        reads_norm = "Qwen" in name or name == "DeepseekV3ForCausalLM"
        found["norm_topk_prob"] = read.norm_topk_prob if reads_norm else name != "DeepseekV2ForCausalLM"
    found["rotated"] = [bool(getattr(layer.self_attn, "use_rope", True)) for layer in layers]
    if name == "Cohere2ForCausalLM":
        found["rotated"] = [layer.self_attn.sliding_window is not None for layer in layers]
    found["attention_scale"] = layers[0].self_attn.scaling
    is_scaled = name in ("GraniteForCausalLM", "GraniteMoeForCausalLM")
    is_gemma = name.startswith("Gemma")
    found["embedding_scale"] = read.embedding_multiplier if is_scaled else read.hidden_size ** 0.5 if is_gemma else 1
    # transformers reads both keys for all of these classes, but applies them in these only.
    found["attention_softcap"] = (name == "Gemma2ForCausalLM" and read.attn_logit_softcapping) or 0
    found["logit_softcap"] = (name in ("Gemma2ForCausalLM", "Gemma3ForCausalLM") and read.final_logit_softcapping) or 0
    found["residual_scale"] = read.residual_multiplier if is_scaled else 1
    found["logit_scale"] = 1 / read.logits_scaling if is_scaled else 1
    if name in ("CohereForCausalLM", "Cohere2ForCausalLM"):
        found["logit_scale"] = read.logit_scale
    kinds = [kind for kind in ("full_attention", "sliding_attention") if hasattr(rotary, f"{kind}_inv_freq")]
    for kind in kinds:  # Gemma 3
        key = "inv_freq" if kind == "full_attention" else "local_inv_freq"
        found[key] = getattr(rotary, f"{kind}_inv_freq").tolist()
    if not kinds:
        found["inv_freq"], found["attention_factor"] = rotary.inv_freq.tolist(), float(rotary.attention_scaling)
    if read.rope_parameters.get("rope_type") == "longrope":
        original = read.rope_parameters["original_max_position_embeddings"]
        frequencies, _ = ROPE_INIT_FUNCTIONS["longrope"](read, None, seq_len=original + 1)
        found["long_inv_freq"] = frequencies.tolist() if read.max_position_embeddings > original else []
    found["tensors"] = {key: shape for key, shape in state.items()
                        if not (read.tie_word_embeddings and key == "lm_head.weight") and not is_of_mixture(key)}
    return found


def is_of_mixture(name: str) -> bool:
    """Whether the tensor belongs to experts or a router. transformers names and shapes these differently from the checkpoint;
    architectures_test.py tests them by loading checkpoints."""
    return ".experts." in name or ".mlp.gate." in name or ".block_sparse_moe." in name


def differences(ours: dict, theirs: dict) -> list[str]:
    ours = {**ours, "tensors": {key: shape for key, shape in ours["tensors"].items()
                                if not is_of_mixture(key)}}
    near = lambda a, b: all(abs(x - y) <= 2e-6 * abs(y) for x, y in zip(a, b, strict=True))
    wrong = []
    for key, value in theirs.items():
        if key.endswith("inv_freq"):  # our list has zeros for the pairs that are not rotated
            rotated = len(value)
            same = len(ours[key]) >= rotated and near(ours[key][:rotated], value) and not any(ours[key][rotated:])
        elif key == "attention_factor" or key.endswith("_scale"):
            same = near([ours[key]], [value])
        else:
            same = ours[key] == value
        if not same:
            wrong.append(f"{key}: ours {ours[key]}, transformers {value}")
    return wrong


def main() -> int:
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 400
    source = random.Random(f"configurations/{seed}")
    configs = [configuration(source) for _ in range(count)]
    lines = "".join(json.dumps(config) + "\n" for config in configs)
    done = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(configs), (len(results), len(configs))
    failed, compared, refused = 0, 0, 0
    for config, ours in zip(configs, results):
        places = ("config.json", "config.json: text_config")
        if any(f"{place}: {reason}" in ours.get("refused", "") for place in places for reason in REFUSALS):
            refused += 1
            continue
        try:
            theirs = in_transformers(config)
        except Exception as error:  # an error of the class, of the model or of the strict types
            theirs = None
            reason = error
        if theirs is None or "refused" in ours:
            if theirs is None and "refused" in ours:
                refused += 1
                continue
            wrong = [ours.get("refused") or f"transformers refuses: {reason!r}"]
        else:
            wrong, compared = differences(ours, theirs), compared + 1
        if wrong:
            failed += 1
            print(f"FAILED   {json.dumps(config)}")
            for line in wrong:
                print(f"    {line}")
    print(f"{compared} configurations compared, {refused} refused, {failed} failed (seed {seed})")
    assert compared >= count // 4, "too few configurations are read: the test would say nothing"
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
