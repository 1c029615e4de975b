"""Simulates the cpu backend's schedule of a decode step on more cores than this machine has. README.md has the model.

    secondsource profile BUNDLE --backend cpu --variant int4 --scenario single-stream@16/32 --threads 1 --json >one.json
    secondsource profile BUNDLE --backend cpu --variant int4 --scenario single-stream@16/32 --threads 2 --json >two.json
    python3 schedule_model.py one.json two.json --threads 16,64,128 --bandwidth 200,380,760 --line-ns 50,100
"""

import argparse
import dataclasses
import heapq
import json
import math
import pathlib
import re
import statistics
import sys

PARALLEL = ("matmul", "attention", "sample")
SAMPLED_AT_ONCE = 16384  # logits of a slice (lib/backend_kit/sampling.h)
SCANS_IN_FLIGHT = 10     # cache lines that a core requests at the same time


@dataclasses.dataclass(frozen=True)
class Machine:
    line_ns: float          # a cache line from one core to another
    bytes_per_ns: float     # that all threads together read


@dataclasses.dataclass(frozen=True)
class Design:
    """How a loop gets to the threads and how its end gets to the caller. README.md describes the three below."""
    group_threads: int = 0   # threads that share an announcement and a counter; 0: all of them
    by_slices: bool = False  # one group for each group_threads slices begun
    fan_out: int = 0         # of a tree of announcements and counters instead; 0: none

    def group(self, thread):
        return thread // self.group_threads if self.group_threads else 0


ONE_COUNTER = Design()
GROUPS = Design(group_threads=8, by_slices=True)  # backends/cpu/thread_pool.h
TREE = Design(fan_out=8)


@dataclasses.dataclass(frozen=True)
class Loop:
    n_items: int
    item_bytes: float
    one_thread_ns: float    # the whole loop on one thread

    def slice_items(self, n_threads):
        """The rule of backends/cpu/tile_product.cpp: 64 to 256 KiB, an eighth of a thread's range."""
        if self.item_bytes <= 0:
            return 1
        wanted = self.n_items * self.item_bytes / (n_threads * 8)
        return max(1, int(min(max(wanted, 64 << 10), 256 << 10) / self.item_bytes))


def starts(n_threads, machine, design):
    """When each thread sees a loop, which the caller, thread 0, begins to announce at 0."""
    if design.fan_out:
        # Each thread computes its range by itself and reads its parent's line.
        at = [0.0]
        for thread in range(1, n_threads):
            parent, child = divmod(thread - 1, design.fan_out)
            at.append(at[parent] + (child + 1) * machine.line_ns)
        return at
    # The caller describes the loop to each group, then stores a range for each thread of its own group and one for each other
    # group. It then announces the loop group by group; within a group the threads read the announcement one after the other.
    n_groups = design.group(n_threads - 1) + 1
    n_own = min(n_threads, design.group_threads or n_threads)
    described = n_groups if design.group_threads else 0
    stored = (described + n_own - 1 + n_groups - 1) * machine.line_ns
    at, n_readers = [], [0] * n_groups
    for thread in range(n_threads):
        group = design.group(thread)
        at.append(stored + (group + n_readers[group]) * machine.line_ns)
        n_readers[group] += 1
    return at


def first_ranges(n_items, n_threads, design):
    """[first, end) for each thread: equal ranges, of which those of another group than the caller's are its first thread's."""
    bounds = [n_items // n_threads * thread + min(thread, n_items % n_threads) for thread in range(n_threads + 1)]
    ranges = [[bounds[thread], bounds[thread + 1]] for thread in range(n_threads)]
    for thread in range(n_threads):
        leader = design.group(thread) * design.group_threads
        if 0 < leader < thread:
            ranges[leader][1] = ranges[thread][1]
            ranges[thread] = [ranges[thread][1], ranges[thread][1]]
    return ranges


def joined(done, machine, fan_out):
    """When thread 0 knows that all have arrived, in a tree whose nodes count their children's arrivals one after the other."""
    ready = list(done)
    arrivals = [[] for _ in done]
    for thread in range(len(done) - 1, 0, -1):
        ready[thread] = counted(ready[thread], arrivals[thread], machine.line_ns)
        arrivals[(thread - 1) // fan_out].append(ready[thread])
    return counted(ready[0], arrivals[0], machine.line_ns)


def counted(own, arrivals, line_ns):
    free = 0.0
    for arrival in sorted(arrivals):
        free = max(free, arrival) + line_ns
    return max(own, free)


def simulate(loop, n_threads, machine, design=GROUPS):
    """ns from the caller's beginning of a loop to its knowing that the loop is over."""
    n_slice = loop.slice_items(n_threads)
    if design.by_slices:
        n_groups = math.ceil(math.ceil(loop.n_items / n_slice) / (design.group_threads or 1))
        n_threads = min(n_threads, n_groups * (design.group_threads or 1))
    if n_threads == 1 or loop.n_items <= n_slice:
        return loop.one_thread_ns
    own_ns = loop.one_thread_ns / loop.n_items
    ranges = first_ranges(loop.n_items, n_threads, design)
    # time, thread, items just finished
    events = [(at, thread, 0) for thread, at in enumerate(starts(n_threads, machine, design))]
    heapq.heapify(events)
    n_active = 0
    counter_free = [0.0] * (design.group(n_threads - 1) + 1)
    done = [0.0] * n_threads

    def left(thread):
        return ranges[thread][1] - ranges[thread][0]

    def scan_ns(count):
        return math.ceil((count - 1) / SCANS_IN_FLIGHT) * machine.line_ns

    while events:
        now, thread, finished = heapq.heappop(events)
        group = design.group(thread)
        if finished:
            n_active -= 1
            if not design.fan_out:  # every slice is counted on one line of the group
                now = counter_free[group] = max(now, counter_free[group]) + machine.line_ns
        mine = ranges[thread]
        if mine[0] == mine[1]:
            near = [other for other in range(n_threads) if design.group(other) == group]
            longest = max(near, key=left)
            now += scan_ns(len(near))
            if left(longest) == 0 and len(near) < n_threads:
                longest = max(range(n_threads), key=left)
                now += scan_ns(n_threads)
            if left(longest) == 0:
                done[thread] = now
                continue
            stolen = max(min(n_slice, left(longest)), left(longest) // 2)
            ranges[longest][1] -= stolen
            mine[:] = [ranges[longest][1], ranges[longest][1] + stolen]
        n = min(n_slice, mine[1] - mine[0])
        mine[0] += n
        n_active += 1
        slowest_ns = max(own_ns, loop.item_bytes * n_active / machine.bytes_per_ns)
        heapq.heappush(events, (now + n * slowest_ns, thread, n))
    if design.fan_out:
        return joined(done, machine, design.fan_out)
    return max(*counter_free, done[0]) + scan_ns(len(counter_free) + 1)


def fastest(loop, n_threads, machine, design=GROUPS):
    """The same with as many of the threads as make the loop fastest: powers of two, and all."""
    counts = {n_threads} | {1 << power for power in range(n_threads.bit_length()) if 1 << power <= n_threads}
    return min(simulate(loop, count, machine, design) for count in counts)


@dataclasses.dataclass(frozen=True)
class Step:
    loops: list             # (Loop, calls in a step)
    serial_ns: float        # on the caller
    bytes: float
    measured_ns: float


def loop_of(operation, calls_per_step, n_steps):
    ns = 1e9 * operation["seconds"] / n_steps / calls_per_step
    n_bytes = operation["bytes_read"] / n_steps / calls_per_step
    shape = operation["shape"]
    if operation["operation"] == "matmul":
        n_items = math.ceil(int(shape.rsplit("-> ", 1)[1]) / 16)
    elif operation["operation"] == "attention":
        n_items = int(re.search(r"(\d+) for keys|(\d+) heads", shape).group(0).split()[0])
    else:
        n_items = math.ceil(int(shape.rsplit("x ", 1)[1]) / SAMPLED_AT_ONCE)
    return Loop(n_items, n_bytes / n_items, ns)


def step_of(profile):
    """The decode step of a profile of `secondsource profile --json`."""
    decode = [one for one in profile["operations"] if one["phase"] == "decode"]
    # The head is multiplied once a step.
    samples = next(one["n_calls"] for one in decode if one["operation"] == "sample")
    n_steps = samples / profile["n_requests"]
    loops, serial_s = [], sum(gap["seconds"] for gap in profile["gaps"] if gap["phase"] == "decode")
    for one in decode:
        if one["operation"] in PARALLEL:
            calls = one["n_calls"] / samples
            loops.append((loop_of(one, calls, n_steps), calls))
        else:
            serial_s += one["seconds"]
    measured_s = serial_s + sum(one["seconds"] for one in decode if one["operation"] in PARALLEL)
    n_bytes = sum(loop.n_items * loop.item_bytes * calls for loop, calls in loops)
    return Step(loops, 1e9 * serial_s / n_steps, n_bytes, 1e9 * measured_s / n_steps)


def step_ns(step, n_threads, machine, design=GROUPS, loop_ns=simulate):
    return step.serial_ns + sum(calls * loop_ns(loop, n_threads, machine, design) for loop, calls in step.loops)


def read_rate(profile):
    """Bytes/ns that the profile's process measured as the read rate, from the shares that it gives; None without shares."""
    rates = [one["bytes_read"] / one["seconds"] / one["of_limit"]["share"] / 1e9 for one in profile["operations"]
             if one["phase"] == "decode" and one["operation"] == "matmul" and one["of_limit"]]
    return statistics.median(rates) if rates else None


def numbers(text):
    return [float(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("one", type=pathlib.Path, help="profile with one thread, as JSON")
    parser.add_argument("two", type=pathlib.Path, help="the same with two threads")
    parser.add_argument("--threads", type=numbers, default=[16, 64, 128])
    parser.add_argument("--bandwidth", type=numbers, default=[200, 380, 760], help="GB/s that so many threads read, one a count")
    parser.add_argument("--line-ns", type=numbers, default=[50, 100], help="of a cache line from one core to another")
    parser.add_argument("--pair-line-ns", type=float, default=100, help="the same between the two CPUs of the profiles")
    arguments = parser.parse_args()
    if len(arguments.bandwidth) != len(arguments.threads):
        parser.error(f"--bandwidth: expected {len(arguments.threads)} rates, one for each of --threads, "
                     f"found {len(arguments.bandwidth)}")
    positive = [*arguments.line_ns, *arguments.bandwidth, *arguments.threads, arguments.pair_line_ns]
    if min(positive) <= 0:
        parser.error("expected positive times, rates and counts")
    profiles = []
    for path in (arguments.one, arguments.two):
        try:
            profiles.append(json.loads(path.read_text()))
            step_of(profiles[-1])
        except (OSError, ValueError, KeyError, StopIteration, AttributeError) as error:
            parser.error(f"{path}: expected what secondsource profile --json prints: {error!r}")
    step, two = (step_of(profile) for profile in profiles)
    rate = read_rate(profiles[1])
    if rate is None:
        parser.error(f"{arguments.two}: expected shares of the read rate")
    modelled = step_ns(step, 2, Machine(arguments.pair_line_ns, rate))
    alone = step_ns(step, 1, Machine(0, math.inf))
    print(f"one thread: {step.measured_ns / 1e3:.0f} us measured, {alone / 1e3:.0f} modelled; "
          f"two at {rate:.0f} GB/s: {two.measured_ns / 1e3:.0f} measured, {modelled / 1e3:.0f} modelled; "
          f"serial {step.serial_ns / 1e3:.0f}\n")
    print("| threads | GB/s | line, ns | reading alone, us | one counter, us | as it is, us | best number of threads, us | a tree, us |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for n_threads, bandwidth in zip(map(int, arguments.threads), arguments.bandwidth):
        for line_ns in arguments.line_ns:
            machine = Machine(line_ns, bandwidth)
            times = (step.bytes / bandwidth, step_ns(step, n_threads, machine, ONE_COUNTER), step_ns(step, n_threads, machine),
                     step_ns(step, n_threads, machine, loop_ns=fastest), step_ns(step, n_threads, machine, TREE))
            print(f"| {n_threads} | {bandwidth:.0f} | {line_ns:.0f} | " + " | ".join(f"{ns / 1e3:.0f}" for ns in times) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
