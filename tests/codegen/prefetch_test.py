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

# Templates that loop over a weight. Each of their instantiations must have prefetch instructions.
STREAMING = ("multiply_k_blocks_of", "multiply_tiles", "multiply_few_rows", "multiply_nibbles_widened",
             "multiply_byte_groups_widened", "multiply_quantized_group", "k_block_tile_to_f32")
STREAMING_ON_X86 = ("multiply_codes_of", "multiply_nibbles_dot", "multiply_int8_group_dot", "GroupedTiles",
                    "multiply_int8_digits_of", "multiply_by_words", "multiply_blocks_of", "block_tile_to_bf16")
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
    expected = STREAMING + (STREAMING_ON_X86 if any("::avx2::" in name for name in counts) else ())
    by_base = collections.Counter()
    failures = []
    for name, count in counts.items():
        base = re.search(r"::(\w+)<", name)
        if base is None or base[1] not in expected or "[clone .cold" in name:
            continue
        by_base[base[1]] += 1
        if count == 0:
            failures.append(f"does not prefetch: {name}")
    for base in expected:
        print(f"{base}: {by_base[base]} instantiations")
        if by_base[base] == 0:
            failures.append(f"{options.module}: expected functions {base}<...> among its symbols, found none")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
