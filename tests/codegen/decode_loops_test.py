"""Reads the machine code of the kernels that decode spends its time in: loads of 16 bytes in flight, divisions, conversions, atomics that spin.

    python3 decode_loops_test.py GPU_CODE [--cuobjdump PROGRAM]

GPU_CODE is the folder that a build leaves (machine_code.py). Prints, for each kernel, the loop with the most 16-byte loads, and the
bytes that a processor has in flight for the products of three models. This counts what the compiler made; it says nothing of how fast
it runs.
"""

import functools
import math
import re
import sys
import unittest

from machine_code import ENCODINGS, amd_loops, arguments, kernels_of, nvidia_loops, skip

# Values of the weight that one load covers: as many as 16 bytes hold, or the 32 values of blocks of GGUF whose low bits it loads.
VALUES = {"f32": 4, "bf16": 8, "f16": 8, "int8": 16, "int8-g32": 16, "int4": 32, "fp8": 16, "int4-zp": 32, "fp8-g128": 16,
          "mxfp4": 32, "nvfp4": 32} | dict.fromkeys(("q2_k", "q3_k", "q4_k", "q5_0", "q5_k", "q6_k", "iq4_xs"), 32)
WARPS = 4  # of a block of either kernel
# What compilers make of an integer division: the reciprocal of a converted integer.
INTEGER_DIVISION = r"I2F\.U?\S*RP|v_rcp_iflag_f32"


def main_loop(loops, needed=""):
    """The innermost loop with loads of the weight and an instruction that matches `needed`."""
    fitting = [loop for loop in loops if loop.n_loads >= 4 and any(re.search(needed, text) for text in loop.instructions)]
    return min(fitting, key=lambda loop: len(loop.instructions))


def ptxas(log):
    """{(target, symbol): registers} of nvcc's log."""
    registers = {}
    key = None
    for line in log.read_text().splitlines():
        if found := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            key = (found[2], found[1])
        elif found := re.search(r"Used (\d+) registers", line):
            registers[key] = int(found[1])
    return registers


# Products of one token: rows and columns of the weight.
SHAPES = {
    "1B": {"qkv": (3072, 2048), "out": (2048, 2048), "gate and up": (16384, 2048), "down": (2048, 8192),
           "logits": (128256, 2048)},
    "8B": {"qkv": (6144, 4096), "out": (4096, 4096), "gate and up": (28672, 4096), "down": (4096, 14336),
           "logits": (128256, 4096)},
    "70B": {"qkv": (10240, 8192), "out": (8192, 8192), "gate and up": (57344, 8192), "down": (8192, 28672),
            "logits": (128256, 8192)},
}
# Small weights that fall short: four warps that share the columns have one vector of each of four rows left in the first two,
# and warps of eight rows are few in the third.
SHORT_OF_40_KB = {("1B", "qkv", "int8"), ("1B", "out", "int8"), ("1B", "down", "int4")}
# Processors, registers and shared memory of each (CUDA C++ Programming Guide, "Technical Specifications per Compute
# Capability"; 1 KiB of shared memory of every block is the system's).
DEVICES = {"sm_80": (108, 65536, 164), "sm_90a": (132, 65536, 228)}


def blocks_held(registers, shared_bytes, device):
    """Blocks of four warps that a processor holds at the same time."""
    _, all_registers, shared_kib = DEVICES[device]
    of_warp = math.ceil(registers * 32 / 256) * 256
    return min(all_registers // (of_warp * WARPS), shared_kib * 1024 // (shared_bytes + 1024), 64 // WARPS)


def launch_of(encoding, quantized, shape):
    """(blocks, steps of a warp): launch_for_rows() of matvec.cpp for one row of x, written again."""
    n_rows, n_cols = shape
    vecs = 1 if quantized else VALUES[encoding] // 4
    outputs = 8 if vecs == 8 else 4
    depth = 8 // outputs
    steps = -(-n_cols // (VALUES[encoding] * 32))
    most = min(4, 1024 // (vecs * 32) // depth, steps)
    log2 = 0
    while 2 << log2 <= most and -(-n_rows // outputs) << log2 < 2048:
        log2 += 1
    return -(-n_rows // (WARPS * outputs >> log2)), steps / (1 << log2), outputs


@functools.cache
def kernels_with_loops(stem):
    """The kernels of `stem`.cpp with their loops."""
    return [(kernel, list(nvidia_loops(kernel) if kernel.target.startswith("sm_") else amd_loops(kernel)))
            for kernel in kernels_of(CODE, CUOBJDUMP, stem)]


class DecodeLoops(unittest.TestCase):
    def show(self, kernel, loop):
        print(f"{kernel.target:8} {kernel.name:36} {loop.in_flight:3} of {loop.n_loads:3} loads in flight at the first use, "
              f"{len(loop.instructions)} instructions")

    def check_last_block(self, kernel, loops):
        """Blocks are counted once, by a native atomic and between fences (portable/last_block.h); no integer is divided."""
        code = [text for _, text in kernel.code]
        self.assertFalse([text for text in code if re.search(INTEGER_DIVISION, text)])
        atomics = [text for text in code if re.search(r"\bATOMG?\b|global_atomic_|flat_atomic_", text)]
        self.assertEqual(len(atomics), 1)
        self.assertFalse([loop for loop in loops if atomics[0] in loop.instructions], "an atomic in a loop")
        fences = [text for text in code if re.search(r"MEMBAR|buffer_wbinvl1|buffer_wbl2|buffer_inv|buffer_gl1_inv", text)]
        self.assertGreaterEqual(len(fences), 2)

    def test_attention_keeps_four_loads_in_flight_and_divides_no_integer(self):
        for kernel, loops in kernels_with_loops("decode_attention"):
            with self.subTest(target=kernel.target, kernel=kernel.name):
                loop = main_loop(loops, r"MUFU\.EX2|v_exp_f32")  # the splits are combined in another loop
                self.show(kernel, loop)
                self.assertGreaterEqual(loop.in_flight, 4)
                # On AMD, loads complete in order. A wait until none is left would also wait for the next keys and values.
                self.assertFalse([text for text in loop.instructions if re.search(r"\bvmcnt\(0\)", text)])
                self.check_last_block(kernel, loops)

    def test_attention_over_latents_and_products_of_heads_and_experts_divide_no_integer(self):
        for stem in ("latent_attention", "head_matmul", "grouped_matvec"):
            for kernel, _ in kernels_with_loops(stem):
                with self.subTest(target=kernel.target, kernel=kernel.name):
                    code = [text for _, text in kernel.code]
                    print(f"{kernel.target:8} {kernel.name:36} {len(code)} instructions")
                    self.assertFalse([text for text in code if re.search(INTEGER_DIVISION, text)])

    def test_routers_count_blocks_once_and_divide_no_integer(self):
        for kernel, loops in kernels_with_loops("route"):
            with self.subTest(target=kernel.target, kernel=kernel.name):
                print(f"{kernel.target:8} {kernel.name:36} {len(kernel.code)} instructions")
                self.check_last_block(kernel, loops)

    def test_sampling_adds_by_native_atomics(self):
        for kernel, _ in kernels_with_loops("sample"):
            with self.subTest(target=kernel.target, kernel=kernel.name):
                code = [text for _, text in kernel.code]
                # A loop until no other thread came between; on NVIDIA ATOMS.CAST.SPIN.64 is one such.
                self.assertFalse([text for text in code if re.search(r"\bATOMS?G?\.\S*(CAS|SPIN)|_cmpst|_cmpswap", text)])
                added = [text for text in code if re.search(r"\bATOM|\bRED\b|ds_add|ds_inc|(global|flat)_atomic_add", text)]
                print(f"{kernel.target:8} {kernel.name:36} {len(added):3} atomic additions, {len(code)} instructions")
                self.assertEqual(kernel.name == "sample_kernel", bool(added))

    def test_products_keep_128_bytes_of_the_weight_in_flight_for_each_lane(self):
        # Of q2_k and q3_k these are 64 bytes of low bits.
        for kernel, loops in kernels_with_loops("matvec") + kernels_with_loops("grouped_matvec"):
            with self.subTest(target=kernel.target, kernel=kernel.name):
                loop = main_loop(loops, r"\bLDS\b|ds_read|ds_load")  # x is stored in another loop
                self.show(kernel, loop)
                self.assertGreaterEqual(loop.in_flight, 8 if kernel.target.startswith("sm_") else 4)
                encoding = kernel.name.split()[1].removesuffix("-w8a8")
                if VALUES[encoding] <= 16 and kernel.clang >= 19 and kernel.name.startswith("matvec"):
                    # The second of a row's two vectors stays in flight while the first is multiplied. Clang 15 moves work on the next
                    # trip's values to the end of a trip and waits for them there. For gfx942's experts in F32 and BF16, clang 19
                    # also waits for all loads, so this is asked of products of one weight alone.
                    self.assertFalse([text for text in loop.instructions if re.search(r"\bvmcnt\(0\)", text)])

    def test_tiles_of_few_rows_keep_their_weights_in_flight(self):
        # NVIDIA's small tiles stream their weights (streamed_tile.h). If the compiler moved all requests of a trip behind its products,
        # eight loads would be in flight at the beginning of the next trip and two at its end, and every trip would begin with a wait for
        # memory. Weights in FP16 are allowed fewer loads: ptxas converts those of a whole trip to BF16 at once.
        for kernel, loops in kernels_with_loops("tiled_matmul") + kernels_with_loops("grouped_tiles"):
            found = re.fullmatch(r"\w+ (16x64|64x64) (\S+)", kernel.name)
            if not kernel.target.startswith("sm_") or not found or found[2] in ("f32", "blocks", "int8-g32-w8a8"):
                continue
            with self.subTest(target=kernel.target, kernel=kernel.name):
                loop = main_loop(loops, r"\b[HI]MMA\.")
                print(f"{kernel.target:8} {kernel.name:36} {loop.least_in_flight:3} to {loop.in_flight} of {loop.n_loads:3} loads in "
                      f"flight at the first use, {len(loop.instructions)} instructions")
                self.assertGreaterEqual(loop.in_flight, 5)
                self.assertGreaterEqual(loop.least_in_flight, 2 if found[2] == "f16" else 4)

    def test_weights_of_4_and_8_bits_are_converted_without_conversions_of_integers(self):
        for kernel, loops in kernels_with_loops("matvec"):
            found = re.match(r"matvec (int4|int4-zp|mxfp4|nvfp4|int8|int8-g32|fp8|fp8-g128) rows=", kernel.name)
            is_nvidia = kernel.target.startswith("sm_")
            if not found or (not is_nvidia and found[1].startswith("int8")):  # AMD converts a byte of a register in one instruction
                continue
            with self.subTest(target=kernel.target, kernel=kernel.name):
                loop = main_loop(loops, r"\bLDS\b|ds_read|ds_load")
                converted = [text for text in loop.instructions if re.search(r"\bI2FP?\b|v_cvt_f32_[iu]|v_cvt_f16_[iu]", text)]
                self.assertFalse(converted)

    def test_products_of_one_row_take_few_instructions_for_each_weight(self):
        # Of NVIDIA's, where the loop is in one piece: two for the conversion of int4, int8 and fp8 (from sm_89 on 1.5; 2.4 of mxfp4), one
        # multiply-add, and what is shared by the weights of a load. Codes with high
        # bits take one instruction more, and a lookup of a number on the curve takes two more.
        most = {"int4": 3.9, "int4-zp": 4.1, "mxfp4": 4.4, "nvfp4": 4.6, "int8": 4.4, "fp8": 5.6, "fp8-g128": 6.1, "q2_k": 4.8, "q3_k": 5.4,
                "q4_k": 4.6, "q5_0": 5.3, "q5_k": 5.8, "q6_k": 5.5, "iq4_xs": 6.1}
        converting = {"fp8": 3.9, "fp8-g128": 4.5}  # sm_89 and newer
        for kernel, loops in kernels_with_loops("matvec"):
            found = re.fullmatch(r"matvec (\S+) rows=1", kernel.name)
            if not found or found[1] not in most or not kernel.target.startswith("sm_"):
                continue
            loop = main_loop(loops, r"\bLDS\b")
            per_weight = len(loop.instructions) / (loop.n_loads * VALUES[found[1]])
            print(f"{kernel.target:8} {kernel.name:36} {per_weight:.2f} instructions for each weight")
            limit = (most if kernel.target == "sm_80" else most | converting)[found[1]]
            with self.subTest(target=kernel.target, kernel=kernel.name):
                self.assertLessEqual(per_weight, limit)

    def test_every_product_of_three_models_has_40_kb_in_flight_on_a_processor(self):
        log = CODE / "cuda" / "matvec.log"
        registers = ptxas(log) if log.exists() else {}
        for device, (n_processors, _, _) in DEVICES.items():
            for model, products in SHAPES.items():
                for product, shape in products.items():
                    for encoding, quantized in (("bf16", False), ("int8", False), ("int4", False), ("int8", True)):
                        symbol = (f"matvec_kernelILNS_14WeightEncodingE{ENCODINGS.index(encoding)}ELb{int(quantized)}"
                                  "ELi1E")
                        used = next((n for (target, name), n in registers.items()
                                     if target == device and symbol in name), None)
                        if used is None:
                            continue
                        blocks, steps, outputs = launch_of(encoding, quantized, shape)
                        held = min(blocks_held(used, 1024 * 16 + WARPS * outputs * 4, device), blocks / n_processors)
                        of_lane = min(8, steps * outputs) * 16
                        in_flight = held * WARPS * 32 * of_lane
                        whole = shape[0] * shape[1] * 16 / VALUES[encoding] / n_processors  # of the weight
                        name = f"{encoding}{'-w8a8' if quantized else ''}"
                        print(f"{device:7} {model:4} {product:12} {name:10} {used:4} registers {in_flight / 1000:7.1f} KB "
                              f"of {whole / 1000:8.1f}")
                        with self.subTest(device=device, model=model, product=product, encoding=name):
                            # All of a small weight is in flight at once, but for the processors that have a block less.
                            wanted = 30_000 if (model, product, name) in SHORT_OF_40_KB else 40_000
                            self.assertGreaterEqual(in_flight, min(wanted, 0.99 * whole))


if __name__ == "__main__":
    CODE, CUOBJDUMP = arguments()
    if not any(CODE.glob("*/matvec*")):
        skip("kernels were not built here")
    if any((CODE / "cuda").glob("*.o")) and not CUOBJDUMP:
        print("NVIDIA's machine code was not read: there is no cuobjdump (./dev setup gpu installs it)")
    unittest.main(argv=sys.argv[:1])
