"""`bundle create --smooth-text` against SmoothQuant's formula in NumPy, with activations that transformers computes in FP32.

    python smoothing_test.py SECONDSOURCE MODEL_LOGITS

MODEL_LOGITS is the program of model_logits.cpp. Tiny random models, some of whose channels are far larger than the others, get the
tokenizer of bundles/default and its README as the text. Held against:

- the powers of two by which each tensor was multiplied: found / given must be one number for each channel, and lie within half
  a step of the formula's logarithm (and 0.02 more, since the program's backend rounds activations to BF16); all other tensors
  must be the same bytes;
- the logits in f32 and bf16, on every backend of the host: the same before and after, to the last bit;
- the logits in int8-w8a8, which must come nearer to those of f32;
- what is refused by name.

Ends with 77 where a package is missing.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import tokenizers
    import torch
    import transformers
    import yaml
    from safetensors.torch import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bundles/recipes"))
import tiny_models

PROGRAM, MODEL_LOGITS = sys.argv[1:3]
TEXT = ROOT / "README.md"
TOKENIZER = ROOT / "bundles/default/tokenizer.json"
ALPHA = 0.5
WINDOW = 512
SIZES = {"vocab_size": 2048, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 24, "max_position_embeddings": 1024, "bos_token_id": None, "eos_token_id": 2,
         "pad_token_id": 3}
MODELS = {
    "llama": transformers.LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "qwen2": transformers.Qwen2Config(**SIZES),
    "qwen3-tied": transformers.Qwen3Config(**SIZES, tie_word_embeddings=True),
    "mistral": transformers.MistralConfig(**SIZES, sliding_window=40),
    "smollm3": transformers.SmolLM3Config(**SIZES, no_rope_layer_interval=2),
    "seed_oss": transformers.SeedOssConfig(**SIZES, attention_out_bias=True),
    "ernie4_5": transformers.Ernie4_5Config(**SIZES, use_bias=True, tie_word_embeddings=False),
    "granite": transformers.GraniteConfig(**SIZES, residual_multiplier=0.5, attention_multiplier=0.2, tie_word_embeddings=False),
}
JOBS = [{"sequences": [{"ids": [(37 * i + 5) % 2000 + 4 for i in range(90)], "n_prompt": n}]} for n in (3, 88)]


def write_model(name: str, folder: Path) -> None:
    model = tiny_models.with_random_weights(MODELS[name])
    with torch.no_grad():
        for layer in model.model.layers:  # channels with large inputs and small weights, as trained models have them
            attention, network = layer.self_attn, layer.mlp
            enlarge(layer.input_layernorm, [attention.q_proj, attention.k_proj, attention.v_proj], {5: 64, 17: 32})
            enlarge(layer.post_attention_layernorm, [network.gate_proj, network.up_proj], {40: 128})
            enlarge(network.up_proj, [network.down_proj], {11: 64, 90: 16})
    model.save_pretrained(str(folder), max_shard_size="150KB")
    shutil.copy(TOKENIZER, folder / "tokenizer.json")


def enlarge(before: torch.nn.Module, behind: list[torch.nn.Linear], factors: dict[int, int]) -> None:
    """Channels that are larger by a power of two, with weights that are smaller by it: the model stays the same."""
    for channel, factor in factors.items():
        before.weight[channel] *= factor
        if getattr(before, "bias", None) is not None:
            before.bias[channel] *= factor
        for one in behind:
            one.weight[:, channel] /= factor


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def maxima(folder: Path, ids: list[int]) -> dict[str, np.ndarray]:
    """The largest magnitude of each input of each linear layer, by the name of its module."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    found: dict[str, np.ndarray] = {}

    def note(name: str):
        def hook(_module, inputs):
            most = inputs[0].abs().flatten(0, -2).amax(0).numpy().astype(np.float64)
            found[name] = np.maximum(found.get(name, 0), most)
        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(note(name))
    with torch.no_grad():
        for start in range(0, len(ids), WINDOW):
            model(input_ids=torch.tensor([ids[start:start + WINDOW]]), use_cache=False)
    return found


def folds(config, tied: bool):
    """For each product: its module, the weights whose columns it multiplies, what is divided, and heads that share a value."""
    group = config.num_attention_heads // config.num_key_value_heads
    for number in range(config.num_hidden_layers):
        layer = f"model.layers.{number}."
        attention, network = layer + "self_attn.", layer + "mlp."
        yield attention + "q_proj", [attention + one + "_proj" for one in "qkv"], [layer + "input_layernorm.weight"], 1
        yield attention + "o_proj", [attention + "o_proj"], [attention + "v_proj.weight", attention + "v_proj.bias"], group
        yield network + "gate_proj", [network + "gate_proj", network + "up_proj"], [layer + "post_attention_layernorm.weight"], 1
        yield network + "down_proj", [network + "down_proj"], [network + "up_proj.weight", network + "up_proj.bias"], 1
    if not tied:
        yield "lm_head", ["lm_head"], ["model.norm.weight"], 1


def by_channel(values: np.ndarray, group: int, head_dim: int) -> np.ndarray:
    """The largest of the inputs that are one channel: those of the heads that share a value."""
    return values if group == 1 else values.reshape(-1, group, head_dim).max(1).reshape(-1)


def check_powers(name: str, given: dict, found: dict, activations: dict, config) -> None:
    powers = {key: np.zeros(tensor.shape) for key, tensor in given.items()}
    worst = 0.0
    for module, multiplied, divided, group in folds(config, "lm_head.weight" not in given):
        x = by_channel(activations[module], group, config.head_dim)
        w = by_channel(np.max([given[one + ".weight"].abs().amax(0).double().numpy() for one in multiplied], 0), group, config.head_dim)
        logs = ALPHA * np.log2(x) - (1 - ALPHA) * np.log2(w)
        logs -= np.sort(np.rint(logs))[(len(logs) - 1) // 2]
        target = divided[0]
        step = found[target].double().numpy() / given[target].double().numpy()
        if step.ndim == 2:  # rows of a matrix, whose columns another product multiplies
            step = np.median(step / 2 ** powers_of_columns(target, given, found, folds(config, "lm_head.weight" not in given)), 1)
        exponents = -np.log2(step)
        if not np.array_equal(exponents, np.rint(exponents)):
            raise AssertionError(f"{name}: {target}: expected powers of two, found {step}")
        # Where the median is a rounding away from another one, all channels have one factor more or less, which does nothing.
        shift = np.rint(np.median(logs - exponents))
        worst = max(worst, float(np.abs(logs - exponents - shift).max()))
        of_inputs = exponents if group == 1 else np.repeat(exponents.reshape(-1, 1, config.head_dim), group, 1).reshape(-1)
        for one in multiplied:
            powers[one + ".weight"] += of_inputs
        for one in divided:
            if one in given:
                powers[one] -= exponents if given[one].dim() == 1 else exponents[:, None]
    for key, tensor in given.items():
        expected = (tensor.double() * torch.tensor(2.0 ** powers[key])).to(tensor.dtype)
        if not torch.equal(expected, found[key]):
            raise AssertionError(f"{name}: {key}: not the given values times these powers of two")
    print(f"{name:12} {len(given)} tensors, exponents within {worst:.3f} of the formula's logarithm")
    if worst > 0.52:
        raise AssertionError(f"{name}: expected exponents within half a step")


def powers_of_columns(target: str, given: dict, found: dict, all_folds) -> np.ndarray:
    """By which powers the columns of a matrix were multiplied: those of the norm in front of it."""
    module = target.removesuffix(".weight")
    norm = next(divided[0] for _, multiplied, divided, _ in all_folds if module in multiplied)
    return -np.log2(found[norm].double().numpy() / given[norm].double().numpy())


def logits(folder: Path, backend: str, variant: str) -> list[torch.Tensor] | None:
    done = subprocess.run([MODEL_LOGITS, str(folder), backend, variant], input="".join(json.dumps(job) + "\n" for job in JOBS),
                          capture_output=True, text=True)
    if done.returncode != 0 and ("no backend module" in done.stderr or "CPU without VNNI" in done.stderr):
        return None
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return [torch.tensor(json.loads(line)["logits"][0]) for line in done.stdout.splitlines()]


def check_logits(name: str, model: Path, bundle: Path) -> None:
    for backend in ("reference", "cpu", "onednn"):
        for variant in ("f32", "bf16"):
            before, after = logits(model, backend, variant), logits(bundle, backend, variant)
            if before is None:
                continue
            if not all(torch.equal(one, other) for one, other in zip(before, after, strict=True)):
                raise AssertionError(f"{name}: {backend}: {variant}: other logits than before")
        exact, before, after = logits(model, backend, "f32"), *(logits(one, backend, "int8-w8a8") for one in (model, bundle))
        if exact is None or before is None:
            continue
        error = lambda found: float(max((one - other).norm() / other.norm() for one, other in zip(found, exact)))
        print(f"{name:12} {backend:10} int8-w8a8: error of the logits {error(before):.4f}, smoothed {error(after):.4f}")
        if error(after) > 0.7 * error(before):
            raise AssertionError(f"{name}: {backend}: expected int8-w8a8 to come nearer to f32")


def create(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, "bundle", "create", *map(str, arguments)], capture_output=True, text=True)


def check_model(name: str, scratch: Path) -> None:
    model, bundle = scratch / name, scratch / f"{name}-bundle"
    write_model(name, model)
    done = create("--from-hf", model, "--smooth-text", TEXT, "--smooth-tokens", 1300, "--out", bundle)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    ids = tokenizers.Tokenizer.from_file(str(TOKENIZER)).encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False).ids[:1300]
    record = yaml.safe_load((bundle / "manifest.yaml").read_text())["source"]["smoothing"]
    if record != {"alpha": ALPHA, "text_sha256": hashlib.sha256(TEXT.read_bytes()).hexdigest(), "tokens": 1300}:
        raise AssertionError(f"the manifest says {record}")
    info = subprocess.run([PROGRAM, "bundle", "info", str(bundle)], capture_output=True, text=True, check=True)
    if "smoothed by alpha 0.5, from 1300 tokens" not in info.stdout:
        raise AssertionError(info.stdout)
    subprocess.run([PROGRAM, "bundle", "verify", str(bundle)], capture_output=True, check=True)
    check_powers(name, tensors_of(model), tensors_of(bundle), maxima(model, ids), MODELS[name])
    check_logits(name, model, bundle)


def check_refusals(scratch: Path) -> None:
    for name, says in (("gemma", "multiply by their weight"), ("qwen3_moe", "mixtures of experts"), ("phi3", "tensors of their own"),
                       ("cohere2", "norms of their own"), ("deepseek_v2-lite", "mixtures of experts"), ("mistral3", "for pictures")):
        folder = scratch / name
        tiny_models.write_model(folder, name)
        shutil.copy(TOKENIZER, folder / "tokenizer.json")
        done = create("--from-hf", folder, "--smooth-text", TEXT, "--out", scratch / "none")
        if done.returncode == 0 or says not in done.stderr or len(done.stderr.splitlines()) != 1 or (scratch / "none").exists():
            raise AssertionError(f"{name}: expected {says!r}, found {done.returncode}: {done.stderr}")
    empty = scratch / "empty.txt"
    empty.write_text("")
    for arguments, says in ((("--from-gguf", "x.gguf", "--smooth-text", TEXT), "make a bundle of the GGUF file first"),
                            (("--from-hf", ROOT / "bundles/default", "--smooth-text", scratch / "absent"), "absent"),
                            (("--from-hf", ROOT / "bundles/default", "--smooth-text", empty), "at least one token"),
                            (("--from-hf", ROOT / "bundles/default", "--smooth-text", TEXT, "--smooth-alpha", "1.5"), "--smooth-alpha")):
        done = create(*arguments, "--out", scratch / "none")
        if done.returncode == 0 or says not in done.stderr:
            raise AssertionError(f"expected {says!r}, found {done.returncode}: {done.stderr}")


def main() -> int:
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        check_refusals(Path(scratch))
        for name in MODELS:
            check_model(name, Path(scratch))
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
