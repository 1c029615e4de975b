"""Reads what `secondsource run` and `secondsource report --format json` wrote.

    import secondsource

    run = secondsource.read_run("runs/today")
    for cell in run.cells:
        if cell.has_credit:
            print(cell.id, cell.ttft_e2e_p50_ns.value, cell.usd_per_1k_output)
    run.to_frame()          # the same with pandas, one row a cell
    run.samples_to_frame()  # one row a request

Nothing beyond Python's own library is needed; `to_frame` and `samples_to_frame` need pandas. Bad input is a RunError, whose
text is one sentence. docs/exports.md has more.
"""

from .error import RunError
from .records import (
    BackendRecord,
    BundleRecord,
    Cell,
    CellKey,
    CellStatus,
    Check,
    CheckOutcome,
    ClientShift,
    DateTurn,
    DeviceInfo,
    Estimate,
    Failure,
    Golden,
    GoldenVerdict,
    HostFact,
    HostMemory,
    LimitShare,
    LoadClient,
    MemoryUse,
    MergedClient,
    ModelStart,
    PlannedCell,
    Price,
    Repetition,
    RunRecord,
    RunSummary,
    Sample,
    Scenario,
    ServerClock,
    Slo,
    StepWork,
    SwapEvent,
    SwapModelSummary,
    SwapPlan,
    SwapRecord,
    SwapSummary,
    SwappedModel,
    TelemetryReading,
    Tier,
    TtftParts,
    VariantRecord,
)
from .run import Run, read_report, read_run

__all__ = [
    "BackendRecord",
    "BundleRecord",
    "Cell",
    "CellKey",
    "CellStatus",
    "Check",
    "CheckOutcome",
    "ClientShift",
    "DateTurn",
    "DeviceInfo",
    "Estimate",
    "Failure",
    "Golden",
    "GoldenVerdict",
    "HostFact",
    "HostMemory",
    "LimitShare",
    "LoadClient",
    "MemoryUse",
    "MergedClient",
    "ModelStart",
    "PlannedCell",
    "Price",
    "Repetition",
    "Run",
    "RunError",
    "RunRecord",
    "RunSummary",
    "Sample",
    "Scenario",
    "ServerClock",
    "Slo",
    "StepWork",
    "SwapEvent",
    "SwapModelSummary",
    "SwapPlan",
    "SwapRecord",
    "SwapSummary",
    "SwappedModel",
    "TelemetryReading",
    "Tier",
    "TtftParts",
    "VariantRecord",
    "read_report",
    "read_run",
]
