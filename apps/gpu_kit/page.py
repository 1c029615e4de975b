"""Makes a page of what sittings with a kit brought back: verdicts, aims, tables, answers. It needs no GPU and no kit.

    python3 page.py RESULTS > page.md

Of several kits or devices in one folder the latest one counts.
"""

import json
import pathlib
import re
import sys
import tempfile

import aims
import compare_choices
import figures
import kernel_table
from journal import histories_of, read_lines
from steps import MODELS, ROUNDS, STEPS


def document(folder, name):
    return figures.parsed((folder / name).read_text(encoding="utf-8"))


def verdicts(entries, identity):
    histories = histories_of(entries, identity)
    lines = ["| sitting | step | question | verdict | s |", "| ---: | --- | --- | --- | ---: |"]
    for step in STEPS:
        history = histories.get(step.name)
        if history is None:
            lines.append(f"| {step.sitting} | {step.name} | {step.answers} | not done | - |")
            continue
        killed = f"; killed {history.killed} {'time' if history.killed == 1 else 'times'}" if history.killed else ""
        why = f": {history.why}" if history.why else ""
        lines.append(f"| {step.sitting} | {step.name} | {step.answers} | {history.verdict}{why}{killed} | {history.seconds:.0f} |")
    return "\n".join(lines)


def best_of_turns(folder, prefix, kind):
    """Returns choice -> case -> the best rate of its turns: files PREFIX-CHOICE-TURN.json."""
    choices = {}
    for file in sorted(folder.glob(f"{prefix}-*-*.json")):
        choice = re.fullmatch(rf"{prefix}-(.*)-\d+\.json", file.name)[1]
        rates = choices.setdefault(choice, {})
        for case, rate in compare_choices.rates_of(document(folder, file.name), kind).items():
            rates[case] = max(rate, rates.get(case, 0))
    return choices


def comparison(folder, prefix, first, second):
    """A table of two choices: the best rate of each, and their ratio. Each was timed twice, in turn."""
    lines = []
    for kind in ("BM_matmul", "BM_attention"):
        choices = best_of_turns(folder, prefix, kind)
        for case in sorted(set(choices.get(first, {})) & set(choices.get(second, {}))):
            one, other = choices[first][case], choices[second][case]
            lines.append(f"| {case.removesuffix('/manual_time')} | {one:.0f} | {other:.0f} | {other / one:.3f} |")
    if not lines:
        return ""
    return "\n".join([f"| case | {first}, GFLOP/s | {second}, GFLOP/s | {second} / {first} |", "| --- | ---: | ---: | ---: |",
                      *lines])


def whole_products(found):
    lines = ["| product | verdict | elements | largest difference, of its tolerance | repetitions that changed |",
             "| --- | --- | ---: | ---: | ---: |"]
    for case in found["whole_products"]:
        if case["verdict"] == "not compared":
            lines.append(f"| {case['name']} | not compared: {case['why']} | - | - | - |")
            continue
        share = "not finite" if case["largest_share"] is None else f"{case['largest_share']:.3g}"
        place = "" if case["verdict"] == "passed" else f", row {case['worst']['row']}, column {case['worst']['column']}"
        lines.append(f"| {case['name']} | {case['verdict']}{place} | {case['n_elements']} | {share} | "
                     f"{case['n_changed_repetitions']} of {case['n_repetitions']} |")
    return "\n".join(lines)


def peers(found):
    lines = [f"| model | precision | batch | what | system | tok/s, median | ours / theirs | rounds, of {ROUNDS} |",
             "| --- | --- | ---: | --- | --- | ---: | ---: | ---: |"]
    middle = lambda rounds, what: sorted(one[what] for one in rounds)[len(rounds) // 2]
    for entry in found["cases"]:
        case, ours = entry["case"], entry["rates"].get("secondsource", [])
        for system, rounds in entry["rates"].items():
            for what in (key for key in (rounds[0] if rounds else ()) if not key.startswith("limit of")):
                mine = middle(ours, what) if ours and what in ours[0] else None
                ratio = "-" if system == "secondsource" or mine is None else f"{mine / middle(rounds, what):.2f}"
                lines.append(f"| {case['shape']} | {case['precision']} | {case['batch']} | {what} | {system} | "
                             f"{middle(rounds, what):.1f} | {ratio} | {len(rounds)} |")
    return "\n".join(lines)


def choices_table(folder, prefix, kind):
    choices = {file.stem.removeprefix(prefix + "-"): compare_choices.rates_of(document(folder, file.name), kind)
               for file in sorted(folder.glob(f"{prefix}-*.json"))}
    return compare_choices.table(choices) if "auto" in choices else ""


def merge_peers(folder):
    """The steps of single models write files of their own; aims.py reads one."""
    cases = [case for file in sorted(folder.glob("peers-*.json")) for case in document(folder, file.name)["cases"]]
    if cases:
        (folder / "peers.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")


def overlapping_decode(folder):
    """How much faster a model of 1B decodes where kernels overlap."""
    step = "question-dependent-launch"
    try:
        one_by_one, overlapping = (aims.decode_rate(folder, f"dependent-run-{name}", step) for name in ("one-by-one", "overlapping"))
    except aims.NotMeasured:
        return ""
    return "\n".join(["| model | one by one, GB/s | overlapping, GB/s | overlapping / one by one |", "| --- | ---: | ---: | ---: |",
                      f"| {MODELS[0]}, bf16, one sequence | {one_by_one / 1e9:.0f} | {overlapping / 1e9:.0f} | "
                      f"{overlapping / one_by_one:.3f} |"])


def sections(folder):
    """Pairs of a title and a text; those without figures are left out."""
    has = lambda name: (folder / name).exists()
    yield "Aims", aims.table(folder)
    for name, title in (("kernels.json", "Kernels in BF16"), ("kernels-quantized.json", "Products of quantized weights"),
                        ("kernels-library.json", "Products by the library")):
        yield title, kernel_table.table(document(folder, name)) if has(name) else ""
    for name, title in (("whole.json", "Whole products"),
                        ("whole-streamk128x256.json", "Whole products in equal shares of steps"),
                        ("whole-cluster128x128.json", "Whole products of clusters, 128 x 128"),
                        ("whole-cluster128x256.json", "Whole products of clusters, 128 x 256")):
        yield title, whole_products(document(folder, name)) if has(name) else ""
    yield "Weights staged and streamed", comparison(folder, "streamed", "staged", "streamed")
    yield "Kernels one by one and overlapping", comparison(folder, "dependent", "one-by-one", "overlapping")
    yield "Decode with overlapping kernels", overlapping_decode(folder)
    yield "Each shape of tiles", choices_table(folder, "tiles", "BM_matmul")
    yield "Each kernel of attention", choices_table(folder, "attention", "BM_attention")
    yield "Models beside PyTorch", peers(document(folder, "peers.json")) if has("peers.json") else ""
    yield "Kernels beside PyTorch", (folder / "side-by-side.md").read_text(encoding="utf-8") if has("side-by-side.md") else ""
    for file in sorted(folder.glob("profile-*.csv")):
        yield f"Profile: {file.stem.removeprefix('profile-')}", "\n".join(
            "    " + line for line in file.read_text(encoding="utf-8").splitlines())


def page(results):
    entries = read_lines(results / "journal.jsonl")
    if not entries:
        raise SystemExit(f"page: {results / 'journal.jsonl'} has no entry")
    identity = entries[-1]["identity"]
    device = results / "device.txt"
    with tempfile.TemporaryDirectory(prefix="secondsource-page-") as scratch:
        folder = pathlib.Path(scratch)
        figures.expand(results / "figures.jsonl", identity, folder)
        merge_peers(folder)
        parts = [f"# Results of {entries[-1]['at'][:10]}", "Kit and device:\n\n" + "\n".join(
            "    " + line for line in (device.read_text(encoding="utf-8") if device.exists() else identity).splitlines()),
                 verdicts(entries, identity)]
        parts += [f"## {title}\n\n{text.rstrip()}" for title, text in sections(folder) if text]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("page: expected one folder of results")
    sys.stdout.write(page(pathlib.Path(sys.argv[1])))
