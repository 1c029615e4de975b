"""Reads run directories and reports."""

import dataclasses
import enum
import importlib
import os
import stat
from collections import Counter
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from .decode import decode, parse_json
from .error import RunError
from .records import Cell, Estimate, Failure, Golden, LimitShare, MemoryUse, Repetition, RunRecord, RunSummary, Sample
from .seal import Seal, seal_of

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Run:
    record: RunRecord
    summary: RunSummary
    samples: Tuple[Sample, ...] = ()  # with warm-up, of the repetitions that ended
    repetitions: Tuple[Repetition, ...] = ()
    has_samples: bool = False  # False: an archive without samples.jsonl, or samples were not asked for
    has_checksums: bool = False  # of all files that were read; runs of earlier versions have none

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def cells(self) -> Tuple[Cell, ...]:
        return self.summary.cells

    @property
    def golden(self) -> Tuple[Golden, ...]:
        """The verdicts on the tokens, one for each backend and variant."""
        return self.summary.golden

    @property
    def failures(self) -> Tuple[Failure, ...]:
        return self.summary.failures

    def cell(self, cell_id: str) -> Cell:
        """The cell of this id, "default/cpu/bf16/offline-b16". Raises KeyError."""
        for one in self.cells:
            if one.id == cell_id:
                return one
        raise KeyError(cell_id)

    def samples_of(self, cell_id: str) -> Tuple[Sample, ...]:
        """The samples from which the cell's figures come: without warm-up."""
        return tuple(sample for sample in self.samples if sample.cell == cell_id and not sample.warmup)

    def to_frame(self) -> Any:
        """A pandas.DataFrame, one row a cell, with the column names of `report --format csv` where that has them. The figures of
        a cell without credit are missing."""
        return _frame([_row(self.run_id, cell) for cell in self.cells])

    def samples_to_frame(self) -> Any:
        """A pandas.DataFrame, one row a request, warm-up included."""
        rows = []
        for sample in self.samples:
            row = {name: _plain(value) for name, value in vars(sample).items() if name != "parts"}
            row.update({f"part_{name}": value for name, value in vars(sample.parts).items()})
            row["ttft_e2e_ns"] = sample.ttft_e2e_ns
            row["e2e_ns"] = sample.e2e_ns
            rows.append(row)
        return _frame(rows)


def read_run(path: Union[str, "os.PathLike[str]"], samples: bool = True) -> Run:
    """Reads a run directory that `secondsource run` finished, and compares every checksum in it; without its samples, which may
    be many, if `samples` is False. Raises RunError."""
    folder = os.fspath(path)
    record, is_record_sealed = _read_object(os.path.join(folder, "run.json"))
    journal = os.path.join(folder, "samples.jsonl")
    summary_path = os.path.join(folder, "summary.json")
    if not os.path.lexists(summary_path):
        raise RunError(
            f"{summary_path}: missing, so the run is not finished: `secondsource run --resume` finishes it, and "
            "`secondsource report --format json` summarizes what is there, for read_report()"
        )
    summary, is_summary_sealed = _read_object(summary_path)
    run = _run_of(record, summary, os.path.join(folder, "run.json"), summary_path)
    run = dataclasses.replace(run, has_checksums=is_record_sealed and is_summary_sealed)
    if not samples or not os.path.lexists(journal):
        return run
    read: List[Sample] = []
    repetitions: List[Repetition] = []
    all_sealed = True
    for where, text, is_sealed in _lines(journal):
        all_sealed = all_sealed and is_sealed
        line = parse_json(text, where)
        kind = line.get("type") if isinstance(line, dict) else None
        if kind == "sample":
            read.append(decode(Sample, line, where))
        elif kind == "repetition":
            repetitions.append(decode(Repetition, line, where))
        elif kind not in ("golden", "failure", "probe", "operations"):
            raise RunError(f"{where}: type: expected that of a line of samples.jsonl, found {kind!r}")
    ended = {(one.cell, one.repetition) for one in repetitions}
    counted = Counter(one.cell for one in repetitions)
    for cell in run.cells:
        if counted[cell.id] != cell.n_repetitions:
            raise RunError(
                f"{summary_path}: {cell.id}: has {cell.n_repetitions} repetitions, and samples.jsonl has {counted[cell.id]}: "
                "`secondsource report --format json` summarizes them again, for read_report()"
            )
    return dataclasses.replace(
        run,
        samples=tuple(sample for sample in read if (sample.cell, sample.repetition) in ended),
        repetitions=tuple(repetitions),
        has_samples=True,
        has_checksums=run.has_checksums and all_sealed,
    )


def read_report(path: Union[str, "os.PathLike[str]"]) -> Tuple[Run, ...]:
    """Reads what `secondsource report RUN... --format json` wrote: the runs without their samples. Raises RunError."""
    name = os.fspath(path)
    entries = parse_json(_read(name), name)
    if not isinstance(entries, list):
        raise RunError(f"{name}: expected an array, as report --format json writes it")
    runs = []
    for i, entry in enumerate(entries):
        where = f"{name}[{i}]"
        if not isinstance(entry, dict) or "run" not in entry or "summary" not in entry:
            raise RunError(f"{where}: expected an object with run and summary, as report --format json writes it")
        runs.append(_run_of(entry["run"], entry["summary"], f"{where}: run", f"{where}: summary"))
    return tuple(runs)


def _run_of(record_json: Any, summary_json: Any, record_name: str, summary_name: str) -> Run:
    for value, name in ((record_json, record_name), (summary_json, summary_name)):
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SCHEMA_VERSION:
            raise RunError(f"{name}: schema_version: expected {SCHEMA_VERSION}, found {version!r}")
    record = decode(RunRecord, record_json, record_name)
    summary = decode(RunSummary, summary_json, summary_name)
    if record.run_id != summary.run_id:
        raise RunError(f"{summary_name}: run_id: expected {record.run_id}, as in {record_name}, found {summary.run_id}")
    return Run(record, summary)


def _read(name: str) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):  # a pipe would wait for a writer
            raise RunError(f"{name}: expected a file")
        with open(name, "rb") as file:
            return file.read()
    except OSError as why:
        raise RunError(f"{name}: cannot read: {why.strerror}") from None


def _is_sealed(text: bytes, where: str) -> bool:
    seal = seal_of(text)
    if seal is Seal.BROKEN:
        raise RunError(f"{where}: damaged: its checksum is not that of its content")
    return seal is Seal.GOOD


def _read_object(name: str) -> Tuple[Any, bool]:
    text = _read(name)
    is_sealed = _is_sealed(text, name)
    return parse_json(text, name), is_sealed


def _lines(name: str) -> Iterator[Tuple[str, bytes, bool]]:
    """Each whole line with its place, and whether it has a checksum. A crash may have cut the last line short, which is then
    left out."""
    text = _read(name)
    any_sealed = False
    begin = number = 0
    while begin < len(text):
        number += 1
        where = f"{name}:{number}"
        newline = text.find(b"\n", begin)
        if newline < 0:
            # A line that was cut off has no checksum at its end. One with a checksum and a byte behind it was not cut off.
            if seal_of(text[begin:-1]) is Seal.GOOD:
                raise RunError(f"{where}: damaged: expected a newline at the end")
            return
        line = text[begin:newline]
        is_sealed = _is_sealed(line, where)
        if any_sealed and not is_sealed:
            raise RunError(f"{where}: damaged: it has no checksum, and a line before it has one")
        any_sealed = is_sealed
        yield where, line, is_sealed
        begin = newline + 1


def _plain(value: Any) -> Any:
    """An enum as its text, and sentences as one text."""
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return "; ".join(value)
    return value.value if isinstance(value, enum.Enum) else value


# What the columns of `report --format csv` call otherwise than the fields of a cell.
_RENAMED = {"n_repetitions": "repetitions", "n_samples": "samples", "n_errors": "errors"}
_ALWAYS = {"golden", "golden_level", "status", "n_repetitions", "n_samples", "n_errors", "tier", "outside_limits", "notes",
           "source_quantization"}

# Of the scenario `swap`; what is one per model has no column.
_SWAP_COLUMNS = {"memory_budget_bytes": "swap_budget_bytes", **{part: f"swap_{part}" for part in (
    "loads", "evictions", "peak_resident_bytes", "mean_resident_bytes", "mean_resident_models", "unswapped_tok_per_s",
    "lost_tok_per_s", "lost_share", "load_time_share", "budget_models")}}


# Of conversations; what is one per turn has no column.
_CONVERSATION_COLUMNS = ("first_turn_ttft_p50_ns", "later_turns_ttft_p50_ns", "later_turns_cached_share")


def _row(run_id: str, cell: Cell) -> Dict[str, Any]:
    row: Dict[str, Any] = {"run_id": run_id, **vars(cell.key)}
    for field in dataclasses.fields(Cell):
        value = _plain(getattr(cell, field.name))
        name = _RENAMED.get(field.name, field.name)
        if field.name in ("key", "scenario", "checks", "telemetry"):
            continue
        counts = cell.has_credit or field.name in _ALWAYS
        if field.type is Estimate:
            row[name] = value.value if counts else None
            if "p50" in name or name.endswith("_per_s"):
                base, unit = (name[: -len("_ns")], "_ns") if name.endswith("_ns") else (name, "")
                row[f"{base}_low{unit}"] = value.low if counts else None
                row[f"{base}_high{unit}"] = value.high if counts else None
        elif field.name == "memory":
            for part in dataclasses.fields(MemoryUse):
                row[part.name] = getattr(value, part.name) if value is not None and counts else None
        elif field.name == "swap":
            for part, column in _SWAP_COLUMNS.items():
                figure = getattr(value, part) if value is not None and counts else None
                row[column] = figure.value if isinstance(figure, Estimate) else figure
        elif field.name == "conversation":
            for part in _CONVERSATION_COLUMNS:
                figure = getattr(value, part) if value is not None and counts else None
                row[part] = figure.value if isinstance(figure, Estimate) else figure
        elif field.type == Optional[LimitShare]:
            limit = name.replace("_of_limit", "_limit")
            row[name] = value.share if value is not None and counts else None
            row[limit] = value.limit if value is not None and counts else None
        else:
            row[name] = value if counts else None
    for reading in cell.telemetry:
        row.setdefault(reading.name, reading.value if cell.has_credit else None)
    return row


def _frame(rows: List[Dict[str, Any]]) -> Any:
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError:
        raise ImportError("a frame needs pandas: pip install pandas") from None
    return pandas.DataFrame(rows)
