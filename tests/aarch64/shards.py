"""Runs the conformance suite for AArch64 under qemu-user in shards, and joins their results.

    python3 shards.py PROGRAM RESULTS [--isa NAME]... [--family NAME]... [--minutes N] [--jobs N]

PROGRAM is conformance_aarch64. A shard is one family of the suite with one instruction set, and of LONG_FAMILIES
also with one type of cache. The result of a shard is written to a file of its own in RESULTS as soon as it is known, in a
folder that is named after the hash of PROGRAM. So a run that was interrupted, or ended by --minutes, is taken up where it
stopped, and results of another build do not count. Several runs may share the work: each shard is done by one of them.

Prints the joined table of all instruction sets at the end, of this run and of earlier ones. Ends 0 when every wanted shard passed, 1
when one failed, and 77 when some are not done.
"""

import argparse
import collections
import concurrent.futures
import fcntl
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

# The CPU that qemu emulates for each instruction set, in the order in which they are run. sve256 needs SVE vectors of 32 bytes; without
# the option, qemu's vectors have 64.
CPUS = {
    "neon_bf16": "max",
    "neon": "cortex-a57",
    "sve256": "max,sve-default-vector-length=32",
    "scalar": "cortex-a57",
}
# Families with the longest contexts. They are divided by type of cache, so that no shard takes more than a few minutes under emulation.
LONG_FAMILIES = {"attention", "attention_long", "attention_chunks", "attention_deep"}

# Exit statuses of a shard that was interrupted, or killed for lack of memory. Such a shard is left for the next run.
STOPPED = {-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL}

COUNTS = re.compile(r"(\d+) passed, (\d+) failed, (\d+) not supported")
NOT_DONE = 77

Shard = collections.namedtuple("Shard", "isa family kv")


def command(program, cpu, *arguments):
    return ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu, str(program), *arguments]


def name_of(shard):
    return ".".join(part for part in shard if part)


def shards_of(program, isas):
    """All shards, those of the first instruction set first."""
    lines = subprocess.run(command(program, "max", "--list"), check=True, capture_output=True, text=True).stdout.splitlines()
    named = [line.split() for line in lines]
    families = [name for kind, name in named if kind == "family"]
    caches = [name for kind, name in named if kind == "kv"]
    return [Shard(isa, family, kv) for isa in isas for family in families
            for kv in (caches if family in LONG_FAMILIES else [""])]


class Results:
    """The results of one build, a file for each shard."""

    def __init__(self, folder, program):
        digest = hashlib.sha256(pathlib.Path(program).read_bytes()).hexdigest()
        self.folder = pathlib.Path(folder) / digest[:16]
        self.folder.mkdir(parents=True, exist_ok=True)

    def read(self, shard):
        """The result, or None while there is none."""
        try:
            return json.loads((self.folder / f"{name_of(shard)}.json").read_text())
        except FileNotFoundError:
            return None

    def write(self, shard, result):
        file = self.folder / f"{name_of(shard)}.json"
        unfinished = file.with_suffix(".new")
        unfinished.write_text(json.dumps(result, indent=1) + "\n")
        os.replace(unfinished, file)

    def claim(self, shard):
        """Returns a lock file, which keeps other runs from this shard until it is closed. None if another run has the lock."""
        file = open(self.folder / f"{name_of(shard)}.lock", "w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file


def run_shard(program, shard, deadline):
    """The result of the shard, or None if it was stopped by the deadline or by a signal."""
    arguments = [part for part in shard if part]
    begin = time.monotonic()
    seconds_left = None if deadline is None else max(0.0, deadline - begin)
    try:
        done = subprocess.run(command(program, CPUS[shard.isa], *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=seconds_left)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode in STOPPED:
        return None
    counts = COUNTS.search(done.stdout)
    passed, failed, unsupported = map(int, counts.groups()) if counts else (0, 0, 0)
    return {
        "status": done.returncode,
        "passed": passed,
        "failed": failed,
        "unsupported": unsupported,
        "seconds": round(time.monotonic() - begin, 1),
        # Each failed case prints one line. The other lines help when the program itself crashed.
        "output": [] if done.returncode == 0 else done.stdout.splitlines()[-50:],
    }


def do_shard(program, results, shard, deadline):
    if results.read(shard) is not None or (deadline is not None and time.monotonic() >= deadline):
        return
    lock = results.claim(shard)
    if lock is None:
        return
    with lock:
        if results.read(shard) is not None:
            return
        result = run_shard(program, shard, deadline)
        if result is None:
            return
        results.write(shard, result)
        print(f"{name_of(shard)}: {result['passed']} passed, {result['failed']} failed, "
              f"{result['unsupported']} not supported, {result['seconds']} s", flush=True)
        for line in result["output"]:
            print(f"    {line}", flush=True)


def cell(results):
    """What the table says of one family with one instruction set."""
    if any(result is not None and result["status"] != 0 for result in results):
        failed = sum(result["failed"] for result in results if result is not None)
        return f"{failed} failed" if failed else "no end"
    n_done = sum(result is not None for result in results)
    if n_done == 0:
        return "-"
    passed = sum(result["passed"] for result in results if result is not None)
    return str(passed) if n_done == len(results) else f"{passed} ({n_done} of {len(results)})"


def print_table(shards, results):
    by_cell = collections.defaultdict(list)
    for shard in shards:
        by_cell[shard.family, shard.isa].append(results.read(shard))
    families = list(dict.fromkeys(shard.family for shard in shards))
    isas = list(dict.fromkeys(shard.isa for shard in shards))
    print("\ncases passed; - not run yet; (n of m) types of cache so far")
    print("".join([f"{'family':<28}", *(f"{isa:>14}" for isa in isas)]))
    for family in families:
        print("".join([f"{family:<28}", *(f"{cell(by_cell[family, isa]):>14}" for isa in isas)]))
    total = collections.Counter()
    for (_, isa), found in by_cell.items():
        for result in found:
            if result is not None:
                total[isa, "passed"] += result["passed"]
                total[isa, "failed"] += result["failed"]
    for verdict in ("passed", "failed"):
        print("".join([f"{'all ' + verdict:<28}", *(f"{total[isa, verdict]:>14}" for isa in isas)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("results")
    parser.add_argument("--isa", action="append", choices=list(CPUS), help="only this instruction set; may be repeated")
    parser.add_argument("--family", action="append", help="only this family; may be repeated")
    parser.add_argument("--minutes", type=float, help="stop after so many; shards that are not done are left")
    parser.add_argument("--jobs", type=int, default=1, help="shards at a time")
    options = parser.parse_args()

    deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    results = Results(options.results, options.program)
    shards = shards_of(options.program, CPUS)
    wanted = [shard for shard in shards if (not options.isa or shard.isa in options.isa)
              and (not options.family or shard.family in options.family)]
    if not wanted:
        sys.exit("no such family")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        # list() passes on what went wrong in a shard.
        list(pool.map(lambda shard: do_shard(options.program, results, shard, deadline), wanted))

    print_table(shards, results)
    found = [results.read(shard) for shard in wanted]
    bad = [name_of(shard) for shard, result in zip(wanted, found) if result is not None and result["status"] != 0]
    if bad:
        print(f"FAILED: {', '.join(bad)}")
        return 1
    n_left = sum(result is None for result in found)
    if n_left:
        print(f"NOT FINISHED: {n_left} of {len(wanted)} shards are left; the same command goes on with them")
        return NOT_DONE
    print(f"all {len(wanted)} shards passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
