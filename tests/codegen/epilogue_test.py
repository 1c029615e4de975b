"""Counts the instructions per output in the epilogues of tiled matmuls, in NVIDIA's machine code.

    python3 epilogue_test.py GPU_CODE [--cuobjdump PROGRAM]

GPU_CODE is the folder that a build leaves (machine_code.py). The epilogue begins after the last barrier of the block, when all sums are
complete: a warp stores its sums in shared memory, and each lane then finishes four sums of a row at a time. A kernel contains the code
of every kind of epilogue, of which one runs. Each is a piece of code that ends with its loop, or where control cannot continue with the
next instruction. The test adds up, per output, the instructions that store the sums, those of the piece before its loop, and those of
the loop, including both sides of every branch. It counts instructions; it does not show how fast the code runs.
"""

import dataclasses
import functools
import re
import sys
import unittest

from machine_code import arguments, kernels_of, loads_in_flight, nvidia_loops, skip

# The most instructions per output for an epilogue that applies all scales and adds a bias or a residual.
MOST = 12
# In a tile of 16 x 64 a lane has only eight outputs that share the instructions which run once. In other tiles it has 32 to 128.
MOST_OF_SMALL_TILE = 17
# In int8 by int8 matmuls of experts, each output is converted from an integer, and each row has to look up its token and the token's
# scale in the list of the expert's rows.
MOST_OF_EXPERTS_INT8 = 13
# Gated epilogues compute 2^x and a quotient. The count includes the code of all gates, although only one runs, and of the soft cap.
MOST_GATED = 88

STORE = r"STG\.E\.128"


def target_of(text):
    """The address that an instruction may branch to, or None."""
    target = re.match(r"(?:@!?U?P\d+\s+)?BRA\b.*?(0x[0-9a-f]+)", text)
    return int(target[1], 16) if target else None


def pieces(code):
    """Splits the instructions, with their addresses, at the end of each loop and where control cannot continue with the next one."""
    piece = []
    for address, text in code:
        piece.append((address, text))
        target = target_of(text)
        if re.match(r"(EXIT|BRA|RET)\b", text) or (target is not None and target <= address):
            yield piece
            piece = []
    yield piece


@dataclasses.dataclass
class Piece:
    """The code of one kind of epilogue: the instructions that run once, and those of the loop over rows."""
    once: list
    loop: list

    @classmethod
    def of(cls, code):
        head = target_of(code[-1][1])
        begin = next((i for i, (address, _) in enumerate(code) if address == head), len(code))
        return cls([text for _, text in code[:begin]], [text for _, text in code[begin:]])

    def for_each_output(self, n_in_loop):
        """Instructions per output. The loop, if there is one, finishes `n_in_loop` outputs in all its iterations."""
        n_outputs = 4 * count(self.once, STORE)
        if not self.loop:
            return len(self.once) / n_outputs
        trips = n_in_loop / (4 * count(self.loop, STORE))
        return (len(self.once) + trips * len(self.loop)) / (n_outputs + n_in_loop)


class Epilogue:
    """The code after the last barrier of a kernel: how many instructions store each sum, and the pieces without a gate."""

    def __init__(self, kernel):
        begin = max(i for i, (_, text) in enumerate(kernel.code) if text.startswith("BAR.SYNC")) + 1
        code = kernel.code[begin:]
        stores = [i for i, (_, text) in enumerate(code) if re.match(r"STS(\.64)? ", text)]
        n_sums = sum(2 if ".64" in code[i][1] else 1 for i in stores)
        self.storing = (stores[-1] + 1) / n_sums
        self.n_in_loop = min(n_sums, 64)  # in a tile of 128 x 256 a lane processes the two halves of its columns in turn
        self.plain = []
        for piece in pieces(code[stores[-1] + 1:]):
            texts = [text for _, text in piece]
            if count(texts, r"LDS\.128") and count(texts, STORE) and not count(texts, r"MUFU"):
                self.plain.append(Piece.of(piece))


def count(texts, pattern):
    """The number of instructions that match the pattern, with or without a predicate."""
    return sum(bool(re.match(rf"(@!?U?P\d+\s+)?{pattern}\b", text)) for text in texts)


@functools.cache
def tile_kernels():
    """NVIDIA's kernels of tiled matmuls, without the wgmma kernels of targets other than sm_90a, which are empty."""
    kernels = [kernel for stem in ("tiled_matmul", "grouped_tiles") for kernel in kernels_of(CODE, CUOBJDUMP, stem)]
    return [kernel for kernel in kernels
            if kernel.target.startswith("sm_") and ("wgmma" not in kernel.name or kernel.target == "sm_90a")]


class EpilogueOfTiles(unittest.TestCase):
    def test_a_bias_or_a_residual_takes_few_instructions_for_each_output(self):
        for kernel in tile_kernels():
            with self.subTest(target=kernel.target, kernel=kernel.name):
                epilogue = Epilogue(kernel)
                # There are three pieces: for plain sums, for a bias and for a residual. Experts have only a bias.
                self.assertGreaterEqual(len(epilogue.plain), 1 if kernel.name.startswith("grouped") else 3)
                each = [epilogue.storing + piece.for_each_output(epilogue.n_in_loop) for piece in epilogue.plain]
                print(f"{kernel.target:8} {kernel.name:40} {epilogue.storing:5.2f} to store a sum, in all "
                      f"{', '.join(f'{n:.2f}' for n in sorted(each))} instructions for each output")
                is_experts_int8 = kernel.name.startswith("grouped") and kernel.name.endswith("int8-w8a8")
                self.assertLessEqual(max(each), MOST_OF_SMALL_TILE if " 16x64 " in kernel.name
                                     else MOST_OF_EXPERTS_INT8 if is_experts_int8 else MOST)

    def test_residuals_of_several_rows_are_loaded_at_once(self):
        for kernel in tile_kernels():
            if kernel.name.startswith("grouped"):
                continue
            with self.subTest(target=kernel.target, kernel=kernel.name):
                in_flight = max(loads_in_flight(piece.loop or piece.once) for piece in Epilogue(kernel).plain)
                # In a tile of 16 x 64, a lane has only two rows. In other tiles, the loads of four rows are issued together, but on sm_100a
                # the first addition may come before the fourth load.
                self.assertGreaterEqual(in_flight, 2 if " 16x64 " in kernel.name else 3)

    def test_gated_products_store_two_outputs_at_once(self):
        for kernel in tile_kernels():
            with self.subTest(target=kernel.target, kernel=kernel.name):
                code = [text for _, text in kernel.code]
                self.assertGreater(count(code, r"STG\.E\.64"), 0)
                each = [len(loop.instructions) / (2 * count(loop.instructions, r"STG\.E\.64")) for loop in nvidia_loops(kernel)
                        if count(loop.instructions, r"STG\.E\.64") and count(loop.instructions, r"MUFU")]
                if " 16x64 " in kernel.name:  # a lane has at most two rows of this tile, without a loop
                    continue
                print(f"{kernel.target:8} {kernel.name:40} {min(each):6.2f} instructions for each output of a gated product")
                self.assertLessEqual(min(each), MOST_GATED)

    def test_no_integer_is_divided(self):
        for kernel in tile_kernels():
            with self.subTest(target=kernel.target, kernel=kernel.name):
                # The compiler implements an integer division with the reciprocal of the converted divisor.
                self.assertFalse([text for _, text in kernel.code if re.search(r"I2F\.U?\S*RP", text)])


if __name__ == "__main__":
    CODE, CUOBJDUMP = arguments()
    if not any((CODE / "cuda").glob("tiled_matmul*")):
        skip("kernels were not built here for NVIDIA")
    if not CUOBJDUMP:
        skip("machine code was not read: there is no cuobjdump (./dev setup gpu installs it)")
    unittest.main(argv=sys.argv[:1])
