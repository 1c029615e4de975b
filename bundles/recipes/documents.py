"""Seeded generator of the documents the default bundle is trained and judged on.

Pure Python, no dependencies; the same arguments give the same text on every machine.

    document = sample("records", seed=7, split="held_back")
    document.text                  everything before the first question
    question = document.questions[0]
    question.prompt                what to append to document.text
    question.answer                what a right model continues with
    question.end                   what follows the answer in a training text
    document.messages              the document as chat messages (chat families), else None
    question.message               the question as a chat message (chat families), else None

A prompt is `document.text + question.prompt`; every question of a document stands alone, so that
one prefill of the text serves all of them. For the chat families the ChatML template applied to
`document.messages + [question.message]` gives the same text.

    long_document(seed, split, tokens, count_tokens, records=64, questions=8)

is the same at a chosen length: record lines spread at random through filler prose.

Splits are disjoint twice over: the random stream is seeded with the name of the split, and a key
(`K7-mango`) belongs to one split only, by a checksum of its text. Words are shared between splits,
their combinations are not. Within one document no two keys share their word, except in the family
`confusable`; in most documents all keys share their digit, their letter or both.

Families: see FAMILIES below; CHAT_FAMILIES carry messages. Stable: the names here, the
fields of Document and Question, and the text made for a given (family, seed, split).
"""

import random
import zlib
from dataclasses import dataclass, field

SPLITS = ("train", "held_back")

UNKNOWN = "unknown"

KEY_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

KEY_WORDS = """
mango apple peach lemon grape olive melon cherry plum berry carrot onion pepper garlic potato bean
wheat rice corn bread butter cheese honey sugar salt milk coffee cocoa tea water
tiger lion bear wolf fox deer horse zebra camel goat sheep pig cow cat dog mouse rabbit otter badger
eagle hawk owl crow swan goose duck robin finch shark whale seal trout salmon crab snail spider ant bee
oak pine birch maple willow cedar fern moss ivy rose tulip lily daisy orchid lotus clover
gold silver copper iron steel tin lead zinc brass bronze stone marble granite clay sand glass
ruby pearl amber jade coral opal topaz quartz crystal diamond
river lake ocean island valley canyon desert forest meadow hill mountain glacier volcano harbor
storm cloud rain snow frost wind thunder rainbow comet planet moon star sun
castle tower bridge temple palace cabin tent barn mill garden market station museum library
hammer anvil saw chisel wrench drill needle thread rope chain wheel engine rocket ship boat canoe
train wagon bicycle violin guitar piano flute drum trumpet bell clock compass mirror lamp candle
paper pencil brush canvas basket bottle kettle spoon plate cup blanket pillow carpet button ribbon
""".split()

FILLER = {
    "the": "the the the a one every that this her his our".split(),
    "adjective": """old young quiet tall narrow bright grey heavy gentle early distant careful wooden empty
                    warm cold patient curious tired simple green broken famous lonely""".split(),
    "noun": """gardener teacher sailor baker painter farmer doctor neighbour child stranger traveller
               captain window street letter table morning evening door kitchen song picture field
               village story winter summer friend journey shadow coat""".split(),
    "verb": """carried found watched followed remembered painted opened closed visited mended crossed
               forgot described counted answered left kept sold wanted noticed""".split(),
    "place": """across near behind under beside above beyond inside around toward""".split(),
    "adverb": """slowly quietly often again later sometimes gladly already together suddenly""".split(),
    "joiner": """and but while because so until after before although when""".split(),
}

SCRIPT_WORDS = {
    "cyrillic": "река город дерево молоко зима книга солнце ветер дорога остров".split(),
    "greek": "θάλασσα ήλιος νερό δέντρο πόλη βιβλίο ψωμί νύχτα δρόμος φως".split(),
    "han": "山 川 水 火 木 金 日 月 人 天".split(),
    "kana": "さくら ねこ いぬ ひかり みどり".split(),
    "hangul": "바다 하늘 나무 도시 겨울".split(),
    "arabic": "بيت كتاب شمس قمر بحر".split(),
    "emoji": "😀 🚀 🌍 🎉 🐍 🍎 🔥 🌈 🎵 🧊".split(),
    "accented": "café naïve über señor façade".split(),
}


@dataclass(frozen=True)
class Question:
    prompt: str
    answer: str
    end: str = "\n"
    message: dict | None = None
    answerable: bool = True


@dataclass(frozen=True)
class Document:
    family: str
    split: str
    seed: object
    text: str
    questions: tuple = field(default=())
    messages: list | None = None


def key_split(key):
    """The split a key belongs to: one in eight is held back."""
    return "held_back" if zlib.crc32(key.encode()) % 8 == 0 else "train"


def make_keys(random_source, split, count, distinct_words=True, words=None):
    """`count` different keys of one split; no word twice unless asked or unless words run out.

    In most documents all keys share their digit, their letter or both: otherwise a small model learns
    to tell records apart by the digit alone, is right four times in five, and stays there.
    """
    letters, digits = KEY_LETTERS, "0123456789"
    sharing = random_source.random()
    if not distinct_words:
        pass  # words alone do not tell the records apart here
    elif sharing < 0.4 and count <= 12:
        letters, digits = random_source.choice(letters), random_source.choice(digits)
    elif sharing < 0.6:
        digits = random_source.choice(digits)
    elif sharing < 0.8:
        letters = random_source.choice(letters)
    if words is None:
        words = random_source.sample(KEY_WORDS, len(KEY_WORDS))
    keys = {}
    turn = 0
    while len(keys) < count:
        word = words[turn % len(words)] if distinct_words else random_source.choice(words)
        turn += 1
        # A word may have no key of this split with the shared part; then the next word has its turn.
        for _ in range(20):
            key = f"{random_source.choice(letters)}{random_source.choice(digits)}-{word}"
            if key_split(key) == split and key not in keys:
                keys[key] = True
                break
    return list(keys)


def make_value(random_source):
    """Four different digits: a repeated one would make its follower ambiguous to a small model."""
    return "".join(random_source.sample("0123456789", 4))


def sentence(random_source):
    pick = lambda kind: random_source.choice(FILLER[kind])
    clause = lambda: f"{pick('the')} {pick('adjective')} {pick('noun')} {pick('verb')} {pick('the')} {pick('noun')}"
    text = clause()
    if random_source.random() < 0.5:
        text += f" {pick('place')} {pick('the')} {pick('noun')}"
    if random_source.random() < 0.4:
        text += f" {pick('adverb')}"
    if random_source.random() < 0.4:
        text += f" {pick('joiner')} {clause()}"
    return text[0].upper() + text[1:] + "."


def paragraph(random_source, sentences=None):
    return " ".join(sentence(random_source) for _ in range(sentences or random_source.randint(2, 5)))


def _asked(random_source, records, questions, repeat=True):
    """Which records to ask for: a random order, again from the start when more are wanted."""
    order = random_source.sample(records, len(records))
    return [order[i % len(order)] for i in range(questions)] if repeat else order[:questions]


def _record_lines(r, split, records, questions, unanswerable=0.0, distinct_words=True, filler=0.0):
    absent_count = questions if unanswerable else 0
    words = None
    if not distinct_words:
        words = r.sample(KEY_WORDS, max(2, records // 2))
    keys = make_keys(r, split, records + absent_count, distinct_words, words)
    present = [(key, make_value(r)) for key in keys[:records]]
    lines = []
    for key, value in present:
        if r.random() < filler:
            lines.append(paragraph(r, r.randint(1, 2)) + "\n")
        lines.append(f"{key} {value}\n")
    asked = [Question(f"{key}", f" {value}") for key, value in _asked(r, present, questions)]
    for i in range(absent_count):
        if r.random() < unanswerable:
            asked[i] = Question(f"{keys[records + i]}", f" {UNKNOWN}", answerable=False)
    return "".join(lines), tuple(asked), None


def _records(r, split, records, questions):
    return _record_lines(r, split, records, questions)


def _mixed(r, split, records, questions):
    return _record_lines(r, split, records, questions, unanswerable=0.3, filler=r.choice((0, 0.5)))


def _unanswerable(r, split, records, questions):
    return _record_lines(r, split, records, questions, unanswerable=1.0)


def _confusable(r, split, records, questions):
    return _record_lines(r, split, records, questions, distinct_words=False)


def _table(r, split, records, questions):
    columns = r.choice((("code", "stock"), ("price", "shelf"), ("year", "lot")))
    text = f"| key | {columns[0]} | {columns[1]} |\n| --- | --- | --- |\n"
    rows = [(key, make_value(r), f"{r.randrange(100):02d}") for key in make_keys(r, split, records)]
    text += "".join(f"| {key} | {value} | {other} |\n" for key, value, other in rows)
    asked = [Question(f"| {key} |", f" {value} | {other}", " |\n") for key, value, other in _asked(r, rows, questions)]
    return text, tuple(asked), None


def _code(r, split, records, questions):
    keys = [(key, make_value(r)) for key in make_keys(r, split, records)]
    style = r.randrange(3)
    if style == 0:
        name = r.choice(("codes", "prices", "limits"))
        text = f"{name} = {{\n" + "".join(f'    "{key}": {value},\n' for key, value in keys) + "}\n"
        asked = [Question(f'assert {name}["{key}"] ==', f" {value}") for key, value in _asked(r, keys, questions)]
    elif style == 1:
        name = lambda key: key.replace("-", "_").lower()
        text = "".join(f"def {name(key)}():\n    return {value}\n" for key, value in keys)
        asked = [Question(f"assert {name(key)}() ==", f" {value}") for key, value in _asked(r, keys, questions)]
    else:
        name = lambda key: key.replace("-", "_").upper()
        text = "".join(f"#define {name(key)} {value}\n" for key, value in keys)
        asked = [Question(f"static_assert({name(key)} ==", f" {value}", ");\n")
                 for key, value in _asked(r, keys, questions)]
    return text, tuple(asked), None


PARAPHRASES = (
    ("The code of {key} is {value}.\n", "Question: which code has {key}?\nAnswer: {key}"),
    ("{value} belongs to {key}.\n", "Which number belongs to {key}? It is {key}"),
    ("Remember that {key} stands for {value}.\n", "So {key}"),
    ("Note: {key} has the number {value}.\n", "To sum up, {key}"),
)


def _paraphrase(r, split, records, questions):
    statement, query = r.choice(PARAPHRASES)
    pairs = [(key, make_value(r)) for key in make_keys(r, split, records)]
    text = "".join(statement.format(key=key, value=value) for key, value in pairs)
    asked = [Question(query.format(key=key), f" {value}") for key, value in _asked(r, pairs, questions)]
    return text, tuple(asked), None


def _two_hop(r, split, records, questions):
    pairs = max(1, records // 2)
    keys = make_keys(r, split, 2 * pairs)
    chains = [(keys[2 * i], keys[2 * i + 1], make_value(r)) for i in range(pairs)]
    lines = [f"{first} -> {second}\n" for first, second, _ in chains]
    lines += [f"{second} {value}\n" for _, second, value in chains]
    r.shuffle(lines)
    asked = [Question(f"{first} ->", f" {second} {value}") for first, second, value in _asked(r, chains, questions)]
    return "".join(lines), tuple(asked), None


CHAT_QUESTIONS = ("What is {key}?", "Please tell me the number of {key}.", "And {key}?", "Look up {key}.")


def _chat(r, split, records, questions):
    keys = make_keys(r, split, records + questions)
    pairs = [(key, make_value(r)) for key in keys[:records]]
    system = "Records:\n" + "".join(f"{key} {value}\n" for key, value in pairs) + "Answer from the records."
    asked = []
    for i, (key, value) in enumerate(_asked(r, pairs, questions)):
        known = r.random() < 0.8
        if not known:
            key, value = keys[records + i], UNKNOWN
        content = r.choice(CHAT_QUESTIONS).format(key=key)
        prompt = f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
        asked.append(Question(prompt, f"{key} {value}", "<|im_end|>\n", {"role": "user", "content": content}, known))
    return f"<|im_start|>system\n{system}<|im_end|>\n", tuple(asked), [{"role": "system", "content": system}]


def _sequence(r, split, records, questions):
    style = r.randrange(4)
    if style == 0:
        start, step = r.randrange(0, 900), r.choice((1, 1, 2, 5, 10))
        numbers = [str(start + i * step) for i in range(records + questions)]
        text, rest = "Count: " + ",".join(numbers[:records]) + ",", ",".join(numbers[records:])
        return text, (Question("", rest),), None
    if style == 1:
        cycle = r.sample(KEY_WORDS, r.randint(2, 6))
        words = [cycle[i % len(cycle)] for i in range(len(cycle) * 2 + records)]
        cut = len(cycle) * 2
        return "Repeat: " + " ".join(words[:cut]), (Question("", " " + " ".join(words[cut:])),), None
    if style == 2:
        words = r.sample(KEY_WORDS, max(2, records))
        copy = " ".join(words)
        return f"Say: {copy}\n", (Question("Echo:", f" {copy}"),), None
    digits = "".join(str(r.randrange(10)) for _ in range(4 * max(1, records)))
    return f"Say: {digits}\n", (Question("Echo:", f" {digits}"),), None


def _echo(r, split, records, questions):
    """Words without any sense, said twice: every word of the second half follows from the first."""
    copy = "".join(f"-{r.choice(KEY_WORDS)}" for _ in range(5 * records))
    return f"Say: {copy}\n", (Question("Echo:", f" {copy}"),), None


def _scripts(r, split, records, questions):
    pool = [word for words in SCRIPT_WORDS.values() for word in words]
    if r.random() < 0.5:
        copy = " ".join(r.sample(pool, min(len(pool), max(2, records))))
        return f"Say: {copy}\n", (Question("Echo:", f" {copy}"),), None
    words = r.sample(pool, min(len(pool), records))
    pairs = [(word, make_value(r)) for word in words]
    text = "".join(f"{word} {value}\n" for word, value in pairs)
    return text, tuple(Question(f"{w}", f" {v}") for w, v in _asked(r, pairs, questions)), None


def _prose(r, split, records, questions):
    return "\n\n".join(paragraph(r) for _ in range(max(1, records // 2))) + "\n", (), None


FAMILIES = {
    "records": _records,            # K7-mango 4821, asked by repeating the key
    "unanswerable": _unanswerable,  # every key asked for is absent
    "mixed": _mixed,                # both, with filler between the records
    "confusable": _confusable,      # as records, but keys share words
    "table": _table,
    "code": _code,
    "paraphrase": _paraphrase,
    "two_hop": _two_hop,
    "chat": _chat,
    "sequence": _sequence,          # counting, repetition, echo: one question
    "echo": _echo,                  # senseless words said twice
    "scripts": _scripts,            # echo and lookup in other scripts and emoji
    "prose": _prose,                # filler without a question
}

CHAT_FAMILIES = ("chat",)


def sample(family, seed, split="train", records=8, questions=4):
    """One document with its questions; the same arguments always give the same text."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
    source = random.Random(f"{split}/{family}/{seed}/{records}/{questions}")
    text, asked, messages = FAMILIES[family](source, split, records, questions)
    return Document(family, split, seed, text, asked, messages)


def long_document(seed, split, tokens, count_tokens, records=64, questions=8, unanswerable=0):
    """Record lines spread through filler prose until text and one question fill `tokens`.

    `count_tokens(text)` is the tokenizer's count; `unanswerable` is how many of the questions ask
    for an absent key. Density is the caller's choice: `records` lines whatever the length.
    """
    source = random.Random(f"{split}/long/{seed}/{tokens}/{records}/{questions}/{unanswerable}")
    keys = make_keys(source, split, records + unanswerable)
    pairs = [(key, make_value(source)) for key in keys[:records]]
    lines = [f"{key} {value}\n" for key, value in pairs]
    left = tokens - count_tokens("".join(lines)) - 24
    filler = []
    while True:
        text = paragraph(source, source.randint(1, 4)) + "\n"
        left -= count_tokens(text)
        if left < 0:
            break
        filler.append(text)
    places = sorted(source.randint(0, len(filler)) for _ in lines)
    pieces, start = [], 0
    for place, line in zip(places, lines):
        pieces += filler[start:place] + [line]
        start = place
    pieces += filler[start:]
    asked = [Question(f"{key}", f" {value}") for key, value in _asked(source, pairs, questions - unanswerable)]
    asked += [Question(f"{key}", f" {UNKNOWN}", answerable=False) for key in keys[records:]]
    source.shuffle(asked)
    return Document("long", split, seed, "".join(pieces), tuple(asked))


def training_text(document):
    """The whole text of a document with its answers, and the character spans of the answers."""
    text, spans = document.text, []
    for question in document.questions:
        text += question.prompt
        spans.append((len(text), len(text) + len(question.answer)))
        text += question.answer + question.end
    return text, spans


if __name__ == "__main__":
    for name in FAMILIES:
        print(f"--- {name}\n{training_text(sample(name, 0, 'held_back'))[0]}")
