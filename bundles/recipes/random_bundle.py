"""Write a seeded random bundle for conformance: shapes that the default bundle does not have.

    python random_bundle.py --tokenizer bundles/default/tokenizer.json --head-dim 64 --out bundles/tiny-gqa8-hd64
    python expect.py --model bundles/tiny-gqa8-hd64
    python random_bundle.py --tokenizer bundles/default/tokenizer.json --family mixtral --kv-heads 1 --group 4 \
        --head-dim 16 --out bundles/tiny-mixtral
    python expect.py --model bundles/tiny-mixtral

Two layers, by default eight query heads for each of two KV heads, and widths that are no multiple of 32,
so that the last INT4 group of a row is short. The model has learned nothing; what it computes is as
definite as with any other weights, and the same arguments give the same bytes.
"""

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from yaml_text import to_yaml

VOCABULARY = 512
HIDDEN = 48
INTERMEDIATE = 112
LAYERS = 2
POSITIONS = 4096
WINDOW = 24   # of Mistral, in positions: shorter than most prompts
EXPERTS = 4   # of Mixtral, of which each token has two

CLASSES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
           "qwen3": "Qwen3ForCausalLM", "mixtral": "MixtralForCausalLM"}

# Prompt lengths in ids: single tokens, and both sides of page and tile borders.
LENGTHS = (1, 2, 15, 16, 17, 31, 63, 64, 65, 129, 300)
DOCUMENT_IDS = 256


@dataclass(frozen=True)
class Shape:
    """What distinguishes one random model from another."""

    head_dim: int
    family: str = "llama"
    kv_heads: int = 2
    group: int = 8  # query heads of each KV head
    tied: bool = False


def configuration(shape: Shape) -> dict:
    of_family = {
        "llama": {"attention_bias": False, "mlp_bias": False},
        "mistral": {"sliding_window": WINDOW},
        "qwen2": {"use_sliding_window": False},
        "qwen3": {"attention_bias": False, "use_sliding_window": False},
        "mixtral": {"num_local_experts": EXPERTS, "num_experts_per_tok": 2, "sliding_window": None},
    }[shape.family]
    return {
        "architectures": [CLASSES[shape.family]], "model_type": shape.family, "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS,
        "num_attention_heads": shape.kv_heads * shape.group, "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim, "max_position_embeddings": POSITIONS, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", **of_family, "tie_word_embeddings": shape.tied,
        "torch_dtype": "bfloat16", "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 3,
    }


def weights(shape: Shape, seed: int) -> dict[str, torch.Tensor]:
    """Normal weights, with gains that leave the best two logits well apart: a wide head, a weak MLP."""
    source = torch.Generator().manual_seed(seed)
    normal = lambda rows, columns, gain=1.0: torch.randn(rows, columns, generator=source) * gain * columns ** -0.5
    near_one = lambda size=HIDDEN: 1 + 0.1 * torch.randn(size, generator=source)
    keys = shape.kv_heads * shape.head_dim
    queries = keys * shape.group
    tensors = {"model.embed_tokens.weight": torch.randn(VOCABULARY, HIDDEN, generator=source),
               "model.norm.weight": near_one()}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        tensors |= {
            prefix + "input_layernorm.weight": near_one(),
            prefix + "self_attn.q_proj.weight": normal(queries, HIDDEN, 1.5),
            prefix + "self_attn.k_proj.weight": normal(keys, HIDDEN),
            prefix + "self_attn.v_proj.weight": normal(keys, HIDDEN),
            prefix + "self_attn.o_proj.weight": normal(HIDDEN, queries),
            prefix + "post_attention_layernorm.weight": near_one(),
        }
        if shape.family == "qwen2":
            tensors |= {f"{prefix}self_attn.{one}_proj.bias": 0.3 * torch.randn(rows, generator=source)
                        for one, rows in (("q", queries), ("k", keys), ("v", keys))}
        if shape.family == "qwen3":
            tensors |= {f"{prefix}self_attn.{one}_norm.weight": near_one(shape.head_dim) for one in "qk"}
        if shape.family == "mixtral":
            tensors[prefix + "block_sparse_moe.gate.weight"] = normal(EXPERTS, HIDDEN)
            for number in range(EXPERTS):
                expert = f"{prefix}block_sparse_moe.experts.{number}."
                tensors |= {expert + "w1.weight": normal(INTERMEDIATE, HIDDEN),
                            expert + "w3.weight": normal(INTERMEDIATE, HIDDEN),
                            expert + "w2.weight": normal(HIDDEN, INTERMEDIATE)}
            continue
        tensors |= {
            prefix + "mlp.gate_proj.weight": normal(INTERMEDIATE, HIDDEN),
            prefix + "mlp.up_proj.weight": normal(INTERMEDIATE, HIDDEN),
            prefix + "mlp.down_proj.weight": normal(HIDDEN, INTERMEDIATE, 0.25),
        }
    if not shape.tied:
        tensors["lm_head.weight"] = normal(VOCABULARY, HIDDEN, 6.0)
    return {name: tensor.bfloat16().contiguous() for name, tensor in tensors.items()}


def short_tokenizer(tokenizer: dict) -> dict:
    """The same byte-level BPE with its first merges only: ids below VOCABULARY keep their meaning."""
    model = tokenizer["model"]
    vocabulary = {token: number for token, number in model["vocab"].items() if number < VOCABULARY}
    parts = lambda merge: merge if isinstance(merge, list) else merge.split(" ")
    merges = [merge for merge in model["merges"] if "".join(parts(merge)) in vocabulary]
    return {**tokenizer, "model": {**model, "vocab": vocabulary, "merges": merges}}


def suite(seed: int) -> dict:
    source = random.Random(f"prompts/{seed}")
    tags = ["smoke", "full", "reference"]
    ids = lambda count: [source.randrange(4, VOCABULARY) for _ in range(count)]
    prompts = [{"id": f"ids-{count:03d}", "tags": tags, "kind": "code", "ids": ids(count), "max_new_tokens": 12}
               for count in LENGTHS]
    prompts.append({"id": "text-001", "tags": tags, "kind": "code", "text": "K7-mango = 4821\nK7-mango =",
                    "max_new_tokens": 12})
    letters = "".join(source.choice("abcdefghij klmnopqrst\n") for _ in range(DOCUMENT_IDS))
    prompts += [{"id": f"fork-{number:03d}", "tags": tags, "kind": "rag", "document": "letters", "ids": ids(number),
                 "max_new_tokens": 12} for number in (1, 5)]
    return {"suite_format": 1, "name": "conformance", "license": "Apache-2.0", "prompts": prompts,
            "documents": [{"id": "letters", "text": letters}]}


def write_model(folder: Path, shape: Shape, seed: int) -> None:
    """config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights(shape, seed), str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(configuration(shape), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--family", choices=CLASSES, default="llama")
    parser.add_argument("--head-dim", type=int, required=True)
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--group", type=int, default=8, help="query heads of each KV head")
    parser.add_argument("--tied", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    shape = Shape(options.head_dim, options.family, options.kv_heads, options.group, options.tied)
    write_model(options.out, shape, options.seed)
    (options.out / "prompts").mkdir(exist_ok=True)
    write = lambda name, text: (options.out / name).write_text(text, encoding="utf-8")
    tokenizer = json.loads(options.tokenizer.read_text(encoding="utf-8"))
    write("tokenizer.json", json.dumps(short_tokenizer(tokenizer), ensure_ascii=False, indent=1) + "\n")
    write("prompts/conformance.yaml", to_yaml(suite(options.seed), width=110))
    write("manifest.yaml", to_yaml({
        "format": "secondsource-bundle", "version": 1, "name": options.out.name, "family": options.family,
        "license": "Apache-2.0", "chat_template": "none",
        "source": {"description": "seeded random weights from bundles/recipes/random_bundle.py", "url": ""}}))


if __name__ == "__main__":
    main()
