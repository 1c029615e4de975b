"""Measures time and memory for large inputs: a run of a million token timestamps and a history of ten thousand runs.

    python3 measure.py SECONDSOURCE MAKE_RUNS [--tokens N] [--runs N]

Prints a table with the fastest of five runs of each command; asserts nothing.
"""

import argparse
import os
import pathlib
import subprocess
import tempfile
import time


def measure(command):
    """Runs the command five times. Returns elapsed seconds and CPU seconds of the fastest run, and the largest resident set in MB."""
    best = None
    largest = 0
    for _ in range(5):
        begin = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        if status != 0:
            raise SystemExit(f"{command}: status {status}")
        cpu = usage.ru_utime + usage.ru_stime
        best = min(best or (seconds, cpu), (seconds, cpu))
        largest = max(largest, usage.ru_maxrss / 1000)
    return *best, largest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("make_runs")
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="secondsource-scale-") as scratch:
        folder = pathlib.Path(scratch)
        rows = []
        subprocess.run([options.make_runs, "tokens", folder / "tokens", str(options.tokens)], check=True)
        size = sum(path.stat().st_size for path in (folder / "tokens").iterdir()) / 1e6
        for format in ("table", "html", "markdown", "json"):
            command = [options.program, "report", folder / "tokens", "--format", format]
            rows.append((f"report --format {format}, {options.tokens} timestamps ({size:.0f} MB)", *measure(command)))
        subprocess.run([options.make_runs, "nights", folder / "nights", str(options.runs)], check=True)
        database = folder / "history.db"
        nights = sorted((folder / "nights").iterdir())
        begin = time.monotonic()
        for i in range(0, len(nights), 1000):
            subprocess.run([options.program, "history", "add", *nights[i:i + 1000], "--db", database], check=True,
                           stdout=subprocess.DEVNULL)
        print(f"history add, a run: {1000 * (time.monotonic() - begin) / len(nights):.1f} ms; "
              f"the file: {database.stat().st_size / 1e6:.0f} MB")
        history = f"of {options.runs} runs"
        for name, arguments in ((f"history list {history}", ["list"]),
                                (f"history list --limit 0 --json {history}", ["list", "--limit", "0", "--json"]),
                                (f"history plot {history}, 2 cells", ["plot"]),
                                (f"history prune --dry-run {history}", ["prune", "--keep", "100", "--dry-run"])):
            rows.append((name, *measure([options.program, "history", *arguments, "--db", database])))
        print("| what | seconds | CPU s | MB |\n| --- | ---: | ---: | ---: |")
        for what, seconds, cpu, megabytes in rows:
            print(f"| {what} | {seconds:.2f} | {cpu:.2f} | {megabytes:.0f} |")


if __name__ == "__main__":
    main()
