"""Compares token ids and decoded texts of random strings between the program and the package `tiktoken`, for tiktoken files made here.

    python tiktoken_test.py SECONDSOURCE [SEED [COUNT]]

The ranks are the tokens of the default bundle in the order of their merges. They are filled up to each family's number of tokens with
byte sequences that occur in no text. The patterns are those that the families publish. Ends with 77 if `tiktoken` is missing.
"""

import base64
import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path

try:
    import tiktoken
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)  # what CTest is told means skipped

sys.path.insert(0, str(Path(__file__).parent))
from tokenizers_test import MARKS, ROOT, answers  # noqa: E402

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
FAMILIES = {"llama": ("tokenizer.model", 128000, LLAMA3), "qwen": ("qwen.tiktoken", 151643, LLAMA3.replace("{1,3}", "")),
            "gpt_oss": ("o200k_base.tiktoken", 199998, O200K), "phi3small": ("cl100k_base.tiktoken", 100256, CL100K)}
SPECIAL = ["<|begin|>", "<|end|>"]


def byte_alphabet() -> dict[str, int]:
    """The character of each byte in a byte-level vocabulary (GPT-2, bytes_to_unicode)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def trained_tokens() -> list[bytes]:
    model = json.loads((ROOT / "bundles/default/tokenizer.json").read_text(encoding="utf-8"))["model"]
    alphabet = byte_alphabet()
    tokens = {bytes([byte]): None for byte in range(256)}
    for merge in model["merges"]:
        text = merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)
        tokens[bytes(alphabet[character] for character in text)] = None
    return list(tokens)


def check(program: str, family: str, seed: int, count: int) -> int:
    file, n_tokens, pattern = FAMILIES[family]
    tokens = trained_tokens()
    tokens += [b"\xff" + i.to_bytes(3, "big") for i in range(n_tokens - len(tokens))]
    special = {text: n_tokens + i for i, text in enumerate(SPECIAL)}
    theirs = tiktoken.Encoding(family, pat_str=pattern, mergeable_ranks={token: i for i, token in enumerate(tokens)},
                               special_tokens=special)
    dice = random.Random(seed)
    words = sorted({word for page in (ROOT / "docs").glob("*.md") for word in page.read_text(encoding="utf-8").split()})

    def character() -> str:
        while True:
            found = chr(dice.randrange(1, dice.choice((0x80, 0x3000, 0x10000, 0x110000))))
            if unicodedata.category(found) not in ("Cn", "Cs"):
                return found

    parts = [lambda: dice.choice(words), lambda: dice.choice(MARKS), lambda: " ", character, lambda: dice.choice(SPECIAL)]
    texts = ["".join(dice.choice(parts)() for _ in range(dice.randrange(30))) for _ in range(count)]
    expected = [theirs.encode(text, allowed_special="all") for text in texts]
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / file).write_text("".join(f"{base64.b64encode(token).decode()} {i}\n" for i, token in enumerate(tokens)))
        (path / "config.json").write_text(json.dumps({"model_type": family}))
        added = {str(id): {"content": text, "special": True} for text, id in special.items()}
        (path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": False, "added_tokens_decoder": added}))
        for text, ids, answer in zip(texts, expected, answers(program, path, [{"text": text} for text in texts]), strict=True):
            n_failed += answer["ids"] != ids
            if answer["ids"] != ids and n_failed <= 3:
                print(f"FAILED: {family}: {text!r}: expected {ids}, found {answer['ids']}")
        for text, ids, answer in zip(texts, expected, answers(program, path, [{"ids": ids} for ids in expected]), strict=True):
            n_failed += answer["text"] != text
            if answer["text"] != text and n_failed <= 3:
                print(f"FAILED: {family}: ids {ids}: expected {text!r}, found {answer['text']!r}")
    print(f"{family}: {count} strings, {sum(map(len, expected))} ids, {n_failed} differ", flush=True)
    return n_failed


def main() -> int:
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
    print(f"seed {seed}, tiktoken {tiktoken.__version__}")
    n_failed = sum(check(sys.argv[1], family, seed, count) for family in FAMILIES)
    print(f"{n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
