"""Published variants: weights of a quantized checkpoint as its publisher stored them (docs/supported-models.md).

The metadata of model.safetensors names the variant, such as gptq-int4-g128, and a matrix NAME is two, three or four tensors:

    NAME.codes    U8 [rows, cols / 2], two INT4 or E2M1 numbers a byte, the first in the low bits; I8 or F8_E4M3 [rows, cols]
    NAME.scales   FP16 [rows, groups] of consecutive columns, F32 [rows, 1], or F32 [rows / 128, cols / 128] of blocks; of E2M1
                  U8 [rows, groups] of 32 columns: the exponents of powers of two, plus 127; of NVFP4 F8_E4M3 [rows, groups] of 16 columns
    NAME.zeros    of a variant with zero points: I8 [rows, groups]
    NAME.global_scale  of NVFP4: F32 [1], by which scale * code is multiplied
    NAME.input_scale  of a variant that ends with -static: F32 [1], by which inputs are divided before they are rounded to E4M3, or to whole
                  numbers in one that ends with int8-static; of one that ends with -nvfp4: F32 [1], the global scale with which inputs are quantized to NVFP4
    NAME.columns  where the checkpoint has act order: I32 [cols], column i of the codes is column columns[i] of NAME

or one, with blocks of 256 or 32 columns as GGUF has them, whose type is in the name:

    NAME.q4_k     U8 [rows, 144 cols / 256], and likewise NAME.q2_k, NAME.q5_0 and so on (BLOCKS)

A tensor [matrices, inputs, outputs] has them as NAME.transposed.codes and NAME.transposed.scales, whose rows are its columns. Its
values are scale * code, or scale * (code - zero point), or those of its blocks, in FP32. Every other tensor is as it is. This reads the
files on its own: the program's reader is lib/bundle/published_weights.cpp.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open

KEY = "published_variant"
CODES, SCALES, ZEROS, COLUMNS, INPUT_SCALE, GLOBAL_SCALE = ".codes", ".scales", ".zeros", ".columns", ".input_scale", ".global_scale"
TRANSPOSED = ".transposed"
# The numbers of E2M1 by their bits, the sign first.
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def four_bits(pairs: torch.Tensor) -> torch.Tensor:
    """Unsigned codes, [rows, cols], from bytes that hold two each."""
    return torch.stack((pairs & 15, pairs >> 4), dim=-1).flatten(-2).to(torch.int8)


def int4(pairs: torch.Tensor) -> torch.Tensor:
    """The same as two's complement numbers."""
    bits = four_bits(pairs)
    return torch.where(bits > 7, bits - 16, bits)


def e8m0(exponents: torch.Tensor) -> torch.Tensor:
    """Powers of two from 2^-127 to 2^127; 255 stands for NaN."""
    numbers = torch.exp2(exponents.double() - 127).float()
    return torch.where(exponents == 255, torch.nan, numbers)


def _halves(block_bytes: torch.Tensor) -> torch.Tensor:
    """FP16 numbers from pairs of bytes."""
    return block_bytes.contiguous().view(torch.float16).float()


def _signed(block_bytes: torch.Tensor) -> torch.Tensor:
    return block_bytes.contiguous().view(torch.int8)


def _with_minima(blocks: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The values of codes [.., 8, 32] of blocks that begin with two FP16 numbers and 12 bytes of 8 scales and 8 minima in six bits."""
    unit, least_unit = _halves(blocks[..., 0:2]), _halves(blocks[..., 2:4])
    first, second, third = (blocks[..., at:at + 4].int() for at in (4, 8, 12))
    scales = torch.cat((first & 63, third & 15 | first >> 6 << 4), -1).float() * unit
    minima = torch.cat((second & 63, third >> 4 | second >> 6 << 4), -1).float() * least_unit
    return (scales[..., None] * codes.float() - minima[..., None]).flatten(-2)


def _nibbles_of_64(pairs: torch.Tensor) -> torch.Tensor:
    """Of each 64 columns the first 32 are in the low bits of 32 bytes."""
    pairs = pairs.unflatten(-1, (4, 32))
    return torch.stack((pairs & 15, pairs >> 4), -2).flatten(-3, -2)


def _nibbles_of_32(pairs: torch.Tensor) -> torch.Tensor:
    """Of 32 columns the first 16 are in the low bits of 16 bytes."""
    return torch.cat((pairs & 15, pairs >> 4), -1)


def _pairs_of_bits(pairs: torch.Tensor) -> torch.Tensor:
    """[.., 8, 32]: 32 bytes hold 128 columns, 32 in each of their four pairs of bits, the lowest pair first."""
    pairs = pairs.unflatten(-1, (2, 1, 32))
    return torch.cat([pairs >> shift & 3 for shift in (0, 2, 4, 6)], -2).flatten(-3, -2)


def _bits_of_columns(block_bytes: torch.Tensor) -> torch.Tensor:
    """[.., 8, 32]: bit j of byte i of 32 bytes belongs to column 32 j + i."""
    return torch.stack([block_bytes >> part & 1 for part in range(8)], -2)


def _bits_of_words(block_bytes: torch.Tensor) -> torch.Tensor:
    """[.., 32]: the bits of four bytes, the lowest first."""
    return torch.stack([block_bytes >> bit & 1 for bit in range(8)], -1).flatten(-2)


# The numbers that four bits stand for in IQ4_NL and IQ4_XS (kvalues_iq4nl of ggml).
CURVE = torch.tensor([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=torch.float32)


def q4_k(blocks: torch.Tensor) -> torch.Tensor:
    """Scales and minima, and 128 bytes of codes."""
    return _with_minima(blocks, _nibbles_of_64(blocks[..., 16:]))


def q5_k(blocks: torch.Tensor) -> torch.Tensor:
    """The same with 32 bytes of fifth bits before the others."""
    return _with_minima(blocks, _nibbles_of_64(blocks[..., 48:]) | _bits_of_columns(blocks[..., 16:48]) << 4)


def q6_k(blocks: torch.Tensor) -> torch.Tensor:
    """128 bytes with low halves of codes, 64 with their two high bits, 16 int8 scales and an FP16 number. Of each 128
    columns, the first 32 are in the low halves of 32 bytes, the next in those of the following 32 bytes, and the rest in
    the high halves of both."""
    low = blocks[..., :128].unflatten(-1, (2, 2, 32))
    low = torch.cat((low & 15, low >> 4), -2).flatten(-3, -2)
    codes = (low | _pairs_of_bits(blocks[..., 128:192]) << 4).flatten(-2).float() - 32
    scales = _signed(blocks[..., 192:208]).float() * _halves(blocks[..., 208:210])
    return (codes.unflatten(-1, (16, 16)) * scales[..., None]).flatten(-2)


def q2_k(blocks: torch.Tensor) -> torch.Tensor:
    """16 bytes with a scale in the low and a minimum in the high bits, 64 bytes of codes and two FP16 numbers."""
    unit, least_unit = _halves(blocks[..., 80:82]), _halves(blocks[..., 82:84])
    scales, minima = (blocks[..., :16] & 15).float() * unit, (blocks[..., :16] >> 4).float() * least_unit
    codes = _pairs_of_bits(blocks[..., 16:80]).flatten(-2).float().unflatten(-1, (16, 16))
    return (scales[..., None] * codes - minima[..., None]).flatten(-2)


def q3_k(blocks: torch.Tensor) -> torch.Tensor:
    """32 bytes of third bits, 64 of the lower two, 12 with 16 scales of six bits, and an FP16 number. Codes are stored
    with 4 added, scales with 32 added. The low four bits of the scales are in eight bytes, first in the low halves, and
    their high two in four bytes."""
    codes = (_pairs_of_bits(blocks[..., 32:96]) | _bits_of_columns(blocks[..., :32]) << 2).flatten(-2).float() - 4
    low, high = blocks[..., 96:104], blocks[..., 104:108]
    low = torch.cat((low & 15, low >> 4), -1)
    high = torch.cat([high >> shift & 3 for shift in (0, 2, 4, 6)], -1)
    scales = ((low | high << 4).float() - 32) * _halves(blocks[..., 108:110])
    return (codes.unflatten(-1, (16, 16)) * scales[..., None]).flatten(-2)


def iq4_xs(blocks: torch.Tensor) -> torch.Tensor:
    """An FP16 number, two bytes with the high two bits of eight scales, four with their low four bits, and 128 bytes of
    codes. Scales are stored with 32 added."""
    high = torch.stack([blocks[..., 2 + part // 4] >> part % 4 * 2 & 3 for part in range(8)], -1)
    low = torch.stack([blocks[..., 4 + part // 2] >> part % 2 * 4 & 15 for part in range(8)], -1)
    scales = ((low | high << 4).float() - 32) * _halves(blocks[..., 0:2])
    codes = CURVE[_nibbles_of_32(blocks[..., 8:].unflatten(-1, (8, 16))).long()]
    return (codes * scales[..., None]).flatten(-2)


def iq4_nl(blocks: torch.Tensor) -> torch.Tensor:
    return CURVE[_nibbles_of_32(blocks[..., 2:]).long()] * _halves(blocks[..., 0:2])


def q4_1(blocks: torch.Tensor) -> torch.Tensor:
    return _halves(blocks[..., 0:2]) * _nibbles_of_32(blocks[..., 4:]).float() + _halves(blocks[..., 2:4])


def q5_0(blocks: torch.Tensor) -> torch.Tensor:
    codes = _nibbles_of_32(blocks[..., 6:]) | _bits_of_words(blocks[..., 2:6]) << 4
    return _halves(blocks[..., 0:2]) * (codes.float() - 16)


def q5_1(blocks: torch.Tensor) -> torch.Tensor:
    codes = _nibbles_of_32(blocks[..., 8:]) | _bits_of_words(blocks[..., 4:8]) << 4
    return _halves(blocks[..., 0:2]) * codes.float() + _halves(blocks[..., 2:4])


class BlockType(NamedTuple):
    n_bytes: int
    n_cols: int
    values: Callable[[torch.Tensor], torch.Tensor]  # [.., n_bytes] to [.., n_cols]


# By the ending of a tensor's name.
BLOCKS = {".q2_k": BlockType(84, 256, q2_k), ".q3_k": BlockType(110, 256, q3_k), ".q4_k": BlockType(144, 256, q4_k),
          ".q5_k": BlockType(176, 256, q5_k), ".q6_k": BlockType(210, 256, q6_k), ".iq4_xs": BlockType(136, 256, iq4_xs),
          ".q4_1": BlockType(20, 32, q4_1), ".q5_0": BlockType(22, 32, q5_0), ".q5_1": BlockType(24, 32, q5_1),
          ".iq4_nl": BlockType(18, 32, iq4_nl)}


def values_of_blocks(rows: torch.Tensor, ending: str) -> torch.Tensor:
    """The values of rows of whole blocks."""
    kind = BLOCKS[ending]
    return kind.values(rows.unflatten(-1, (-1, kind.n_bytes))).flatten(-2)


def group_of(variant: str) -> int | None:
    """How many columns share a scale; None if all columns of a row do."""
    if variant.startswith("gguf-"):
        return 32
    found = re.search(r"-g(\d+)", variant)
    return int(found[1]) if found else None


def has_zero_points(variant: str) -> bool:
    """True of AWQ and of names such as gptq-int4-g128-zp."""
    return variant.startswith("awq-") or variant.endswith("-zp")


BLOCK = 128


def nvfp4(codes: torch.Tensor, scales: torch.Tensor, global_scale: torch.Tensor) -> torch.Tensor:
    """A weight in FP32: the code times the scale of its 16 columns, which is exact, times the global scale."""
    return E2M1[four_bits(codes).long()] * scales.float().repeat_interleave(16, dim=-1)[..., :2 * codes.shape[-1]] * global_scale


def values(codes: torch.Tensor, scales: torch.Tensor, variant: str, zeros: torch.Tensor | None = None) -> torch.Tensor:
    """A weight in FP32, of any variant but NVFP4."""
    if scales.dtype == torch.uint8:
        return E2M1[four_bits(codes).long()] * e8m0(scales).repeat_interleave(32, dim=-1)[..., :2 * codes.shape[-1]]
    codes = (int4(codes) if codes.dtype == torch.uint8 else codes).float()
    if "fp8-block128" in variant:
        of_values = scales.float().repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
        return codes * of_values[:codes.shape[0], :codes.shape[1]]

    def of_columns(groups: torch.Tensor) -> torch.Tensor:
        groups = groups.float()
        return groups if groups.shape[-1] == 1 else groups.repeat_interleave(group_of(variant), dim=-1)[..., :codes.shape[-1]]

    return (codes if zeros is None else codes - of_columns(zeros)) * of_columns(scales)


def in_order_of_weight(found: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Puts column i into place columns[i] of the weight; `columns` must have every place once."""
    if not torch.equal(columns.sort().values, torch.arange(found.shape[1], dtype=columns.dtype)):
        raise ValueError("expected an order of columns with every column once")
    ordered = torch.empty_like(found)
    ordered[:, columns.long()] = found
    return ordered


class WeightFile:
    """The tensors of a safetensors file, by the names and with the values that the model has."""

    def __init__(self, file: Path) -> None:
        self._file = safe_open(str(file), framework="pt")
        self.variant = (self._file.metadata() or {}).get(KEY)
        self._stored = set(self._file.keys())
        # The ending of the codes or blocks of each stem.
        self._kinds = {key.removesuffix(ending): ending for key in self._stored if self.variant
                       for ending in (CODES, *BLOCKS) if key.endswith(ending)}
        self._stems = {stem.removesuffix(TRANSPOSED): stem for stem in self._kinds}
        self.coded = set(self._stems)

    def keys(self) -> list[str]:
        endings = (CODES, SCALES, ZEROS, COLUMNS, INPUT_SCALE, GLOBAL_SCALE, *BLOCKS)
        parts = {stem + ending for stem in self._stems.values() for ending in endings}
        return sorted(self._stored - parts | self.coded)

    def get_tensor(self, key: str) -> torch.Tensor:
        if key not in self.coded:
            return self._file.get_tensor(key)
        stem = self._stems[key]
        if self._kinds[stem] != CODES:
            found = values_of_blocks(self._file.get_tensor(stem + self._kinds[stem]), self._kinds[stem])
            return found if stem == key else found.transpose(-1, -2).contiguous()
        if stem + GLOBAL_SCALE in self._stored:
            return nvfp4(*(self._file.get_tensor(stem + ending) for ending in (CODES, SCALES, GLOBAL_SCALE)))
        zeros = self._file.get_tensor(stem + ZEROS) if has_zero_points(self.variant) else None
        found = values(self._file.get_tensor(stem + CODES), self._file.get_tensor(stem + SCALES), self.variant, zeros)
        if stem + COLUMNS in self._stored:
            found = in_order_of_weight(found, self._file.get_tensor(stem + COLUMNS))
        return found if stem == key else found.transpose(-1, -2).contiguous()

    def input_scales(self) -> dict[str, float]:
        """The scale of the inputs of each weight for which the file has one. The experts of a layer, which transformers
        keeps as one parameter, get the largest of their scales, since their input is quantized once."""
        scales = {key: float(self._file.get_tensor(stem + INPUT_SCALE)) for key, stem in self._stems.items()
                  if stem + INPUT_SCALE in self._stored}
        for key, scale in list(scales.items()):
            if found := re.fullmatch(r"(.*)\.(?:mlp|block_sparse_moe)(\.experts)\.\d+\.(\w+)\.weight", key):
                matrix = "down_proj" if found[3] in ("down_proj", "w2") else "gate_up_proj"
                parameter = f"{found[1]}.mlp{found[2]}.{matrix}"
                scales[parameter] = max(scale, scales.get(parameter, 0.0))
        return scales

    def shape(self, key: str) -> list[int]:
        if key not in self.coded:
            return list(self._file.get_slice(key).get_shape())
        stem = self._stems[key]
        codes = self._file.get_slice(stem + self._kinds[stem])
        *others, n_rows, n_codes = codes.get_shape()
        if self._kinds[stem] != CODES:
            n_cols = n_codes // BLOCKS[self._kinds[stem]].n_bytes * BLOCKS[self._kinds[stem]].n_cols
        else:
            n_cols = n_codes * (2 if codes.get_dtype() == "U8" else 1)
        return [*others, n_rows, n_cols] if stem == key else [*others, n_cols, n_rows]


def weight_file(folder: Path) -> WeightFile | None:
    """The single weight file of a folder with a published variant; None for another folder."""
    file = folder / "model.safetensors"
    opened = WeightFile(file) if file.exists() else None
    return opened if opened and opened.variant else None


def variant_of(folder: Path) -> str | None:
    found = weight_file(folder)
    return found.variant if found else None


def load_values(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file by the model's names, as safetensors.torch.load_file() gives those of a plain one."""
    opened = WeightFile(file)
    return {key: opened.get_tensor(key) for key in opened.keys()}


def coded_parameters(names: Iterator[str], coded: set[str]) -> set[str]:
    """Which of transformers' parameters are made of codes. The experts of a layer are separate tensors in a file, and one
    parameter in transformers."""
    def is_coded(name: str) -> bool:
        experts = name.rpartition(".experts.")[0]
        return name in coded or (bool(experts) and any(one.startswith(experts + ".experts.") or
                                                       one.startswith(experts.replace(".mlp", ".block_sparse_moe") + ".experts.")
                                                       for one in coded))
    return {name for name in names if is_coded(name)}
