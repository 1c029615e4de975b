"""Read prompt suites and turn every prompt into token ids, exactly as docs/bundle-format.md says.

    suites = read_suites(Path("prompts"))
    prompts = encode(suites, Encoder(Path("bundles/default")))

A document and what follows it are tokenized apart and joined; special tokens written in a text are
recognised; nothing is added that the template or the text does not contain.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import yaml
from tokenizers import Tokenizer

from chat_template import ChatTemplate


@dataclass(frozen=True)
class Prompt:
    """One golden prompt: `document_ids` are shared by all prompts of a document, `own_ids` follow."""

    id: str
    kind: str
    tags: tuple[str, ...]
    max_new_tokens: int
    own_ids: tuple[int, ...]
    document: str | None = None
    document_ids: tuple[int, ...] = ()
    answer: str | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return self.document_ids + self.own_ids

    @property
    def sha256(self) -> str:
        """Of the ids as little-endian int32."""
        return hashlib.sha256(struct.pack(f"<{len(self.ids)}i", *self.ids)).hexdigest()


def chatml(messages: list[dict]) -> str:
    """ChatML with the generation prompt, written out so that the template can be compared with it."""
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return turns + "<|im_start|>assistant\n"


class Encoder:
    """The tokenizer and chat template of a model folder; either may be missing."""

    def __init__(self, folder: Path) -> None:
        file = folder / "tokenizer.json"
        self.tokenizer = Tokenizer.from_file(str(file)) if file.exists() else None
        self.chat = ChatTemplate.of(folder)

    def count(self, text: str) -> int:
        return len(self.encode(text))

    def lacks(self, prompt: dict) -> str | None:
        """Why the folder cannot encode a prompt; None if it can."""
        if self.tokenizer is None and ("ids" not in prompt or "document" in prompt):
            return "the model folder has no tokenizer.json"
        if "messages" in prompt and self.chat is None:
            return "the model folder has no chat template"
        if "messages" in prompt:
            try:
                self.render(prompt["messages"])
            except Exception as error:  # an untrusted template may raise anything
                return f"the chat template refuses them: {type(error).__name__}: {error}"
        return None

    def encode(self, text: str) -> list[int]:
        if self.tokenizer is None:
            raise ValueError("expected a tokenizer.json in the model folder, found none")
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str | None:
        return self.tokenizer.decode(ids, skip_special_tokens=True) if self.tokenizer else None

    def render(self, messages: list[dict]) -> str:
        if self.chat is None:
            raise ValueError("expected a chat template in the model folder, found none")
        return self.chat.render(messages)


def read_suites(source: Path | list[Path]) -> list[tuple[Path, dict]]:
    """The YAML suites of a folder (sorted by name), or the given files."""
    files = source if isinstance(source, list) else [source]
    files = [f for file in files for f in (sorted(file.glob("*.yaml")) if file.is_dir() else [file])]
    if not files:
        named = ", ".join(map(str, source if isinstance(source, list) else [source]))
        raise ValueError(f"{named}: expected prompt suites (*.yaml), found none")
    return [(file, yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]


def _document_text(file: Path, document: dict) -> str:
    if "text" in document:
        return document["text"]
    return (file.parent / document["file"]).read_text(encoding="utf-8")


def _own_ids(prompt: dict, encoder: Encoder) -> list[int]:
    if "ids" in prompt:
        return prompt["ids"]
    text = prompt["text"] if "text" in prompt else encoder.render(prompt["messages"])
    return encoder.encode(text)


def without_unusable(suites: list[tuple[Path, dict]], encoder: Encoder) -> tuple[list[tuple[Path, dict]], list[str]]:
    """The suites without the prompts that this folder cannot encode, and a sentence for each reason."""
    reasons: dict[str, int] = {}
    kept = []
    for file, suite in suites:
        lacking = [encoder.lacks(prompt) for prompt in suite["prompts"]]
        for reason in filter(None, lacking):
            reasons[reason] = reasons.get(reason, 0) + 1
        prompts = [prompt for prompt, reason in zip(suite["prompts"], lacking) if reason is None]
        usable = {**suite, "prompts": prompts}
        if encoder.tokenizer is None:
            usable.pop("documents", None)
        kept.append((file, usable))
    return kept, [f"{count} {'prompt' if count == 1 else 'prompts'} left out: {why}" for why, count in reasons.items()]


def encode(suites: list[tuple[Path, dict]], encoder: Encoder) -> list[Prompt]:
    """Every prompt of the suites with its ids, in order."""
    documents: dict[str, tuple[int, ...]] = {}
    for file, suite in suites:
        for document in suite.get("documents", []):
            if document["id"] in documents:
                raise ValueError(f"{file}: document {document['id']} is there twice")
            documents[document["id"]] = tuple(encoder.encode(_document_text(file, document)))
    prompts: dict[str, Prompt] = {}
    for file, suite in suites:
        for entry in suite.get("prompts", []):
            if entry["id"] in prompts:
                raise ValueError(f"{file}: prompt {entry['id']} is there twice")
            name = entry.get("document")
            if name is not None and name not in documents:
                raise ValueError(f"{file}: prompt {entry['id']} names the unknown document {name}")
            prompts[entry["id"]] = Prompt(
                id=entry["id"], kind=entry["kind"], tags=tuple(entry["tags"]),
                max_new_tokens=entry["max_new_tokens"], own_ids=tuple(_own_ids(entry, encoder)),
                document=name, document_ids=documents.get(name, ()), answer=entry.get("answer"))
    return list(prompts.values())
