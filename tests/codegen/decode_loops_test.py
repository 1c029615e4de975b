"""Checks the machine code of the kernels that take most of decode's time: 16-byte loads in flight, divisions, conversions and atomics.

    python3 decode_loops_test.py GPU_CODE [--cuobjdump PROGRAM]

GPU_CODE is the folder that a build leaves (machine_code.py). Prints the loads in flight in the main loop of each kernel, and the bytes
that a processor has in flight in the matmuls of three models. The test counts instructions; it does not show how fast the code runs.
"""

import functools
import math
import re
import sys
import unittest

from machine_code import ENCODINGS, amd_loops, arguments, kernels_of, nvidia_loops, skip

# How many values of the weight one load covers: those in 16 bytes, or in blocks of GGUF the 32 values whose low bits it loads.
VALUES = {"f32": 4, "bf16": 8, "f16": 8, "int8": 16, "int8-g32": 16, "int4": 32, "fp8": 16, "int4-zp": 32, "fp8-g128": 16,
          "mxfp4": 32, "nvfp4": 32} | dict.fromkeys(("q2_k", "q3_k", "q4_k", "q5_0", "q5_k", "q6_k", "iq4_xs"), 32)
WARPS = 4  # in a block
# Compilers implement an integer division with the reciprocal of the converted divisor.
INTEGER_DIVISION = r"I2F\.U?\S*RP|v_rcp_iflag_f32"


def main_loop(loops, needed=""):
    """The innermost loop with loads of the weight and an instruction that matches `needed`."""
    fitting = [loop for loop in loops if loop.n_loads >= 4 and any(re.search(needed, text) for text in loop.instructions)]
    return min(fitting, key=lambda loop: len(loop.instructions))


def ptxas(log):
    """Reads {(target, symbol): registers} from nvcc's log."""
    registers = {}
    key = None
    for line in log.read_text().splitlines():
        if found := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            key = (found[2], found[1])
        elif found := re.search(r"Used (\d+) registers", line):
            registers[key] = int(found[1])
    return registers


# The matmuls of one decoded token in three models: rows and columns of the weight.
SHAPES = {
    "1B": {"qkv": (3072, 2048), "out": (2048, 2048), "gate and up": (16384, 2048), "down": (2048, 8192),
           "logits": (128256, 2048)},
    "8B": {"qkv": (6144, 4096), "out": (4096, 4096), "gate and up": (28672, 4096), "down": (4096, 14336),
           "logits": (128256, 4096)},
    "70B": {"qkv": (10240, 8192), "out": (8192, 8192), "gate and up": (57344, 8192), "down": (8192, 28672),
            "logits": (128256, 8192)},
}
# Small weights with less than 40 KB in flight. In the first two, four warps share the columns, so that each lane has only one vector of
# each of its four rows. In the third, each warp takes eight rows, so that there are few warps.
SHORT_OF_40_KB = {("1B", "qkv", "int8"), ("1B", "out", "int8"), ("1B", "down", "int4")}
# The number of processors (SMs), and the registers and KiB of shared memory of each (CUDA C++ Programming Guide, "Technical
# Specifications per Compute Capability"; the system uses 1 KiB of shared memory for every block).
DEVICES = {"sm_80": (108, 65536, 164), "sm_90a": (132, 65536, 228)}


def blocks_held(registers, shared_bytes, device):
    """Blocks of four warps that a processor holds at the same time."""
    _, all_registers, shared_kib = DEVICES[device]
    of_warp = math.ceil(registers * 32 / 256) * 256
    return min(all_registers // (of_warp * WARPS), shared_kib * 1024 // (shared_bytes + 1024), 64 // WARPS)


def launch_of(encoding, quantized, shape):
    """Recomputes launch_for_rows() of matvec.cpp for one row of x: the number of blocks, and the steps and outputs of a warp."""
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
        """Finished blocks are counted by one native atomic between fences (portable/last_block.h), and no integer is divided."""
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
                loop = main_loop(loops, r"MUFU\.EX2|v_exp_f32")  # the main loop, not the one that combines the splits
                self.show(kernel, loop)
                self.assertGreaterEqual(loop.in_flight, 4)
                # On AMD, loads complete in order. vmcnt(0) waits for all of them, including the prefetched next keys and values.
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
                # Compare-and-swap loops, which repeat until no other thread interferes, such as NVIDIA's ATOMS.CAST.SPIN.64.
                self.assertFalse([text for text in code if re.search(r"\bATOMS?G?\.\S*(CAS|SPIN)|_cmpst|_cmpswap", text)])
                added = [text for text in code if re.search(r"\bATOM|\bRED\b|ds_add|ds_inc|(global|flat)_atomic_add", text)]
                print(f"{kernel.target:8} {kernel.name:36} {len(added):3} atomic additions, {len(code)} instructions")
                self.assertEqual(kernel.name == "sample_kernel", bool(added))

    def test_products_keep_eight_loads_of_the_weight_in_flight_on_nvidia_and_four_on_amd(self):
        # A load has 16 bytes for each lane, so that NVIDIA's have 128 bytes in flight and AMD's 64. For q2_k and q3_k, whose low bits are
        # loaded 8 bytes at a time, they have half as much.
        for kernel, loops in kernels_with_loops("matvec") + kernels_with_loops("grouped_matvec"):
            with self.subTest(target=kernel.target, kernel=kernel.name):
                loop = main_loop(loops, r"\bLDS\b|ds_read|ds_load")  # the main loop, not the one that stores x in shared memory
                self.show(kernel, loop)
                self.assertGreaterEqual(loop.in_flight, 8 if kernel.target.startswith("sm_") else 4)
                encoding = kernel.name.split()[1].removesuffix("-w8a8")
                if VALUES[encoding] <= 16 and kernel.clang >= 19 and kernel.name.startswith("matvec"):
                    # The second of a row's two vectors stays in flight while the first is multiplied. This is not required of clang 15,
                    # which moves work on the next iteration's values to the end of an iteration and waits for them there, and only of
                    # the matmuls of one weight: for experts in F32 and BF16 on gfx942, clang 19 also waits for all loads.
                    self.assertFalse([text for text in loop.instructions if re.search(r"\bvmcnt\(0\)", text)])

    def test_tiles_of_few_rows_keep_their_weights_in_flight(self):
        # On NVIDIA, small tiles stream their weights (streamed_tile.h). If the compiler moved all loads of an iteration after its products,
        # eight loads would be in flight at the beginning of the next iteration and two at its end, and every iteration would begin with a
        # wait for memory. Weights in FP16 may have fewer loads in flight: ptxas converts those of a whole iteration to BF16 at once.
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
            if not found or (not is_nvidia and found[1].startswith("int8")):  # AMD has an instruction that converts a byte of a register
                continue
            with self.subTest(target=kernel.target, kernel=kernel.name):
                loop = main_loop(loops, r"\bLDS\b|ds_read|ds_load")
                converted = [text for text in loop.instructions if re.search(r"\bI2FP?\b|v_cvt_f32_[iu]|v_cvt_f16_[iu]", text)]
                self.assertFalse(converted)

    def test_products_of_one_row_take_few_instructions_for_each_weight(self):
        # Tested on NVIDIA, where the loop is one contiguous piece of code. A weight takes two instructions for the conversion of int4, int8
        # or fp8 (fp8 from sm_89 on: 1.5; mxfp4: 2.4), one multiply-add, and its share of the instructions for a whole load. Codes with
        # separate high bits take one instruction more, and codes that are looked up in a table (iq4) two more.
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
                        whole = shape[0] * shape[1] * 16 / VALUES[encoding] / n_processors  # a processor's share of the weight's bytes
                        name = f"{encoding}{'-w8a8' if quantized else ''}"
                        print(f"{device:7} {model:4} {product:12} {name:10} {used:4} registers {in_flight / 1000:7.1f} KB "
                              f"of {whole / 1000:8.1f}")
                        with self.subTest(device=device, model=model, product=product, encoding=name):
                            # A weight with fewer bytes per processor is in flight as a whole, except where a processor has one block less.
                            wanted = 30_000 if (model, product, name) in SHORT_OF_40_KB else 40_000
                            self.assertGreaterEqual(in_flight, min(wanted, 0.99 * whole))


if __name__ == "__main__":
    CODE, CUOBJDUMP = arguments()
    if not any(CODE.glob("*/matvec*")):
        skip("kernels were not built here")
    if any((CODE / "cuda").glob("*.o")) and not CUOBJDUMP:
        print("NVIDIA's machine code was not read: there is no cuobjdump (./dev setup gpu installs it)")
    unittest.main(argv=sys.argv[:1])
