"""Write the generated prompt suites from held-back documents.

    python make_prompts.py --tokenizer bundles/default/tokenizer.json --out prompts

The same tokenizer gives the same files. prompts/everyday.yaml is written by hand and left alone.
max_new_tokens ends with the answer: what follows it in the training texts is the next question,
which nobody can foresee, and positions where nothing is certain prove little.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

import documents
from documents import Document, Question
from yaml_text import to_yaml

LICENSE = "Apache-2.0"

# Longer prompts are not in the `reference` suite: the plain loops of that backend would take hours.
REFERENCE_TOKENS = 2048

GENERATOR = "bundles/recipes/documents.py, long_document, as make_prompts.py calls it"

# Length in ids, records, questions with an answer, questions without one.
LONG_CONTEXTS = ((8192, 64, 7, 1), (16384, 64, 7, 1), (32640, 64, 7, 1))
RAG_CONTEXTS = ((2048, 32, 2), (3072, 48, 2), (4096, 64, 2), (6144, 64, 2), (8000, 64, 2))
RAG_INLINE = ((2048, 16), (2304, 24), (2560, 32), (3072, 32))


class Suites:
    """Collects prompts; `write` puts a YAML file for each suite, documents beside them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.count: Callable[[str], int] = lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
        self.prompts: dict[str, list[dict]] = {}
        self.documents: dict[str, list[dict]] = {}
        self.texts: dict[str, str] = {}

    def add(self, suite: str, kind: str, source: dict, new: int, answer: str | None = None, smoke: bool = False,
            context: int = 0, stream: bool = False) -> None:
        """`source` is text, messages or a document with either; `context` the document's ids."""
        text = source.get("text") or "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n"
                                             for m in source["messages"])
        total = context + self.count(text) + 8 + new
        tags = ["smoke"] * smoke + ["full"] + ["reference"] * (total <= REFERENCE_TOKENS)
        number = len(self.prompts.setdefault(suite, [])) + 1
        prompt = {"id": f"{suite}-{number:03d}", "tags": tags, "kind": kind, **source, "max_new_tokens": new}
        if answer is not None:
            prompt["answer"] = answer
        if stream:
            prompt["stream"] = True
        self.prompts[suite].append(prompt)

    def completion(self, suite: str, kind: str, document: Document, question: Question, **options) -> None:
        """The question as plain text behind its document."""
        self.add(suite, kind, {"text": document.text + question.prompt}, self.count(question.answer + question.end),
                 question.answer.strip(), **options)

    def conversation(self, suite: str, kind: str, document: Document, turns: int, **options) -> None:
        """The first questions of a chat document, all but the last answered."""
        messages = list(document.messages)
        for question in document.questions[:turns - 1]:
            messages += [question.message, {"role": "assistant", "content": question.answer}]
        last = document.questions[turns - 1]
        self.add(suite, kind, {"messages": [*messages, last.message]}, self.count(last.answer) + 4, last.answer,
                 **options)

    def shared(self, suite: str, kind: str, name: str, document: Document) -> None:
        """A document in a file of its own, with a prompt for every question."""
        self.texts[name] = document.text
        self.documents.setdefault(suite, []).append(
            {"id": name, "generator": GENERATOR, "seed": document.seed, "file": f"documents/{name}.txt"})
        for question in document.questions:
            self.add(suite, kind if question.answerable else "unanswerable",
                     {"document": name, "text": question.prompt}, self.count(question.answer + question.end),
                     question.answer.strip(), context=self.count(document.text))

    def write(self, folder: Path) -> None:
        (folder / "documents").mkdir(parents=True, exist_ok=True)
        for name, text in self.texts.items():
            (folder / "documents" / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
        for suite, prompts in self.prompts.items():
            content = {"suite_format": 1, "name": suite, "license": LICENSE, "prompts": prompts}
            if suite in self.documents:
                content["documents"] = self.documents[suite]
            head = "# Written by bundles/recipes/make_prompts.py; change that, not this.\n"
            (folder / f"{suite}.yaml").write_text(head + to_yaml(content), encoding="utf-8", newline="\n")


def held_back(family: str, seed: object, records: int, questions: int = 1) -> Document:
    return documents.sample(family, f"golden-{seed}", "held_back", records, questions)


def first(family: str, name: str, records: int, questions: int, wanted: Callable[[Document], bool]) -> Document:
    """The first document of the wanted sort, counting seeds up."""
    made = (held_back(family, f"{name}-{n}", records, questions) for n in range(10_000))
    return next(document for document in made if wanted(document))


def with_last(family: str, name: str, records: int, turns: int, wanted: Callable[[Question], bool]) -> Document:
    """The first document whose last question is of the wanted sort."""
    return first(family, name, records, turns, lambda document: wanted(document.questions[turns - 1]))


def chats(suites: Suites) -> None:
    for i in range(16):
        document = with_last("chat", f"short-{i}", 2 + i % 7, 1, lambda q: q.answerable)
        suites.conversation("short-chat", "short-chat", document, 1, smoke=i < 3)
    for i in range(12):
        turns = 2 + i % 3
        document = with_last("chat", f"turns-{i}", 3 + i % 5, turns, lambda q: q.answerable)
        suites.conversation("multi-turn", "multi-turn", document, turns, smoke=i < 2)


def code(suites: Suites) -> None:
    for i in range(12):
        document = held_back("code", f"code-{i}", 3 + i)
        suites.completion("code", "code", document, document.questions[0], smoke=i < 3)
    for i in range(6):
        document = held_back("table", f"table-{i}", 3 + 2 * i)
        suites.completion("code", "code", document, document.questions[0], smoke=i < 1)


def retrieval(suites: Suites) -> None:
    for i, (tokens, records, questions) in enumerate(RAG_CONTEXTS):
        document = documents.long_document(f"golden-rag-{i}", "held_back", tokens, suites.count, records, questions)
        suites.shared("rag", "rag", f"rag-{tokens}", document)
    for i, (tokens, records) in enumerate(RAG_INLINE):
        document = documents.long_document(f"golden-inline-{i}", "held_back", tokens, suites.count, records, 1)
        suites.completion("rag", "rag", document, document.questions[0])
    for i, (tokens, records, asked, absent) in enumerate(LONG_CONTEXTS):
        document = documents.long_document(f"golden-long-{i}", "held_back", tokens, suites.count, records,
                                           asked + absent, absent)
        suites.shared("long-context", "long-context", f"long-{tokens // 1000}k", document)


def unanswerable(suites: Suites) -> None:
    for i in range(8):
        document = held_back("unanswerable", f"unanswerable-{i}", 3 + 2 * i)
        suites.completion("unanswerable", "unanswerable", document, document.questions[0], smoke=i < 1)
    for i in range(4):
        document = with_last("chat", f"unanswerable-{i}", 3 + i, 1, lambda q: not q.answerable)
        suites.conversation("unanswerable", "unanswerable", document, 1, smoke=i < 1)


def streamed(suites: Suites) -> None:
    """Long certain answers: digits echoed, numbers counted; a few echoes in other scripts, which are not so certain."""
    for i in range(10):
        # A count goes on for as many numbers as there are questions; an echo of digits has no comma.
        counts = i % 3 == 2
        wanted = lambda document, counts=counts: (
            "," in document.questions[0].answer if counts else document.questions[0].answer.strip().isdigit())
        document = first("sequence", f"stream-{i}", 5 + i // 2, 8, wanted)
        suites.completion("streaming", "streaming", document, document.questions[0], smoke=i < 2, stream=True)
    for i in range(2):
        document = with_last("scripts", f"stream-{i}", 4 + i, 1, lambda q: q.prompt == "Echo:")
        suites.completion("streaming", "streaming", document, document.questions[0], smoke=i < 1, stream=True)


def scripts(suites: Suites) -> None:
    for i in range(12):
        echo = i % 6 == 5
        wanted = lambda question, echo=echo: (question.prompt == "Echo:") == echo
        document = with_last("scripts", f"scripts-{i}", 3 + i // 2, 1, wanted)
        suites.completion("scripts", "scripts", document, document.questions[0], smoke=i < 2)


def make(tokenizer: Tokenizer) -> Suites:
    suites = Suites(tokenizer)
    for part in (chats, code, retrieval, unanswerable, streamed, scripts):
        part(suites)
    return suites


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    make(Tokenizer.from_file(str(options.tokenizer))).write(options.out)


if __name__ == "__main__":
    main()
