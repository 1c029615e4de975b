"""Which tensors of a model a variant's rule names (docs/bundle-format.md, "Variants").

The table is made from config.json alone and then compared with the parameters of the model that transformers
built: by name, by shape, and by the number of matrices. So the rule also finds tensors that transformers keeps
outside of linear layers, such as the experts of a mixture: all experts of a layer are two parameters of three
dimensions there, [experts, outputs, inputs], or [experts, inputs, outputs] in gpt-oss.
"""

import enum
from collections.abc import Mapping

import torch


class Role(enum.Enum):
    MATMUL = "matmul"  # quantized in the integer variants and fp8, and so are its inputs in fp8 and those with w8a8
    ROUTER = "router"  # multiplied like a matrix, but never quantized; E rounds its operands
    LATENT = "latent"  # as ROUTER: what makes keys and values of DeepSeek's latents
    OTHER = "other"    # embedding, norms, biases


CLASSES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MixtralForCausalLM",
           "Qwen3MoeForCausalLM", "GraniteForCausalLM", "SmolLM3ForCausalLM", "SeedOssForCausalLM",
           "Ernie4_5ForCausalLM", "Qwen2MoeForCausalLM", "Phi3ForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM",
           "Gemma3ForCausalLM", "Olmo2ForCausalLM", "GraniteMoeForCausalLM", "Mistral3ForConditionalGeneration",
           "GptOssForCausalLM", "CohereForCausalLM", "Cohere2ForCausalLM", "Starcoder2ForCausalLM", "DeepseekV2ForCausalLM",
           "DeepseekV3ForCausalLM", "Ministral3ForCausalLM", "Gemma3ForConditionalGeneration")

# A buffer of DeepSeek-V3 that takes part in the choice of experts: every variant keeps it as it is stored.
CHOICE_BIAS = "e_score_correction_bias"


def is_deepseek(config) -> bool:
    return config.model_type in ("deepseek_v2", "deepseek_v3")


def experts(config) -> int:
    """How many experts a mixture has; 0 in a dense model."""
    return next((getattr(config, key) for key in ("num_local_experts", "num_experts") if hasattr(config, key)), 0)


def mixture_layers(config) -> list[bool]:
    """Which layers have experts."""
    if is_deepseek(config):
        return [number >= config.first_k_dense_replace for number in range(config.num_hidden_layers)]
    step, dense = getattr(config, "decoder_sparse_step", 1), getattr(config, "mlp_only_layers", None) or []
    return [experts(config) > 0 and number not in dense and (number + 1) % step == 0
            for number in range(config.num_hidden_layers)]


def _latent_attention(config) -> dict[str, tuple[Role, tuple[int, ...]]]:
    dim, heads, rank = config.hidden_size, config.num_attention_heads, config.q_lora_rank
    latent, rotated = config.kv_lora_rank, config.qk_rope_head_dim
    queries = heads * (config.qk_nope_head_dim + rotated)
    of_queries = {"q_proj.weight": (Role.MATMUL, (queries, dim))} if rank is None else {
        "q_a_proj.weight": (Role.MATMUL, (rank, dim)), "q_a_layernorm.weight": (Role.OTHER, (rank,)),
        "q_b_proj.weight": (Role.MATMUL, (queries, rank))}
    attention = {
        **of_queries, "kv_a_proj_with_mqa.weight": (Role.MATMUL, (latent + rotated, dim)),
        "kv_a_layernorm.weight": (Role.OTHER, (latent,)),
        "kv_b_proj.weight": (Role.LATENT, (heads * (config.qk_nope_head_dim + config.v_head_dim), latent)),
        "o_proj.weight": (Role.MATMUL, (dim, heads * config.v_head_dim))}
    return {**{f"{norm}_layernorm.weight": (Role.OTHER, (dim,)) for norm in ("input", "post_attention")},
            **{f"self_attn.{name}": entry for name, entry in attention.items()}}


def _attention(config) -> dict[str, tuple[Role, tuple[int, ...]]]:
    if is_deepseek(config):
        return _latent_attention(config)
    dim = config.hidden_size
    head_dim = getattr(config, "head_dim", None) or dim // config.num_attention_heads
    queries, keys = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    norms = ["input", "post_attention"]
    if config.model_type in ("gemma2", "gemma3_text"):
        norms += ["pre_feedforward", "post_feedforward"]
    if config.model_type == "olmo2":  # only what a block adds is normalized
        norms = ["post_attention", "post_feedforward"]
    if config.model_type in ("cohere", "cohere2"):  # one for both blocks
        norms = ["input"]
    tensors = {f"{norm}_layernorm.weight": (Role.OTHER, (dim,)) for norm in norms}
    if config.model_type == "phi3":
        tensors["self_attn.qkv_proj.weight"] = (Role.MATMUL, (queries + 2 * keys, dim))
    else:
        tensors |= {f"self_attn.{one}_proj.weight": (Role.MATMUL, (rows, dim))
                    for one, rows in (("q", queries), ("k", keys), ("v", keys))}
    tensors["self_attn.o_proj.weight"] = (Role.MATMUL, (dim, queries))
    if config.model_type in ("qwen3", "qwen3_moe", "gemma3_text"):
        tensors |= {f"self_attn.{one}_norm.weight": (Role.OTHER, (head_dim,)) for one in "qk"}
    if config.model_type == "cohere" and config.use_qk_norm:  # each head with weights of its own
        tensors |= {"self_attn.q_norm.weight": (Role.OTHER, (config.num_attention_heads, head_dim)),
                    "self_attn.k_norm.weight": (Role.OTHER, (config.num_key_value_heads, head_dim))}
    if config.model_type == "gpt_oss":
        tensors["self_attn.sinks"] = (Role.OTHER, (config.num_attention_heads,))
    if config.model_type == "olmo2":  # over all heads
        tensors |= {"self_attn.q_norm.weight": (Role.OTHER, (queries,)),
                    "self_attn.k_norm.weight": (Role.OTHER, (keys,))}
    return tensors


def _feed_forward(config, has_experts: bool) -> dict[str, tuple[Role, tuple[int, ...]]]:
    dim = config.hidden_size
    if has_experts:
        inner = getattr(config, "moe_intermediate_size", config.intermediate_size)
        if config.model_type == "gpt_oss":
            return {"mlp.router.weight": (Role.ROUTER, (experts(config), dim)),
                    "mlp.experts.gate_up_proj": (Role.MATMUL, (experts(config), dim, 2 * inner)),
                    "mlp.experts.gate_up_proj_bias": (Role.OTHER, (experts(config), 2 * inner)),
                    "mlp.experts.down_proj": (Role.MATMUL, (experts(config), inner, dim)),
                    "mlp.experts.down_proj_bias": (Role.OTHER, (experts(config), dim))}
        is_granite = config.model_type == "granitemoe"
        module, router = ("block_sparse_moe", "router") if is_granite else ("mlp", "gate")
        tensors = {
            f"{module}.{router}.weight": (Role.ROUTER, (experts(config), dim)),
            f"{module}.experts.gate_up_proj": (Role.MATMUL, (experts(config), 2 * inner, dim)),
            f"{module}.experts.down_proj": (Role.MATMUL, (experts(config), dim, inner)),
        }
        if is_deepseek(config):
            inner = config.moe_intermediate_size * config.n_shared_experts
            tensors |= {f"mlp.shared_experts.{one}_proj.weight": (Role.MATMUL, (inner, dim)) for one in ("gate", "up")}
            tensors["mlp.shared_experts.down_proj.weight"] = (Role.MATMUL, (dim, inner))
        elif _has_shared_expert(config):
            inner = config.shared_expert_intermediate_size
            tensors |= {"mlp.shared_expert_gate.weight": (Role.ROUTER, (1, dim)),
                        "mlp.shared_expert.gate_proj.weight": (Role.MATMUL, (inner, dim)),
                        "mlp.shared_expert.up_proj.weight": (Role.MATMUL, (inner, dim)),
                        "mlp.shared_expert.down_proj.weight": (Role.MATMUL, (dim, inner))}
        return tensors
    inner = config.intermediate_size
    if config.model_type == "starcoder2":
        return {"mlp.c_fc.weight": (Role.MATMUL, (inner, dim)), "mlp.c_proj.weight": (Role.MATMUL, (dim, inner))}
    if config.model_type == "phi3":
        return {"mlp.gate_up_proj.weight": (Role.MATMUL, (2 * inner, dim)),
                "mlp.down_proj.weight": (Role.MATMUL, (dim, inner))}
    return {**{f"mlp.{one}_proj.weight": (Role.MATMUL, (inner, dim)) for one in ("gate", "up")},
            "mlp.down_proj.weight": (Role.MATMUL, (dim, inner))}


def is_transposed(config, name: str) -> bool:
    """Whether a tensor is [experts, inputs, outputs], so that a row of the rule is a column of it."""
    return config.model_type == "gpt_oss" and name.endswith(("experts.gate_up_proj", "experts.down_proj"))


def table(config) -> dict[str, tuple[Role, tuple[int, ...]]]:
    """Role and shape of every parameter but the biases, by transformers' name; the head is one of its own."""
    dim = config.hidden_size
    return {
        "model.embed_tokens.weight": (Role.OTHER, (config.vocab_size, dim)),
        **{f"model.layers.{number}.{name}": entry for number, has_experts in enumerate(mixture_layers(config))
           for name, entry in (_attention(config) | _feed_forward(config, has_experts)).items()},
        "model.norm.weight": (Role.OTHER, (dim,)),
        "lm_head.weight": (Role.MATMUL, (config.vocab_size, dim)),
    }


def _has_shared_expert(config) -> bool:
    return hasattr(config, "shared_expert_intermediate_size") or is_deepseek(config)


def matrices(config) -> int:
    """How many matrices the rule quantizes; each projection of a fused tensor counts.

    They are q, k, v and the output of each layer's attention, in DeepSeek one or two for queries, one for latents and
    the output; gate, up and down of each network, in StarCoder 2 only two; and the head.
    """
    networks = [experts(config) + _has_shared_expert(config) if has_experts else 1
                for has_experts in mixture_layers(config)]
    of_network = 2 if config.model_type == "starcoder2" else 3
    of_attention = 3 if is_deepseek(config) and config.q_lora_rank is None else 4
    return sum(of_attention + of_network * number for number in networks) + 1


def roles(config, parameters: Mapping[str, torch.Tensor]) -> dict[str, Role]:
    """The role of every parameter; refuses a model whose parameters are not those of the table."""
    architecture = (config.architectures or ["none"])[0]
    if architecture not in CLASSES:
        raise ValueError(f"architectures: expected one of {', '.join(CLASSES)}, found {architecture}")
    expected = table(config)
    found = {name: tuple(parameter.shape) for name, parameter in parameters.items() if not name.endswith(".bias")}
    for name in sorted(expected.keys() | found.keys()):
        shape = expected[name][1] if name in expected else "no such tensor"
        if found.get(name) != shape:
            raise ValueError(f"{architecture}: {name}: expected {shape}, found {found.get(name, 'none')}")
    named = {name: role for name, (role, _) in expected.items()}
    counted = sum(_matrices_in(name, found[name]) for name, role in named.items() if role is Role.MATMUL)
    if counted != matrices(config):
        raise ValueError(f"{architecture}: expected {matrices(config)} matmul weights, found {counted}")
    return {name: named.get(name, Role.OTHER) for name in parameters}


def _matrices_in(name: str, shape: tuple[int, ...]) -> int:
    """How many matrices a tensor holds: gate and up may share one, and so may q, k and v, and all experts."""
    each = 2 if "gate_up_proj" in name else 3 if "qkv_proj" in name else 1
    return each * (shape[0] if len(shape) == 3 else 1)
