"""Compares logits of every model class between this project's engine and transformers in FP32. The models are those of
bundles/recipes/tiny_models.py and PLAIN below.

    python architectures_test.py MODEL_LOGITS [NAME...]

MODEL_LOGITS is the program of model_logits.cpp. Each model runs in the variant f32 on every backend of the host: prompts of several
lengths, decoding from the third id on, prompts in chunks of seven tokens, and a batch of sequences of different lengths, in which one
decodes while others begin. All logits are compared.

The bounds follow from the types. A logit is a sum of products, each of which FP32 rounds by a relative error of 2^-24. Over the few
hundred consecutive operations of these models, the errors add up to less than 2^-24 * 2^6 of the largest logit. oneDNN's cache is in
BF16, which rounds keys and values by 2^-9 in each layer; this causes an error of at most a few times 2^-9 of the largest logit.

Planted bugs show that the comparison detects a change of each property: the program reads a config.json in which one key has another
value, while transformers reads the right one, and the difference must be far above the bound. Ends with 77 if transformers is missing.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
    import transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bundles/recipes"))
import tiny_models

BACKENDS = {"reference": [], "cpu": ["kv=f32"], "onednn": []}
BOUND = {"f32": 2.0 ** -18, "bf16": 2.0 ** -7}
LENGTH = 90
IDS = [[(37 * i + 11 * s * s + 5) % 500 + 4 for i in range(LENGTH)] for s in range(4)]

JOBS: dict[str, dict] = {
    "prefill": {"sequences": [{"ids": IDS[0][:n], "n_prompt": n} for n in (1, 2, 16, 17, 63, LENGTH)]},
    "decode": {"sequences": [{"ids": IDS[0], "n_prompt": 3}]},
    "chunked prefill": {"max_tokens_per_step": 7, "sequences": [{"ids": IDS[1], "n_prompt": LENGTH - 2}]},
    "ragged batch": {"max_tokens_per_step": 24, "sequences": [
        {"ids": IDS[0][:40], "n_prompt": 5}, {"ids": IDS[1], "n_prompt": 70}, {"ids": IDS[2][:3], "n_prompt": 1},
        {"ids": IDS[3][:65], "n_prompt": 60}]},
}

# Models of the plain classes. tiny_models.py has models of these classes with additional features.
PLAIN = {
    **tiny_models.PLAIN,
    "mistral": (transformers.MistralConfig, {"sliding_window": 24}),
    "qwen2": (transformers.Qwen2Config, {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}),
    "mixtral": (transformers.MixtralConfig, {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 24}),
}

# For each model, planted bugs: keys with values that differ from the model's own.
PLANTED: dict[str, list[dict]] = {
    "llama": [{"rms_norm_eps": 1e-2}, {"rope_parameters": {"rope_theta": 10100.0, "rope_type": "default"}}],
    "mistral": [{"sliding_window": 25}],
    "qwen2": [{"layer_types": ["full_attention", "full_attention", "sliding_attention"]}, {"sliding_window": 25}],
    "qwen3": [{"rms_norm_eps": 1e-2}],
    "mixtral": [{"num_experts_per_tok": 1}, {"sliding_window": 25}],
    "qwen2_moe": [{"norm_topk_prob": True}],
    "qwen2_moe-windows": [{"use_sliding_window": False, "layer_types": ["full_attention"] * 3}],
    "phi3": [{"sliding_window": 25}],
    "phi3-partial": [{"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5}}],
    "phi3-longrope": [{"original_max_position_embeddings": 100}, {"max_position_embeddings": 255}],
    "gemma": [{"rms_norm_eps": 1e-2}],
    "gemma2": [{"attn_logit_softcapping": 2.1}, {"final_logit_softcapping": None}, {"query_pre_attn_scalar": 25},
               {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}],
    "gemma3": [{"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000000.0},
                                    "sliding_attention": {"rope_type": "default", "rope_theta": 10100.0}}},
               {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.1, "rope_theta": 1000000.0},
                                    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}],
    "llama-biases": [],
    "qwen3_moe": [{"norm_topk_prob": False}, {"num_experts_per_tok": 3}],
    "qwen3_moe-unnormalized": [{"norm_topk_prob": True}, {"use_sliding_window": False}, {"sliding_window": 25}],
    "qwen3_moe-steps": [],
    "granite": [{"embedding_multiplier": 11.9}, {"residual_multiplier": 0.23}, {"attention_multiplier": 0.25},
                {"logits_scaling": 8.01}, {"rms_norm_eps": 1e-2}],
    "granite-biases": [{"residual_multiplier": 0.49}],
    "gemma3-pictures": [{"sliding_window": 25}, {"query_pre_attn_scalar": 17}, {"layer_types": ["full_attention"] * 3},
                        {"rope_parameters": {
                            "full_attention": {"rope_type": "linear", "factor": 8.1, "rope_theta": 1000000.0},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}],
    "smollm3": [{"no_rope_layers": [1, 1, 1]}, {"no_rope_layers": [0, 1, 0]}],
    "smollm3-windows": [{"layer_types": ["full_attention", "full_attention", "sliding_attention"]}],
    "seed_oss": [{"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}}],
    "granite_moe": [{"residual_multiplier": 0.23}, {"num_experts_per_tok": 3}, {"attention_multiplier": 0.25}],
    "mistral3": [{"rms_norm_eps": 1e-2}, {"sliding_window": 25}],
    "mistral3-modules": [{"sliding_window": 25}, {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}],
    "ministral3": [{"rope_parameters": {**tiny_models.GROWING, "llama_4_scaling_beta": 0.11}},
                   {"rope_parameters": {**tiny_models.GROWING, "original_max_position_embeddings": 25}},
                   {"rope_parameters": {**tiny_models.GROWING, "mscale": 1.01}}, {"sliding_window": 25}],
    "ministral3-windows": [{"sliding_window": 41},
                           {"rope_parameters": {"rope_type": "default", "rope_theta": 50000.0,
                                                "llama_4_scaling_beta": 0.0, "original_max_position_embeddings": 7}}],
    "mistral3-ministral": [{"model_type": "mistral"}],
    "gpt_oss": [{"sliding_window": 25}, {"num_experts_per_tok": 3},
                {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"]},
                {"rope_parameters": {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 8.0, "beta_fast": 32.0,
                                     "beta_slow": 1.0, "truncate": True, "original_max_position_embeddings": 64}},
                {"rope_parameters": {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 8.1, "beta_fast": 32.0,
                                     "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 64}}],
    "gpt_oss-plain": [{"sliding_window": 8}],
    "cohere": [{"logit_scale": 0.26}, {"layer_norm_eps": 1e-2},
               {"rope_parameters": {"rope_type": "default", "rope_theta": 490000.0}}],
    "cohere-biases": [{"rope_parameters": {"rope_type": "default", "rope_theta": 60000.0}}],
    "cohere-norms": [{"layer_norm_eps": 1e-2}, {"use_qk_norm": False}],
    "cohere2": [{"logit_scale": 0.26}, {"layer_norm_eps": 1e-2}, {"sliding_window": 25},
                {"layer_types": ["full_attention", "full_attention", "sliding_attention", "sliding_attention"]}],
    "cohere2-biases": [{"rope_parameters": {"rope_type": "default", "rope_theta": 60000.0}}],
    "starcoder2": [{"norm_epsilon": 1e-2}, {"sliding_window": 25}],
    "deepseek_v2": [{"routed_scaling_factor": 3.99}, {"topk_method": "greedy"}, {"topk_group": 3},
                    {"n_group": 2, "topk_group": 1},
                    {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "beta_fast": 32.0,
                                         "beta_slow": 1.0, "mscale": 0.9, "mscale_all_dim": 0.8,
                                         "original_max_position_embeddings": 32}}],
    "deepseek_v2-lite": [{"num_experts_per_tok": 2}],
    "deepseek_v2-biases": [{"rms_norm_eps": 1e-2}, {"routed_scaling_factor": 2.01}],
    "deepseek_v3": [{"routed_scaling_factor": 2.51}, {"norm_topk_prob": False}, {"topk_group": 3}, {"n_group": 2},
                    {"rope_interleave": False},
                    {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 32.0,
                                         "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 0.0,
                                         "original_max_position_embeddings": 32}}],
    "deepseek_v3-halves": [{"rope_interleave": True}, {"norm_topk_prob": True}, {"topk_group": 2}],
    "olmo2": [{"rms_norm_eps": 1e-2}, {"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}}],
    "ernie4_5": [{"architectures": ["LlamaForCausalLM"]}],  # rotates pairs (i, i + half) instead of (2i, 2i + 1)
}


class Program:
    def __init__(self, path: str) -> None:
        self.path = path

    def logits(self, folder: Path, backend: str, jobs: list[dict]) -> list:
        """For each job and sequence, logits [positions, vocabulary]; an empty list if the backend was not built."""
        command = [self.path, str(folder), backend, "f32", *BACKENDS[backend]]
        done = subprocess.run(command, input="".join(json.dumps(job) + "\n" for job in jobs), capture_output=True,
                              text=True)
        if done.returncode != 0 and "no backend module" in done.stderr:
            return []
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return [[torch.tensor(rows) for rows in json.loads(line)["logits"]] for line in done.stdout.splitlines()]


def expected_logits(folder: Path, jobs: list[dict]) -> list:
    """The logits that Program.logits() should return, from one pass of transformers over each sequence."""
    has_pictures = hasattr(transformers.AutoConfig.from_pretrained(str(folder)), "text_config")
    kind = transformers.AutoModelForImageTextToText if has_pictures else transformers.AutoModelForCausalLM
    model = kind.from_pretrained(str(folder), dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return [[model(input_ids=torch.tensor([s["ids"]])).logits[0, s["n_prompt"] - 1:] for s in job["sequences"]]
                for job in jobs]


def worst_error(found: list, expected: list) -> float:
    """The largest error of a logit relative to the largest logit of its row."""
    worst = 0.0
    for found_rows, expected_rows in zip(found, expected, strict=True):
        if found_rows.shape != expected_rows.shape:
            raise RuntimeError(f"expected logits of shape {expected_rows.shape}, found {found_rows.shape}")
        error = (found_rows - expected_rows).abs().amax(-1) / expected_rows.abs().amax(-1)
        worst = max(worst, float(error.max()) if bool(error.isfinite().all()) else float("inf"))
    return worst


def copy_with(folder: Path, copy: Path, changes: dict) -> None:
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    part = config.get("text_config", config)  # models for text and images have a text_config
    part.update(changes)
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")


def check_model(program: Program, name: str, scratch: Path) -> int:
    folder = scratch / name
    tiny_models.write_model(folder, name)
    jobs = list(JOBS.values())
    expected = expected_logits(folder, jobs)
    n_failed = 0
    for backend in BACKENDS:
        has_router = any(part in name for part in ("moe", "mixtral", "gpt_oss", "deepseek"))
        if backend == "onednn" and has_router:
            continue  # onednn does not support routers, and says so (docs/backends.md)
        found = program.logits(folder, backend, jobs)
        bound = BOUND["bf16" if backend == "onednn" else "f32"]
        for kind, found_job, expected_job in zip(JOBS, found, expected):
            error = worst_error(found_job, expected_job)
            print(f"{name:24} {backend:10} {kind:16} {error:.1e} of {bound:.1e}{'' if error <= bound else '   FAILED'}")
            n_failed += error > bound
    for number, changes in enumerate(PLANTED.get(name, [])):
        planted = scratch / f"{name}-planted-{number}"
        copy_with(folder, planted, changes)
        error = worst_error(program.logits(planted, "reference", jobs[1:2])[0], expected[1])
        is_seen = error > 8 * BOUND["f32"]
        print(f"{name:24} planted    {json.dumps(changes)}: {error:.1e}{'' if is_seen else '   FAILED: not seen'}")
        n_failed += not is_seen
    return n_failed


def main() -> int:
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    program = Program(sys.argv[1])
    tiny_models.MODELS.update(PLAIN)
    n_failed = 0
    for name in sys.argv[2:] or tiny_models.MODELS:
        with tempfile.TemporaryDirectory() as scratch:
            n_failed += check_model(program, name, Path(scratch))
    print(f"{n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
