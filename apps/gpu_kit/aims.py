"""Compares the figures of a kit's sittings with what was aimed at.

    python3 aims.py FOLDER

Prints one line per aim: the figure, and met, not met, or not measured with the step that would measure it. If an aim
covers several cases, the worst one counts and is named.
"""

import json
import pathlib
import statistics
import sys

from steps import ROUNDS

SHAPE = "Llama-3.1-8B"
PREFILL_ROWS = 512


class NotMeasured(Exception):
    """A figure has no measurement; the message says which step is missing."""


def load(folder, name, step):
    path = folder / name
    if not path.exists():
        raise NotMeasured(f"step {step}")
    return parsed(path.read_text(encoding="utf-8"), name, step)


def parsed(text, name, step):
    """Parses JSON. A step that was interrupted leaves half a file, which must not cost the other figures."""
    try:
        return json.loads(text)
    except ValueError:
        raise NotMeasured(f"{name} is cut short (step {step})") from None


def worst(shares):
    """Returns the smallest share of `shares` (case -> share), and its case."""
    case = min(shares, key=shares.get)
    return shares[case], f"the worst of {len(shares)}: {case}"


def decode_rate(folder, run, step):
    """Returns the bytes of weights and cache that single-stream decode in bf16 read in a second; the median of the repetitions."""
    samples = folder / run / "samples.jsonl"
    if not samples.exists():
        raise NotMeasured(f"step {step}")
    rates = []
    for line in samples.read_text(encoding="utf-8").splitlines():
        record = parsed(line, f"{run}/samples.jsonl", step)
        if record.get("type") == "repetition" and "/bf16/single-stream" in record["cell"]:
            decode = record["decode"]
            if decode["ns"] > 0:
                rates.append(1e9 * (decode["weight_bytes"] + decode["kv_bytes"]) / decode["ns"])
    if not rates:
        raise NotMeasured(f"step {step}: it has no whole repetition of bf16, single-stream")
    return statistics.median(rates)


def decode_of_read_rate(folder):
    """Returns the rate at which single-stream decode read its weights and cache, as a share of the device's measured read rate."""
    read_rate = load(folder, "limits.json", "limits")["devices"][0]["read_bytes_per_s"]
    rate = decode_rate(folder, "run-8B", "run-8B")
    return rate / read_rate, f"{rate / 1e9:.0f} of {read_rate / 1e9:.0f} GB/s"


def attention_of_pytorch(folder):
    cases = [case for case in load(folder, "side-by-side.json", "pytorch")["cases"]
             if case["kind"] == "attention" and case["q"] > 1 and case["pytorch_gflop_s"]]
    if not cases:
        raise NotMeasured("step pytorch: it has no prefill attention")
    return worst({f"q:{case['q']} kv:{case['kv']} seqs:{case['seqs']}": case["gflop_s"] / case["pytorch_gflop_s"]
                  for case in cases})


def product_rates(document):
    """"k:4096 n:4096" -> GFLOP/s of the BF16 products of prefill."""
    rates = {}
    for entry in document["benchmarks"]:
        parts = entry["name"].split("/")
        is_timed = entry.get("run_type") != "aggregate" and not entry.get("error_occurred")
        if is_timed and parts[0] == "BM_matmul" and parts[2:4] == ["bf16", f"m:{PREFILL_ROWS}"]:
            rates[f"{parts[4]} {parts[5]}"] = entry["GFLOP/s"]
    return rates


def products_of_library(folder):
    own = product_rates(load(folder, "kernels.json", "kernels"))
    library = product_rates(load(folder, "kernels-library.json", "kernels-library"))
    # Our time of the library includes the conversion of f32 activations to BF16, whereas PyTorch calls the same library
    # with BF16 activations. The larger rate is closer to that of the library alone.
    if (folder / "side-by-side.json").exists():
        for case in load(folder, "side-by-side.json", "pytorch")["cases"]:
            name = f"k:{case['k']} n:{case['n']}" if case["kind"] == "matmul" else None
            is_same = name in library and case["variant"] == "bf16" and case["m"] == PREFILL_ROWS
            if is_same and case["pytorch_gflop_s"]:
                library[name] = max(library[name], case["pytorch_gflop_s"])
    shares = {case: own[case] / library[case] for case in own if case in library}
    if not shares:
        raise NotMeasured("steps kernels and kernels-library have no product in common")
    return worst(shares)


def first_token_of_pytorch(folder):
    """Returns our prefill rate until the first token divided by the faster PyTorch's; medians over the rounds."""
    for entry in load(folder, "peers.json", "models-8B-beside-pytorch")["cases"]:
        case, rates = entry["case"], entry["rates"]
        if case["shape"] != SHAPE or case["precision"] != "bf16" or case["batch"] != 1 or case["context"] != 0:
            continue
        medians = {name: statistics.median(one["first token"] for one in of) for name, of in rates.items()
                   if of and "first token" in of[0]}
        n_rounds = min(len(of) for of in rates.values() if of)
        if n_rounds < ROUNDS:
            raise NotMeasured(f"{n_rounds} of {ROUNDS} rounds (step models-8B-beside-pytorch)")
        ours = medians.pop("secondsource", None)
        if ours is None or not medians:
            break
        peer = max(medians, key=medians.get)
        milliseconds = [1e3 * case["prompt"] / rate for rate in (ours, medians[peer])]
        return ours / medians[peer], f"{milliseconds[0]:.1f} ms, {peer}: {milliseconds[1]:.1f} ms"
    raise NotMeasured("step models-8B-beside-pytorch")


AIMS = (
    (f"decode of {SHAPE}, bf16, one sequence: share of the measured read rate", 0.90, decode_of_read_rate),
    ("prefill attention: share of PyTorch's fastest there", 0.70, attention_of_pytorch),
    (f"products of {PREFILL_ROWS} rows, bf16, own kernels: share of cuBLASLt or hipBLASLt", 0.95,
     products_of_library),
    (f"first token of 512 tokens, {SHAPE}, bf16: PyTorch's time by ours", 1.00, first_token_of_pytorch))


def table(folder):
    lines = ["| aim | at least | found | verdict |", "| --- | ---: | --- | --- |"]
    for name, least, measure in AIMS:
        try:
            found, detail = measure(folder)
            met = found > least if least == 1.0 else found >= least  # "ahead of" is more than the same
            lines.append(f"| {name} | {least:.0%} | {found:.1%} ({detail}) | {'met' if met else 'not met'} |")
        except NotMeasured as missing:
            lines.append(f"| {name} | {least:.0%} | - | not measured: {missing} |")
        except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as unknown:
            why = f"a file is not as expected ({type(unknown).__name__}: {unknown})"
            lines.append(f"| {name} | {least:.0%} | - | not measured: {why} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(pathlib.Path(sys.argv[1])))
