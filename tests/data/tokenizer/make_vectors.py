#!/usr/bin/env python3
"""Makes the tokenizer test data in this folder with the Hugging Face `tokenizers` package (0.23.3), which is independent
of this project: two small tokenizers trained on the fly, and the ids and texts that the package gives for them, for
patched versions of them, and for files of the assets.

    python3 make_vectors.py ASSETS_FOLDER

Texts marked "plain" are encoded with special tokens taken for ordinary text (encode_special_tokens).
"""

import copy
import json
import pathlib
import sys

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
ASSETS = pathlib.Path(sys.argv[1])

TEXTS = [
    "",
    " ",
    "   ",
    "Hello world",
    " Hello  world ",
    "It's THEIR'S, we'll see: I'd say they've 1234567 apples!",
    "tabs\tand\n\nnew lines\r\n  end  ",
    "caf\u00e9 cafe\u0301 \u00c5 \ufb01ne \u0130stanbul \u1e9e\u00df",
    "\u65e5\u672c\u8a9e \u4e2d\u6587 \ud55c\uad6d\uc5b4 \u0938\u092e\u0938\u094d\u0924\u0947",
    "\U0001f999 \U0001f468\u200d\U0001f469\u200d\U0001f467 ok\u2026",
    "\u00bd \u00b2 \u2167 \u0663 12.5% (a_b) <x|y> ``q'' \u2581\u2581z",
    "\u00a0nbsp\u2003em\u0085nel\u180evs\ufeffbom\u0000nul",
    "<|start|>user\nHi<|end|> <|start|>\tword tag tagged",
    "<s>[INST] Hi [/INST]</s> <unk> <0x41>",
    "def f(x):\n    return x ** 2  # square\n",
]
# Not in the corpus of the tokenizers above.
MORE_TEXTS = [
    "      ...   a    b",
    "\u000bKing  the world",
    "\u0301abc e\u0301d",
    "\uac00\u11a7 x\u1112\u1175\u11a7\u0301 \uac00\u11a8",
    "\ufb01 \u3300x \U0001f130a\U0001f189",
    "tHe first  HHello",
]


def train_byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.save(str(HERE / "byte_level.json"), pretty=False)


def train_sentencepiece():
    """BPE over characters with the byte tokens first, like converted SentencePiece models."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)],
        limit_alphabet=80,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    # As in Llama 2, there is no pre-tokenizer, so the whole text is one word.
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
    (HERE / "sentencepiece.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def corpus():
    text = (ASSETS / "long-text/tinyshakespeare.txt").read_text()[:200_000]
    return text.split("\n") + TEXTS * 5


def byte_level(use_regex=False, add_prefix_space=False):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
NORMALIZED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}


def byte_level_patches():
    yield "as trained", {}
    yield "Llama 3 pattern, ignore_merges", {
        "pre_tokenizer": sequence(split({"Regex": LLAMA3}), byte_level()),
        "model": {"ignore_merges": True},
    }
    yield "prefix space", {"pre_tokenizer": byte_level(True, True)}
    yield "ByteLevel first", {
        "pre_tokenizer": sequence(byte_level(True), {"type": "Digits", "individual_digits": True})
    }
    for behavior in BEHAVIORS:
        yield f"Split string {behavior}", {
            "pre_tokenizer": sequence(split({"String": " "}, behavior), byte_level(True))
        }
        yield f"Split regex inverted {behavior}", {
            "pre_tokenizer": sequence(split({"Regex": r"\w+|\s"}, behavior, True), byte_level())
        }
        for invert in (False, True):
            yield f"Split at empty matches {behavior} {invert}", {
                "pre_tokenizer": sequence(split({"Regex": r"(?=\p{Lu})|o|x*"}, behavior, invert), byte_level())
            }
        yield f"Punctuation {behavior}", {
            "pre_tokenizer": sequence({"type": "Punctuation", "behavior": behavior}, byte_level(True))
        }
    for individual in (False, True):
        digits = {"type": "Digits", "individual_digits": individual}
        yield f"Digits {individual}", {"pre_tokenizer": sequence(digits, byte_level(True))}
    yield "Whitespace", {"pre_tokenizer": sequence({"type": "Whitespace"}, byte_level())}
    yield "WhitespaceSplit", {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, byte_level())}
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        yield f"normalizer {name}", {"normalizer": {"type": name}}
    yield "normalizer Sequence", {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFD"},
                {"type": "StripAccents"},
                {"type": "Lowercase"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Strip", "strip_left": True, "strip_right": False},
            ],
        }
    }
    yield "template in a sequence", {
        "post_processor": {
            "type": "Sequence",
            "processors": [
                byte_level(),
                {
                    "type": "TemplateProcessing",
                    "single": [
                        {"SpecialToken": {"id": "<|start|>", "type_id": 0}},
                        {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "<|end|>", "type_id": 0}},
                    ],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                    "special_tokens": {
                        "<|start|>": {"id": "<|start|>", "ids": [0], "tokens": ["<|start|>"]},
                        "<|end|>": {"id": "<|end|>", "ids": [1], "tokens": ["<|end|>"]},
                    },
                },
            ],
        }
    }
    base = json.loads((HERE / "byte_level.json").read_text())["added_tokens"]
    extra = [
        {"id": 600, "content": "tag", **NORMALIZED, "single_word": True},
        {"id": 601, "content": "e\u0301", **NORMALIZED},
        {"id": 602, "content": "world", **NORMALIZED, "lstrip": True, "rstrip": True},
        {"id": 603, "content": "wor", **NORMALIZED},
        {"id": 604, "content": " Hi", **NORMALIZED, "normalized": False},
    ]
    yield "added tokens", {"added_tokens": base + extra, "normalizer": {"type": "NFC"}}
    # The text of a token with `normalized: true` is the normalized form of its content. The token counts as special if
    # that form is the content of a special token.
    forms = [
        {"id": 600, "content": "<|START|>", **NORMALIZED},
        {"id": 601, "content": "HELLO", **NORMALIZED, "special": True},
        {"id": 602, "content": "<x|y>", **NORMALIZED, "special": True},
        {"id": 603, "content": "World", **NORMALIZED},
    ]
    yield "special tokens in normalized text", {"added_tokens": base + forms, "normalizer": {"type": "Lowercase"}}
    yield "special tokens take white space", {
        "added_tokens": [{**token, "lstrip": True, "rstrip": True} for token in base]
    }
    # A text of spaces gives the token once: the second match lies in white space that the first one took.
    spaces = {"id": 600, "content": "  ", **NORMALIZED, "lstrip": True, "rstrip": True, "normalized": False}
    yield "a token of white space takes white space", {"added_tokens": [*base, spaces]}
    yield "no decoder", {"decoder": None}
    yield "Hangul in composed forms", {"normalizer": {"type": "NFKC"}, "pre_tokenizer": byte_level(True)}


def sentencepiece_patches():
    yield "as trained", {}
    yield "no byte fallback, fused unk", {"model": {"byte_fallback": False}}
    yield "no byte fallback, each unk", {"model": {"byte_fallback": False, "fuse_unk": False}}
    yield "nothing for unknown characters", {"model": {"byte_fallback": False, "unk_token": None}}
    for scheme in ("first", "always", "never"):
        for splits in (False, True):
            metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": splits}
            yield f"Metaspace {scheme} {splits}", {
                "normalizer": None,
                "pre_tokenizer": metaspace,
                "decoder": metaspace,
            }
    # The scheme "first" looks at the first character of the text as it was before the normalizer.
    first = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    starts = {
        "Strip": {"type": "Strip", "strip_left": True, "strip_right": False},
        "Nmt": {"type": "Nmt"},
        "StripAccents": {"type": "StripAccents"},
        "NFKC": {"type": "NFKC"},
        "Lowercase": {"type": "Lowercase"},
        "Replace by nothing": {"type": "Replace", "pattern": {"String": "H"}, "content": ""},
        "Replace by more": {"type": "Replace", "pattern": {"Regex": "^[ Ht]"}, "content": "the"},
        "Prepend": {"type": "Prepend", "prepend": " "},
    }
    for name, normalizer in starts.items():
        yield f"{name}, Metaspace first", {"normalizer": normalizer, "pre_tokenizer": first}
        yield f"{name}, Whitespace, Metaspace first", {
            "normalizer": normalizer,
            "pre_tokenizer": sequence({"type": "Whitespace"}, {"type": "Digits", "individual_digits": True}, first),
        }
    yield "Gemma decoder", {
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
    }
    yield "Replace and Strip after Fuse", {
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Replace", "pattern": {"String": "\u2581\u2581"}, "content": "_"},
                {"type": "Replace", "pattern": {"Regex": "\u2581+"}, "content": " "},
                {"type": "Strip", "content": " ", "start": 2, "stop": 0},
            ],
        }
    }


def merge_patch(target, patch):
    """RFC 7396."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge_patch(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
    return target


def with_required_fields(data):
    """Adds the fields that `tokenizers` requires and for which this project's reader has defaults. Ids are those of the file."""
    data = copy.deepcopy(data)
    for token in data["added_tokens"]:
        for key, value in (("single_word", False), ("lstrip", False), ("rstrip", False), ("normalized", False)):
            token.setdefault(key, value)
        data["model"]["vocab"].setdefault(token["content"], token["id"])
    data["model"]["merges"] = data["model"]["merges"] or []
    return data


def case(name, file, patch, data):
    tokenizer = Tokenizer.from_str(json.dumps(data))
    rows = []
    for text in TEXTS + MORE_TEXTS:
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text).ids
        row = {"text": text, "ids": ids}
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text).ids
        if plain != ids:
            row["plain_ids"] = plain
        row["decoded"] = tokenizer.decode(ids, skip_special_tokens=False)
        row["decoded_skip"] = tokenizer.decode(ids, skip_special_tokens=True)
        for key in ("decoded", "decoded_skip"):
            if row[key] == text:
                del row[key]
        rows.append(row)
    return {"name": name, "file": file, "patch": patch, "rows": rows}


def main():
    train_byte_level()
    train_sentencepiece()
    small = []
    for file, patches in (("byte_level.json", byte_level_patches()), ("sentencepiece.json", sentencepiece_patches())):
        data = json.loads((HERE / file).read_text())
        for name, patch in patches:
            small.append(case(name, file, patch, merge_patch(copy.deepcopy(data), patch)))
    real = []
    for folder in ("SmolLM2-135M-Instruct", "phi-2", "phi-3-mini", "added-tokens-mini", "ollama-mini-llama"):
        file = f"tokenizers/hf/{folder}/tokenizer.json"
        data = with_required_fields(json.loads((ASSETS / file).read_text()))
        real.append(case(folder, file, {}, data))
    made_by = f"make_vectors.py, tokenizers {tokenizers.__version__}"
    for name, cases in (("vectors.json", small), ("asset_vectors.json", real)):
        lines = ",\n".join(json.dumps(entry, ensure_ascii=True, separators=(",", ":")) for entry in cases)
        (HERE / name).write_text(f'{{"made_by":"{made_by}","cases":[\n{lines}\n]}}\n')


main()
