"""Write a Llama of a Hugging Face folder or a bundle as a GGUF file for llama.cpp.

    python write_gguf.py BUNDLE FILE.gguf [--type bf16|f16|f32|q8_0]

Weights are those of the folder: exact in bf16 where they are stored so; in q8_0 the matrices have exactly the codes and
scales of the variant int8-g32, and the embedding stays BF16, as there. Norms are F32. Rows of Q and K are put into the
order that llama.cpp's rotation wants. The vocabulary comes from tokenizer.json, if that is a byte-level BPE; its
splitting into words has no general form in GGUF, so that text may have other ids than the tokenizer's: send ids where
that matters. Without a tokenizer.json, or where it joins no bytes (as in what `bundle synth` makes), the vocabulary is made of dummies,
since llama.cpp loads none without merges. The rotary scaling of Llama 3 becomes a tensor of
divisors, rope_freqs.weight; other scalings are refused.
"""

import argparse
import json
import math
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
HEADS = {"self_attn.q_proj.weight": "num_attention_heads", "self_attn.k_proj.weight": "num_key_value_heads"}
TYPES = {
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
# The names of pre-tokenizers that llama.cpp knows, by their pattern in tokenizer.json.
PRE_TOKENIZERS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+":
        "qwen2",
}


def gguf_name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}"


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection in GGUF's order, which interleaves the halves that are rotated."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).transpose(1, 2).reshape(weight.shape)


def q8_0(weight: torch.Tensor) -> np.ndarray:
    """Blocks of an FP16 scale and 32 codes, as the variant int8-g32 has them."""
    from quantize import int8_group_codes

    codes, scales = int8_group_codes(weight.bfloat16())
    rows, columns = codes.shape
    if columns % 32:
        raise SystemExit(f"q8_0: expected rows of a multiple of 32, found {columns}")
    as_bytes = lambda tensor: tensor.contiguous().view(torch.uint8).numpy().reshape(rows, columns // 32, -1)
    return np.concatenate([as_bytes(scales), as_bytes(codes)], axis=2).reshape(rows, columns // 32 * 34)


def add_matrix(writer: gguf.GGUFWriter, name: str, weight: torch.Tensor, kind: str) -> None:
    if kind == "q8_0":
        writer.add_tensor(name, q8_0(weight), raw_dtype=TYPES[kind][0])
    elif kind == "bf16":
        rows = weight.to(torch.bfloat16).contiguous().view(torch.uint16).numpy()
        writer.add_tensor(name, rows, raw_dtype=TYPES[kind][0])
    else:
        writer.add_tensor(name, weight.to({"f16": torch.float16, "f32": torch.float32}[kind]).contiguous().numpy())


def add_tensors(writer: gguf.GGUFWriter, folder: Path, config: dict, kind: str) -> None:
    has_head = False
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            has_head = has_head or name == "lm_head.weight"
            heads = HEADS.get(name.split(".", 3)[-1])
            if heads:
                tensor = interleaved(tensor, config[heads])
            if tensor.dim() == 1:
                writer.add_tensor(gguf_name(name), tensor.float().numpy())
            elif name == "model.embed_tokens.weight" and kind == "q8_0":
                # A lookup is never quantized; a head that is tied to it is.
                add_matrix(writer, gguf_name(name), tensor, "bf16")
                if config.get("tie_word_embeddings"):
                    add_matrix(writer, NAMES["lm_head.weight"], tensor, kind)
                    has_head = True
            else:
                add_matrix(writer, gguf_name(name), tensor, kind)
    if not has_head and not config.get("tie_word_embeddings"):
        raise SystemExit(f"{folder}: expected lm_head.weight, since the embedding is not tied; found none")


def add_dummy_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.BYTE] * 256
    tokens += [f"dummy{i}" for i in range(size - len(tokens))]
    kinds += [gguf.TokenType.NORMAL] * (size - len(kinds))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def pattern_of(tokenizer: dict) -> str:
    """The regular expression by which the tokenizer splits text; empty if it does not split by one."""
    steps = tokenizer.get("pre_tokenizer") or {}
    for step in steps.get("pretokenizers", [steps]):
        if step.get("type") == "Split":
            return step["pattern"].get("Regex", "")
    return ""


def add_vocabulary(writer: gguf.GGUFWriter, folder: Path, config: dict) -> None:
    path = folder / "tokenizer.json"
    if not path.exists():
        add_dummy_vocabulary(writer, config["vocab_size"])
        return
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    model = tokenizer["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise SystemExit(f"{path}: expected a byte-level BPE, found {model.get('type')}")
    size = config["vocab_size"]
    if not model["merges"]:
        add_dummy_vocabulary(writer, size)
        return
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [gguf.TokenType.UNUSED] * size
    for text, token in model["vocab"].items():
        tokens[token], kinds[token] = text, gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], kinds[added["id"]] = added["content"], kind
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZERS.get(pattern_of(tokenizer), "default"))
    writer.add_token_list([token.encode() for token in tokens])
    writer.add_token_types(kinds)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    settings = {}
    if (folder / "tokenizer_config.json").exists():
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    first = lambda value: value[0] if isinstance(value, list) else value
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(first(config["bos_token_id"]))
    if config.get("eos_token_id") is not None:
        writer.add_eos_token_id(first(config["eos_token_id"]))
    if config.get("pad_token_id") is not None:
        writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(bool(settings.get("add_bos_token", False)))
    if isinstance(settings.get("chat_template"), str):
        writer.add_chat_template(settings["chat_template"])


def llama3_divisors(scaling: dict, theta: float, head_dim: int) -> np.ndarray:
    """What the rotary scaling of Llama 3 divides each frequency by: 1 for short wavelengths, the factor for long ones, and between
    the two bounds an interpolation of their inverses."""
    divisors = []
    for pair in range(head_dim // 2):
        wavelength = 2.0 * math.pi * theta ** (2 * pair / head_dim)
        turns = scaling["original_max_position_embeddings"] / wavelength
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        share = min(1.0, max(0.0, (turns - low) / (high - low)))
        divisors.append(1.0 / ((1.0 - share) / scaling["factor"] + share))
    return np.array(divisors, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--type", choices=TYPES, default="bf16")
    options = parser.parse_args()
    config = json.loads((options.bundle / "config.json").read_text(encoding="utf-8"))
    scaling = config.get("rope_scaling")
    if config.get("model_type", "llama") != "llama" or (scaling and scaling.get("rope_type") != "llama3"):
        raise SystemExit("expected a llama whose rotary scaling is none or that of Llama 3, found another model")
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer = gguf.GGUFWriter(str(options.file), "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(TYPES[options.type][1])
    add_vocabulary(writer, options.bundle, config)
    if scaling:
        writer.add_tensor("rope_freqs.weight", llama3_divisors(scaling, config.get("rope_theta", 10000.0), head_dim))
    add_tensors(writer, options.bundle, config, options.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
