"""Compares token ids and decoded texts of random strings between the program and the package `sentencepiece`, for models trained here.

    python sentencepiece_test.py SECONDSOURCE [SEED [COUNT]]

Each model is the tokenizer.model of a folder: BPE and Unigram, with and without SentencePiece's map of characters, with spaces removed or
kept, with and without a space in front, with byte pieces, and with words that may join. COUNT strings (1500) for each have characters of
all planes, words, and runs of spaces. Strings for which a tokenizer.json must give other ids are left out (lib/tokenizer/README.md,
"Known differences from SentencePiece"): the spelled-out texts of control, user-defined and byte pieces, and for models with a map also
characters that form a grapheme with their neighbours, and texts that consist of control characters only. If a Unigram model yields the
same pieces in another order, their scores have the same sum; this counts as a tie. A model with the class T5Tokenizer is compared with
`transformers`, if that is installed, on all these strings and without ties. Ends with 77 if `sentencepiece` is missing.
"""

import io
import itertools
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

try:
    import sentencepiece
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

ROOT = Path(__file__).resolve().parents[2]
MARKS = [" ", "  ", "     ", "\t", "\n", "\n\n", "\r\n", "\u00a0", "\u3000", "\u2581", " \u2581", "\u2581 ", "\u2028", "\ufb01", "\uff21",
         "\u00bd", "\u2167", "\ud55c\uad6d", "\u00b4", "\u2026", "1234567", "'s", ".,;", "\u0007", "\u0000", "\u00c5", "\ufdfa"]
JOINING = [" \u0301", "e\u0301", "\uff21\u0301", "\u200d", "\u0e01\u0e33", "</s>", "<unk>", "<pad>", "<table>", "<extra_id_7>"]
SYMBOLS = ["<table>", "<0x41>", "<s>", "</s>", "<unk>", "<pad>"]


def training_lines() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
    return [line for line in "\n".join(texts).split("\n") if len(line) < 400][:2000]


def train(**settings) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(training_lines()), model_writer=model, minloglevel=2,
                                             num_threads=1, **settings)
    return model.getvalue()


def all_settings():
    """Yields the name and the settings of each model."""
    for kind, rule, removes, prefix, has_bytes in itertools.product(("unigram", "bpe"), ("identity", "nmt_nfkc"), (True, False),
                                                                    (True, False), (True, False)):
        parts = [kind, rule, "removes" if removes else "keeps", "prefix" if prefix else "bare", "bytes" if has_bytes else "unknown"]
        yield " ".join(parts), {"model_type": kind, "normalization_rule_name": rule, "remove_extra_whitespaces": removes,
                                "add_dummy_prefix": prefix, "byte_fallback": has_bytes, "vocab_size": 700}
    joined = {"model_type": "unigram", "normalization_rule_name": "identity", "vocab_size": 700, "split_by_whitespace": False}
    yield "unigram with words that join", joined
    yield "unigram with runs of spaces", {**joined, "remove_extra_whitespaces": False, "allow_whitespace_only_pieces": True,
                                          "byte_fallback": True, "normalization_rule_name": "nfkc_cf"}


class Strings:
    """Random strings. Their characters are assigned in Python's version of Unicode, because newer ones may be treated differently."""

    def __init__(self, seed: int, joins: bool, has_map: bool) -> None:
        self.dice = random.Random(seed)
        words = sorted({word for line in training_lines() for word in line.split()})
        self.joins = joins
        self.has_map = has_map
        self.parts = [lambda: self.dice.choice(words), lambda: self.dice.choice(MARKS), lambda: " ", self.character]
        if joins:
            self.parts.append(lambda: self.dice.choice(JOINING))

    def character(self) -> str:
        while True:
            character = chr(self.dice.randrange(1, self.dice.choice((0x80, 0x3000, 0x10000, 0x110000))))
            if unicodedata.category(character) in ("Cn", "Cs"):
                continue
            if self.joins or not self.has_map or not joins_neighbours(character):
                return character

    def make(self) -> str:
        while True:
            text = "".join(self.dice.choice(self.parts)() for _ in range(self.dice.randrange(0, 30)))
            if self.joins:
                return text.replace("\x85", "")  # at the end of a text, transformers removes it and SentencePiece does not
            if self.has_map and all(unicodedata.category(character) == "Cc" for character in text):
                continue
            is_one_grapheme = self.has_map and "\r\n" in text
            if not is_one_grapheme and not any(symbol in text for symbol in SYMBOLS):
                return text


def joins_neighbours(character: str) -> bool:
    """Whether the character may form a grapheme with the character before or after it (UAX #29)."""
    point = ord(character)
    return (unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") or 0x1100 <= point < 0x1200 or 0xA960 <= point < 0xA980
            or 0xD7B0 <= point < 0xD800 or 0x1F1E6 <= point < 0x1F200 or 0x1F3FB <= point < 0x1F400 or 0xFF9E <= point < 0xFFA0
            or point in (0x0E33, 0x0EB3))


def answers(program: str, path: Path, requests: list[dict]) -> list[dict]:
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run([program, "tokenize", str(path)], input=lines, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{path}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(program: str, folder: Path, name: str, texts: list[str], expected: list[list[int]], decoded: list[str | None],
            has_ties: bool) -> int:
    """Counts the strings whose ids differ and the ids whose decoded text differs. Texts that are None in `decoded` are not compared."""
    n_failed = n_ties = 0
    found = answers(program, folder, [{"text": text} for text in texts])
    for text, ids, answer in zip(texts, expected, found, strict=True):
        if answer["ids"] != ids and has_ties and sorted(answer["ids"]) == sorted(ids):
            n_ties += 1
        elif answer["ids"] != ids:
            n_failed += 1
            if n_failed <= 3:
                print(f"FAILED: {name}: {text!r}: expected {ids}, found {answer['ids']}")
    found = answers(program, folder, [{"ids": ids} for ids in expected])
    for ids, text, answer in zip(expected, decoded, found, strict=True):
        if text is not None and answer["text"] != text:
            n_failed += 1
            if n_failed <= 3:
                print(f"FAILED: {name}: ids {ids}: expected {text!r}, found {answer['text']!r}")
    n_texts = sum(text is not None for text in decoded)
    print(f"{name}: {len(texts)} strings, {sum(map(len, expected))} ids, {n_texts} texts, {n_ties} ties, {n_failed} differ", flush=True)
    return n_failed


def check_model(program: str, folder: Path, name: str, settings: dict, seed: int, count: int) -> int:
    content = train(**settings)
    (folder / "tokenizer.model").write_bytes(content)
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": False}))
    theirs = sentencepiece.SentencePieceProcessor(model_proto=content)
    strings = Strings(seed, joins=False, has_map=settings["normalization_rule_name"] != "identity")
    texts = [strings.make() for _ in range(count)]
    expected = [theirs.encode(text) for text in texts]
    # Texts with an unknown piece are not compared, because SentencePiece decodes it in its own way.
    decoded = [None if theirs.unk_id() in ids else theirs.decode(ids) for ids in expected]
    return compare(program, folder, name, texts, expected, decoded, has_ties=settings["model_type"] == "unigram")


def check_t5(program: str, folder: Path, seed: int, count: int) -> int:
    try:
        import transformers
    except ImportError as missing:
        print(f"without the class T5Tokenizer: {missing}")
        return 0
    content = train(model_type="unigram", vocab_size=700, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<table>"])
    (folder / "spiece.model").write_bytes(content)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 10}))
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    strings = Strings(seed, joins=True, has_map=True)
    texts = [strings.make() for _ in range(count)]
    return compare(program, folder, f"T5Tokenizer of transformers {transformers.__version__}", texts,
                   [theirs(text)["input_ids"] for text in texts], [None] * count, has_ties=False)


def main() -> int:
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1500
    print(f"seed {seed}, sentencepiece {sentencepiece.__version__}")
    n_failed = 0
    for name, settings in all_settings():
        with tempfile.TemporaryDirectory() as folder:
            n_failed += check_model(sys.argv[1], Path(folder), name, settings, seed, count)
    with tempfile.TemporaryDirectory() as folder:
        n_failed += check_t5(sys.argv[1], Path(folder), seed, count)
    print(f"{n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
