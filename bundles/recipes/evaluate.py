"""Judge a trained bundle: lookup accuracy by context length and variant, and the planted faults.

    python evaluate.py --bundle DIR --out DIR [--questions 64] [--lengths 256,1024,...]

Every document is held back from training. One prefill of a document serves all its questions,
which are laid one after the other behind it, each at the positions that follow the document and
blind to the others. An answer counts when every one of its tokens is the most likely one, which is
the same as greedy decoding giving it exactly.

Writes quality.json and quality.md. Exits 1 when a blessed variant misses a floor or a planted
fault goes unnoticed.
"""

import argparse
import dataclasses
import json
import math
import sys
import time
import unittest.mock
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

import documents
import model as llama
import quantize
from model import Config, Model

BLESSED = ("bf16", "f16", "int8")
FLOORS = {1024: 0.95, 8192: 0.90, 32768: 0.80}
FAULT_CEILING = 0.50
FAULT_TOKENS = 1024


@torch.no_grad()
def judge(model, tokenizer, document):
    """For every question: was the answer exact, and did the answer begin as `unknown` does?"""
    # The last token of the document leads every question, so that a question may have no prompt.
    *prefix, lead = tokenizer.encode(document.text).ids
    _, past = model(torch.tensor([prefix]), torch.arange(len(prefix))[None])
    ids, positions, blocks, spans = [], [], [], []
    for number, question in enumerate(document.questions):
        encoding = tokenizer.encode(question.prompt + question.answer)
        answer = [i for i, (_, end) in enumerate(encoding.offsets) if end > len(question.prompt)]
        question_ids = [lead, *encoding.ids]
        spans.append((len(ids) + 1 + answer[0], len(ids) + len(question_ids)))
        positions += range(len(prefix), len(prefix) + len(question_ids))
        blocks += [number] * len(question_ids)
        ids += question_ids
    blocks = torch.tensor(blocks)
    mask = (blocks[:, None] == blocks[None, :]).tril()
    mask = torch.cat((torch.ones(len(ids), len(prefix), dtype=torch.bool), mask), dim=1)
    hidden, _ = model(torch.tensor([ids]), torch.tensor([positions]), past, mask)
    best = model.logits(hidden[0]).argmax(-1)
    ids = torch.tensor(ids)
    unknown = tokenizer.encode(f" {documents.UNKNOWN}").ids[0]
    return [(bool((best[start - 1:end - 1] == ids[start:end]).all()), int(best[start - 1]) == unknown)
            for start, end in spans]


def lookup_documents(tokenizer, tokens, questions, unanswerable=False):
    """Yields held-back documents of a length until they ask enough questions, up to 24 in each document."""
    count = lambda text: len(tokenizer.encode(text).ids)
    asked = 0
    for seed in range(1_000_000):
        records = max(4, min(64, tokens // 32))
        share = min(24, records)
        yield documents.long_document(f"evaluate-{seed}", "held_back", tokens, count, records, share,
                                      share if unanswerable else 0)
        asked += share
        if asked >= questions:
            return


def accuracy(model, tokenizer, judged_documents):
    results = [result for document in judged_documents for result in judge(model, tokenizer, document)]
    return sum(exact for exact, _ in results) / len(results)


@torch.no_grad()
def perplexity(model, tokenizer):
    losses = []
    for seed in range(20):
        ids = torch.tensor([tokenizer.encode(documents.sample("prose", seed, "held_back", 12).text).ids])
        hidden, _ = model(ids, torch.arange(ids.shape[1])[None])
        losses.append(F.cross_entropy(model.logits(hidden[0, :-1]), ids[0, 1:], reduction="none"))
    return math.exp(torch.cat(losses).mean().item())


def load(bundle, variant="bf16", **changes):
    """The FP32 reference of a variant; `changes` alter the configuration, to plant a fault."""
    settings = json.loads((bundle / "config.json").read_text())
    names = {f.name for f in dataclasses.fields(Config)}
    config = Config(**({name: settings[name] for name in names} | changes))
    model = Model(config)
    model.load_state_dict({name: w.float() for name, w in load_file(bundle / "model.safetensors").items()})
    return quantize.apply(model.eval(), variant)


def swapped_scales(bundle):
    """int8 with the scales of the rows shifted by one row."""
    model = load(bundle)

    def swap(w):
        codes, scale = quantize.int8_codes(w)
        return codes.float() * scale.roll(1).unsqueeze(-1)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.copy_(swap(module.weight))
        model.head = swap(model.head)
    return model


def interleaved(x, cos, sin):
    """RoPE over neighbouring pairs instead of the two halves: the classic wrong layout."""
    half = x.shape[-1] // 2
    cos, sin = (table[..., :half].repeat_interleave(2, dim=-1) for table in (cos, sin))
    turned = torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)
    return x * cos + turned * sin


def faults(bundle, tokenizer):
    """Lookup accuracy under planted faults; each must fall below FAULT_CEILING."""
    judged = lambda: lookup_documents(tokenizer, FAULT_TOKENS, 48)
    reached = {
        "RoPE theta 10000": accuracy(load(bundle, rope_theta=1e4), tokenizer, judged()),
        "int8 scales of the previous row": accuracy(swapped_scales(bundle), tokenizer, judged()),
    }
    with unittest.mock.patch.object(llama, "rotate", interleaved):
        reached["RoPE interleaved"] = accuracy(load(bundle), tokenizer, judged())
    return reached


def measure(model, tokenizer, lengths, questions):
    result = {"lookups": {}, "invented": {}, "families": {}}
    for tokens in lengths:
        result["lookups"][str(tokens)] = accuracy(model, tokenizer, lookup_documents(tokenizer, tokens, questions))
    for tokens in [n for n in lengths if n <= 2048]:
        results = [r for d in lookup_documents(tokenizer, tokens, questions, True) for r in judge(model, tokenizer, d)]
        result["invented"][str(tokens)] = sum(not unknown for _, unknown in results) / len(results)
    for family in documents.FAMILIES:
        made = [documents.sample(family, f"evaluate-{seed}", "held_back", 8, 4) for seed in range(16)]
        if made[0].questions:
            result["families"][family] = accuracy(model, tokenizer, made)
    result["perplexity"] = perplexity(model, tokenizer)
    return result


def markdown(report):
    lengths = report["lengths"]
    percent = lambda x: "not measured" if x is None else f"{100 * x:.1f} %"
    lines = ["# Quality of the default bundle", "", "Exact answers to held-back lookups, by context length.", "",
             "| variant | " + " | ".join(f"{n}" for n in lengths) + " |", "| --- |" + " --- |" * len(lengths)]
    for variant, result in report["variants"].items():
        lines.append(f"| {variant} | " + " | ".join(percent(result["lookups"].get(str(n))) for n in lengths) + " |")
    families = list(report["variants"]["bf16"]["families"])
    lines += ["", "Exact answers by family (8 records a document).", "",
              "| variant | " + " | ".join(families) + " |", "| --- |" + " --- |" * len(families)]
    for variant, result in report["variants"].items():
        lines.append(f"| {variant} | " + " | ".join(percent(result["families"][f]) for f in families) + " |")
    short = list(report["variants"]["bf16"]["invented"])
    lines += ["", "Invented answers on unanswerable lookups, and perplexity of held-back filler prose.", "",
              "| variant | " + " | ".join(f"invented at {n}" for n in short) + " | perplexity |",
              "| --- |" + " --- |" * (len(short) + 1)]
    for variant, result in report["variants"].items():
        lines.append(f"| {variant} | " + " | ".join(percent(result["invented"][n]) for n in short)
                     + f" | {result['perplexity']:.2f} |")
    lines += ["", f"Planted faults (lookups at {FAULT_TOKENS} must fall below {percent(FAULT_CEILING)}).", ""]
    lines += [f"- {name}: {percent(reached)}" for name, reached in report["faults"].items()]
    lines += ["", "Verdict: " + ("accepted." if report["accepted"] else "not accepted: " + "; ".join(report["missed"]))]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=64, help="at least so many per length")
    parser.add_argument("--lengths", default="256,1024,2048,8192,16384,32768")
    parser.add_argument("--variants", default=",".join(quantize.VARIANTS))
    parser.add_argument("--no-report", action="store_true", help="only measure; several processes may share --out")
    parser.add_argument("--reuse", action="store_true", help="take the variants that --out already holds from there")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(options.bundle / "tokenizer.json"))
    lengths = [int(n) for n in options.lengths.split(",")]
    report = {"lengths": lengths, "questions": options.questions, "floors": FLOORS, "variants": {}}
    for variant in options.variants.split(","):
        started = time.time()
        stored = options.out / f"quality-{variant}.json"
        if options.reuse and stored.exists():
            result = json.loads(stored.read_text())
        else:
            result = measure(load(options.bundle, variant), tokenizer, lengths, options.questions)
            stored.write_text(json.dumps(result, indent=2) + "\n")
        report["variants"][variant] = result
        print(f"{variant}: {result} ({time.time() - started:.0f} s)", file=sys.stderr, flush=True)
    if options.no_report:
        return 0
    report["faults"] = faults(options.bundle, tokenizer)

    missed = []
    for variant in BLESSED:
        for tokens, reached in report["variants"].get(variant, {"lookups": {}})["lookups"].items():
            floor = max((f for n, f in FLOORS.items() if n >= int(tokens)), default=0)
            if reached < floor:
                missed.append(f"{variant} at {tokens}: {reached:.3f} < {floor}")
    missed += [f"fault unnoticed: {name}" for name, reached in report["faults"].items() if reached >= FAULT_CEILING]
    report["missed"], report["accepted"] = missed, not missed

    (options.out / "quality.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.out / "quality.md").write_text(markdown(report))
    print(markdown(report))
    return 0 if report["accepted"] else 1


if __name__ == "__main__":
    sys.exit(main())
