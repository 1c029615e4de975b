#!/usr/bin/env python3
"""Writes patterns.json: what Oniguruma, in the Hugging Face `tokenizers` package (0.23.3), replaces in a text by "#" for each pattern.

    python3 make_patterns.py
"""

import json
import pathlib

import tokenizers
from tokenizers import Regex, normalizers

# Each character is here because a class of Oniguruma has it and a class of the same name in PCRE2 has not, or the other way around.
CHARACTERS = (
    "aBsk1_ -+$\u017f\u212a"
    "\u00a9\u00b1\u00aa\u00b2\u00b3\u00b5\u00bc\u00df\u00e9\u00c9\u01c5\u0301\u0345\u0363\u0399\u03b9\u060c\u0640\u064b\u0661"
    "\u0924\u0947\u0964\u09f4\u0b72\u0c04\u0f82\u10fc\u180e\u1dd3\u2028\u200c\u2066\u2160\u2167\u2460\u24b6\u24d0\u3001\u3002\u3005"
    "\u300c\u3042\u30a2\u30fc\u4e00\ua7f2\uab69\ud55c\uff61\U00011080\U0001f130\U0001f150\U0001f170\U0001f189\u3000\u0085\u000b\u0008\t\n"
)
CLASSES = [
    *(rf"\{letter}" for letter in "wWdDsShH"),
    *(f"[[:{name}:]]" for name in "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit".split()),
    *(rf"\p{{{name}}}" for name in "Han Hani Hiragana Katakana Arabic Devanagari Greek Latin Hangul Common Inherited Yi".split()),
    *(rf"\p{{{name}}}" for name in "L Lu Ll Lt M Mn N Nd No P S Z C Cf LC Alphabetic Alpha Alnum Punct Word Upper Lower Graph".split()),
    *(rf"\p{{{name}}}" for name in ("White_Space", "Any", "^Han", " han ", "l_u", "Print", "Blank", "Space", "XDigit", "Cntrl")),
    r"\P{Han}", r"\P{^Han}", r"\P{Alpha}", r"[\w]", r"[^\w]", r"[\W]", r"[^\W]", r"[\W_]", r"[^\W_]", r"[\D\S]", r"[\H]", r"[a\H]",
    r"[^\H]", r"[\d\p{Han}]", r"[^\p{Han}a]", r"[\P{Han}\u4e00]", r"[[:^alpha:]]", r"[^[:^word:]]", r"[[:^punct:]a]", r"[[:^space:]]",
    r"[\p{Word}]", r"[\p{^Alnum}^]", r"[^\S\n]", r"[\b]", r"\v", r"[\v]", r"\N", r"\O", r"\R", ".", "(?m:.)", r"\u3001", r"\x41",
    r"\x{4e00}", r"(?i)[\p{L}]", r"(?i)[\w]", r"(?i)[^\W]", r"(?i)\p{Lu}", r"(?i)[a-c]", r"(?i)[^\s\p{L}\p{N}]", r"(?i)\u00e9",
    r"(?i:s)", r"(?i:k)", r"[[:alpha:]\s]+", r"\w+", r"\w+|[^\w\s]+",
]
EXPRESSIONS = {
    "aab ab 1234567 x\u00b2y a\nb aB C AB {2} \u0924\u0947 aa. ]^-b": [
        r"\b", r"\B", r"\bx", r"a\b", r"\b\w+\b", r"\p{N}{1,3}+", r"\p{N}{1,3}", r"\p{N}{3}+", r"\p{N}{2}?", r"\p{N}{1,2}?", r"\p{N}{,2}",
        r"(?:12|34){1}+", r"[12]{1}+", r"\x31{1}+", r"a{,1}b", r"a(?i)b|c", r"(a(?i)b|c) ", r"(?i)ab|c(?-i)x", r"a.b", r"(?m)a.b",
        r"(?m-i:a.b)", r"(?#a [comment)a", r"[]^-]", r"[^]^-]",
        r"^a|b$", r"\Aa", r"b\z", r"a++b", r"a?+", r"(a)\1", r"(?<n>a)\k<n>", r"(?>a+)b",
        r"(?<=a)b", r"(?<!a)b", r"[a-]", r"[\w-]", "#|a",
    ],
}


def replaced(pattern, text):
    return normalizers.Replace(Regex(pattern), "#").normalize_str(text)


rows = [[pattern, CHARACTERS] for pattern in CLASSES]
rows += [[pattern, text] for text, patterns in EXPRESSIONS.items() for pattern in patterns]
lines = ",\n".join(json.dumps([pattern, text, replaced(pattern, text)], ensure_ascii=True, separators=(",", ":")) for pattern, text in rows)
made_by = f"make_patterns.py, tokenizers {tokenizers.__version__}"
path = pathlib.Path(__file__).parent / "patterns.json"
path.write_text(f'{{"made_by":"{made_by}","rows":[\n{lines}\n]}}\n')
