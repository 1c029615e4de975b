"""Compares `bundle create --smooth-text` with SmoothQuant's formula in NumPy, applied to activations that transformers computes in FP32.

    python smoothing_test.py SECONDSOURCE MODEL_LOGITS

MODEL_LOGITS is the program of model_logits.cpp. The models are tiny and random, with some channels far larger than the others. They get
the tokenizer of bundles/default, and its README is the text. The test checks:

- the powers of two by which tensors were multiplied: found / given must be one number for each channel, whose exponent is within half a
  step of the formula's logarithm (and 0.02 more, because the program's backend rounds activations to BF16); all other tensors must be
  unchanged;
- the logits in f32 and bf16 on every backend of the host, which must be the same before and after, to the last bit;
- the logits in int8-w8a8, which must come nearer to those of f32;
- that unsupported models are refused with a message.

Ends with 77 if a package is missing.
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
    "ministral3": transformers.Ministral3Config(**SIZES, rope_parameters={
        **tiny_models.GROWING, "factor": 8.0, "original_max_position_embeddings": 128}),
    "phi3": transformers.Phi3Config(**SIZES),
    "gemma": transformers.GemmaConfig(**SIZES),
    "gemma2": transformers.Gemma2Config(**SIZES, sliding_window=40, query_pre_attn_scalar=24),
    "gemma3": transformers.Gemma3TextConfig(**SIZES, sliding_window=40, query_pre_attn_scalar=24),
    "olmo2": transformers.Olmo2Config(**SIZES),
    "cohere": transformers.CohereConfig(**SIZES, tie_word_embeddings=False),
    "cohere-norms": transformers.CohereConfig(**SIZES, use_qk_norm=True, tie_word_embeddings=False),
    "cohere2": transformers.Cohere2Config(**SIZES, sliding_window=40, tie_word_embeddings=False),
    "starcoder2": transformers.Starcoder2Config(**SIZES, sliding_window=None, tie_word_embeddings=False),
    "mixtral": transformers.MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2),
    "qwen2_moe": transformers.Qwen2MoeConfig(**SIZES, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64,
                                             shared_expert_intermediate_size=72, mlp_only_layers=[1]),
    "granite_moe": transformers.GraniteMoeConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2),
    "gpt_oss": transformers.GptOssConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2, sliding_window=40,
                                         rope_parameters={"rope_type": "default", "rope_theta": 150000.0}),
}
ADD_ONE = ("gemma", "gemma2", "gemma3_text")  # model types whose norms multiply by 1 + weight
JOBS = [{"sequences": [{"ids": [(37 * i + 5) % 2000 + 4 for i in range(90)], "n_prompt": n}]} for n in (3, 88)]


def write_model(name: str, folder: Path) -> None:
    model = tiny_models.with_random_weights(MODELS[name])
    with torch.no_grad():
        # Trained models have channels with large inputs and small weights. The random model gets some before every matmul that is
        # smoothed.
        weights = dict(model.named_parameters())
        for module, multiplied, divided, group in folds(model.config, tied=True, stored=False):
            channels = {5: 64, 17: 32} if "o_proj" not in module else {}
            if "down" in module:  # the factor is larger in model types in which only down_proj is enlarged
                channels = {11: 512, 90: 128} if model.config.model_type in ADD_ONE else {11: 64, 90: 16}
            enlarge(weights, multiplied, divided, channels)
    model.save_pretrained(str(folder), max_shard_size="150KB")
    shutil.copy(TOKENIZER, folder / "tokenizer.json")


def enlarge(weights: dict, multiplied: list[str], divided: list[tuple[str, int]], factors: dict[int, int]) -> None:
    """Enlarges channels by powers of two and reduces the weights that multiply them accordingly, so that the outputs stay the same."""
    for channel, factor in factors.items():
        for name, first in divided:
            if name in weights:
                weights[name][first + channel] *= factor
        for name in multiplied:
            weights[name][..., channel] /= factor


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def maxima(folder: Path, ids: list[int]) -> dict[str, np.ndarray]:
    """Maps the name of each linear layer to the largest magnitude of each of its inputs."""
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    found: dict[str, np.ndarray] = {}

    def note(name: str):
        def hook(_module, inputs):
            most = inputs[0].abs().flatten(0, -2).amax(0).numpy().astype(np.float64)
            found[name] = np.maximum(found.get(name, 0), most)
        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) or name.endswith(("mlp.gate", "router")):
            module.register_forward_pre_hook(note(name))
    with torch.no_grad():
        for start in range(0, len(ids), WINDOW):
            model(input_ids=torch.tensor([ids[start:start + WINDOW]]), use_cache=False)
    return found


def folds(config, tied: bool, stored: bool = True):
    """Yields for each smoothed matmul: the module that has its input; the weights whose columns are multiplied; the tensors that are
    divided, each with its first channel; and the number of heads that share a value. Names are those in the files (`stored`) or those of
    transformers' parameters."""
    kind, group = config.model_type, config.num_attention_heads // config.num_key_value_heads
    width = config.head_dim * config.num_key_value_heads
    for number in range(config.num_hidden_layers):
        layer = f"model.layers.{number}."
        attention, network = layer + "self_attn.", layer + "mlp."
        mixture = inputs_of_experts(config, number, stored)
        if kind == "phi3":
            projections, value = ["qkv_proj"], ("qkv_proj", config.head_dim * config.num_attention_heads + width)
            inputs, up = ["gate_up_proj"], ("gate_up_proj", config.intermediate_size)
        else:
            projections, value, inputs, up = ["q_proj", "k_proj", "v_proj"], ("v_proj", 0), ["gate_proj", "up_proj"], ("up_proj", 0)
        if kind == "starcoder2":
            inputs = ["c_fc"]
        readers = [f"{attention}{one}.weight" for one in projections]
        in_network = mixture[1] if mixture else [f"{network}{one}.weight" for one in inputs]
        norm = lambda name: [(f"{layer}{name}.weight", 0), (f"{layer}{name}.bias", 0)]
        if kind.startswith("cohere"):
            yield attention + projections[0], readers + in_network, norm("input_layernorm"), 1
        elif kind not in (*ADD_ONE, "olmo2"):
            yield attention + projections[0], readers, norm("input_layernorm"), 1
        yield attention + "o_proj", [attention + "o_proj.weight"], [
            (f"{attention}{value[0]}.{part}", value[1]) for part in ("weight", "bias")], group
        if kind not in (*ADD_ONE, "olmo2", "gpt_oss") and not kind.startswith("cohere"):
            yield mixture[0] if mixture else network + inputs[0], in_network, norm("post_attention_layernorm"), 1
        if not mixture and kind != "starcoder2":
            yield network + "down_proj", [network + "down_proj.weight"], [
                (f"{network}{up[0]}.{part}", up[1]) for part in ("weight", "bias")], 1
    if not tied and kind not in ADD_ONE:
        yield "lm_head", ["lm_head.weight"], [("model.norm.weight", 0), ("model.norm.bias", 0)], 1


def inputs_of_experts(config, number: int, stored: bool) -> tuple[str, list[str]] | None:
    """The router of a mixture, and all weights of the layer that read the same input."""
    kind, layer = config.model_type, f"model.layers.{number}."
    if kind in ("mixtral", "qwen2_moe"):
        if number in (getattr(config, "mlp_only_layers", None) or ()):
            return None
        module, matrices = ("block_sparse_moe", ("w1", "w3")) if kind == "mixtral" else ("mlp", ("gate_proj", "up_proj"))
        experts = [f"{layer}{module}.experts.{one}.{matrix}.weight" for one in range(4) for matrix in matrices]
        if not stored:
            module, experts = "mlp", [f"{layer}mlp.experts.gate_up_proj"]
        shared = [f"{layer}mlp.{one}.weight" for one in (
            "shared_expert.gate_proj", "shared_expert.up_proj", "shared_expert_gate")] if kind == "qwen2_moe" else []
        return f"{layer}mlp.gate", [f"{layer}{module}.gate.weight", *experts, *shared]
    if kind == "granitemoe":
        names = ("router.layer.weight", "input_linear.weight") if stored else ("router.weight", "experts.gate_up_proj")
        return f"{layer}block_sparse_moe.router", [f"{layer}block_sparse_moe.{name}" for name in names]
    return (f"{layer}mlp.router", []) if kind == "gpt_oss" else None


def by_channel(values: np.ndarray, group: int, head_dim: int) -> np.ndarray:
    """The largest value of each channel. Inputs of heads that share a value belong to the same channel."""
    return values if group == 1 else values.reshape(-1, group, head_dim).max(1).reshape(-1)


def check_powers(name: str, given: dict, found: dict, activations: dict, config) -> None:
    powers = {key: np.zeros(tensor.shape) for key, tensor in given.items()}
    every = list(folds(config, "lm_head.weight" not in given))
    columns: dict[str, np.ndarray] = {}  # for each matrix, the exponents of the powers of two that multiplied its columns
    worst = 0.0
    for module, multiplied, divided, group in every:
        n_channels = by_channel(activations[module], group, config.head_dim).size
        largest = [np.abs(given[one].double().numpy()).reshape(-1, given[one].shape[-1]).max(0) for one in multiplied]
        x, w = (by_channel(one, group, config.head_dim) for one in (activations[module], np.max(largest, 0)))
        logs = ALPHA * np.log2(x) - (1 - ALPHA) * np.log2(w)
        logs -= np.sort(np.rint(logs))[(len(logs) - 1) // 2]
        target, first = divided[0]
        step = ratio(found[target], given[target])[first:first + n_channels]
        if step.ndim == 2:  # rows of a matrix, whose columns may have been multiplied for another matmul
            step = np.median(step / 2 ** columns.get(target, np.zeros(step.shape[1])), 1)
        exponents = -np.log2(step)
        if not np.array_equal(exponents, np.rint(exponents)):
            raise AssertionError(f"{name}: {target}: expected powers of two, found {step}")
        # If the median is near a rounding boundary, all exponents may be off by one, which has no effect on the quantization.
        shift = np.rint(np.median(logs - exponents))
        worst = max(worst, float(np.abs(logs - exponents - shift).max()))
        of_inputs = exponents if group == 1 else np.repeat(exponents.reshape(-1, 1, config.head_dim), group, 1).reshape(-1)
        for one in multiplied:
            columns[one] = of_inputs
            powers[one] += of_inputs
        for one, first in divided:
            if one in given:
                powers[one][first:first + n_channels] -= exponents if given[one].dim() == 1 else exponents[:, None]
    for key, tensor in given.items():
        expected = (tensor.double() * torch.tensor(2.0 ** powers[key])).to(tensor.dtype)
        if not torch.equal(expected, found[key]):
            raise AssertionError(f"{name}: {key}: not the given values times these powers of two")
    print(f"{name:12} {len(every)} products, {len(given)} tensors, exponents within {worst:.3f} of the formula's logarithm")
    if worst > 0.52:
        raise AssertionError(f"{name}: expected exponents within half a step")


def ratio(found: torch.Tensor, given: torch.Tensor) -> np.ndarray:
    """found / given, and 1 where `given` is 0."""
    found, given = found.double().numpy(), given.double().numpy()
    return np.where(given == 0, 1.0, found / np.where(given == 0, 1.0, given))


def logits(folder: Path, backend: str, variant: str) -> list[torch.Tensor] | None:
    done = subprocess.run([MODEL_LOGITS, str(folder), backend, variant], input="".join(json.dumps(job) + "\n" for job in JOBS),
                          capture_output=True, text=True)
    reasons = ("no backend module", "CPU without VNNI", "no router for mixtures", "no clamped SwiGLU")
    if done.returncode != 0 and any(reason in done.stderr for reason in reasons):
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
    for name, says in (("deepseek_v2-lite", "latent attention"), ("mistral3", "for pictures")):
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
