"""Write the files of a bundle around its model: prompts, expected outputs, manifest.yaml."""

import hashlib
import json
import shutil
from pathlib import Path

import torch
import transformers
import yaml

from chat_template import ChatTemplate
from yaml_text import to_yaml

RECIPES = Path(__file__).resolve().parent

# The files that decide the expected outputs. Their hash identifies the program in the manifest.
PROGRAM = ("expect.py", "acceptance.py", "chat_template.py", "checkpoint.py", "prompt_suites.py", "published.py",
           "quantize.py", "reference.py", "routing.py", "streamed.py", "weights.py")

MODEL_FILES = ("config.json", "generation_config.json", "*.safetensors", "model.safetensors.index.json",
               "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
               "additional_chat_templates/*.jinja")


def program_hash() -> str:
    """SHA-256 over the bytes of PROGRAM, one file after the other."""
    return hashlib.sha256(b"".join((RECIPES / name).read_bytes() for name in PROGRAM)).hexdigest()


def _files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})


def copy_model(source: Path, target: Path) -> None:
    for file in _files(source, MODEL_FILES):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def copy_prompts(suites: list[tuple[Path, dict]], target: Path) -> None:
    """Copies the suites and the documents they name, in place of what was there. A file whose prompts are all used keeps
    its bytes; of any other only the used prompts are written, because `bundle verify` expects an answer to each."""
    texts = {file.name: _suite_text(file, suite) for file, suite in suites if suite["prompts"]}
    in_place = {file.parent.resolve() for file, _ in suites} == {target.resolve()}
    if not in_place:
        remove_folder(target)
        for file, suite in suites:
            for name in [d["file"] for d in suite.get("documents", []) if "file" in d]:
                copy = target / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.parent / name, copy)
    for file, _ in suites:
        if file.name in texts:
            target.mkdir(parents=True, exist_ok=True)
            (target / file.name).write_bytes(texts[file.name])
        else:
            (target / file.name).unlink(missing_ok=True)


def _suite_text(file: Path, suite: dict) -> bytes:
    written = file.read_bytes()
    return written if yaml.safe_load(written) == suite else to_yaml(suite, width=110).encode("utf-8")


def write_lines(file: Path, records: list[dict]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def take_lookups(parts: dict[str, dict], report: dict) -> None:
    """Lookup accuracy from evaluate.py, which asks more questions than the golden prompts do."""
    for variant, part in parts.items():
        measured = report["variants"].get(variant)
        if measured is None:
            continue
        invented = list(measured["invented"].values())
        part.setdefault("quality", {}).update(
            lookup_accuracy={str(n): round(share, 4) for n, share in measured["lookups"].items()},
            invented_answers=round(sum(invented) / len(invented), 4))


def listed_files(folder: Path) -> list[Path]:
    """Every file of the bundle except the manifest, hidden files and the work of an unfinished run."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    parts = lambda path: path.relative_to(folder).parts
    return [path for path in files if parts(path) != ("manifest.yaml",) and "unfinished" not in parts(path)
            and not any(part.startswith(".") for part in parts(path))]


def file_entry(folder: Path, file: Path) -> dict:
    content = file.read_bytes()
    return {"path": file.relative_to(folder).as_posix(), "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest()}


def _read(folder: Path) -> dict:
    file = folder / "manifest.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def variants_with_outputs(folder: Path) -> dict[str, dict]:
    """The variants for which the folder's manifest has expected outputs."""
    return {name: part for name, part in _read(folder).get("variants", {}).items() if "expected" in part}


def _kept_variants(folder: Path, old: dict, entries: list[dict], computed: set[str],
                   repeated: set[str]) -> dict[str, dict]:
    """The old manifest's variants that were computed now, or whose expected outputs still hold: the inputs are the
    same, and so is the program that made them, or this one repeated them (`repeated`). Removes the expected outputs of
    the others. A variant without any is dropped, since `bundle create` lists every variant that there could be."""
    inputs = lambda files: {f["path"]: f["sha256"] for f in files if not f["path"].startswith("expected/")}
    same_inputs = inputs(old.get("files", [])) == inputs(entries)
    same_program = old.get("expected_from", {}).get("program_sha256") == program_hash()
    kept = {}
    for name, part in old.get("variants", {}).items():
        holds = same_inputs and (same_program or name in repeated)
        if name in computed or (holds and "expected" in part):
            kept[name] = part
        else:
            (folder / f"expected/{name}.jsonl").unlink(missing_ok=True)
    return kept


def _chat_entries(folder: Path, old: dict, chat: ChatTemplate | None) -> dict[str, str]:
    """The manifest's entries on the chat template: the old ones, or else the model's own as a file of the bundle."""
    if old.get("chat_template"):
        return {key: str(old[key]) for key in ("chat_template", "chat_date") if key in old}
    if chat is None:
        return {"chat_template": "none"}
    (folder / "chat_template.jinja").write_bytes(chat.text.encode("utf-8"))
    return {"chat_template": "chat_template.jinja", "chat_date": chat.date}


def write(folder: Path, parts: dict[str, dict], chat: ChatTemplate | None, named: dict[str, str | None],
          repeated: set[str] = frozenset()) -> None:
    """manifest.yaml over everything that is in the folder; keeps what it said about the source."""
    old = _read(folder)
    chat_entries = _chat_entries(folder, old, chat)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    entries = lambda: [file_entry(folder, path) for path in listed_files(folder)]
    variants = {**_kept_variants(folder, old, entries(), set(parts), repeated), **parts}
    source = old.get("source") or {"description": "a Hugging Face folder", "url": ""}
    if named["source"]:
        source = {**source, "description": named["source"], "url": ""}
    content = {
        "format": "secondsource-bundle",
        "version": 1,
        "name": named["name"] or old.get("name") or folder.resolve().name,
        "family": old.get("family") or config["model_type"],
        "license": named["license"] or old.get("license") or "unknown",
        "source": source,
        "files": sorted(entries(), key=lambda entry: entry["path"]),
        **chat_entries,
        "variants": variants,
        "expected_from": {
            "program": "bundles/recipes/expect.py",
            "program_sha256": program_hash(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "dtype": "float32",
        },
    }
    (folder / "manifest.yaml").write_text(to_yaml(content), encoding="utf-8")
