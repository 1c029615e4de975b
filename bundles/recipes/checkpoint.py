"""A Hugging Face folder's weights, read in parts into a model that was made without values.

transformers' own conversions turn the tensors of the files into the parameters of the model's class, as from_pretrained
does for all of them at once.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    convert_and_load_state_dict_in_model,
    rename_source_key,
)
from transformers.initialization import no_init_weights
from transformers.modeling_utils import LoadStateDictConfig

from published import WeightFile

# Maps names of a vision-language model's text part, as files or modules have them, to those of a text-only model.
TEXT_PART_NAMES = {r"^language_model\.": "", r"^model\.language_model\.": "model."}


@contextlib.contextmanager
def parameters_without_values() -> Iterator[None]:
    """In this context, new modules get parameters that have a shape but no values, while their buffers have values."""
    register = nn.Module.register_parameter

    def register_shape(module, name, parameter):
        if parameter is not None:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=False)
        register(module, name, parameter)

    nn.Module.register_parameter = register_shape
    try:
        with no_init_weights():
            yield
    finally:
        nn.Module.register_parameter = register


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a Hugging Face folder."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [folder / "model.safetensors"]
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    return [folder / name for name in names]


class Checkpoint:
    """The tensors of a folder's safetensors files, each with the parameter that transformers makes of it."""

    def __init__(self, folder: Path, model, tied: bool) -> None:
        self.folder, self.model = folder, model
        files = weight_files(folder)
        self.file_of = {key: file for file in files for key in self._keys(file)}
        self.n_bytes = sum(file.stat().st_size for file in files)
        has_text_config = any(key.startswith(("language_model.", "model.language_model.")) for key in self.file_of)
        self.conversions = get_model_conversion_mapping(model, TEXT_PART_NAMES if has_text_config else None)
        shapes = model.state_dict()
        renamings = [one for one in self.conversions if isinstance(one, WeightRenaming)]
        converters = [one for one in self.conversions if isinstance(one, WeightConverter)]
        self.sources: dict[str, list[str]] = {}  # keys in the files, by the parameter made of them
        for key in self.file_of:
            name, pattern = rename_source_key(key, renamings, converters, model.base_model_prefix, shapes)
            if name not in shapes and key in shapes:
                name, pattern = key, None
            if name not in shapes:
                continue  # it belongs to a part of the model that is not computed
            self.sources.setdefault(name, []).append(key)
            # A converter may make several parameters of a tensor; `name` is the first of them.
            for target in (one for converter in converters if pattern in converter.source_patterns
                           for one in converter.target_patterns[1:]):
                first = next(c.target_patterns[0] for c in converters if pattern in c.source_patterns)
                self.sources.setdefault(name.replace(first, target), []).append(key)
        self.tied: dict[str, str] = {}  # parameters that share the values of one tensor, with its key
        if tied:
            names = "model.embed_tokens.weight", "lm_head.weight"
            key = next((self.sources[name][0] for name in names if name in self.sources), None)
            self.tied = {name: key for name in names if key is not None}
        missing = sorted(shapes.keys() - self.sources.keys() - self.tied.keys())
        if missing:
            raise SystemExit(f"{folder}: expected tensors {', '.join(missing)}, found none")

    @staticmethod
    def _keys(file: Path) -> list[str]:
        return WeightFile(file).keys()

    def read_into(self, model, names: list[str]) -> None:
        """Gives the named parameters of the model the checkpoint's values, in FP32."""
        # Tied parameters are given under their own names, which no conversion changes.
        keys = {key: key for name in names if name not in self.tied for key in self.sources[name]}
        keys |= {name: self.tied[name] for name in names if name in self.tied}
        opened = {file: WeightFile(file) for file in {self.file_of[key] for key in keys.values()}}
        tensors = {given: opened[self.file_of[key]].get_tensor(key) for given, key in keys.items()}
        settings = LoadStateDictConfig(dtype=torch.float32, weight_mapping=self.conversions)
        found, _ = convert_and_load_state_dict_in_model(model, tensors, settings)
        if found.mismatched_keys or found.conversion_errors:
            raise SystemExit(f"{self.folder}: {found.mismatched_keys or found.conversion_errors}")


def fits_into_memory(folder: Path) -> bool:
    """Whether Reference could hold the folder's weights in FP32, with a quarter of the free memory left."""
    n_bytes = 0
    for file in weight_files(folder):
        tensors = WeightFile(file)
        n_bytes += sum(4 * math.prod(tensors.shape(key)) for key in tensors.keys())
    return n_bytes <= 0.75 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
