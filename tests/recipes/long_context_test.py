"""Every position of contexts of 8K to 128K tokens, by this project's engine and by transformers in FP32.

    python long_context_test.py MODEL_LOGITS --context 8192 [--backend NAME...] [--model NAME...]

MODEL_LOGITS is the program of model_logits.cpp. The models are tiny, made by transformers' own classes as those of
bundles/recipes/tiny_models.py, and place their boundaries within the context: a sliding window of an eighth of it, a
rotation that changes at a half of it, and learned sinks. A prompt ends two tokens before the context does, and decoding goes on
past it, from one page of the cache into the next. Chunks of a prompt end at pages (512 tokens), or never at pages (500).

The expected values are those of transformers' classes, whose attention is computed here in blocks of queries, so that no matrix
has the context's square, and with softmax and sums over keys in FP64: PyTorch's FP32 product of 131072 shares with values of 8 columns
is off by 2.6e-5 of the largest logit, and by more the more keys there are. Every token of a prompt counts by its log-probability, every decoded one by all its logits.

The bounds are those of architectures_test.py: an attention over more keys has longer sums, but of weights whose sum is 1, so that
the errors of its outputs do not grow with the keys. A log-probability has the error of two logits. At the shortest context,
planted bugs of one position show that the comparison sees a boundary. Ends with 77 where transformers is missing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import torch
    import transformers
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bundles/recipes"))
import tiny_models
from architectures_test import BACKENDS, BOUND, copy_with, worst_error

SHORTEST = 8192
SCORES = 1 << 22  # the most scores that a block of queries may have
ATTENTION = "blocks_of_queries"
SIZES = {"vocab_size": 256, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "head_dim": 16, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 3}


def attention(module, query, key, value, attention_mask, scaling=None, sliding_window=None, s_aux=None, **options):
    """Attention over the keys that each query sees, in blocks of queries: query [1, heads, rows, head_dim], out [1, rows, heads, ...]."""
    if attention_mask is not None or options.get("softcap") is not None:
        raise RuntimeError("expected neither a mask nor a soft cap")
    query, key, value = query[0], *(one[0].repeat_interleave(query.shape[1] // one.shape[1], 0) for one in (key, value))
    heads, rows = query.shape[:2]
    out = torch.empty(1, rows, heads, value.shape[-1])
    value = value.double()
    block = max(1, SCORES // (heads * rows))
    for start in range(0, rows, block):
        end = min(start + block, rows)
        first = max(0, start - sliding_window + 1) if sliding_window else 0
        scores = query[:, start:end] @ key[:, first:end].transpose(1, 2) * scaling
        behind = torch.arange(start, end)[:, None] - torch.arange(first, end)
        hidden = behind < 0
        if sliding_window:
            hidden |= behind >= sliding_window
        scores.masked_fill_(hidden, -torch.inf)
        if s_aux is not None:  # the sink: a score without a value
            scores = torch.cat((scores, s_aux[:, None, None].expand(heads, end - start, 1)), -1)
        shares = torch.softmax(scores, -1, dtype=torch.float64)[..., :end - first]
        out[0, start:end] = (shares @ value[:, first:end]).transpose(0, 1)
    return out, None


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, lambda *arguments, **options: None)


def configurations(context: int) -> dict[str, transformers.PreTrainedConfig]:
    sizes = {**SIZES, "max_position_embeddings": 2 * context}
    window, half = context // 8, context // 2
    types = ["sliding_attention", "full_attention"]
    return {
        "llama3": transformers.LlamaConfig(**sizes, rope_parameters={
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": half}),
        "gemma3": transformers.Gemma3TextConfig(
            **sizes, query_pre_attn_scalar=16, sliding_window=window, layer_types=types, rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}),
        "phi3-longrope": transformers.Phi3Config(
            **sizes, original_max_position_embeddings=half, sliding_window=None, rope_parameters={
                "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6],
                "long_factor": [1.0, 1.2, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0]}),
        "gpt_oss": transformers.GptOssConfig(
            **{**sizes, "intermediate_size": 32}, num_local_experts=4, num_experts_per_tok=2, sliding_window=window,
            layer_types=types, rope_parameters={
                "rope_type": "yarn", "rope_theta": 150000.0, "factor": 2.0, "beta_fast": 32.0, "beta_slow": 1.0,
                "truncate": False, "original_max_position_embeddings": context}),
        "deepseek_v2": transformers.DeepseekV2Config(
            **{**sizes, "head_dim": 8, "num_key_value_heads": 2}, q_lora_rank=None, kv_lora_rank=16, qk_nope_head_dim=8,
            qk_rope_head_dim=8, v_head_dim=8, n_routed_experts=4, num_experts_per_tok=2, n_shared_experts=1,
            moe_intermediate_size=32, first_k_dense_replace=1),
    }


# Planted bugs: configurations in which one boundary is off by one position.
def planted(context: int) -> dict[str, list[dict]]:
    window = context // 8
    return {
        "gemma3": [{"sliding_window": window - 1}, {"sliding_window": window + 1}],
        "phi3-longrope": [{"original_max_position_embeddings": context // 2 - 1}],
        "gpt_oss": [{"sliding_window": window + 1}],
    }


def jobs_of(name: str, context: int, backend: str) -> dict[str, dict]:
    ids = [(37 * i + 11 * (i // 97) + 5) % 250 + 4 for i in range(context + 3)]
    room = {"scores": True, "cache_tokens": context + 16}
    jobs = {"chunks of 512": {**room, "sequences": [{"ids": ids, "n_prompt": context - 2}]}}
    if name == "phi3-longrope":  # `half` is the longest context that is rotated by the short factors
        half = context // 2
        jobs["up to the switch"] = {**room, "sequences": [{"ids": ids[:half], "n_prompt": half - 2}]}
        jobs["past the switch"] = {**room, "sequences": [{"ids": ids[:half + 1], "n_prompt": half - 2}]}
    if context == SHORTEST and backend != "reference":  # reference is slow, and the same engine makes its chunks
        jobs["chunks of 500"] = {**room, "max_tokens_per_step": 500, "sequences": [{"ids": ids, "n_prompt": context + 1}]}
    return jobs


def run_jobs(program: str, folder: Path, backend: str, jobs: list[dict]) -> list[dict]:
    """For each job: its logits [rows, vocabulary], its scores and its memory. Returns an empty list if the backend was not built."""
    done = subprocess.run([program, str(folder), backend, "f32", *BACKENDS[backend]],
                          input="".join(json.dumps(job) + "\n" for job in jobs), capture_output=True, text=True)
    if done.returncode != 0 and "no backend module" in done.stderr:
        return []
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return [{**answer, "logits": torch.tensor(answer["logits"][0]), "scores": torch.tensor(answer["scores"][0])}
            for answer in map(json.loads, done.stdout.splitlines())]


class Expected:
    """Computes the logits of transformers' model, [tokens, vocabulary], once for each sequence."""

    def __init__(self, folder: Path) -> None:
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, attn_implementation=ATTENTION).eval()
        self.logits: dict[tuple, torch.Tensor] = {}

    def of(self, ids: list[int]) -> torch.Tensor:
        key = (len(ids), hash(tuple(ids)))
        if key not in self.logits:
            with torch.no_grad():
                self.logits[key] = self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        return self.logits[key]


def errors(found: dict, job: dict, expected: torch.Tensor) -> tuple[float, float]:
    """The largest error of a logit and that of a log-probability, each relative to the largest logit of its row."""
    sequence = job["sequences"][0]
    ids, n_prompt = torch.tensor(sequence["ids"]), sequence["n_prompt"]
    if found["scores"].shape != (n_prompt - 1,):
        raise RuntimeError(f"expected {n_prompt - 1} scores, found {found['scores'].shape}")
    rows = expected[:n_prompt - 1]
    scores = rows.log_softmax(-1).gather(1, ids[1:n_prompt, None])[:, 0]
    of_scores = (found["scores"] - scores).abs() / rows.abs().amax(-1)
    worst = float(of_scores.max()) if bool(of_scores.isfinite().all()) else float("inf")
    return worst_error([found["logits"]], [expected[n_prompt - 1:]]), worst


def check_model(program: str, name: str, context: int, backends: list[str], scratch: Path) -> int:
    folder = scratch / name
    tiny_models.with_random_weights(configurations(context)[name]).save_pretrained(str(folder))
    expected = Expected(folder)
    n_failed = 0
    for backend in backends:
        if backend == "onednn" and name in ("gpt_oss", "deepseek_v2"):
            continue  # onednn supports neither routers nor latents, and says so (docs/backends.md)
        bound = BOUND["bf16" if backend == "onednn" else "f32"]
        for kind, job in jobs_of(name, context, backend).items():
            began = time.monotonic()
            answers = run_jobs(program, folder, backend, [job])
            if not answers:
                break
            of_logits, of_scores = errors(answers[0], job, expected.of(job["sequences"][0]["ids"]))
            is_right = of_logits <= bound and of_scores <= 2 * bound
            print(f"{name:14} {context:7} {backend:10} {kind:17} logits {of_logits:.1e} of {bound:.1e}, scores {of_scores:.1e} of "
                  f"{2 * bound:.1e}, {time.monotonic() - began:.1f} s{'' if is_right else '   FAILED'}", flush=True)
            n_failed += not is_right
    if context == SHORTEST:
        jobs = jobs_of(name, context, "cpu")
        job = jobs.get("up to the switch", jobs["chunks of 512"])
        for number, changes in enumerate(planted(context).get(name, [])):
            other = scratch / f"{name}-planted-{number}"
            copy_with(folder, other, changes)
            found = run_jobs(program, other, "cpu", [job])
            of_scores = errors(found[0], job, expected.of(job["sequences"][0]["ids"]))[1] if found else 0.0
            is_seen = of_scores > 16 * BOUND["f32"]
            print(f"{name:14} {context:7} planted    {json.dumps(changes)}: {of_scores:.1e}{'' if is_seen else '   FAILED: not seen'}")
            n_failed += not is_seen
    return n_failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", nargs="+")
    parser.add_argument("--context", type=int, default=SHORTEST)
    parser.add_argument("--backend", nargs="+", choices=list(BACKENDS), default=list(BACKENDS))
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    n_failed = 0
    for name in options.model or configurations(options.context):
        with tempfile.TemporaryDirectory() as scratch:
            n_failed += check_model(options.program, name, options.context, options.backend, Path(scratch))
    print(f"{n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
