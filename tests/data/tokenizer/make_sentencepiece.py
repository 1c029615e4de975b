#!/usr/bin/env python3
"""Makes sentencepiece/*.model and sentencepiece_vectors.json in this folder with the package `sentencepiece` (0.2.3), which is
independent of this project: two small BPE models with the settings of Llama 2 and of Gemma and the ids that the package
gives for texts with them; and a Unigram model, which is refused.

    python3 make_sentencepiece.py ASSETS_FOLDER

Texts are those of make_vectors.py and 300 random ones, of characters of all planes, of white space and of words.
"""

import io
import json
import pathlib
import random
import sys

import sentencepiece

HERE = pathlib.Path(__file__).parent
ASSETS = pathlib.Path(sys.argv[1])

COMMON = {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
          "remove_extra_whitespaces": False, "split_digits": True, "character_coverage": 0.999,
          "allow_whitespace_only_pieces": True, "minloglevel": 2, "num_threads": 1}
MODELS = {
    "llama": {**COMMON, "vocab_size": 700},
    "gemma": {**COMMON, "vocab_size": 800, "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3,
              "control_symbols": ["<mask>"],
              "user_defined_symbols": ["<start_of_turn>", "<end_of_turn>", "\n\n", "<table>"]},
    "unigram": {"model_type": "unigram", "vocab_size": 90, "normalization_rule_name": "identity", "minloglevel": 2,
                "num_threads": 1},
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


def main():
    folder = HERE / "sentencepiece"
    folder.mkdir(exist_ok=True)
    texts = fixed_texts() + random_texts(300)
    vectors = {"package": f"sentencepiece {sentencepiece.__version__}", "texts": texts, "models": {}}
    for name, settings in MODELS.items():
        content = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines()), model_writer=content, **settings)
        (folder / f"{name}.model").write_bytes(content.getvalue())
        if settings["model_type"] != "bpe":
            continue  # refused
        processor = sentencepiece.SentencePieceProcessor(model_proto=content.getvalue())
        vectors["models"][name] = {"ids": [processor.encode(text) for text in texts],
                                   "texts": [processor.decode(processor.encode(text)) for text in texts]}
    (HERE / "sentencepiece_vectors.json").write_text(json.dumps(vectors, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
