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

from systems import (BACKENDS, Case, LlamaCpp, Ours, Torch, TorchF32, TorchGraphs, TunedLlamaCpp, Unavailable, VulkanLlamaCpp,
                     device_of)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    comma = lambda kind: lambda text: [kind(part) for part in text.split(",")]
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--backend", choices=BACKENDS, default="cpu",
                        help="ours; llama.cpp beside cpu computes on the CPU, beside vulkan on the same device by Vulkan, and is "
                        "left out beside the others")
    parser.add_argument("--shape", type=comma(str), default=["SmolLM2-135M", "Llama-3.2-1B"], help="names of bundles/shapes")
    parser.add_argument("--precision", type=comma(str), default=["bf16", "int8", "int4"], help=", ".join(LlamaCpp.TYPES))
    parser.add_argument("--batch", type=comma(int), default=[1, 4, 16])
    parser.add_argument("--context", type=comma(int), default=[0, 8192])
    parser.add_argument("--llama", action="append", default=[], metavar="NAME=FOLDER",
                        help="a build of llama.cpp and where its programs are; once for each (default: those in PATH)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME",
                        help="only this peer, by its name in the table; once for each (default: all of them)")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of the order in each round")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/peers"), help="folder of the models")
    parser.add_argument("--out", type=pathlib.Path, help="every measurement as JSON, written after each round")
    parser.add_argument("--resume", action="store_true", help="rounds that --out has, with every peer, are not measured again")
    options = parser.parse_args()
    if options.rounds < 1 or options.generate < 2 or options.prompt < 1 or min(options.batch + [options.threads]) < 1:
        parser.error("expected at least one round, thread, sequence and prompt token, and two tokens to generate")
    options.llama = [build.partition("=")[::2] for build in options.llama]
    names = [name for name, _ in options.llama]
    for name, folder in options.llama:
        if not name or names.count(name) > 1 or not os.path.isdir(folder):
            parser.error(f"--llama: expected NAME=FOLDER, each name once and each folder there, found {name}={folder}")
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


def refuse(text):
    """Ends with the status of bad input."""
    say(f"peer_bench: {text}")
    sys.exit(2)


def chosen(peers, names):
    """The peers of these names, all of them where there are none."""
    known = [peer.name for peer in peers]
    for name in names:
        if name not in known:
            refuse(f"--peer: expected one of {'; '.join(known)}, found {name}")
    return [peer for peer in peers if not names or peer.name in names]


class Versions:
    """Of the systems, by their names: those that the stored rounds are of, and those that are measured now."""

    def __init__(self, stored, out):
        with_rounds = {name for entry in stored.get("cases", []) for name, rounds in entry["rates"].items() if rounds}
        self.of = {name: version for name, version in stored.get("versions", {}).items() if name in with_rounds}
        self.out = out
        self.known = set()

    def find(self, systems, case, folder, absent):
        """Finds those of the systems that are measured next, once each. Rounds of two versions are no distribution of either."""
        for system in systems:
            if system.name in self.known or system.name in absent:
                continue
            try:
                if hasattr(system, "check"):  # it may have gone since the stored rounds
                    system.check(case)
                version = system.version(case, folder)
            except Unavailable as why:
                absent[system.name] = str(why)
                continue
            before = self.of.setdefault(system.name, version)
            if before != version:
                refuse(f"{self.out} has rounds of {system.name} in {before}: "
                       f"expected the same version or another --out, found {version}")
            self.known.add(system.name)


def new_entry(case, systems):
    """A case without rounds: {system: [rates of each round]}, and why a system is left out."""
    entry = {"case": dict(vars(case)), "rates": {system.name: [] for system in systems}, "absent": {}}
    for system in systems:
        try:
            if hasattr(system, "check"):
                system.check(case)
        except Unavailable as why:
            entry["absent"][system.name] = str(why)
    return entry


def measure_round(case, systems, folder, seed, entry):
    """Adds a round to the entry, each system once, in an order that is random, and the same for a round that is measured again."""
    order = [system for system in systems if system.name not in entry["absent"]]
    random.Random(f"{seed} {case.name} {max(map(len, entry['rates'].values()))}").shuffle(order)
    for system in order:
        try:
            entry["rates"][system.name].append(system.measure(case, folder))
        except Unavailable as why:
            entry["absent"][system.name] = str(why)


def share_of_limit(metric, rates):
    """"82 % read", "64 % compute": the median share, and the limit that most rounds were bounded by."""
    found = [r[f"limit of {metric}"] for r in rates if r.get(f"limit of {metric}") is not None]
    if not found:
        return "-"
    limit = statistics.mode(one["limit"] for one in found)
    return f"{100 * statistics.median(one['share'] for one in found):.0f} % {limit}"


def row(case, metric, name, ours, theirs):
    ratios = sorted(a[metric] / b[metric] for a, b in zip(ours, theirs))
    share = share_of_limit(metric, ours)
    return (f"| {case.shape} | {case.precision} | {case.batch} | {case.context} | {metric} | {name} | "
            f"{statistics.median(r[metric] for r in ours):.1f} | {share} | {statistics.median(r[metric] for r in theirs):.1f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |")


def main():
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)
    builds = options.llama or [("", None)]
    if options.backend == "vulkan":
        device = device_of(options.program, options.backend)
        llamas = [VulkanLlamaCpp(*build, device) for build in builds]
    else:
        llamas = [kind(*build) for build in builds for kind in (TunedLlamaCpp, LlamaCpp)]
    ours = Ours(options.program, next(filter(None, (llama.find("llama-quantize") for llama in llamas)), None))
    peers = chosen([*llamas, Torch(), TorchF32(), TorchGraphs()], options.peer)
    stored = json.loads(options.out.read_text()) if options.resume and options.out and options.out.exists() else {}
    known = {json.dumps(entry["case"]): entry for entry in stored.get("cases", [])}
    key_of = lambda case: json.dumps(vars(case))
    versions, found, missing = Versions(stored, options.out), [], {}

    cases = list(cases_of(options))
    names = {system.name for system in [ours, *peers]}
    for case in cases:
        for name, rounds in known.get(key_of(case), {"rates": {}})["rates"].items():
            if rounds and name not in names:
                refuse(f"{options.out} has rounds of {name} in {case.name}: expected it among the peers, or another --out")

    def keep(entries):
        """Writes these cases, and what is stored of those after them. The file is replaced at once, so that whoever is stopped while
        writing loses nothing."""
        if options.out:
            later = [known[key_of(case)] for case in cases[len(entries):] if key_of(case) in known]
            new = options.out.with_name(options.out.name + ".new")
            new.write_text(json.dumps({"versions": versions.of, "cases": [*entries, *later]}, indent=1) + "\n")
            new.replace(options.out)

    print("| shape | precision | batch | context | what | peer | ours, tok/s | of the limit | theirs, tok/s | ours / theirs |")
    print("| --- | --- | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |")
    begin, rounds_measured = time.monotonic(), 0
    for done, case in enumerate(cases):
        entry = known.get(key_of(case))
        # A peer that was not among the stored ones has to be measured beside the others, in the same rounds.
        if entry is None or any(system.name not in entry["rates"] for system in peers):
            entry = new_entry(case, [ours, *peers])
        rates, absent = entry["rates"], entry["absent"]
        for index in range(len(rates[ours.name]), options.rounds):
            left = (len(cases) - done) * options.rounds - index
            estimate = "" if rounds_measured == 0 else (
                f", about {(time.monotonic() - begin) / rounds_measured * left / 60:.0f} min left")
            say(f"{done + 1} of {len(cases)}: {case.name}, round {index + 1} of {options.rounds}{estimate}")
            ours.bundle(case.shape, options.work)
            versions.find([ours, *peers], case, options.work, absent)
            measure_round(case, [ours, *peers], options.work, options.seed, entry)
            if ours.name in absent:
                raise SystemExit(f"peer_bench: {case.name}: {absent[ours.name]}")
            rounds_measured += 1
            keep([*found, entry])
        found.append(entry)
        for name, why in absent.items():
            missing.setdefault(f"{name}: {why}", []).append(case.name)
        for peer in peers:
            if peer.name in absent:
                continue
            for metric in rates[peer.name][0]:
                if metric not in rates[ours.name][0]:
                    continue
                print(row(case, metric, peer.name, rates[ours.name], rates[peer.name]), flush=True)
        keep(found)
    print()
    for name, version in versions.of.items():
        if any(entry["rates"].get(name) for entry in found):
            print(f"{name}: {version}")
    for why, of in missing.items():
        print(f"left out: {why} ({len(of)} of {len(cases)} cases)")


if __name__ == "__main__":
    main()
