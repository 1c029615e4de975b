"""What kernel_bench timed on a device, as a table for people: it needs no PyTorch.

    python3 kernel_table.py kernels.json

A row a case: its kernel, the time of one operation, GB/s, and their share of what kernel_bench read there when it began.
"""

import json
import sys


def table(document):
    lines = ["| case | kernel | µs | GB/s | of the measured read rate |", "| --- | --- | ---: | ---: | ---: |"]
    for entry in document["benchmarks"]:
        if entry.get("run_type") == "aggregate":
            continue
        name = entry["name"].removesuffix("/manual_time")
        if entry.get("error_occurred"):
            lines.append(f"| {name} | {entry.get('error_message', 'failed')} | - | - | - |")
            continue
        share = f"{entry['of_read']:.0%}" if "of_read" in entry else "-"
        lines.append(f"| {name} | {entry.get('label', '-')} | {entry['us']:.1f} | {entry['GB/s']:.0f} | {share} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(table(json.load(file)))
