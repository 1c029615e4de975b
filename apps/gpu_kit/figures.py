"""The figures of a sitting in one file: each line holds one JSON document that a step's program wrote, reduced to what the
page needs. A sitting brings back few and small files, whatever its steps wrote."""

import json

from journal import append_line

# Of each row of Google Benchmark's JSON. The rest is constant or has no meaning for a device.
ROW_FIELDS = ("name", "run_type", "error_occurred", "error_message", "label", "us", "n", "noise", "GB/s", "GFLOP/s", "of_read",
              "best")
MAX_LINE_BYTES = 1 << 20


def parsed(text):
    """Parses JSON. A program that was stopped leaves half a document: what is whole of a list of benchmarks is kept."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    end = text.rfind("}")
    while end > 0 and '"benchmarks"' in text[:end]:
        try:
            return json.loads(text[:end + 1] + "]}")
        except ValueError:
            end = text.rfind("}", 0, end)
    return None


def reduced(document):
    if not isinstance(document, dict) or "benchmarks" not in document:
        return document
    context = document.get("context", {})
    kept = {key: value for key, value in context.items() if key in ("date", "host_name") or "." in key}
    rows = [{key: row[key] for key in ROW_FIELDS if key in row} for row in document["benchmarks"]]
    return {"context": kept, "benchmarks": rows}


def repetitions_of(text):
    """Of a run's samples.jsonl the lines that say how fast a cell decoded; {} is left of all others."""
    kept = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record.get("type") == "repetition":
            kept.append({key: record[key] for key in ("type", "cell", "decode") if key in record})
    return {"samples": kept}


def append(path, step, identity, file):
    """Appends what `file` holds; returns why it could not be kept, or an empty string."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.name.endswith((".csv", ".md")):
        document = {"text": text}
    elif file.name.endswith(".jsonl"):
        document = repetitions_of(text)
    else:
        document = reduced(parsed(text))
    if document is None:
        return f"{file.name} holds no JSON"
    name = file.name if not file.name.endswith(".jsonl") else f"{file.parent.name}/{file.name}"
    line = json.dumps({"step": step, "identity": identity, "file": name, "document": document}, separators=(",", ":"))
    if len(line) > MAX_LINE_BYTES:
        return f"{file.name} is larger than {MAX_LINE_BYTES} bytes even when it is reduced"
    append_line(path, line)
    return ""


def expand(path, identity, folder):
    """Writes the latest document of each file into `folder`, as the programs wrote them, for the steps and pages that read
    them. Those of another kit or device are left out, unless `identity` is None. Returns their names."""
    latest = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the machine went away while it was written
            if identity in (None, entry["identity"]):
                latest[entry["file"]] = entry["document"]
    for name, document in latest.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".jsonl"):
            target.write_text("".join(json.dumps(record) + "\n" for record in document["samples"]), encoding="utf-8")
        elif name.endswith((".csv", ".md")):
            target.write_text(document["text"], encoding="utf-8")
        else:
            target.write_text(json.dumps(document), encoding="utf-8")
    return sorted(latest)
