"""Compares the memory that long prompts take on the backends of the host with the prediction of `fit`.

    python context_memory_test.py MODEL_LOGITS SECONDSOURCE CONTEXT...

MODEL_LOGITS is the program of model_logits.cpp, SECONDSOURCE the program itself. A random Llama in BF16 computes one prompt of each
context and decodes two tokens. It has as many KV heads as heads, so that its cache is large. Expected, with one thread:

- The peak that `cpu` counts agrees within 2 % with `fit`'s weights, workspace and cache for that context. The memory of oneDNN is only
  printed: its blocks, its scratch and the copy of the head while that is packed need more (backends/onednn/README.md).
- The workspace is the same for all contexts.
- From one context to the next, the memory that the backend counts grows exactly by the cache of the additional tokens. The resident
  memory of the process grows by at most PER_TOKEN bytes per token more (ids, page tables), so nothing grows quadratically.

Ends with 77 where transformers is missing.
"""

import json
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

TOLERANCE = 0.02
PER_TOKEN = 64
PAGE_TOKENS = 16
BACKENDS = {"cpu": ["kv=bf16"], "onednn": []}  # not reference, which keeps weights and cache in f32, unlike the prediction of fit
PREDICTED = ["cpu"]


def write_model(folder: Path, longest: int) -> None:
    config = transformers.LlamaConfig(
        vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, head_dim=64, max_position_embeddings=longest, bos_token_id=None, eos_token_id=2, pad_token_id=3)
    tiny_models.with_random_weights(config).save_pretrained(str(folder))


def predicted(program: str, folder: Path, context: int) -> dict:
    done = subprocess.run([program, "fit", str(folder), "--on", "grace", "--variant", "bf16", "--context", str(context),
                           "--format", "json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["rows"][0]


def measured(program: str, folder: Path, backend: str, context: int) -> dict | None:
    """Runs a job in a separate process. Returns its memory in bytes; None if the backend was not built."""
    ids = [(37 * i + 11 * (i // 97) + 5) % 500 + 4 for i in range(context)]
    job = {"cache_tokens": context, "sequences": [{"ids": ids, "n_prompt": context - 2}]}
    done = subprocess.run([program, str(folder), backend, "bf16", *BACKENDS[backend]], input=json.dumps(job) + "\n",
                          capture_output=True, text=True)
    if done.returncode != 0 and "no backend module" in done.stderr:
        return None
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return json.loads(done.stdout)["memory"]


def check_backend(programs: list[str], folder: Path, backend: str, contexts: list[int]) -> int:
    n_failed = 0
    earlier = None
    for context in contexts:
        memory = measured(programs[0], folder, backend, context)
        if memory is None:
            return 0
        fit = predicted(programs[1], folder, context)
        expected = fit["weights_bytes"] + fit["workspace_bytes"] + fit["kv_bytes_per_sequence"]
        kv_token = fit["kv_bytes_per_sequence"] / context
        difference = memory["peak_bytes"] / expected - 1
        findings = ["not as predicted"] if backend in PREDICTED and abs(difference) > TOLERANCE else []
        growth = ""
        if earlier:
            n_more = context - earlier["context"]
            counted, resident = (memory[key] - earlier[key] for key in ("peak_bytes", "resident_bytes"))
            growth = f", {counted / n_more:.1f} bytes a token more, resident {resident / n_more:.1f}"
            if memory["workspace_bytes"] != earlier["workspace_bytes"]:
                findings.append("the workspace grew")
            if counted != kv_token * n_more:
                findings.append(f"expected {kv_token:.0f} bytes a token")
            if resident > (kv_token + PER_TOKEN) * n_more:
                findings.append(f"expected at most {kv_token + PER_TOKEN:.0f} resident bytes a token")
        print(f"{backend:7} {context:7} counted {memory['peak_bytes']:11} predicted {expected:11.0f} ({difference:+.2%}): weights "
              f"{memory['weights_bytes']} of {fit['weights_bytes']:.0f}, workspace {memory['workspace_bytes']} of "
              f"{fit['workspace_bytes']:.0f}, cache {memory['kv_bytes']} of {fit['kv_bytes_per_sequence']:.0f}, resident "
              f"{memory['resident_bytes']}{growth}{'   FAILED: ' + '; '.join(findings) if findings else ''}", flush=True)
        n_failed += bool(findings)
        earlier = {**memory, "context": context}
    return n_failed


def main() -> int:
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    contexts = [int(one) for one in sys.argv[3:]]
    if any(one % PAGE_TOKENS for one in contexts):
        raise RuntimeError(f"expected contexts of whole pages of {PAGE_TOKENS} tokens")
    with tempfile.TemporaryDirectory() as scratch:
        write_model(Path(scratch), max(contexts))
        n_failed = sum(check_backend(sys.argv[1:3], Path(scratch), backend, contexts) for backend in BACKENDS)
    print(f"{n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
