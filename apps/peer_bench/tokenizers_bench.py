"""MB/s of this project's tokenizer beside the package `tokenizers`, on one thread, for the same files and the same text.

    ./dev bench tokenizers [FILE...] [--text FILE] [--rounds N]

FILE: tokenizer.json files; without any those of the default bundle and the three Unigram models among the test data. The text is
that of the golden prompts, or --text. In each round both encode the whole text, in an order that is drawn anew: *warm*, when the
text was encoded before, so that the words are in the caches that both have, and *cold*, as the first text of a tokenizer. Printed
are the medians over the rounds and the ratio of each round, ours over theirs: its median, the smallest and the largest.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
try:
    import tokenizers
except ImportError as missing:
    sys.exit(f"bench tokenizers: {missing}: install it with pip")

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FILES = [ROOT / "bundles/default/tokenizer.json"] + [
    ROOT / f"tests/data/tokenizer/unigram/{name}.json" for name in ("t5", "xlmr", "whole")]
SECONDS = 0.5  # that each of the two encodes in a round


def golden_prompts() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "prompts").glob("*.yaml")))


class Ours:
    def __init__(self, program: str, file: Path, text: Path) -> None:
        self.command = [program, "--tokenizer", str(file), "--text", str(text), f"--benchmark_min_time={SECONDS}",
                        "--benchmark_filter=BM_encode/", "--benchmark_format=json"]

    def measure(self) -> dict[str, float]:
        done = subprocess.run(self.command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench tokenizers: {done.stderr.strip()}")
        return {case["name"].split("/")[1]: case["bytes_per_second"] / 1e6 for case in json.loads(done.stdout)["benchmarks"]}


class Theirs:
    def __init__(self, file: Path, text: Path) -> None:
        data = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(data["model"]["vocab"], list):
            data["model"].setdefault("type", "Unigram")
        self.json, self.text = json.dumps(data), text.read_text(encoding="utf-8")
        self.n_bytes = len(self.text.encode())

    def seconds(self, tokenizer) -> float:
        began = time.perf_counter()
        tokenizer.encode(self.text)
        return time.perf_counter() - began

    def measure(self) -> dict[str, float]:
        tokenizer = tokenizers.Tokenizer.from_str(self.json)
        cold, warm = [self.seconds(tokenizer)], []
        while sum(warm) < SECONDS:
            warm.append(self.seconds(tokenizer))
        while sum(cold) < SECONDS:
            cold.append(self.seconds(tokenizers.Tokenizer.from_str(self.json)))
        return {"warm": self.n_bytes / statistics.mean(warm) / 1e6, "cold": self.n_bytes / statistics.mean(cold) / 1e6}


def same_ids(program: str, file: Path, theirs: Theirs) -> bool:
    done = subprocess.run([program, "tokenize", str(file)], input=json.dumps({"text": theirs.text}), capture_output=True, text=True)
    return done.returncode == 0 and json.loads(done.stdout)["ids"] == tokenizers.Tokenizer.from_str(theirs.json).encode(theirs.text).ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=DEFAULT_FILES)
    parser.add_argument("--bench", required=True, help="the program tokenizer_bench")
    parser.add_argument("--program", required=True, help="the program secondsource")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    text = arguments.text
    if text is None:
        text = Path(arguments.bench).parent / "golden-prompts.txt"
        text.write_text(golden_prompts(), encoding="utf-8")
    print(f"tokenizers {tokenizers.__version__}, one thread, {text.stat().st_size / 1e6:.2f} MB of text, {arguments.rounds} rounds\n")
    print("| file | text | ours, MB/s | theirs, MB/s | ours / theirs |")
    print("| --- | --- | ---: | ---: | ---: |")
    dice = random.Random(1)
    for file in arguments.files:
        ours, theirs = Ours(arguments.bench, file, text), Theirs(file, text)
        if not same_ids(arguments.program, file, theirs):
            sys.exit(f"bench tokenizers: {file}: the ids of the two differ, so there is nothing to compare")
        rounds: list[dict[str, dict[str, float]]] = []
        for _ in range(arguments.rounds):
            order = [("ours", ours), ("theirs", theirs)]
            dice.shuffle(order)
            rounds.append({name: system.measure() for name, system in order})
        for kind in ("warm", "cold"):
            ratios = sorted(one["ours"][kind] / one["theirs"][kind] for one in rounds)
            rate = {name: statistics.median(one[name][kind] for one in rounds) for name in ("ours", "theirs")}
            name = file.stem if file.stem != "tokenizer" else file.parent.name
            print(f"| {name} | {kind} | {rate['ours']:.1f} | {rate['theirs']:.1f} | {statistics.median(ratios):.2f} "
                  f"({ratios[0]:.2f} to {ratios[-1]:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
