"""The chat template of a model or bundle, rendered as docs/bundle-format.md says: by Jinja2 in the sandbox of transformers'
apply_chat_template, with a fixed day.

    chat = ChatTemplate.of(Path("bundles/default"))     # None without a template
    text = chat.render([{"role": "user", "content": "Hi"}])

lib/chat renders the same text from the same files with an interpreter of its own.
"""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import jinja2
import jinja2.ext
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

NAMED = Path(__file__).resolve().parents[2] / "lib/chat/templates"
ALIASES = {"mistral": "mistral-v1", "phi": "phi3", "qwen": "qwen2.5"}
DEFAULT_DATE = "2024-07-26"
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class Generation(jinja2.ext.Extension):
    """{% generation %}, which transformers adds to mark answers: its text is written like any other."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_written"), [], [], body).set_lineno(line)

    def _written(self, caller):
        return caller()


def _refuse(message):
    raise jinja2.TemplateError(message)


def _tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(date: str) -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = _tojson
    env.globals["raise_exception"] = _refuse
    env.globals["strftime_now"] = lambda form: datetime.datetime.fromisoformat(date).strftime(form)
    return env


def _json(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def special_tokens(folder: Path) -> dict[str, str]:
    """The special tokens' texts by name: tokenizer_config.json, and for what it lacks special_tokens_map.json."""
    tokens = {}
    for settings in (_json(folder / "special_tokens_map.json"), _json(folder / "tokenizer_config.json")):
        for name in SPECIAL_TOKENS:
            if (token := settings.get(name)) is not None:
                tokens[name] = token["content"] if isinstance(token, dict) else token
    return tokens


def model_template(folder: Path) -> str | None:
    """The model's own template: chat_template.jinja, else the (default) one of tokenizer_config.json, else of
    chat_template.json."""
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_bytes().decode("utf-8")
    for settings in (_json(folder / "tokenizer_config.json"), _json(folder / "chat_template.json")):
        template = settings.get("chat_template")
        if isinstance(template, list):
            template = next((entry["template"] for entry in template if entry["name"] == "default"), None)
        if template is not None:
            return template
    return None


def manifest_of(folder: Path) -> dict:
    file = folder / "manifest.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


@dataclass(frozen=True)
class ChatTemplate:
    text: str
    tokens: dict[str, str]
    date: str = DEFAULT_DATE

    @classmethod
    def of(cls, folder: Path) -> "ChatTemplate | None":
        """The template that the manifest names, a file of the bundle or one of NAMED; if none, the model's own."""
        manifest = manifest_of(folder)
        named = manifest.get("chat_template")
        if named == "none":
            return None
        if named is None:
            text = model_template(folder)
        elif named.endswith(".jinja"):
            text = (folder / named).read_bytes().decode("utf-8")
        else:
            text = (NAMED / f"{ALIASES.get(named, named)}.jinja").read_bytes().decode("utf-8")
        return None if text is None else cls(text, special_tokens(folder), str(manifest.get("chat_date", DEFAULT_DATE)))

    def render(self, messages: list[dict]) -> str:
        """The text up to the beginning of an answer. Raises jinja2's errors where the template refuses."""
        return environment(self.date).from_string(self.text).render(
            **self.tokens, messages=messages, tools=None, documents=None, add_generation_prompt=True)
