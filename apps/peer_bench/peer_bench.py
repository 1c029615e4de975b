"""One of our backends beside llama.cpp and PyTorch, interleaved; README.md says what is compared and how.

    python3 peer_bench.py --program build/release/bin/secondsource [--shape ...] [--out peers.json]
"""

import argparse
import itertools
import json
import os
import pathlib
import random
import statistics
import sys
import time

from systems import Case, LlamaCpp, Ours, Torch, TorchF32, TorchGraphs, TunedLlamaCpp, Unavailable


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    comma = lambda kind: lambda text: [kind(part) for part in text.split(",")]
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--backend", choices=["cpu", "cuda", "hip"], default="cpu")
    parser.add_argument("--shape", type=comma(str), default=["SmolLM2-135M", "Llama-3.2-1B"], help="names of bundles/shapes")
    parser.add_argument("--precision", type=comma(str), default=["bf16", "int8", "int4"])
    parser.add_argument("--batch", type=comma(int), default=[1, 4, 16])
    parser.add_argument("--context", type=comma(int), default=[0, 8192])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of the order in each round")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/peers"), help="folder of the models")
    parser.add_argument("--out", type=pathlib.Path, help="every measurement as JSON, written after each case")
    parser.add_argument("--resume", action="store_true", help="cases that --out has are not measured again")
    options = parser.parse_args()
    if options.rounds < 1 or options.generate < 2 or options.prompt < 1 or min(options.batch + [options.threads]) < 1:
        parser.error("expected at least one round, thread, sequence and prompt token, and two tokens to generate")
    for precision in options.precision:
        if precision not in LlamaCpp.TYPES:
            parser.error(f"--precision: expected {', '.join(LlamaCpp.TYPES)}, found {precision}")
    return options


def cases_of(options):
    for shape, precision, context, batch in itertools.product(options.shape, options.precision, options.context,
                                                              options.batch):
        yield Case(shape, precision, batch, context, options.prompt, options.generate, options.threads, options.backend)


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(case, systems, rounds, folder, shuffle):
    """{system: [rates of each round]}, and why a system is left out."""
    rates, absent = {system.name: [] for system in systems}, {}
    for system in systems:
        try:
            if hasattr(system, "check"):
                system.check(case)
        except Unavailable as why:
            absent[system.name] = str(why)
    for _ in range(rounds):
        order = [system for system in systems if system.name not in absent]
        shuffle.shuffle(order)
        for system in order:
            try:
                rates[system.name].append(system.measure(case, folder))
            except Unavailable as why:
                absent[system.name] = str(why)
    return rates, absent


def row(case, metric, name, ours, theirs):
    ratios = sorted(a[metric] / b[metric] for a, b in zip(ours, theirs))
    shares = [r[f"{metric} of the limit"] for r in ours if r.get(f"{metric} of the limit") is not None]
    share = f"{100 * statistics.median(shares):.0f} %" if shares else "-"
    return (f"| {case.shape} | {case.precision} | {case.batch} | {case.context} | {metric} | {name} | "
            f"{statistics.median(r[metric] for r in ours):.1f} | {share} | {statistics.median(r[metric] for r in theirs):.1f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")


def main():
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    ours, peers = Ours(options.program), [TunedLlamaCpp(), LlamaCpp(), Torch(), TorchF32(), TorchGraphs()]
    shuffle = random.Random(options.seed)
    stored = json.loads(options.out.read_text()) if options.resume and options.out and options.out.exists() else {}
    known = {json.dumps(entry["case"]): entry for entry in stored.get("cases", [])}
    versions, found, missing = stored.get("versions", {}), [], {}
    cases = list(cases_of(options))
    print("| shape | precision | batch | context | what | peer | ours, tok/s | of the limit | theirs, tok/s | ours / theirs |")
    print("| --- | --- | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |")
    begin = time.monotonic()
    for done, case in enumerate(cases):
        left = "" if done == 0 else f", about {(time.monotonic() - begin) / done * (len(cases) - done) / 60:.0f} min left"
        say(f"{done + 1} of {len(cases)}: {case.name}{left}")
        entry = known.get(json.dumps(vars(case)))
        if entry is None:
            ours.bundle(case.shape, options.work)
            rates, absent = measure(case, [ours, *peers], options.rounds, options.work, shuffle)
            if ours.name in absent:
                raise SystemExit(f"peer_bench: {case.name}: {absent[ours.name]}")
            entry = {"case": vars(case) | {}, "rates": rates, "absent": absent}
        rates, absent = entry["rates"], entry["absent"]
        found.append(entry)
        for name, why in absent.items():
            missing.setdefault(f"{name}: {why}", []).append(case.name)
        for system in [ours, *peers]:
            if system.name not in absent and system.name not in versions:
                versions[system.name] = system.version(case, options.work)
        for peer in peers:
            if peer.name in absent:
                continue
            for metric in rates[peer.name][0]:
                if metric not in rates[ours.name][0]:
                    continue
                print(row(case, metric, peer.name, rates[ours.name], rates[peer.name]), flush=True)
        if options.out:
            options.out.write_text(json.dumps({"versions": versions, "cases": found}, indent=1) + "\n")
    print()
    for name, version in versions.items():
        print(f"{name}: {version}")
    for why, of in missing.items():
        print(f"left out: {why} ({len(of)} of {len(cases)} cases)")


if __name__ == "__main__":
    main()
