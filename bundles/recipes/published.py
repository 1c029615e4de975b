"""Published variants: weights of a quantized checkpoint as its publisher stored them (docs/bundle-format.md).

The metadata of model.safetensors names the variant, such as gptq-int4-g128, and a matrix NAME is two or three tensors:

    NAME.codes    U8 [rows, cols / 2], two INT4 numbers a byte, the first in the low bits; I8 or F8_E4M3 [rows, cols]
    NAME.scales   FP16 [rows, groups] of consecutive columns, F32 [rows, 1], or F32 [rows / 128, cols / 128] of blocks
    NAME.zeros    of a variant with zero points: I8 [rows, groups]

Its values are scale * code, or scale * (code - zero point), in FP32. Every other tensor is as it is. This reads the files on its own:
the program's reader is lib/bundle/published_weights.cpp.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open

KEY = "published_variant"
CODES, SCALES, ZEROS = ".codes", ".scales", ".zeros"


def int4(pairs: torch.Tensor) -> torch.Tensor:
    """Two's complement numbers of four bits, [rows, cols], from bytes of two."""
    bits = torch.stack((pairs & 15, pairs >> 4), dim=-1).flatten(-2).to(torch.int8)
    return torch.where(bits > 7, bits - 16, bits)


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
        self.coded = {key.removesuffix(CODES) for key in self._stored if key.endswith(CODES)} if self.variant else set()

    def keys(self) -> list[str]:
        parts = {name + ending for name in self.coded for ending in (CODES, SCALES, ZEROS)}
        return sorted(self._stored - parts | self.coded)

    def get_tensor(self, key: str) -> torch.Tensor:
        if key not in self.coded:
            return self._file.get_tensor(key)
        zeros = self._file.get_tensor(key + ZEROS) if has_zero_points(self.variant) else None
        return values(self._file.get_tensor(key + CODES), self._file.get_tensor(key + SCALES), self.variant, zeros)

    def shape(self, key: str) -> list[int]:
        if key not in self.coded:
            return list(self._file.get_slice(key).get_shape())
        shape = list(self._file.get_slice(key + CODES).get_shape())
        is_int4 = self._file.get_slice(key + CODES).get_dtype() == "U8"
        return [*shape[:-1], shape[-1] * (2 if is_int4 else 1)]


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
