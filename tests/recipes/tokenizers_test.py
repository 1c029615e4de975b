"""Compares token ids and texts of random strings between the program and the package `tokenizers`, for every available tokenizer.json.

    python tokenizers_test.py SECONDSOURCE [SEED [COUNT]]

The files are those of the committed bundles, those of tests/data/tokenizer, those in the folder that SECONDSOURCE_ASSETS names, and, if
SentencePiece is installed, three Unigram models with its whole map `nmt_nfkc`. COUNT strings (3000) for each have characters of all
planes, the file's own tokens, words and runs of spaces, and some are long. Ends with 77 if `tokenizers` is missing.
"""

import io
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

try:
    import tokenizers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

ROOT = Path(__file__).resolve().parents[2]
MARKS = [" ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u200d", "\u2581", "\ufe0f", "e\u0301",
         "\uff21\u0301", "\ufb01", "\ud55c\uad6d", "\u1112\u1161\u11ab", "\u0e01\u0e33", "\U0001f469\u200d\U0001f680",
         "\U0001f1e9\U0001f1ea", "1234567", "'s", "'LL", "...", "<0x41>", "\u0000", "\u0007"]


def tokenizer_files() -> list[Path]:
    folders = [ROOT / "bundles", ROOT / "tests/data/tokenizer"]
    if "SECONDSOURCE_ASSETS" in os.environ:
        folders.append(Path(os.environ["SECONDSOURCE_ASSETS"]) / "tokenizers")
    found = [path for folder in folders for path in sorted(folder.rglob("*.json"))
             if path.name == "tokenizer.json" or path.parent.name == "unigram"]
    data = ROOT / "tests/data/tokenizer"
    return found + [data / "byte_level.json", data / "sentencepiece.json"]


def unigram_files(folder: Path) -> list[Path]:
    """Writes the committed Unigram models with the map of characters that most published models have."""
    try:
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as missing:
        print(f"without whole maps of characters: {missing}")
        return []
    lines = (ROOT / "bundles/recipes/documents.py").read_text(encoding="utf-8").split("\n")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, vocab_size=400,
                                             model_type="unigram", normalization_rule_name="nmt_nfkc", minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    precompiled = json.loads(tokenizers.normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap).__getstate__())
    paths = []
    for name in ("t5", "xlmr", "whole"):
        data = json.loads((ROOT / f"tests/data/tokenizer/unigram/{name}.json").read_text(encoding="utf-8"))
        data["normalizer"] = precompiled
        paths.append(folder / f"{name} with nmt_nfkc.json")
        paths[-1].write_text(json.dumps(data), encoding="utf-8")
    return paths


class Strings:
    """Random strings. Their characters are assigned in Python's version of Unicode, because newer ones may be treated differently."""

    def __init__(self, seed: int, tokens: list[str], words: list[str]) -> None:
        self.dice = random.Random(seed)
        self.parts = [lambda: self.dice.choice(words), lambda: self.dice.choice(MARKS), lambda: " ", self.character]
        if tokens:
            self.parts.append(lambda: self.dice.choice(tokens))

    def character(self) -> str:
        while True:
            last = self.dice.choice((0x80, 0x3000, 0x10000, 0x110000))
            character = chr(self.dice.randrange(1, last))
            if unicodedata.category(character) not in ("Cn", "Cs"):
                return character

    def make(self) -> str:
        if self.dice.random() < 0.01:  # a long text, mostly one word repeated
            word = self.dice.choice(self.parts)()
            return "".join(word if self.dice.random() < 0.9 else self.dice.choice(self.parts)() for _ in range(1500))
        return "".join(self.dice.choice(self.parts)() for _ in range(self.dice.randrange(1, 30)))


def with_required_fields(data: dict) -> dict:
    """Adds the fields that `tokenizers` requires and for which the program has defaults."""
    for token in data.get("added_tokens") or []:
        for key in ("single_word", "lstrip", "rstrip", "normalized"):
            token.setdefault(key, False)
        if isinstance(data["model"]["vocab"], dict):
            data["model"]["vocab"].setdefault(token["content"], token["id"])
    if isinstance(data["model"]["vocab"], dict):
        data["model"]["merges"] = data["model"].get("merges") or []
    else:
        data["model"].setdefault("type", "Unigram")
    return data


def answers(program: str, path: Path, requests: list[dict]) -> list[dict]:
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([program, "tokenize", str(path)], input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{path}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(program: str, path: Path, seed: int, count: int) -> int:
    data = with_required_fields(json.loads(path.read_text(encoding="utf-8")))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(data))
    tokens = [token["content"] for token in data.get("added_tokens") or []]
    words = sorted({word for prompt in (ROOT / "prompts").glob("*.yaml")
                    for word in prompt.read_text(encoding="utf-8").split()})
    strings = Strings(seed, tokens, words)
    texts = [strings.make() for _ in range(count)]
    expected = [theirs.encode(text).ids for text in texts]
    n_failed = 0
    for text, ids, answer in zip(texts, expected, answers(program, path, [{"text": text} for text in texts]), strict=True):
        if answer["ids"] != ids:
            n_failed += 1
            if n_failed <= 3:
                print(f"FAILED: {path.name}: {text!r}: expected {ids}, found {answer['ids']}")
    for ids, answer in zip(expected, answers(program, path, [{"ids": ids} for ids in expected]), strict=True):
        text = theirs.decode(ids, skip_special_tokens=False)
        if answer["text"] != text:
            n_failed += 1
            if n_failed <= 3:
                print(f"FAILED: {path.name}: ids {ids}: expected {text!r}, found {answer['text']!r}")
    print(f"{path.parent.name}/{path.name}: {count} strings, {sum(map(len, expected))} ids, {n_failed} differ", flush=True)
    return n_failed


def main() -> int:
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
    print(f"seed {seed}, tokenizers {tokenizers.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        files = tokenizer_files() + unigram_files(Path(folder))
        n_failed = sum(check(sys.argv[1], path, seed, count) for path in files)
    print(f"{len(files)} files, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
