"""Write the Hugging Face folder of a Llama that is at hand as a GGUF file, so that expect.py can read it.

    python folder_from_gguf.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --tokenizer TOKENIZER.json --out FOLDER

The weights are dequantized by the package `gguf` and rounded to BF16. That is the model from then on: the
bundle made of it has nothing to do with the file's own quantization. Only what a plain Llama needs is
read; rotary scaling, biases and mixtures are refused.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file

NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GLOBAL_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
                "output.weight": "lm_head.weight"}


def configuration(reader: GGUFReader) -> dict:
    """config.json from the file's metadata."""
    field = lambda key, default=None: reader.fields[key].contents() if key in reader.fields else default
    if field("general.architecture") != "llama" or field("llama.rope.scaling.type", "none") != "none":
        raise SystemExit("expected a llama without rotary scaling, found another model in the file")
    heads, dim = field("llama.attention.head_count"), field("llama.embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "vocab_size": int(next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1]),
        "hidden_size": dim, "intermediate_size": field("llama.feed_forward_length"),
        "num_hidden_layers": field("llama.block_count"), "num_attention_heads": heads,
        "num_key_value_heads": field("llama.attention.head_count_kv", heads), "head_dim": dim // heads,
        "max_position_embeddings": field("llama.context_length"),
        "rms_norm_eps": float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": field("llama.rope.freq_base", 10000.0), "hidden_act": "silu",
        "tie_word_embeddings": all(t.name != "output.weight" for t in reader.tensors),
        "bos_token_id": field("tokenizer.ggml.bos_token_id"), "eos_token_id": field("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "bfloat16",
    }


def hugging_face_name(name: str) -> str:
    if name in GLOBAL_NAMES:
        return GLOBAL_NAMES[name]
    block, layer, kind, suffix = (name.split(".") + [""] * 4)[:4]
    if block != "blk" or kind not in NAMES or suffix != "weight":
        raise SystemExit(f"expected the tensors of a plain Llama, found {name}")
    return f"model.layers.{layer}.{NAMES[kind]}.weight"


def in_halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in Hugging Face's order: GGUF interleaves the halves that are rotated."""
    rows = weight.shape[0] // heads
    return weight.reshape(heads, rows // 2, 2, -1).transpose(1, 2).reshape(weight.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json of the model")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    reader = GGUFReader(str(options.gguf))
    config = configuration(reader)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    tensors = {}
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            weight = in_halves(weight, heads[kind])
        tensors[hugging_face_name(tensor.name)] = weight.bfloat16().contiguous()
    options.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(options.out / "model.safetensors"), metadata={"format": "pt"})
    (options.out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if options.tokenizer:
        shutil.copyfile(options.tokenizer, options.out / "tokenizer.json")


if __name__ == "__main__":
    main()
