"""Published variants: weights of a quantized checkpoint as its publisher stored them (docs/bundle-format.md).

The metadata of model.safetensors names the variant, such as gptq-int4-g128, and a matrix NAME is two or three tensors:

    NAME.codes    U8 [rows, cols / 2], two INT4 or E2M1 numbers a byte, the first in the low bits; I8 or F8_E4M3 [rows, cols]
    NAME.scales   FP16 [rows, groups] of consecutive columns, F32 [rows, 1], or F32 [rows / 128, cols / 128] of blocks; of E2M1
                  U8 [rows, groups] of 32 columns: the exponents of powers of two, plus 127
    NAME.zeros    of a variant with zero points: I8 [rows, groups]

or one, with blocks of 256 columns as GGUF has them:

    NAME.q4_k     U8 [rows, 144 cols / 256]
    NAME.q5_k     U8 [rows, 176 cols / 256]
    NAME.q6_k     U8 [rows, 210 cols / 256]

A tensor [matrices, inputs, outputs] has them as NAME.transposed.codes and NAME.transposed.scales, whose rows are its columns. Its values are
scale * code, or scale * (code - zero point), or those of its blocks, in FP32. Every other tensor is as it is. This reads the files on
its own: the program's reader is lib/bundle/published_weights.cpp.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open

KEY = "published_variant"
CODES, SCALES, ZEROS = ".codes", ".scales", ".zeros"
Q4_K, Q5_K, Q6_K = ".q4_k", ".q5_k", ".q6_k"
# Bytes of 256 columns.
BLOCK_BYTES = {Q4_K: 144, Q5_K: 176, Q6_K: 210}
TRANSPOSED = ".transposed"
# The numbers of E2M1 by their bits, the sign first.
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def four_bits(pairs: torch.Tensor) -> torch.Tensor:
    """Unsigned codes, [rows, cols], from bytes of two."""
    return torch.stack((pairs & 15, pairs >> 4), dim=-1).flatten(-2).to(torch.int8)


def int4(pairs: torch.Tensor) -> torch.Tensor:
    """The same as two's complement numbers."""
    bits = four_bits(pairs)
    return torch.where(bits > 7, bits - 16, bits)


def e8m0(exponents: torch.Tensor) -> torch.Tensor:
    """Powers of two from 2^-127 to 2^127; 255 is no number."""
    numbers = torch.exp2(exponents.double() - 127).float()
    return torch.where(exponents == 255, torch.nan, numbers)


def _halves(block_bytes: torch.Tensor) -> torch.Tensor:
    """FP16 numbers from pairs of bytes."""
    return block_bytes.contiguous().view(torch.float16).float()


def _with_minima(blocks: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The values of codes [.., 8, 32] of blocks that begin with two FP16 numbers and 12 bytes of 8 scales and 8 minima in six bits."""
    unit, least_unit = _halves(blocks[..., 0:2]), _halves(blocks[..., 2:4])
    first, second, third = (blocks[..., at:at + 4].int() for at in (4, 8, 12))
    scales = torch.cat((first & 63, third & 15 | first >> 6 << 4), -1).float() * unit
    minima = torch.cat((second & 63, third >> 4 | second >> 6 << 4), -1).float() * least_unit
    return (scales[..., None] * codes.float() - minima[..., None]).flatten(-3)


def _nibbles_of_64(pairs: torch.Tensor) -> torch.Tensor:
    """Of each 64 columns the first 32 are in the low bits of 32 bytes."""
    pairs = pairs.unflatten(-1, (4, 32))
    return torch.stack((pairs & 15, pairs >> 4), -2).flatten(-3, -2)


def q4_k(rows: torch.Tensor) -> torch.Tensor:
    """The values of blocks of scales and minima, and 128 bytes of codes."""
    blocks = rows.unflatten(-1, (-1, BLOCK_BYTES[Q4_K]))
    return _with_minima(blocks, _nibbles_of_64(blocks[..., 16:]))


def q5_k(rows: torch.Tensor) -> torch.Tensor:
    """The same with 32 bytes of fifth bits before the others: bit j of byte i belongs to column 32 j + i."""
    blocks = rows.unflatten(-1, (-1, BLOCK_BYTES[Q5_K]))
    fifth = torch.stack([blocks[..., 16:48] >> part & 1 for part in range(8)], -2)
    return _with_minima(blocks, _nibbles_of_64(blocks[..., 48:]) | fifth << 4)


def q6_k(rows: torch.Tensor) -> torch.Tensor:
    """The values of blocks of 128 bytes with low halves of codes, 64 with their two high bits, 16 int8 scales and an FP16 number. Of each
    128 columns, the four times 32 are in the low halves of the first and of the second 32 bytes, then in the high ones."""
    blocks = rows.unflatten(-1, (-1, BLOCK_BYTES[Q6_K]))
    low = blocks[..., :128].unflatten(-1, (2, 2, 32))
    high = blocks[..., 128:192].unflatten(-1, (2, 1, 32))
    low = torch.cat((low & 15, low >> 4), -2)  # [.., 2, 4, 32]
    high = torch.cat([high >> shift & 3 for shift in (0, 2, 4, 6)], -2)
    codes = (low | high << 4).flatten(-3).float() - 32
    scales = blocks[..., 192:208].contiguous().view(torch.int8).float() * _halves(blocks[..., 208:210])
    return (codes.unflatten(-1, (16, 16)) * scales[..., None]).flatten(-3)


def group_of(variant: str) -> int | None:
    """Columns that share a scale; None for all of a row."""
    if variant.startswith("gguf-"):
        return 32
    found = re.search(r"-g(\d+)", variant)
    return int(found[1]) if found else None


def has_zero_points(variant: str) -> bool:
    """True of AWQ and of names such as gptq-int4-g128-zp."""
    return variant.startswith("awq-") or variant.endswith("-zp")


BLOCK = 128


def has_blocks(variant: str) -> bool:
    """True of FP8 with a scale for 128 x 128 weights."""
    return variant.endswith("fp8-block128")


def values(codes: torch.Tensor, scales: torch.Tensor, variant: str, zeros: torch.Tensor | None = None) -> torch.Tensor:
    """A weight in FP32."""
    if scales.dtype == torch.uint8:
        return E2M1[four_bits(codes).long()] * e8m0(scales).repeat_interleave(32, dim=-1)[..., :2 * codes.shape[-1]]
    codes = (int4(codes) if codes.dtype == torch.uint8 else codes).float()
    if has_blocks(variant):
        of_values = scales.float().repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
        return codes * of_values[:codes.shape[0], :codes.shape[1]]

    def of_columns(groups: torch.Tensor) -> torch.Tensor:
        groups = groups.float()
        return groups if groups.shape[-1] == 1 else groups.repeat_interleave(group_of(variant), dim=-1)[..., :codes.shape[-1]]

    return (codes if zeros is None else codes - of_columns(zeros)) * of_columns(scales)


class WeightFile:
    """The tensors of a safetensors file, by the names and with the values that the model has."""

    def __init__(self, file: Path) -> None:
        self._file = safe_open(str(file), framework="pt")
        self.variant = (self._file.metadata() or {}).get(KEY)
        self._stored = set(self._file.keys())
        # The ending of the codes or blocks of each stem.
        self._kinds = {key.removesuffix(ending): ending for key in self._stored if self.variant
                       for ending in (CODES, *BLOCK_BYTES) if key.endswith(ending)}
        self._stems = {stem.removesuffix(TRANSPOSED): stem for stem in self._kinds}
        self.coded = set(self._stems)

    def keys(self) -> list[str]:
        parts = {stem + ending for stem in self._stems.values() for ending in (CODES, SCALES, ZEROS, *BLOCK_BYTES)}
        return sorted(self._stored - parts | self.coded)

    def get_tensor(self, key: str) -> torch.Tensor:
        if key not in self.coded:
            return self._file.get_tensor(key)
        stem = self._stems[key]
        if self._kinds[stem] != CODES:
            rows = self._file.get_tensor(stem + self._kinds[stem])
            found = {Q4_K: q4_k, Q5_K: q5_k, Q6_K: q6_k}[self._kinds[stem]](rows)
            return found if stem == key else found.transpose(-1, -2).contiguous()
        zeros = self._file.get_tensor(stem + ZEROS) if has_zero_points(self.variant) else None
        found = values(self._file.get_tensor(stem + CODES), self._file.get_tensor(stem + SCALES), self.variant, zeros)
        return found if stem == key else found.transpose(-1, -2).contiguous()

    def shape(self, key: str) -> list[int]:
        if key not in self.coded:
            return list(self._file.get_slice(key).get_shape())
        stem = self._stems[key]
        codes = self._file.get_slice(stem + self._kinds[stem])
        *others, n_rows, n_codes = codes.get_shape()
        if self._kinds[stem] != CODES:
            n_cols = n_codes // BLOCK_BYTES[self._kinds[stem]] * 256
        else:
            n_cols = n_codes * (2 if codes.get_dtype() == "U8" else 1)
        return [*others, n_rows, n_cols] if stem == key else [*others, n_cols, n_rows]


def weight_file(folder: Path) -> WeightFile | None:
    """The file of a folder's published variant, which is one; None for a folder without such a variant."""
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
    """Which of transformers' parameters are made of codes; the experts of a layer, which are tensors of their own in a file, are
    one parameter there."""
    def is_coded(name: str) -> bool:
        experts = name.rpartition(".experts.")[0]
        return name in coded or (bool(experts) and any(one.startswith(experts + ".experts.") or
                                                       one.startswith(experts.replace(".mlp", ".block_sparse_moe") + ".experts.")
                                                       for one in coded))
    return {name for name in names if is_coded(name)}
