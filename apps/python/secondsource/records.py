"""The records of a run as dataclasses: their fields are those of docs/results-format.md and reports/schemas, and a test holds
them against the schemas. Times are nanoseconds; what was not measured is None. Fields with a default were added within
version 1, and files from before them lack them."""

import enum
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple


class GoldenVerdict(str, enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    NOT_RUN = "not run"
    UNAVAILABLE = "unavailable"


class PriceUnit(str, enum.Enum):
    INSTANCE = "instance"
    DEVICE = "device"
    VCPU = "vCPU"
    UNIT = "unit"


class CellStatus(str, enum.Enum):
    COMPLETE = "complete"
    PARTIAL = "partial"
    INVALID = "invalid"
    FAILED = "failed"
    MISSING = "missing"


class CheckOutcome(str, enum.Enum):
    PASSED = "passed"
    SUSPECT = "suspect"
    INVALID = "invalid"
    NOT_AVAILABLE = "not available"


class Tier(str, enum.Enum):
    BLESSED = "blessed"
    OPPORTUNISTIC = "opportunistic"


@dataclass(frozen=True)
class Estimate:
    """A figure, and the interval in which that of a rerun lies with 95 % confidence."""

    value: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    n: int = 0
    why_not: str = ""  # why there is no value, or no interval


@dataclass(frozen=True)
class CellKey:
    bundle: str
    backend: str
    variant: str
    scenario: str

    @property
    def id(self) -> str:
        """As in the field `cell` of a sample: "default/cpu/bf16/offline-b16"."""
        return f"{self.bundle}/{self.backend}/{self.variant}/{self.scenario}"


@dataclass(frozen=True)
class SwapPlan:
    """What the scenario `swap` asks for."""

    memory_budget_bytes: int
    eviction: str
    zipf: float
    shares: Tuple[float, ...]
    models: Tuple[str, ...]
    budget_models: int = 0


@dataclass(frozen=True)
class SwapModelSummary:
    """One model of a swap cell."""

    model: str
    share: float
    n_requests: int
    resident_bytes: Optional[int]
    weights_bytes: Optional[int]
    kv_bytes: Optional[int]
    file_bytes: Optional[int]
    start_disk_ns: Estimate
    start_page_cache_ns: Estimate
    start_host_memory_ns: Estimate
    alone_tok_per_s: Estimate
    loads: float
    evictions: float
    usd_per_resident_hour: Optional[float]


@dataclass(frozen=True)
class SwapSummary:
    """What a swap cell has beside the figures of every cell."""

    memory_budget_bytes: int
    loads: float
    evictions: float
    peak_resident_bytes: Optional[int]
    mean_resident_bytes: Optional[float]
    mean_resident_models: Optional[float]
    unswapped_tok_per_s: Estimate
    lost_tok_per_s: Estimate
    lost_share: Optional[float]
    load_time_share: Optional[float]
    models: Tuple[SwapModelSummary, ...]
    budget_models: int = 0
    memory_why_not: str = ""


@dataclass(frozen=True)
class Scenario:
    kind: str
    batch: int
    rate_per_s: float
    n_requests: int
    n_prompt_tokens: int
    n_output_tokens: int
    arrivals: str
    burstiness: float
    trace: str
    trace_sha256: str
    trace_speed: float
    seeks_slo_rate: bool
    n_shared_prefix: int
    batching: str
    swap: Optional[SwapPlan] = None
    trace_context: int = 0
    n_too_long: int = 0
    cancel_share: float = 0.0
    cancel_after: int = 0
    turns: int = 1
    think_s: float = 0.0
    think: str = "constant"


@dataclass(frozen=True)
class Check:
    name: str
    outcome: CheckOutcome
    detail: str
    lost: Optional[float] = None


@dataclass(frozen=True)
class LimitShare:
    share: float
    limit: str


@dataclass(frozen=True)
class MemoryUse:
    weights_bytes: int
    kv_bytes: int
    workspace_bytes: int
    runtime_bytes: int
    peak_bytes: int
    huge_weights_bytes: Optional[int]


@dataclass(frozen=True)
class TelemetryReading:
    name: str
    value: Optional[float]
    why_not: str


@dataclass(frozen=True)
class TurnSummary:
    """One turn of the conversations of a cell, counted from 1."""

    turn: int
    n_requests: int
    mean_prompt_tokens: Optional[float]
    mean_cached_tokens: Optional[float]
    ttft_p50_ns: Estimate


@dataclass(frozen=True)
class ConversationSummary:
    """What a cell with conversations has beside the figures of every cell."""

    first_turn_ttft_p50_ns: Estimate
    later_turns_ttft_p50_ns: Estimate
    later_turns_cached_share: Optional[float]
    later_turns_ttft_p50_ns_by_repetition: Tuple[float, ...]
    turns: Tuple[TurnSummary, ...]


@dataclass(frozen=True)
class Cell:
    """One row of every report."""

    key: CellKey
    scenario: Scenario
    golden: GoldenVerdict
    status: CellStatus
    notes: Tuple[str, ...]
    n_repetitions: int
    n_samples: int
    n_errors: int
    mean_prompt_tokens: Optional[float]
    mean_output_tokens: Optional[float]
    ttft_e2e_p50_ns: Estimate
    ttft_e2e_p95_ns: Estimate
    ttft_visible_p50_ns: Estimate
    ttft_kernel_p50_ns: Estimate
    ttft_e2e_p99_ns: Estimate
    ttft_sent_p50_ns: Estimate
    e2e_p50_ns: Estimate
    e2e_p99_ns: Estimate
    tpot_p50_ns: Estimate
    tpot_p99_ns: Estimate
    itl_p50_ns: Estimate
    itl_p99_ns: Estimate
    output_tok_per_s: Estimate
    decode_tok_per_s: Estimate
    prefill_tok_per_s: Estimate
    tok_per_s_per_user: Optional[float]
    tok_per_s_per_device: Optional[float]
    rate_per_s: Optional[float]
    achieved_rate_per_s: Optional[float]
    slo_attainment: Estimate
    goodput_req_per_s: Estimate
    goodput_tok_per_s: Optional[float]
    prefix_hit_rate: Optional[float]
    read_fraction: Optional[float]
    flops_fraction: Optional[float]
    prefill_of_limit: Optional[LimitShare]
    first_token_of_limit: Optional[LimitShare]
    decode_of_limit: Optional[LimitShare]
    first_to_settled: Optional[float]
    load_ns: Optional[int]
    compile_ns: Optional[int]
    device_utilisation: Optional[float]
    bound: str
    bound_why: str
    checks: Tuple[Check, ...]
    verified_share: Optional[float]
    memory: Optional[MemoryUse]
    peak_rss_bytes: Optional[int]
    usd_per_1k_output: Optional[float]
    usd_per_1k_total: Optional[float]
    device_hours_per_million: Optional[float]
    others_cpu_share: Optional[float]
    machine_read_bytes_per_s: Optional[float]
    machine_f32_flops: Optional[float]
    output_tok_per_s_by_repetition: Tuple[float, ...]
    ttft_p50_ns_by_repetition: Tuple[float, ...]
    time_lost: Optional[float] = None
    tpot_p50_ns_by_repetition: Tuple[float, ...] = ()
    tier: Tier = Tier.BLESSED
    outside_limits: str = ""
    ttft_queue_p50_ns: Estimate = field(default_factory=Estimate)
    ttft_tokenize_p50_ns: Estimate = field(default_factory=Estimate)
    ttft_transfer_p50_ns: Estimate = field(default_factory=Estimate)
    ttft_prefill_p50_ns: Estimate = field(default_factory=Estimate)
    ttft_sample_p50_ns: Estimate = field(default_factory=Estimate)
    busy_vcpus: Optional[float] = None
    telemetry: Tuple[TelemetryReading, ...] = ()
    tpot_mean_ns: Estimate = field(default_factory=Estimate)
    tpot_p90_ns: Estimate = field(default_factory=Estimate)
    tpot_p95_ns: Estimate = field(default_factory=Estimate)
    itl_mean_ns: Estimate = field(default_factory=Estimate)
    itl_p90_ns: Estimate = field(default_factory=Estimate)
    itl_p95_ns: Estimate = field(default_factory=Estimate)
    throughput_basis: Optional[str] = None
    golden_level: Optional[str] = None
    swap: Optional[SwapSummary] = None
    late_send_share: Optional[float] = None
    latest_send_ns: Optional[int] = None
    n_cancelled: Optional[int] = None
    freed_tok_per_s: Optional[float] = None
    unwanted_tokens: Optional[float] = None
    conversation: Optional[ConversationSummary] = None
    source_quantization: str = ""

    @property
    def id(self) -> str:
        return self.key.id

    @property
    def has_credit(self) -> bool:
        """False where the tokens are wrong or the measurement's own checks refuse it: its figures count for nothing, and every
        report leaves them out."""
        return self.golden is not GoldenVerdict.FAILED and self.status is not CellStatus.INVALID


@dataclass(frozen=True)
class Golden:
    """The verdict on what a backend generates for a variant."""

    bundle: str
    backend: str
    variant: str
    suite: str
    verdict: GoldenVerdict
    reasons: Tuple[str, ...]
    n_prompts: int
    n_skipped: int
    n_positions: int
    n_match: int
    n_near_tie: int
    n_wrong: int
    kl_mean: Optional[float]
    kl_worst: Optional[float]
    nll_difference_mean: Optional[float]
    duration_ns: int
    n_answers: Optional[int] = None
    n_answers_right: Optional[int] = None
    n_reference_answers_right: Optional[int] = None
    n_streamed: Optional[int] = None
    level: Optional[str] = None
    n_repeated: Optional[int] = None
    n_same_twice: Optional[int] = None
    n_same_in_batch: Optional[int] = None


@dataclass(frozen=True)
class Failure:
    backend: str
    cell: str  # a cell's id, its beginning, or empty for the whole backend
    kind: str
    message: str


@dataclass(frozen=True)
class RunSummary:
    """summary.json."""

    schema_version: int
    run_id: str
    cells: Tuple[Cell, ...]
    golden: Tuple[Golden, ...]
    failures: Tuple[Failure, ...]


@dataclass(frozen=True)
class TtftParts:
    queue_ns: Optional[int]
    tokenize_ns: Optional[int]
    transfer_ns: Optional[int]
    prefill_ns: Optional[int]
    sample_ns: Optional[int]


@dataclass(frozen=True)
class Sample:
    """One request. Its times count from the start of its repetition."""

    cell: str
    repetition: int
    request: int
    warmup: bool
    prompt: str
    n_prompt_tokens: int
    n_output_tokens: int
    scheduled_ns: int
    sent_ns: int
    first_token_ns: Optional[int]
    first_visible_ns: Optional[int]
    last_token_ns: Optional[int]
    ttft_kernel_ns: Optional[int]
    itl_ns: Tuple[int, ...]
    first_received_ns: Optional[int]
    last_received_ns: Optional[int]
    engine_tokens: Optional[int]
    n_cached_prompt_tokens: Optional[int]
    parts: TtftParts
    verified_tokens: Optional[int]
    near_tie_at: Optional[int]
    wrong_at: Optional[int]
    finish: str
    error: str
    connect_ns: Optional[int] = None
    model: str = ""
    asked_tokens: Optional[int] = None
    turn: Optional[int] = None
    assumed_tokens: Optional[int] = None
    text_tokens: Optional[int] = None
    connect_wait_ns: Optional[int] = None

    @property
    def ttft_e2e_ns(self) -> Optional[int]:
        """From the scheduled arrival to the first token, without the opening of a connection."""
        return None if self.first_token_ns is None else self.first_token_ns - self.scheduled_ns - (self.connect_ns or 0)

    @property
    def e2e_ns(self) -> Optional[int]:
        """None also for a request that was cancelled."""
        return None if self.last_token_ns is None or self.finish == "cancelled" else self.last_token_ns - self.scheduled_ns - (self.connect_ns or 0)


@dataclass(frozen=True)
class StepWork:
    n_steps: int
    tokens: int
    ns: int
    flops: Optional[float]
    weight_bytes: Optional[float]
    kv_bytes: Optional[float]


@dataclass(frozen=True)
class HostMemory:
    peak_rss_bytes: int


@dataclass(frozen=True)
class ModelStart:
    model: str
    source: str
    cached_share: Optional[float]
    load_ns: Optional[int]
    first_token_ns: Optional[int]
    why_not: str


@dataclass(frozen=True)
class SwappedModel:
    model: str
    resident_bytes: Optional[int]
    weights_bytes: Optional[int]
    kv_bytes: Optional[int]
    file_bytes: Optional[int]
    alone_tokens: int
    alone_ns: int


@dataclass(frozen=True)
class SwapEvent:
    action: str
    model: str
    request: int
    duration_ns: int
    resident_bytes: Optional[int]


@dataclass(frozen=True)
class SwapRecord:
    """What a repetition of `swap` has beside its samples."""

    resident_at_start: Tuple[str, ...]
    resident_bytes_at_start: Optional[int]
    starts: Tuple[ModelStart, ...]
    models: Tuple[SwappedModel, ...]
    events: Tuple[SwapEvent, ...]
    memory_why_not: str = ""


@dataclass(frozen=True)
class DateTurn:
    """A moment at which the server's Date became unix_s or later, between two times of the repetition."""

    unix_s: int
    after_ns: int
    until_ns: int


@dataclass(frozen=True)
class ServerClock:
    """What the times in a server's responses show of its clock."""

    source: str  # "date", or "created" where the responses have no Date
    n_responses: int
    ahead_low_ns: Optional[int]
    ahead_high_ns: Optional[int]
    why_not: str
    n_contradicted: int
    turns: Tuple[DateTurn, ...]


@dataclass(frozen=True)
class ClientShift:
    """How one client's repetition became part of a merged one."""

    client: int
    repetition: int
    offset_ns: int
    bound_ns: int
    n_turns: int
    window_start_ns: int
    window_end_ns: int


@dataclass(frozen=True)
class Repetition:
    """The end of one repetition of a cell: its steady window, its memory and what its checks found."""

    cell: str
    repetition: int
    window_start_ns: int
    window_end_ns: int
    window_output_tokens: int
    prefill: StepWork
    decode: StepWork
    mixed: StepWork
    host_ns: int
    warmup_windows: int
    warmup_settled: bool
    warmup_ns_per_token: Tuple[Optional[float], ...]
    load_ns: int
    compile_ns: Optional[int]
    memory: MemoryUse
    host_memory: HostMemory
    process_cpu_s: float
    wall_s: float
    others_cpu_share: Optional[float]
    involuntary_switches: int
    major_faults: int
    rate_per_s: Optional[float]
    achieved_rate_per_s: Optional[float]
    telemetry: Tuple[TelemetryReading, ...]
    checks: Tuple[Check, ...]
    swap: Optional[SwapRecord] = None
    server_clock: Optional[ServerClock] = None
    clients: Tuple[ClientShift, ...] = ()  # of a merged run


@dataclass(frozen=True)
class HostFact:
    name: str
    value: Optional[str]
    why_not: str


@dataclass(frozen=True)
class LoadClient:
    """Which of several clients of its servers a run is, from 1."""

    index: int
    count: int


@dataclass(frozen=True)
class MergedClient:
    client: int
    run_id: str
    started_utc: str
    command: Tuple[str, ...]
    host: Tuple[HostFact, ...]


@dataclass(frozen=True)
class VariantRecord:
    name: str
    tier: Tier
    outside_limits: str


@dataclass(frozen=True)
class BundleRecord:
    name: str
    path: str
    content_sha256: str
    verified: bool
    variants: Tuple[VariantRecord, ...] = ()
    models: Tuple[str, ...] = ()  # of a mix, which stands for several bundles
    source_quantization: str = ""


@dataclass(frozen=True)
class DeviceInfo:
    backend: str
    id: str
    name: str
    properties: Mapping[str, str]
    memory_bytes: int
    page_tokens: int
    is_host: bool


@dataclass(frozen=True)
class PriceShare:
    """What a backend is charged: n_used times the price, divided by n_of."""

    n_used: float
    n_of: float
    unit: PriceUnit


@dataclass(frozen=True)
class BackendRecord:
    name: str
    module_sha256: str
    device: DeviceInfo
    options: Mapping[str, str]
    n_units_used: float
    unavailable: str
    served: Optional[Mapping[str, Any]] = None  # of a server behind a URL, as in run.json
    adapter: Optional[Mapping[str, Any]] = None  # of a runtime behind an adapter, as in run.json
    limits: Optional[Mapping[str, Any]] = None  # measured by a device that is not the host, as in run.json
    second_limits: Optional[Mapping[str, Any]] = None
    are_units_unknown: bool = False  # of a system whose number of devices nobody stated
    price_share: Optional[PriceShare] = None


@dataclass(frozen=True)
class PlannedCell:
    key: CellKey
    scenario: Scenario
    repetitions: int


@dataclass(frozen=True)
class Price:
    usd_per_hour: float
    n_units: float
    n_units_used: float
    source: str
    date: str


@dataclass(frozen=True)
class Slo:
    name: str
    ttft_ms: float
    tpot_ms: float
    percent: float


@dataclass(frozen=True)
class RunRecord:
    """run.json."""

    schema_version: int
    method_version: int
    run_id: str
    started_utc: str
    resumed_utc: Tuple[str, ...]
    command: Tuple[str, ...]
    seed: int
    program_version: str
    commit: str
    compiler: str
    build_type: str
    host: Tuple[HostFact, ...]
    bundles: Tuple[BundleRecord, ...]
    backends: Tuple[BackendRecord, ...]
    cells: Tuple[PlannedCell, ...]
    price: Optional[Price]
    slo: Optional[Slo]
    limits: Optional[Mapping[str, Any]]  # the machine's measured limits, as in run.json: an older run lacks later fields
    suite: str
    settings: Mapping[str, str]
    second_limits: Optional[Mapping[str, Any]] = None
    client: Optional[LoadClient] = None  # of a run that is one of several clients of its servers
    clients: Tuple[MergedClient, ...] = ()  # of a merged run
