"""Which tensors of a model a variant's rule names (docs/bundle-format.md, "Variants").

The table is made from config.json alone and then held against the parameters of the model that transformers
built: by name, by shape, and by the number of matrices. So no tensor escapes the rule because a class of
transformers keeps it elsewhere than in a linear layer, as the experts of a mixture are: all of a layer are
two parameters of three dimensions there, [experts, outputs, inputs].
"""

import enum
from collections.abc import Mapping

import torch


class Role(enum.Enum):
    MATMUL = "matmul"  # quantized in the integer variants, and so are its inputs in those with w8a8
    ROUTER = "router"  # multiplied like a matrix, but never quantized; E rounds its operands
    OTHER = "other"    # embedding, norms, biases


CLASSES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MixtralForCausalLM")


def table(config) -> dict[str, tuple[Role, tuple[int, ...]]]:
    """Role and shape of every parameter but the biases, by transformers' name; the head is one of its own."""
    dim, inner = config.hidden_size, config.intermediate_size
    head_dim = getattr(config, "head_dim", None) or dim // config.num_attention_heads
    queries, keys = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    layer = {
        "input_layernorm.weight": (Role.OTHER, (dim,)),
        "self_attn.q_proj.weight": (Role.MATMUL, (queries, dim)),
        "self_attn.k_proj.weight": (Role.MATMUL, (keys, dim)),
        "self_attn.v_proj.weight": (Role.MATMUL, (keys, dim)),
        "self_attn.o_proj.weight": (Role.MATMUL, (dim, queries)),
        "post_attention_layernorm.weight": (Role.OTHER, (dim,)),
    }
    if config.model_type == "qwen3":
        layer |= {f"self_attn.{one}_norm.weight": (Role.OTHER, (head_dim,)) for one in "qk"}
    if config.model_type == "mixtral":
        experts = config.num_local_experts
        layer |= {
            "mlp.gate.weight": (Role.ROUTER, (experts, dim)),
            "mlp.experts.gate_up_proj": (Role.MATMUL, (experts, 2 * inner, dim)),
            "mlp.experts.down_proj": (Role.MATMUL, (experts, dim, inner)),
        }
    else:
        layer |= {f"mlp.{one}_proj.weight": (Role.MATMUL, (inner, dim)) for one in ("gate", "up")}
        layer["mlp.down_proj.weight"] = (Role.MATMUL, (dim, inner))
    return {
        "model.embed_tokens.weight": (Role.OTHER, (config.vocab_size, dim)),
        **{f"model.layers.{number}.{name}": entry
           for number in range(config.num_hidden_layers) for name, entry in layer.items()},
        "model.norm.weight": (Role.OTHER, (dim,)),
        "lm_head.weight": (Role.MATMUL, (config.vocab_size, dim)),
    }


def matrices(config) -> int:
    """How many matrices the rule quantizes, as the checkpoint stores them: gate, up and down of each expert apart."""
    experts = config.num_local_experts if config.model_type == "mixtral" else 1
    return config.num_hidden_layers * (4 + 3 * experts) + 1


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
    """Gate and up projection of an expert are one block of rows."""
    each = 2 if name.endswith("gate_up_proj") else 1
    return each * (shape[0] if len(shape) == 3 else 1)
