"""R and E of a model that is larger than the memory: a layer is read, used for every prompt, and dropped.

A pass reads the checkpoint once, in stages: the embedding, each layer, then the last norm with the head. While one
stage computes, the next one is read, so two are in memory, in FP32, with the hidden states of all sequences.
All sequences go through a pass together, each in the same chunks and with the same operations as in reference.py, so
the results are the same bit for bit. Greedy decoding takes one pass per token.

transformers' own code computes everything: a pass calls the model's forward function for each stage, and the layers of
other stages hand on what they are given.

K and V that a later pass needs are files, one per sequence and layer. `journaled` keeps the results of passes, and the
state of an unfinished pass between two layers, so that a stopped computation goes on at the layer where it was.
"""

import contextlib
import itertools
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import DynamicLayer

import reference
import weights
from checkpoint import Checkpoint, parameters_without_values
from reference import ATTENTION, Fed, Feed, Reference, text_config

EMBEDDING, HEAD = "embedding", "head"
SECONDS_BETWEEN_SAVES = 30.0
SECONDS_BETWEEN_LINES = 10.0


class SequenceCache:
    """The K and V of a sequence: one file per layer, which may continue that of another sequence."""

    def __init__(self, folder: Path, parent: "SequenceCache | None" = None) -> None:
        self.folder, self.parent = folder, parent
        self.n_inherited = parent.length if parent else 0
        self.length = self.n_inherited

    def read(self, layer: int, length: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """K and V of the first positions in FP32, [1, kv_heads, length, key_dim or value_dim]."""
        if length == 0:
            return None
        inherited = self.parent.read(layer, min(length, self.n_inherited)) if self.parent else None
        if length <= self.n_inherited:
            return inherited
        n_heads, key_dim, value_dim = self._shape()
        n_rows, sizes = length - self.n_inherited, (n_heads * key_dim, n_heads * value_dim)
        file = torch.from_file(str(self._file(layer)), size=n_rows * sum(sizes), dtype=torch.float32)
        own = [part.unflatten(1, (n_heads, -1)).transpose(0, 1)[None] for part in file.view(n_rows, -1).split(sizes, dim=1)]
        if inherited is None:
            return own[0].contiguous(), own[1].contiguous()
        return tuple(torch.cat((before, after), dim=2) for before, after in zip(inherited, own))

    def write(self, layer: int, start: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """K and V of the positions from `start` on, instead of what the file has from there on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shape = keys.shape[1], keys.shape[3], values.shape[3]
        (self.folder / "shape").write_text(json.dumps(shape), encoding="utf-8")
        rows = torch.cat([part[0].transpose(0, 1).flatten(1) for part in (keys, values)], dim=1).contiguous().cpu()
        file = self._file(layer)
        with file.open("r+b" if file.exists() else "w+b") as stream:
            stream.seek((start - self.n_inherited) * rows.shape[1] * rows.element_size())
            stream.write(rows.numpy())
            stream.truncate()

    def _shape(self) -> tuple[int, int, int]:
        """The KV heads, and the sizes of their keys and values, which differ in latent attention."""
        return tuple(json.loads((self.folder / "shape").read_text(encoding="utf-8")))

    def _file(self, layer: int) -> Path:
        return self.folder / f"{layer:04d}.f32"


class Journal:
    """The results of the passes of one computation, in order, and the state of the unfinished one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.n_passes, self.saved_at = folder, 0, time.monotonic()

    def next_pass(self) -> None:
        self.n_passes += 1

    def result(self) -> list[Fed] | None:
        file = self._file("result")
        return [Fed(*one) for one in torch.load(file)] if file.exists() else None

    def keep(self, fed: list[Fed]) -> None:
        self._save("result", [(one.logits, one.scores) for one in fed])
        self._file("state").unlink(missing_ok=True)

    def state(self) -> tuple[int, list, list] | None:
        """The next stage, and the hidden states and router scores of all sequences before it."""
        file = self._file("state")
        return torch.load(file) if file.exists() else None

    def keep_state(self, stage: int, hidden: list[torch.Tensor], scores: list[dict]) -> None:
        if time.monotonic() - self.saved_at >= SECONDS_BETWEEN_SAVES:
            self._save("state", (stage, hidden, scores))
            self.saved_at = time.monotonic()

    def _save(self, kind: str, values) -> None:
        """Writes a file so that it is either complete or absent."""
        unfinished = self.folder / "unfinished"
        torch.save(values, unfinished)
        unfinished.replace(self._file(kind))

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.n_passes:05d}.{kind}"


@dataclass
class _Flow:
    """The state of a sequence between two stages of a pass."""
    feed: Feed
    start: int                     # position of the first of its ids
    hidden: torch.Tensor | None    # [1, ids, hidden_size]
    scores: dict[str, list[torch.Tensor]]


class _StageIsDone(Exception):
    """Leaves the model's forward function; `hidden` is what the stage returned."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden


def _resident_bytes() -> int:
    """What this process has in memory now; 0 without /proc, where the projection leaves out the interpreter."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def _seconds_of_product(weight: torch.Tensor, rows: int) -> float:
    """The time of the product of that many rows with a weight [outputs, inputs]; the faster of two runs."""
    x, seconds = torch.ones(rows, weight.shape[1], device=weight.device), []
    for _ in range(2):
        started = time.monotonic()
        float(nn.functional.linear(x, weight)[0, 0])  # waits for the device
        seconds.append(time.monotonic() - started)
    return min(seconds)


class StreamedReference(Reference):
    """Like Reference, with two layers in memory. Sequences that are fed together share the reading of the weights."""

    computes_together = True

    def __init__(self, folder: Path, variant: str, work: Path, device: str = "cpu",
                 say: Callable[[str], None] = lambda text: None) -> None:
        """`work` is a folder for K and V, which `close` removes."""
        self.work, self.device, self._say = work, torch.device(device), say
        self.n_caches, self._journal, self._is_envelope = 0, None, False
        self.pass_seconds, self.passes_left = 0.0, 0
        super().__init__(folder, variant)

    def _build(self):
        config = text_config(self.folder)
        with parameters_without_values():
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=ATTENTION)
            # A tied head is quantized, while the lookup keeps the stored values: two tensors.
            model.lm_head.weight = nn.Parameter(model.lm_head.weight.clone(), requires_grad=False)
        model.eval()
        for module in model.modules():
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else buffer.to(self.device)
        self.checkpoint = Checkpoint(self.folder, model, tied=bool(getattr(config, "tie_word_embeddings", False)))
        return model

    def _take_weights(self) -> None:
        names = list(self.model.state_dict())
        self.stages = [EMBEDDING, *range(len(self.model.model.layers)), HEAD]
        self.names = {stage: [name for name in names if self._stage_of(name) == stage] for stage in self.stages}
        self._at, self._hidden = None, None
        for number, layer in enumerate(self.model.model.layers):
            layer.forward = self._only_at(number, layer.forward)

    @staticmethod
    def _stage_of(name: str) -> str | int:
        if name.startswith("model.embed_tokens."):
            return EMBEDDING
        return int(name.split(".")[2]) if name.startswith("model.layers.") else HEAD

    def _only_at(self, number: int, forward):
        """A forward function for a layer, which computes only at the layer's own stage and then ends the model's one.

        At the stage of the embedding, the first layer ends the model's function, so that what the model does to the
        embedding belongs to that stage. At the stage of the head, the last layer returns the hidden states that it
        computed at its own stage, and the model's function goes on with them.
        """
        is_last = number == len(self.model.model.layers) - 1

        def through(given, *arguments, **options):
            if self._at == EMBEDDING:
                raise _StageIsDone(given)
            if self._at == HEAD and is_last:
                return self._hidden
            if self._at != number:
                return given
            out = forward(self._hidden, *arguments, **options)
            raise _StageIsDone(out[0] if isinstance(out, tuple) else out)
        return through

    def _round_weights(self) -> None:
        self._is_envelope = True

    @torch.no_grad()
    def _read(self, stage: str | int) -> None:
        self.checkpoint.read_into(self.model, self.names[stage])
        for name in self.names[stage]:
            weight = self._held(name).detach()
            if name in self.roles:  # a buffer has no rule of a variant, and stays as it is stored
                self._store(name, weight)
                if self._is_envelope:
                    weight = self._of_envelope(name, weight)
            self._hold(name, weight.to(self.device))

    def _drop(self, stage: str | int) -> None:
        for name in self.names[stage]:
            self._hold(name, self._held(name).to("meta"))

    def _held(self, name: str) -> torch.Tensor:
        """The parameter of that name, or the buffer: the bias by which DeepSeek-V3 chooses experts is one."""
        module, _, leaf = name.rpartition(".")
        return getattr(self.model.get_submodule(module), leaf)

    def _hold(self, name: str, weight: torch.Tensor) -> None:
        module, _, leaf = name.rpartition(".")
        parent = self.model.get_submodule(module)
        if leaf in parent._buffers:
            parent._buffers[leaf] = weight
        else:
            parent._parameters[leaf] = nn.Parameter(weight, requires_grad=False)

    def _weights_by_name(self) -> Iterator[tuple[str, torch.Tensor]]:
        names = sorted(self.model.state_dict())
        groups = [(stage, list(group)) for stage, group in itertools.groupby(names, self._stage_of)]
        with self._reading([stage for stage, _ in groups]) as stages:
            for _, group in zip(stages, [group for _, group in groups]):
                for name in group:
                    yield name, self._held(name).cpu()

    @contextlib.contextmanager
    def _reading(self, stages: list) -> Iterator[Iterator[str | int]]:
        """Iterates over stages whose weights are in memory, while those of the next stage are being read."""
        with ThreadPoolExecutor(max_workers=1) as reader:
            def read_ahead() -> Iterator[str | int]:
                coming: Future | None = reader.submit(self._read, stages[0]) if stages else None
                for number, stage in enumerate(stages):
                    coming.result()
                    is_again = number + 1 < len(stages) and stages[number + 1] == stage
                    if number + 1 < len(stages) and not is_again:
                        coming = reader.submit(self._read, stages[number + 1])
                    yield stage
                    self._drop(stage)
            yield read_ahead()

    def empty_cache(self) -> SequenceCache:
        self.n_caches += 1
        return SequenceCache(self.work / f"kv-{self.n_caches:06d}")

    def fork(self, cache: SequenceCache) -> SequenceCache:
        self.n_caches += 1
        return SequenceCache(self.work / f"kv-{self.n_caches:06d}", cache)

    def feed(self, cache: SequenceCache, ids: list[int] | tuple[int, ...], keep: int) -> torch.Tensor:
        return self.feed_all([Feed(cache, ids, keep, len(ids) + cache.length)])[0].logits

    @torch.no_grad()
    def feed_all(self, feeds: list[Feed]) -> list[Fed]:
        journal = self._journal
        if journal is not None:
            journal.next_pass()
            if (found := journal.result()) is not None:
                self._lengthen(feeds)
                return found
        flows = [_Flow(feed, feed.cache.length, None, {}) for feed in feeds]
        first, state = 0, journal.state() if journal is not None else None
        if state is not None:
            first, hidden, scores = state
            for flow, one, of_routers in zip(flows, hidden, scores):
                flow.hidden, flow.scores = one.to(self.device), of_routers
        started = said = time.monotonic()
        wants_logits = any(feed.keep for feed in feeds)
        last = len(self.stages) if wants_logits else len(self.stages) - 1
        fed = [Fed(torch.empty(0, self.config.vocab_size))] * len(feeds)
        with self._reading(self.stages[first:last]) as stages:
            for number, stage in enumerate(stages, start=first):
                if stage == HEAD:
                    fed = [self._result(flow) for flow in flows]
                    continue
                for flow in flows:
                    self._through(stage, flow)
                if journal is not None:
                    journal.keep_state(number + 1, [flow.hidden for flow in flows], [flow.scores for flow in flows])
                if time.monotonic() - said > SECONDS_BETWEEN_LINES:
                    said = time.monotonic()
                    self._say(self._progress(number + 1, (said - started) / (number + 1 - first)))
        if wants_logits and first == 0:
            self._expect_all_multiplied()
        self._lengthen(feeds)
        if journal is not None:
            journal.keep(fed)
        if first == 0:
            self.pass_seconds = time.monotonic() - started
        self.passes_left = max(0, self.passes_left - 1)
        return fed

    def _progress(self, n_done: int, seconds_a_stage: float) -> str:
        left = (len(self.stages) - n_done) * seconds_a_stage
        left += max(0, self.passes_left - 1) * (self.pass_seconds or len(self.stages) * seconds_a_stage)
        passes = f"; with {self.passes_left - 1} more passes at most" if self.passes_left > 1 else ""
        return f"  {n_done} of {len(self.stages)} stages of this pass, {left / 60:.0f} min left{passes}"

    @staticmethod
    def _lengthen(feeds: list[Feed]) -> None:
        for feed in feeds:
            feed.cache.length += len(feed.ids)

    def _through(self, stage: str | int, flow: _Flow) -> None:
        """One stage for one sequence, in the chunks in which Reference computes it."""
        self.rotate_for(flow.feed.n_inputs)
        self.routing.forget()
        layer = DynamicLayer()
        if stage != EMBEDDING:
            held = flow.feed.cache.read(stage, flow.start)
            if held is not None:
                layer.update(*(one.to(self.device) for one in held))
        outputs = []
        ids = torch.tensor([list(flow.feed.ids)], device=self.device)
        for first in range(0, len(flow.feed.ids), reference.CHUNK):
            part = slice(first, first + reference.CHUNK)
            cache = DynamicCache()
            cache.layers = [layer] * len(self.model.model.layers)
            self._at, self._hidden = stage, None if flow.hidden is None else flow.hidden[:, part]
            given = {"input_ids": ids[:, part]} if stage == EMBEDDING else {"inputs_embeds": self._hidden}
            try:
                self.model.model(**given, past_key_values=cache, use_cache=True)
                raise RuntimeError(f"the forward function did not call stage {stage}")
            except _StageIsDone as done:
                outputs.append(done.hidden)
        flow.hidden = torch.cat(outputs, dim=1)
        for name, scores in self.routing.of_last(flow.feed.keep).items():
            flow.scores[name] = scores.cpu()
        if stage != EMBEDDING and not flow.feed.is_last:
            flow.feed.cache.write(stage, flow.start, layer.keys[:, :, flow.start:], layer.values[:, :, flow.start:])

    def _result(self, flow: _Flow) -> Fed:
        """Logits of the last rows, by the last norm and the head, chunk by chunk as in Reference."""
        self._at, kept = HEAD, []
        for start in range(0, len(flow.feed.ids), reference.CHUNK):
            self._hidden = chunk = flow.hidden[:, start:start + reference.CHUNK]
            first = min(max(0, len(flow.feed.ids) - flow.feed.keep - start), chunk.shape[1])
            if first < chunk.shape[1]:
                rows = torch.arange(first, chunk.shape[1], device=self.device)
                out = self.model(inputs_embeds=chunk, use_cache=False, logits_to_keep=rows)
                kept.append(out.logits[0].cpu())
        return Fed(torch.cat(kept) if kept else torch.empty(0, self.config.vocab_size), flow.scores)

    def project(self, passes: list[list[int]]) -> str:
        """Projects the time, memory and disk space of passes, each given by the number of rows of each sequence.

        The time is derived from that of reading one layer and of two products. A layer takes as long as its reading or
        its products, whichever is longer. A sequence's rows take their share of the time of a full chunk, but each of
        their chunks takes at least as long as one row.
        """
        shapes = {stage: [self.model.get_parameter(name).shape for name in self.names[stage]] for stage in self.stages}
        sizes = {stage: sum(math.prod(shape) for shape in shapes[stage]) for stage in self.stages}
        layer = self.stages[1]
        started = time.monotonic()
        self._read(layer)
        seconds_a_value = (time.monotonic() - started) / sizes[layer]
        weight = max((self.model.get_parameter(name) for name in self.names[layer]), key=torch.Tensor.numel)
        weight = weight.reshape(-1, weight.shape[-1])
        of_row, of_chunk = (_seconds_of_product(weight, rows) / weight.numel() for rows in (1, reference.CHUNK))
        self._drop(layer)
        active = self._active_share()
        seconds_a_value_of = lambda n: max(of_row * math.ceil(n / reference.CHUNK), of_chunk * n / reference.CHUNK)
        seconds = sum(sizes[stage] * max(seconds_a_value, active * sum(seconds_a_value_of(n) for n in rows))
                      for rows in passes for stage in self.stages[1:])
        # The memory that the process has now; two stages in FP32, with the pages of the file from which they were
        # read; and four times in FP32 the part of a weight that is converted, and the hidden states of all sequences.
        most_rows = max(sum(rows) for rows in passes)
        of_file = self.checkpoint.n_bytes / sum(sizes.values())
        memory = (_resident_bytes()
                  + (4 + of_file) * 2 * max(sizes.values())
                  + 4 * 4 * (reference.PART_VALUES + most_rows * self.config.hidden_size))
        of_layer = 2 * self.config.num_key_value_heads * self._head_dim()
        if weights.is_deepseek(self.config):
            of_layer = self.config.kv_lora_rank + self.config.qk_rope_head_dim
        kv_values = of_layer * self.config.num_hidden_layers
        disk = 4 * kv_values * most_rows
        self.passes_left = len(passes)
        return (f"  projected: at most {len(passes)} passes over {self.checkpoint.n_bytes / 1e9:.1f} GB of weights, "
                f"{seconds / 60:.0f} min, {memory / 1e9:.1f} GB of memory, {disk / 1e9:.1f} GB on disk")

    def _head_dim(self) -> int:
        return getattr(self.config, "head_dim", None) or self.config.hidden_size // self.config.num_attention_heads

    def _active_share(self) -> float:
        """The share of a layer's weights that a token is multiplied with."""
        n_experts = weights.experts(self.config)
        return self.config.num_experts_per_tok / n_experts if n_experts else 1.0

    @contextlib.contextmanager
    def journaled(self, folder: Path, computation: str) -> Iterator[None]:
        header = folder / "computation"
        if not header.exists() or header.read_text(encoding="utf-8") != computation:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            header.write_text(computation, encoding="utf-8")
        # Caches have the same numbers after a stop, because the same feeds come in the same order.
        before, self.n_caches = (self.work, self.n_caches), 0
        self.work, self._journal = folder, Journal(folder)
        try:
            yield
            shutil.rmtree(folder)
        finally:
            self._journal = None
            self.work, self.n_caches = before

    def close(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
