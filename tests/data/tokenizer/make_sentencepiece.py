#!/usr/bin/env python3
"""Makes sentencepiece/*.model and sentencepiece_vectors.json in this folder with the package `sentencepiece` (0.2.3), which is
independent of this project: small models, and the ids and texts that the package gives for them. The BPE models have the settings of
Llama 2, those of Gemma, or a map of characters and removal of spaces. The Unigram models are like T5's, have byte pieces and pieces of
several words, or add no space in front.

    python3 make_sentencepiece.py ASSETS_FOLDER

The texts are those of make_vectors.py and 300 random ones with characters of all planes, white space and words. The ids of a text are
null where a tokenizer.json must give other ids (lib/tokenizer/README.md): for Unigram models, if the text contains the spelled-out form
of a control, user-defined or byte piece; for models with a map of characters, if characters join to a grapheme. The decoded text is null
if one of the ids is the unknown piece, which SentencePiece decodes in its own way.
"""

import io
import json
import pathlib
import random
import sys
import tempfile
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

HERE = pathlib.Path(__file__).parent
ASSETS = pathlib.Path(sys.argv[1])

COMMON = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
          "remove_extra_whitespaces": False, "split_digits": True, "character_coverage": 0.999,
          "allow_whitespace_only_pieces": True, "minloglevel": 2, "num_threads": 1}
# A small map of characters: it maps one character to several and several to one, removes one, and changes white space.
RULES = {"\ufb01": "fi", "\uff21": "A", "\uff11": "1", "\u200b": "", "\u00a0": " ", "\u3000": " ", "\u2026": "...", "\u2167": "VIII",
         "\t": " ", "\n": " ", "\u00b4": " \u0301", "\r\n": " "}
UNIGRAM = {"model_type": "unigram", "minloglevel": 2, "num_threads": 1}
MODELS = {
    "llama": {**COMMON, "vocab_size": 700},
    "gemma": {**COMMON, "vocab_size": 800, "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3,
              "control_symbols": ["<mask>"],
              "user_defined_symbols": ["<start_of_turn>", "<end_of_turn>", "\n\n", "<table>"]},
    "mapped": {**COMMON, "vocab_size": 600, "remove_extra_whitespaces": True, "rules": RULES},
    "t5": {**UNIGRAM, "vocab_size": 300, "rules": RULES, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
    "unigram": {**UNIGRAM, "vocab_size": 700, "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
                "byte_fallback": True, "split_by_whitespace": False, "allow_whitespace_only_pieces": True,
                "user_defined_symbols": ["<table>"]},
    "bare": {**UNIGRAM, "vocab_size": 250, "normalization_rule_name": "identity", "add_dummy_prefix": False},
}


def lines():
    text = (ASSETS / "long-text/tinyshakespeare.txt").read_text()[:200_000]
    return text.split("\n")


def random_texts(n):
    generator = random.Random(7)
    words = sorted({word for line in lines() for word in line.split()})
    marks = [" ", "  ", "\n", "\n\n", "\t", "\u2581", "<s>", "<start_of_turn>", "<mask>", "<0x41>", "1234", ".,;"]

    def character():
        while True:
            point = generator.choice([generator.randrange(1, 128), generator.randrange(1, 0x3000),
                                      generator.randrange(1, 0x110000)])
            if not 0xD800 <= point < 0xE000:
                return chr(point)

    pick = [lambda: generator.choice(words), lambda: generator.choice(marks), character]
    return ["".join(generator.choice(pick)() for _ in range(generator.randrange(1, 24))) for _ in range(n)]


def fixed_texts():
    """TEXTS of make_vectors.py, read without running the script."""
    source = (HERE / "make_vectors.py").read_text(encoding="utf-8")
    begin = source.index("TEXTS = [")
    scope = {}
    exec(source[begin:source.index("\n]\n", begin) + 2], scope)
    return scope["TEXTS"]


def joins_neighbours(character):
    """Whether the character may form a grapheme with the character before or after it (UAX #29)."""
    point = ord(character)
    return (unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") or 0x1100 <= point < 0x1200 or 0xA960 <= point < 0xA980
            or 0xD7B0 <= point < 0xD800 or 0x1F1E6 <= point < 0x1F200 or 0x1F3FB <= point < 0x1F400 or 0xFF9E <= point < 0xFFA0
            or point in (0x0E33, 0x0EB3) or unicodedata.category(character) == "Cn")


def is_compared(text, settings, special_pieces):
    if settings["model_type"] == "unigram" and any(piece in text for piece in special_pieces):
        return False
    return "rules" not in settings or not any(joins_neighbours(character) for character in text)


def train(settings):
    settings = dict(settings)
    rules = settings.pop("rules", None)
    content = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        if rules:
            for source, target in rules.items():
                file.write("\t".join(" ".join(f"{ord(c):X}" for c in text) for text in (source, target)) + "\n")
            file.flush()
            settings["normalization_rule_tsv"] = file.name
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines()), model_writer=content, **settings)
    return content.getvalue()


def without_file_names(content):
    """The model without the name of its file of rules, which is a different temporary file in each run."""
    model = sentencepiece_model_pb2.ModelProto.FromString(content)
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    return model.SerializeToString()


def main():
    folder = HERE / "sentencepiece"
    folder.mkdir(exist_ok=True)
    texts = fixed_texts() + random_texts(300)
    vectors = {"package": f"sentencepiece {sentencepiece.__version__}", "texts": texts, "models": {}}
    for name, settings in MODELS.items():
        content = train(settings)
        if "rules" in settings:
            content = without_file_names(content)
        (folder / f"{name}.model").write_bytes(content)
        processor = sentencepiece.SentencePieceProcessor(model_proto=content)
        special = [processor.id_to_piece(id) for id in range(processor.get_piece_size())
                   if processor.is_control(id) or processor.is_byte(id) or processor.is_unknown(id)]
        special += settings.get("user_defined_symbols", [])
        ids = [processor.encode(text) if is_compared(text, settings, special) else None for text in texts]
        decoded = [None if row is None or processor.unk_id() in row else processor.decode(row) for row in ids]
        vectors["models"][name] = {"ids": ids, "texts": decoded}
    (HERE / "sentencepiece_vectors.json").write_text(json.dumps(vectors, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
