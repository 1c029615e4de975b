"""Checks the machine code for devices on which a kernel may begin while the previous one runs (backends/gpu/portable/launch_order.h): every
kernel waits before it accesses anything that earlier kernels write. The wait is ACQBULK (`griddepcontrol.wait` in PTX); PREEXIT
(`griddepcontrol.launch_dependents`) lets the next kernel begin.

    python3 launch_order_test.py FOLDER_WITH_CODE --cuobjdump CUOBJDUMP
"""

import functools
import re
import sys
import unittest

from machine_code import arguments, nvidia_kernels, skip

OVERLAPPING = ("sm_90a", "sm_100a")
MEMORY = r"\b(LDG|LD|STG|ST|ATOM|ATOMG|RED|REDG|LDGSTS|UBLKCP|UTMALDG)\b"
# In these encodings a row of the weight has only values, which a lane loads 16 bytes at a time. A narrower load before the wait, or more
# loads than WEIGHT_REQUESTS, would be of something else: the number of rows, x, or the scales of x.
VALUES_ALONE = ("f32", "bf16", "f16", "int8", "fp8")
WEIGHT_REQUESTS = 8  # of 16 bytes for each lane


def early_accesses(code):
    """The memory accesses before the wait."""
    return [text for text in code[:code.index("ACQBULK")] if re.search(MEMORY, text)]


def wrong_requests(name, code):
    """The memory accesses of a matvec kernel before the wait that are not loads of its weight. `name` is Kernel.name."""
    early = early_accesses(code)
    wrong = [text for text in early if not re.search(r"\bLDG\b", text)]
    encoding = name.split()[1].removesuffix("-w8a8")
    if encoding in VALUES_ALONE:
        wrong += [text for text in early if ".128" not in text]
        wrong += early[WEIGHT_REQUESTS:]
    return wrong


@functools.cache
def kernels():
    found = []
    for file in sorted((CODE / "cuda").glob("*.o")):
        for target in OVERLAPPING:
            found += nvidia_kernels(CUOBJDUMP, file, target)
    return found


class LaunchOrder(unittest.TestCase):
    def test_every_kernel_waits_once_whatever_its_threads_do_and_then_lets_the_next_one_begin(self):
        self.assertGreater(len(kernels()), 100)
        for kernel in kernels():
            with self.subTest(target=kernel.target, kernel=kernel.symbol):
                code = [text for _, text in kernel.code]
                waits = [i for i, text in enumerate(code) if "ACQBULK" in text]
                lets = [i for i, text in enumerate(code) if "PREEXIT" in text]
                self.assertEqual((len(waits), len(lets)), (1, 1))
                self.assertEqual(code[waits[0]], "ACQBULK", "it has a condition")
                self.assertLess(waits[0], lets[0])
                before = code[:waits[0]]
                self.assertFalse([text for text in before if re.search(r"\b(EXIT|RET|BRA|CALL)\b", text)])

    def test_only_the_weights_of_products_of_few_rows_are_requested_ahead_of_the_wait(self):
        n_requesting = 0
        for kernel in kernels():
            with self.subTest(target=kernel.target, kernel=kernel.symbol):
                code = [text for _, text in kernel.code]
                name = kernel.name or ""
                if not re.match(r"matvec (?!int4|mxfp4|nvfp4)", name):
                    self.assertEqual(early_accesses(code), [])
                    continue
                self.assertEqual(wrong_requests(name, code), [])
                self.assertGreaterEqual(sum(".128" in text or ".64" in text for text in early_accesses(code)), 4)
                n_requesting += 1
        self.assertGreater(n_requesting, 0)

    def test_what_does_not_belong_ahead_of_the_wait_is_found(self):
        weights = ["@!P0 LDG.E.128.CONSTANT R8, desc[UR4][R2.64]"] * WEIGHT_REQUESTS
        after = ["ACQBULK", "PREEXIT", "LDG.E R0, desc[UR4][R6.64]", "STG.E desc[UR4][R6.64], R0"]
        self.assertEqual(wrong_requests("matvec bf16 rows=1", weights + after), [])
        for early in ("LDG.E R0, desc[UR4][R6.64]", "LDG.E.64 R0, desc[UR4][R6.64]", "LDG.E.128 R0, desc[UR4][R6.64]",
                      "STG.E desc[UR4][R6.64], R0", "RED.E.ADD.STRONG.GPU desc[UR4][R6.64], R0"):
            self.assertIn(early, wrong_requests("matvec bf16 rows=1", weights + [early] + after))
            self.assertEqual(early_accesses([early, *after]), [early])


if __name__ == "__main__":
    CODE, CUOBJDUMP = arguments()
    if not any((CODE / "cuda").glob("matvec*")):
        skip("kernels were not built here for NVIDIA")
    if not CUOBJDUMP:
        skip("machine code was not read: there is no cuobjdump (./dev setup gpu installs it)")
    if not kernels():
        skip("kernels were built here for no device whose kernels overlap")
    unittest.main(argv=sys.argv[:1])
