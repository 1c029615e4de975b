#!/usr/bin/env python3
"""Makes unigram/*.json and unigram_vectors.json in this folder with the package `tokenizers`, which is independent of this
project: three small Unigram models, one like T5's, one like XLM-RoBERTa's and one that takes the whole text as one word, and the ids and
texts that the package gives for them. The texts are those of make_vectors.py and 300 random ones. The map of characters comes from
`sentencepiece`. Random characters are restricted to those assigned in Python's version of Unicode, because the boundaries of graphemes
with newer combining marks depend on the version.

    python3 make_unigram.py ASSETS_FOLDER
"""

import io
import json
import pathlib
import random
import sys
import tempfile
import unicodedata

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
ASSETS = pathlib.Path(sys.argv[1])
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

# A map of characters that covers all cases: one character to several and several to one, a mark after a character that is mapped by
# itself, a removed character, white space, and characters of up to four bytes.
RULES = {"\ufb01": "fi", "A\u030a": "\u00c5", "e\u0301": "\u00e9", "\uff21": "A", "\uff11": "1", "\u200b": "", "\u00a0": " ",
         "\u3000": " ", "\u2026": "...", "\U0001f600": ":)", "\u2167": "VIII", "\u0130": "I\u0307", "\t": " ", "\r\n": " ",
         "\u0e33": "\u0e4d\u0e32"}
PIECES = ["fi", "\ufb01", "A\u030a", "\uff21\u0301", "\uff21", "e\u0301", "e\u0301\u0302", "\u00e9", "\uff11\uff12", "\u200b",
          "\u200d", "\u00a0", "\u3000", "\u2026", "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2167", "\u0130",
          "\t", "\r\n", "\n", " ", "  ", "\u2581", "\u0e01\u0e33", "\ud55c\uad6d", "\u1112\u1161\u11ab", "\u0915\u094d\u0937",
          "\U0001f1e9\U0001f1ea\U0001f1eb", "<extra_id_0>", "<mask>", "</s>", "<unk>", "<0x41>", "\u0000", "\u0007", "\ufeff",
          "\ufffd", "\u2028", "\U00020000", "1234", ".,;"]


def lines():
    return (ASSETS / "long-text/tinyshakespeare.txt").read_text()[:200_000].split("\n")


def fixed_texts():
    """TEXTS of make_vectors.py, read without running the script."""
    source = (HERE / "make_vectors.py").read_text(encoding="utf-8")
    begin = source.index("TEXTS = [")
    scope = {}
    exec(source[begin:source.index("\n]", begin) + 2], scope)
    return scope["TEXTS"]


def random_texts(n):
    dice = random.Random(11)
    words = sorted({word for line in lines() for word in line.split()})

    def character():
        while True:
            point = dice.choice([dice.randrange(1, 128), dice.randrange(1, 0x3000), dice.randrange(1, 0x110000)])
            if unicodedata.category(chr(point)) not in ("Cn", "Cs"):
                return chr(point)

    pick = [lambda: dice.choice(words), lambda: dice.choice(PIECES), lambda: " ", character]
    return ["".join(dice.choice(pick)() for _ in range(dice.randrange(1, 24))) for _ in range(n)]


def character_map(**settings):
    """The map of characters as SentencePiece compiles it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=model, vocab_size=90, model_type="unigram", minloglevel=2, num_threads=1,
        **settings)
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def map_of_rules():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for source, target in RULES.items():
            file.write("\t".join(" ".join(f"{ord(c):X}" for c in text) for text in (source, target)) + "\n")
        file.flush()
        return character_map(normalization_rule_tsv=file.name)


def train(normalizer, pre_tokenizer, special_tokens):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    trainer = trainers.UnigramTrainer(vocab_size=420 + len(special_tokens), special_tokens=special_tokens, unk_token="<unk>",
                                      show_progress=False)
    tokenizer.train_from_iterator(lines()[:1500] + fixed_texts() * 3, trainer)
    return tokenizer


def make_models():
    precompiled = normalizers.Precompiled(map_of_rules())
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="always")
    t5 = train(normalizers.Sequence([precompiled, normalizers.Strip(left=False, right=True),
                                     normalizers.Replace(tokenizers.Regex(" {2,}"), "\u2581")]),
               metaspace, ["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    t5.decoder = decoders.Metaspace(prepend_scheme="always")
    t5.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", t5.token_to_id("</s>"))])
    xlmr = train(precompiled, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace]),
                 ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] + BYTES)
    xlmr.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")])
    xlmr.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(token, xlmr.token_to_id(token)) for token in ("<s>", "</s>")])
    whole = train(normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Lowercase()]), None, ["<unk>"])
    whole.decoder = decoders.Fuse()
    for name, tokenizer in (("t5", t5), ("xlmr", xlmr), ("whole", whole)):
        data = json.loads(tokenizer.to_str())
        data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
        data["model"]["byte_fallback"] = name == "xlmr"
        if name == "whole":
            data["model"].pop("type")  # as in older files, which do not name the type
        (HERE / "unigram" / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def cases():
    texts = fixed_texts() + random_texts(300)
    for name in ("t5", "xlmr", "whole"):
        data = json.loads((HERE / "unigram" / f"{name}.json").read_text())
        data["model"].setdefault("type", "Unigram")
        tokenizer = Tokenizer.from_str(json.dumps(data))
        rows = []
        for text in texts:
            tokenizer.encode_special_tokens = False
            ids = tokenizer.encode(text).ids
            row = {"text": text, "ids": ids}
            tokenizer.encode_special_tokens = True
            plain = tokenizer.encode(text).ids
            if plain != ids:
                row["plain_ids"] = plain
            for key, skips in (("decoded", False), ("decoded_skip", True)):
                decoded = tokenizer.decode(ids, skip_special_tokens=skips)
                if decoded != text:
                    row[key] = decoded
            rows.append(row)
        yield {"name": name, "file": f"unigram/{name}.json", "patch": {}, "rows": rows}


def main():
    (HERE / "unigram").mkdir(exist_ok=True)
    make_models()
    made_by = f"make_unigram.py, tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}"
    entries = ",\n".join(json.dumps(entry, ensure_ascii=True, separators=(",", ":")) for entry in cases())
    (HERE / "unigram_vectors.json").write_text(f'{{"made_by":"{made_by}","cases":[\n{entries}\n]}}\n')


if __name__ == "__main__":
    main()
