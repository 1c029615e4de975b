"""The machine code that a build of the GPU backends leaves (cmake/GpuKernels.cmake): kernels, and their loops.

NVIDIA's is read with cuobjdump (the Python wheels nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm, which ./dev setup gpu installs, or a
toolkit); AMD's compilers leave assembly.
"""

import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys

# The values of WeightEncoding in their order. The kernels of q4_k, q5_k and iq4_xs are also used for q4_1, q5_1 and iq4_nl.
ENCODINGS = ("f32", "bf16", "f16", "int8", "int8-g32", "int4", "fp8", "int4-zp", "fp8-g128", "mxfp4", "nvfp4",
             "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs", "q4_1", "q5_0", "q5_1", "iq4_nl")
TILES = ("16x64", "64x64", "128x128", "wgmma128x128", "wgmma128x256", "streamk128x256", "cluster128x128",
         "cluster128x256")  # the values of MatmulTiles in their order


def encoding_name(number):
    """The encoding's name. iq4_nl stands for all encodings in blocks (kAnyBlocks of gpu/kernels/block_code.h)."""
    return ENCODINGS[int(number)].replace("iq4_nl", "blocks")


@dataclasses.dataclass
class Kernel:
    target: str
    symbol: str
    code: list  # (address or label or None, instruction)
    clang: int = 0  # major version of AMD's compiler

    @property
    def name(self):
        experts = re.search(r"grouped_matvec_kernelILNS_14WeightEncodingE(\d+)ELb(\d)E", self.symbol)
        if experts:
            return f"experts {encoding_name(experts[1])}{'-w8a8' if experts[2] == '1' else ''}"
        matvec = re.search(r"matvec_kernelILNS_14WeightEncodingE(\d+)ELb(\d)ELi(\d)E", self.symbol)
        if matvec:
            encoding, quantized, rows = matvec.groups()
            return f"matvec {encoding_name(encoding)}{'-w8a8' if quantized == '1' else ''} rows={rows}"
        attention = re.search(r"split_attention_kernelILi(\d+)ELi(\d+)E", self.symbol)
        if attention:
            return f"split_attention heads={attention[1]} lanes={attention[2]}"
        tiles = re.search(r"(tiled_matmul|grouped_tiles)_kernelILNS\w*11MatmulTilesE(\d)ELNS\w*14WeightEncodingE(\d+)ELb(\d)E", self.symbol)
        if tiles:
            kind, shape, encoding, quantized = tiles.groups()
            return f"{kind} {TILES[int(shape)]} {encoding_name(encoding)}{'-w8a8' if quantized == '1' else ''}"
        route = re.search(r"route_kernelILNS\w*14WeightEncodingE(\d+)E", self.symbol)
        if route:
            return f"route {encoding_name(route[1])}"
        sample = re.search(r"(sample_kernel|sample_pieces_kernel)E", self.symbol)
        return sample[1] if sample else None

    @property
    def load_words(self):
        """The size of a load of the weight in words of 32 bits: four, or two for codes with two low bits."""
        return 2 if re.match(r"(matvec|experts) q[23]_k\b", self.name or "") else 4


@dataclasses.dataclass
class Loop:
    instructions: list
    n_loads: int    # loads of Kernel.load_words words
    in_flight: int  # the most of these loads that are in flight at an instruction that needs one of them first
    least_in_flight: int = 0  # the fewest, in the second of two iterations (NVIDIA only)


def nvidia_kernels(cuobjdump, file, only=None):
    """The kernels of an object file, for all its targets or only for one."""
    chosen = ["-arch", only] if only else []
    text = subprocess.run([cuobjdump, "-sass", *chosen, file], check=True, capture_output=True, text=True).stdout
    kernels = []
    target = ""
    for line in text.splitlines():
        if found := re.search(r"code for (sm_\w+)", line):
            target = found[1]
        elif found := re.search(r"Function : (\S+)", line):
            kernels.append(Kernel(target, found[1], []))
        elif found := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            kernels[-1].code.append((int(found[1], 16), found[2]))
    return kernels


# Matches an instruction that clears a register. The compiler clears the destination of a predicated load, so that it is zero if the load
# is not executed. Such an instruction does not wait for an earlier load into the same register.
CLEARS = re.compile(r"(?:@!?U?P\d+\s+)?(?:(?:CS2R|MOV|IMAD\.MOV\S*)\s.*(?:RZ|SRZ)|(?:MOV R\d+,|IMAD\.U32 R\d+, RZ, RZ,) UR\d+)$")


def waits(instructions, words=4):
    """Follows NVIDIA's loads of `words` words by their registers. For every instruction that first needs a loaded value, yields the
    instruction's number and how many loads are then in flight."""
    pending = set()
    for i, text in enumerate(instructions):
        registers = {int(number) for number in re.findall(r"\bR(\d+)\b", text)}
        if load := re.match(rf"(?:@!?U?P\d+\s+)?LDG\.E\.{32 * words}\S*\s+R(\d+)", text):
            pending.add(int(load[1]))
            continue
        used = {first for first in pending if registers & set(range(first, first + words))}
        if used and not CLEARS.match(text):
            yield i, len(pending)
        pending -= used


def loads_in_flight(instructions, words=4):
    """The most of NVIDIA's loads of `words` words that are in flight when a loaded value is first needed."""
    return max((n for _, n in waits(instructions, words)), default=0)


def nvidia_loops(kernel):
    """A Loop for every backward branch; loads are followed by their registers over two iterations. A branch back across the kernel's EXIT
    is no loop: it returns from code that the compiler placed after the kernel's end, such as shuffles for diverged lanes."""
    index = {address: i for i, (address, _) in enumerate(kernel.code)}
    for i, (_, instruction) in enumerate(kernel.code):
        branch = re.search(r"\bBRA\b.*?(0x[0-9a-f]+)", instruction)
        if not branch or index.get(int(branch[1], 16), i + 1) > i:
            continue
        body = [text for _, text in kernel.code[index[int(branch[1], 16)]:i + 1]]
        if "EXIT" in body:
            continue
        load = f"LDG.E.{32 * kernel.load_words}"
        found = list(waits(body * 2, kernel.load_words))
        yield Loop(body, sum(load in text for text in body), max((n for _, n in found), default=0),
                   min((n for i, n in found if i >= len(body)), default=0))


def amd_kernels(file, target):
    kernels = []
    inside = False
    text = file.read_text()
    clang = int(re.search(r"\.ident\t.*clang version (\d+)", text)[1])
    for line in text.splitlines():
        if found := re.match(r"(_Z\w+):", line):
            kernels.append(Kernel(target, found[1], [], clang))
            inside = True
        elif line.startswith(".Lfunc_end"):
            inside = False
        elif inside and (found := re.match(r"(\.LBB\w+):", line)):
            kernels[-1].code.append((found[1], ""))
        elif inside and (found := re.match(r"\t([a-z]\w*.*?)\s*(;.*)?$", line)):
            kernels[-1].code.append((None, found[1]))
    return kernels


def amd_loops(kernel):
    """A Loop for every backward branch. A wait for vmcnt(N) ends when at most N loads are still in flight."""
    index = {label: i for i, (label, _) in enumerate(kernel.code) if label}
    for i, (_, instruction) in enumerate(kernel.code):
        branch = re.match(r"s_c?branch\w*\s+(\.LBB\w+)", instruction)
        if not branch or index[branch[1]] > i:
            continue
        body = [text for _, text in kernel.code[index[branch[1]]:i + 1]]
        load = rf"(global|flat)_load_(dwordx{kernel.load_words}|b{32 * kernel.load_words})"
        pending = []  # loads in flight; True for those of Kernel.load_words words
        most = 0
        for text in body * 2:
            if re.match(r"(global|flat)_load_", text):
                pending.append(bool(re.match(load, text)))
            elif wait := re.search(r"vmcnt\((\d+)\)", text):
                if len(pending) > int(wait[1]):
                    most = max(most, sum(pending))
                    pending = pending[len(pending) - int(wait[1]):]
        yield Loop(body, sum(bool(re.match(load, text)) for text in body), most)


def kernels_of(code, cuobjdump, stem):
    """The kernels of `stem`.cpp that Kernel.name knows, for every target that was built in the folder `code` and can be read."""
    found = []
    built = code / "cuda" / f"{stem}.o"
    if built.exists() and cuobjdump:
        found += nvidia_kernels(cuobjdump, built)
    assembly = {"gfx90a": code / "hip" / f"{stem}-hip-amdgcn-amd-amdhsa-gfx90a.s"}
    assembly |= {target: code / target / f"{stem}.s" for target in ("gfx942", "gfx950", "gfx1100")}
    for target, file in assembly.items():
        if file.exists():
            found += amd_kernels(file, target)
    return [kernel for kernel in found if kernel.name]


def arguments():
    """Parses the command line of the tests. Returns the folder with the code, and the path of cuobjdump or None."""
    parser = argparse.ArgumentParser()
    parser.add_argument("code", type=pathlib.Path)
    parser.add_argument("--cuobjdump")
    parsed = parser.parse_args()
    return parsed.code, parsed.cuobjdump


def skip(reason):
    """Ends the test. CTest recognizes a skipped test by the first words of its output."""
    print(f"skipped: the {reason}")
    sys.exit(0)
