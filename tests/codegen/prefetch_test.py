"""The kernels that stream weights prefetch them, in the machine code of the cpu backend.

    python3 prefetch_test.py MODULE --objdump PROGRAM

g++ 12 takes an inline function that does nothing but prefetch for one without effects, and drops calls of it before it inlines them,
in some kernels and not in others. Their results stay the same, so that no other test notices.
"""

import argparse
import collections
import re
import subprocess
import sys

# Functions whose loop over a weight calls prefetch() or prefetch_far(), in every instantiation.
STREAMING = ("multiply_codes_of", "multiply_k_blocks_of", "multiply_tiles", "multiply_few_rows", "multiply_nibbles_widened",
             "multiply_byte_groups_widened", "multiply_blocks_of", "k_block_tile_to_f32", "block_tile_to_bf16")
PREFETCH = re.compile(r"\t(?:prefetch\w*|prfm)\s")


def prefetches_by_function(listing):
    counts = collections.Counter()
    name = None
    for line in listing:
        if header := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            name = header[1]
            counts[name] += 0
        elif name and PREFETCH.search(line):
            counts[name] += 1
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module")
    parser.add_argument("--objdump", default="objdump")
    options = parser.parse_args()
    listing = subprocess.run([options.objdump, "-d", "-C", "--no-show-raw-insn", options.module], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.splitlines()
    counts = prefetches_by_function(listing)
    streaming = {name: count for name, count in counts.items()
                 if (base := re.search(r"::(\w+)<", name)) and base[1] in STREAMING}
    by_base = collections.Counter(re.search(r"::(\w+)<", name)[1] for name in streaming)
    for base, count in sorted(by_base.items()):
        print(f"{base}: {count} instantiations")
    failures = [f"does not prefetch: {name}" for name, count in streaming.items() if count == 0]
    if not by_base["multiply_k_blocks_of"]:
        failures.append(f"{options.module}: expected the kernels of the cpu backend with their symbols, found none")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
