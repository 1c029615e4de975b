"""Computes a procurement brief a second time, from its inputs alone, and names every figure that differs: those of
brief.json with their intervals and marks, those in the tables and sentences of brief.md, and those of brief.html.

    python3 recompute.py --demand D --prices P [--quoted Q] --date YYYY-MM-DD --brief FOLDER [RUN...]

It shares nothing with the program: the rules are those of docs/brief.md and docs/cost.md. It reads runs whose summary is
stored (run.json and summary.json), as the samples are. A number in the JSON or on the page that it has no rule for is a
difference as well, so that no figure goes unchecked. Exit status: 0 all equal, 1 differences, one a line.
"""

import argparse
import datetime
import html.parser
import itertools
import json
import math
import os
import re
import sys

import yaml

DAYS_PER_MONTH = 365 / 12
SWING = 0.3


# -- numbers as they are shown

def six_digits(x):
    return None if x is None else float(f"{x:.6g}")


def three_digits(x):
    if x == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(x)) + 1e-12)
    step = 10.0 ** (magnitude - 2)
    ratio = abs(x) / step
    rounded = math.copysign(math.floor(ratio + 0.5), x) * step
    return f"{rounded:.{min(max(0, 2 - magnitude), 12)}f}"


def with_thousands(text):
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, rest = digits.partition(".")
    return sign + f"{int(whole):,}" + point + rest


def usd(x):
    sign, amount = ("-" if x < 0 else ""), abs(x)
    if amount >= 1e9:
        return f"{sign}${three_digits(amount / 1e9)} billion"
    if amount >= 1e6:
        return f"{sign}${three_digits(amount / 1e6)} million"
    if 1 <= amount < 100:
        return f"{sign}${amount:.2f}"
    return without_negative_zero(sign + "$" + with_thousands(three_digits(amount)))


def percent(x):
    size = abs(x)
    return without_negative_zero(f"{x:.{0 if size >= 10 or size < 0.005 else 1 if size >= 1 else 2}f} %")


def number(x):
    return without_negative_zero(f"{x:.0f}" if x == round(x) and abs(x) < 1000 else with_thousands(three_digits(x)))


def without_negative_zero(text):
    return text if re.search("[1-9]", text) else text.removeprefix("-")


def beside_limit(x, limit, decimals):
    """As many digits as it takes to show on which side of the limit the number is."""
    for digits in range(decimals, 13):
        text = f"{x:.{digits}f}"
        if x == limit or (float(text) > limit if x > limit else float(text) < limit):
            break
    return text


def in_unit(x, unit):
    if unit in ("USD", "USD/h", "USD/1K"):
        return usd(x) + (" an hour" if unit == "USD/h" else "")
    return percent(x) if unit == "%" else number(x) + (" " + unit if unit else "")


# -- figures: a value, its interval, and what it rests on

class Evidence:
    def __init__(self, measured=False, quoted=False, derived=False, projected=False):
        self.flags = (measured, quoted, derived, projected)

    def __or__(self, other):
        return Evidence(*(a or b for a, b in zip(self.flags, other.flags)))

    @property
    def mark(self):
        measured, quoted, derived, projected = self.flags
        source = " and ".join(name for name, is_so in (("measured", measured), ("quoted", quoted)) if is_so)
        step = "projected" if projected else "derived" if derived else ""
        return f"{step} from {source}" if step and source else step + source


DERIVED, PROJECTED = Evidence(derived=True), Evidence(projected=True)
ABSENT = {"value": None, "low": None, "high": None, "mark": ""}


def figure(interval, mark, unit=None):
    value, low, high = interval if isinstance(interval, tuple) else (interval, None, None)
    made = {"value": six_digits(value), "low": six_digits(low), "high": six_digits(high),
            "mark": mark.mark if isinstance(mark, Evidence) else mark}
    return made if unit is None else {**made, "unit": unit}


def shown(fig, unit, scale=1, interval=True):
    if fig["value"] is None:
        return "-"
    text = in_unit(fig["value"] * scale, unit)
    if interval and fig["low"] is not None:
        once = unit if unit.startswith("USD") or unit == "%" else ""  # other units are not repeated in the interval
        text += f" ({in_unit(fig['low'] * scale, once)} to {in_unit(fig['high'] * scale, once)})"
    return text


def mapped(interval, function):
    """Applies a monotone function to (value, low, high) and sorts the ends."""
    value, low, high = interval
    if low is None:
        return function(value), None, None
    ends = sorted((function(low), function(high)))
    return function(value), *ends


# -- calendar

def first_day(text):
    if len(text) == 7 and text[5] == "Q":
        text = f"{text[:4]}-{3 * int(text[6]) - 2:02}"
    return text + "-01" * {4: 2, 7: 1, 10: 0}[len(text)]


def day(text):
    return datetime.date.fromisoformat(first_day(text))


def after(text, days):
    return (day(text) + datetime.timedelta(days=days)).isoformat()


# -- inputs

class Price:
    def __init__(self, row, read_on):
        self.key = "/".join(row[k] for k in ("provider", "region", "instance", "commitment"))
        self.machine = tuple(row[k] for k in ("provider", "region", "instance"))
        self.instance = row["instance"]
        self.commitment = row["commitment"]
        self.usd_per_hour = float(row["usd_per_hour"])
        accelerators = int(row.get("accelerators", 0))
        self.units = accelerators or int(row.get("vcpus", 0))
        self.unit_name = "accelerators" if accelerators else "vCPUs"
        self.dated, self.read_on = row["date"], read_on
        self.source, self.note = row["source"], row.get("note", "")
        self.low, self.high = row.get("usd_per_hour_low"), row.get("usd_per_hour_high")

    def age(self, today):
        return (day(today) - day(self.read_on if self.dated == "undated" else self.dated)).days

    @property
    def date_text(self):
        return f"undated, read {self.read_on}" if self.dated == "undated" else self.dated

    @property
    def pays_for_peak(self):
        return self.commitment not in ("on-demand", "spot")


def load_yaml(path):
    with open(path, encoding="utf-8") as file:
        return yaml.load(file, Loader=yaml.BaseLoader)  # every scalar stays a text


class Sku:
    """Something that can be bought: the speed of one replica as (value, low, high), None where it is not known."""

    def __init__(self, spec, inputs):
        self.id, self.vendor, self.spec = spec["id"], spec["vendor"], spec
        key = spec["price"] if len(spec["price"].split("/")) == 4 else spec["price"] + "/on-demand"
        self.price = inputs.prices[key]
        self.ttft = {50: None, 95: None}
        self.memory_free = None
        self.is_elsewhere = False
        self.are_units_unknown = False
        self.faults = []
        self.has_load_assumption = True
        (self.read_quotes if "quoted" in spec else self.read_run)(inputs)
        self.machines = int(spec.get("machines_per_replica", 1))
        self.units = self.machines * self.price.units
        if self.are_units_unknown:
            self.rated = self.units
        ratio = self.units / self.rated
        self.copies = math.floor(ratio + 1e-9) if ratio > 1 else ratio
        self.is_scaled = abs(ratio - 1) > 1e-9 or self.are_units_unknown and self.units > 1
        if self.is_scaled:
            self.full = self.full and mapped(self.full, lambda rate: rate * self.copies)
            self.slo = self.slo and mapped(self.slo, lambda rate: rate * self.copies)
            self.evidence = self.evidence | PROJECTED
        self.batch = self.full or self.slo

    def read_quotes(self, inputs):
        self.is_measured, self.evidence = False, Evidence(quoted=True)
        rows = [inputs.quoted.get(self.spec["quoted"].get(key)) for key in ("full_load", "slo")]
        row = rows[1] or rows[0]
        self.model, self.precision, self.rated = row["model"], row["precision"], float(row["accelerators"])
        self.full, self.slo = ((float(r["output_tok_per_s"]), None, None) if r else None for r in rows)
        if rows[1]:
            limits, wanted = rows[1]["slo"], inputs.slo
            if not (float(limits["ttft_ms"]) <= wanted["ttft_ms"] and float(limits["tpot_ms"]) <= wanted["tpot_ms"] and
                    float(limits["percent"]) >= wanted["percent"]):
                self.slo = None

    def read_run(self, inputs):
        wanted = self.spec["measured"]
        self.is_measured, self.evidence = True, Evidence(measured=True)
        self.model, self.precision = wanted["bundle"], wanted["variant"]
        self.is_elsewhere = wanted["hardware"] == "similar"

        def has(run):
            return [cell for cell in run["cells"] if all(cell["key"][k] == wanted[k] for k in ("bundle", "backend", "variant"))]
        run = next(r for r in inputs.runs if r["run_id"].startswith(wanted.get("run", "")) and has(r))
        self.cells_key = (run["run_id"], wanted["bundle"], wanted["backend"], wanted["variant"])
        cells = has(run)
        backend = next(b for b in run["backends"] if b["name"] == wanted["backend"])
        self.rated = float(backend["n_units_used"])
        self.are_units_unknown = backend.get("are_units_unknown", False)
        valid = [c for c in cells if c["golden"] != "failed" and c["status"] in ("complete", "partial") and
                 (c["output_tok_per_s"]["value"] or 0) > 0]

        def rate(cell):
            speed = cell["output_tok_per_s"]
            return speed["value"], speed["low"], speed["high"]
        # A cell with a fixed arrival rate shows that rate, not the system's capacity, so it gives no speed.
        capacities = [c for c in valid if c["scenario"]["kind"] != "server" or c["scenario"]["seeks_slo_rate"]]
        offline = [c for c in capacities if c["scenario"]["kind"] == "offline"] or capacities
        full = max(offline, key=lambda c: rate(c)[0], default=None)
        slo = max((c for c in capacities if self.keeps_slo(c, run, inputs.slo)), key=lambda c: rate(c)[0], default=None)
        self.full, self.slo = (cell and rate(cell) for cell in (full, slo))
        shown_cell = slo or full
        if shown_cell:
            for p in self.ttft:
                ns = shown_cell[f"ttft_e2e_p{p}_ns"]
                if ns["value"] is not None:
                    self.ttft[p] = tuple(x and x * 1e-6 for x in (ns["value"], ns["low"], ns["high"]))
            inputs_tokens = shown_cell["scenario"]["n_prompt_tokens"]
            outputs_tokens = shown_cell["scenario"]["n_output_tokens"]
            is_near = (abs(inputs_tokens - inputs.mean_in) <= 0.2 * inputs.mean_in and
                       abs(outputs_tokens - inputs.mean_out) <= 0.2 * inputs.mean_out)
            self.has_load_assumption = inputs_tokens <= 0 or not is_near
        if full and full["memory"] and backend["device"]["memory_bytes"]:
            peak = max(c["memory"]["peak_bytes"] for c in cells if c["memory"])
            self.memory_free = 100 * (1 - peak / backend["device"]["memory_bytes"])
        verdicts = {c["golden"] for c in cells}
        if not valid:
            self.faults.append("no figures")
        if "failed" in verdicts or (inputs.limits.get("require_passed_golden", "true") == "true" and verdicts != {"passed"}):
            self.faults.append("tokens")
        if any(c.get("outside_limits") for c in cells):
            self.faults.append("quality")

    @staticmethod
    def keeps_slo(cell, run, wanted):
        own = run["slo"]
        covers = own and own["ttft_ms"] <= wanted["ttft_ms"] and own["tpot_ms"] <= wanted["tpot_ms"] and \
            own["percent"] >= wanted["percent"]
        return cell["scenario"]["kind"] == "server" and covers and \
            (cell["slo_attainment"]["low"] or 0) >= own["percent"] / 100

    @property
    def is_bounded(self):
        return all(speed is None or speed[1] is not None for speed in (self.slo, self.batch))

    @property
    def scaling(self):
        machines = f"one {self.price.instance}" if self.machines == 1 else f"{self.machines} {self.price.instance}"
        rated = "measured" if self.is_measured else "quoted"

        def units(n):
            return f"{n:g} {self.price.unit_name.removesuffix('s') if n == 1 else self.price.unit_name}"

        if self.are_units_unknown:
            return f"{self.spec['measured']['backend']}, whose devices were not stated, used the {units(self.units)} of {machines}"
        if self.copies > 1:
            return (f"{self.copies:g} systems of {units(self.rated)} side by side on {machines} are each "
                    f"as fast as the one that was {rated}")
        return (f"the {units(self.units)} of {machines} {'is' if self.units == 1 else 'are'} {self.copies:.3g} times as fast "
                f"as the {self.rated:g} that {'was' if self.rated == 1 else 'were'} {rated}")


SLO_PRESETS = {  # mlcommons/inference, loadgen/mlperf.conf
    "mlperf-llama2-70b-server": {"ttft_ms": 2000.0, "tpot_ms": 200.0, "percent": 99.0},
}


class Option:
    def __init__(self, kind, name, interactive, batch, migration, fallback=None):
        self.kind, self.name, self.interactive, self.batch = kind, name, interactive, batch
        self.migration, self.fallback = migration, fallback

    @property
    def work_weeks(self):
        m = self.migration
        return math.ceil(float(m["person_days"]) / int(m["people"]) / 5 - 1e-9) if m else 0

    @property
    def weeks(self):
        return int(self.migration["certify_weeks"]) + self.work_weeks + int(self.migration["ramp_weeks"]) if self.migration else 0

    @property
    def months_until_moved(self):
        if self.kind == "stay" or not self.migration:
            return 0
        return (self.weeks - int(self.migration["ramp_weeks"]) / 2) * 7 / DAYS_PER_MONTH

    @property
    def migration_usd(self):
        return float(self.migration["person_days"]) * float(self.migration["usd_per_day"]) if self.migration else 0.0


class Inputs:
    def __init__(self, options):
        demand = load_yaml(options.demand)
        self.demand, self.date = demand, options.date
        book = load_yaml(options.prices)
        self.prices = {price.key: price for price in (Price(row, book["read_on"]) for row in book["rows"])}
        self.quoted = {}
        if options.quoted:
            self.quoted = {row["id"]: row for row in load_yaml(options.quoted)["rows"]}
        self.runs = []
        for folder in options.runs:
            with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
                run = json.load(file)
            with open(os.path.join(folder, "summary.json"), encoding="utf-8") as file:
                run["cells"] = json.load(file)["cells"]
            self.runs.append(run)
        slo = demand["slo"]
        self.slo = SLO_PRESETS[slo["preset"]] if "preset" in slo else {k: float(slo[k]) for k in ("ttft_ms", "tpot_ms", "percent")}
        mix = demand["context_mix"]
        self.mean_in, self.mean_out = (sum(float(k["percent"]) / 100 * float(k[key]) for k in mix)
                                       for key in ("input_tokens", "output_tokens"))
        volume = demand["volume"]
        self.requests = float(volume["requests_per_day"]) if "requests_per_day" in volume else \
            float(volume["output_tokens_per_day"]) / self.mean_out
        self.growth = float(volume["growth_percent_per_year"]) / 100
        self.batch_percent = float(volume.get("batch_percent", 0))
        profile = [float(x) for x in volume.get("profile", ["1"] * 24)]
        self.profile = [x / sum(profile) for x in profile]
        self.weights = {k: float(demand.get("weights", {}).get(k, usual)) for k, usual in (("input", 1), ("output", 4))}
        sizing = demand.get("sizing", {})
        self.headroom, self.minimum = float(sizing.get("headroom_percent", 0)), int(sizing.get("minimum_replicas", 1))
        self.years = int(demand.get("decision_years", 3))
        self.limits = demand.get("risk_limits", {})
        self.least = float(self.limits.get("min_saving_percent", 0))
        self.outage = demand.get("outage")
        self.skus = {spec["id"]: Sku(spec, self) for spec in demand["skus"]}
        self.read_options()

    def read_options(self):
        specs, usual = self.demand["options"], self.demand.get("migration")
        stay = next(spec for spec in specs if spec["kind"] == "stay")
        as_today = {load: {stay["sku"]: 100.0} if "sku" in stay else self.shares(stay[load]) for load in ("interactive", "batch")}
        self.options = [Option("stay", stay.get("name", "Stay"), as_today["interactive"], as_today["batch"], None)]
        for spec in specs:
            kind = spec["kind"]
            interactive, batch, fallback = dict(as_today["interactive"]), dict(as_today["batch"]), None
            if kind == "stay":
                continue
            if kind == "shift":
                part = float(spec["percent"])
                interactive, batch = (self.shifted(shares, spec["to"], part) for shares in (interactive, batch))
                name = f"Shift {part:g} % to {self.skus[spec['to']].vendor}"
            elif kind == "fallback":
                fallback, name = spec, "Add fallback on " + spec["sku"]
            elif kind == "move-batch":
                batch, name = {spec["to"]: 100.0}, "Move batch work to " + spec["to"]
            else:
                interactive, batch = self.shares(spec["interactive"]), self.shares(spec["batch"])
                fallback, name = spec.get("fallback"), spec["name"]
            self.options.append(Option(kind, spec.get("name", name), interactive, batch, spec.get("migration", usual), fallback))
        if usual is None:
            usual = max((o.migration for o in self.options if o.migration), default=None,
                        key=lambda m: (Option("", "", {}, {}, m).weeks, Option("", "", {}, {}, m).migration_usd))
        for sku in self.skus:
            if not any(self.is_all_on(option, sku) for option in self.options):
                self.options.append(Option("unasked", f"All on {sku} (not asked for)", {sku: 100.0}, {sku: 100.0}, usual))

    def is_all_on(self, option, sku):
        return (option.fallback is None and (self.batch_percent == 100 or set(option.interactive) == {sku}) and
                (self.batch_percent == 0 or set(option.batch) == {sku}))

    @staticmethod
    def shares(rows):
        return {row["sku"]: float(row["percent"]) for row in rows}

    @staticmethod
    def shifted(shares, to, part):
        moved = {sku: share * (1 - part / 100) for sku, share in shares.items()}
        moved[to] = moved.get(to, 0) + part
        return {sku: share for sku, share in moved.items() if share > 0}


# -- the costs

class Costs:
    """The costs of one demand by the rules of docs/cost.md."""

    def __init__(self, inputs):
        self.inputs = inputs
        # Hours with the same share of the day's load need the same number of machines and are computed together.
        self.hours = [(weight, inputs.profile.count(weight)) for weight in sorted(set(inputs.profile))]

    def assumed(self):
        """The known speeds, prices and volume. Sensitivities and intervals are computed with changed copies of these."""
        return {"volume": 1.0,
                "slo": {id: sku.slo and sku.slo[0] for id, sku in self.inputs.skus.items()},
                "batch": {id: sku.batch and sku.batch[0] for id, sku in self.inputs.skus.items()},
                "usd": {id: sku.price.usd_per_hour for id, sku in self.inputs.skus.items()}}

    def day(self, part, growth, assumed):
        """Instance-hours of one day, instances at its peak, and the idle share of the instance-hours."""
        sku = self.inputs.skus[part["sku"]]
        tokens = self.inputs.requests * self.inputs.mean_out * assumed["volume"] * growth
        interactive = tokens * (1 - self.inputs.batch_percent / 100) * part["interactive"] / 100
        batch = tokens * self.inputs.batch_percent / 100 * part["batch"] / 100
        if not interactive + batch > 0:
            return 0, 0, 0.0
        a = interactive / 3600 / assumed["slo"][sku.id] if interactive > 0 else 0.0
        b = batch / 86400 / assumed["batch"][sku.id] if batch > 0 else 0.0
        headroom, minimum = 1 + self.inputs.headroom / 100, self.inputs.minimum
        # The program spends nearly all of its time in this loop.
        hours, busy, with_headroom, ceil = 0, 0.0, a * headroom, math.ceil
        for weight, count in self.hours:
            replicas = ceil(with_headroom * weight + b - 1e-9)
            if replicas < minimum:
                replicas = minimum
            busy += (a * weight + b) * count
            hours += replicas * count
        hours, peak = hours * sku.machines, replicas * sku.machines  # the weights are sorted, so the last hours are the busiest
        if part["role"] == "fallback" or sku.price.pays_for_peak:
            hours = 24 * peak
        return hours, peak, 1 - busy * sku.machines / hours

    def parts(self, option):
        """The share of the load that each SKU serves, in the order of the demand, with the fallback last."""
        batch = self.inputs.batch_percent / 100
        parts = []
        for id in self.inputs.skus:
            i, b = option.interactive.get(id, 0.0), option.batch.get(id, 0.0)
            if i * (1 - batch) + b * batch > 0:
                parts.append({"sku": id, "role": "serves", "interactive": i, "batch": b})
        if option.fallback:
            parts.append({"sku": option.fallback["sku"], "role": "fallback", "interactive": float(option.fallback["percent"]),
                          "batch": 0.0, "hours": self.rented(option.fallback)})
        return parts

    def rented(self, fallback):
        """The hours a year for which a fallback is paid and ready."""
        return 8760.0 if self.inputs.skus[fallback["sku"]].price.pays_for_peak else float(fallback.get("hours_per_year", 8760))

    def part_over(self, part, begin, end, assumed):
        total = {"usd": 0.0, "tokens": 0.0, "hours": 0.0, "idle": 0.0, "peak": 0}
        rent = assumed["usd"][part["sku"]] * part.get("hours", 8760.0) / 8760
        tokens = self.inputs.requests * self.inputs.mean_out * assumed["volume"]
        batch = self.inputs.batch_percent / 100
        share = (1 - batch) * part["interactive"] / 100 + batch * part["batch"] / 100
        month = math.floor(begin)
        while month < end:
            days = DAYS_PER_MONTH * (min(month + 1, end) - max(month, begin))
            growth = (1 + self.inputs.growth) ** (month / 12)
            hours, peak, idle = self.day(part, growth, assumed)
            total["usd"] += hours * rent * days
            total["hours"] += hours * days
            total["idle"] += idle * hours * days
            total["tokens"] += tokens * share * growth * days
            total["peak"] = max(total["peak"], peak)
            month += 1
        return total

    def is_known(self, option):
        skus, batch = self.inputs.skus, self.inputs.batch_percent
        if option.kind != "stay" and any("quality" in skus[id].faults for id in self.used(option)):
            return False
        return ((batch == 100 or all(skus[id].slo for id in option.interactive)) and
                (batch == 0 or all(skus[id].batch for id in option.batch)) and
                (not option.fallback or bool(skus[option.fallback["sku"]].slo)))

    def used(self, option):
        ids = list(option.interactive) + (list(option.batch) if self.inputs.batch_percent > 0 else [])
        ids += [option.fallback["sku"]] if option.fallback else []
        return list(dict.fromkeys(ids))

    def months_until_moved(self, option):
        return option.months_until_moved if self.is_known(self.inputs.options[0]) else 0

    def used_with_today(self, option):
        ids = self.used(option)
        if self.months_until_moved(option) > 0:
            ids += self.used(self.inputs.options[0])
        return list(dict.fromkeys(ids))

    def outage_usd_per_year(self, option):
        """What the outages of a year cost: those of the vendor with the largest share, of several such vendors the dearest."""
        if not self.inputs.outage:
            return 0.0
        outage_hours, usd_per_hour = (float(self.inputs.outage[key]) for key in ("hours_per_year", "usd_per_hour"))
        shares = option.interactive if self.inputs.batch_percent < 100 else option.batch
        vendors = {}
        for id, share in shares.items():
            vendor = self.inputs.skus[id].vendor
            vendors[vendor] = vendors.get(vendor, 0) + share
        losses = []
        for vendor, share in vendors.items():
            if share < max(vendors.values()) - 1e-9:
                continue
            covered = 0.0
            if option.fallback and self.inputs.batch_percent < 100 and self.inputs.skus[option.fallback["sku"]].vendor != vendor:
                covered = min(share, float(option.fallback["percent"])) * min(outage_hours, self.rented(option.fallback))
            losses.append((share * outage_hours - covered) / 100 * usd_per_hour)
        return max(losses)

    def owed(self, option, moved, months, assumed):
        """A row for each SKU with committed machines that are not needed, day by day until the last one."""
        rows = []
        for id, sku in self.inputs.skus.items():
            if "committed" not in sku.spec:
                continue
            machines, last = int(sku.spec["committed"]["machines"]), day(sku.spec["committed"]["until"])
            paid = ((last - day(self.inputs.date)).days + 1) / DAYS_PER_MONTH  # in months
            total = {"usd": 0.0, "tokens": 0.0, "hours": 0.0, "idle": 0.0, "peak": 0}
            for serving, begin, end in ((self.inputs.options[0], 0, moved), (option, moved, months)):
                # Between two of these moments the number of machines that are needed does not change.
                moments = sorted({begin, min(end, paid), *(m for m in range(months) if begin < m < min(end, paid))})
                for start, stop in zip(moments, moments[1:]):
                    growth = (1 + self.inputs.growth) ** (math.floor(start) / 12)
                    needed = sum(self.day(part, growth, assumed)[1] for part in self.parts(serving) if part["sku"] == id)
                    if machines > needed and stop <= paid:
                        hours = 24 * (machines - needed) * (stop - start) * DAYS_PER_MONTH
                        total["hours"] += hours
                        total["idle"] += hours
                        total["usd"] += hours * assumed["usd"][id]
                        total["peak"] = max(total["peak"], machines - needed)
            if total["hours"] > 0:
                rows.append(({"sku": id, "role": "owed", "interactive": 0.0, "batch": 0.0}, "owed", total))
        return rows

    def over_years(self, option, years, assumed):
        months = 12 * years
        moved = min(months, self.months_until_moved(option))
        rows = []
        for serving, begin, end in ((self.inputs.options[0], 0, moved), (option, moved, months)):
            if begin < end:
                for part in self.parts(serving):
                    role = "until moved" if serving is not option else part["role"]
                    rows.append((part, role, self.part_over(part, begin, end, assumed)))
        rows += self.owed(option, moved, months, assumed)
        outage = (self.outage_usd_per_year(self.inputs.options[0]) * moved + self.outage_usd_per_year(option) * (months - moved)) / 12
        return {"rows": rows, "outage": outage, "migration": option.migration_usd,
                "usd": sum(row[2]["usd"] for row in rows) + outage + option.migration_usd,
                "tokens": sum(total["tokens"] for part, _, total in rows if part["role"] != "fallback")}

    def saved(self, stay_usd, usd_of_option):
        """What the option saves in USD and in percent; what is below a thousand-millionth of the cost is nothing."""
        saved = stay_usd - usd_of_option
        if abs(saved) < 1e-9 * max(stay_usd, usd_of_option):
            saved = 0.0
        return saved, 100 * saved / stay_usd

    def at(self, ids, places):
        """assumed(), but with the speeds of `ids` at the given places in their intervals, from 0 (low) to 1 (high)."""
        assumed = self.assumed()
        for id, place in zip(ids, places):
            sku = self.inputs.skus[id]
            for name, speed in (("slo", sku.slo), ("batch", sku.batch)):
                if speed:
                    assumed[name][id] = speed[1] + place * (speed[2] - speed[1]) if speed[1] is not None else speed[0]
        return assumed

    def is_bounded(self, ids):
        return all(self.inputs.skus[id].is_bounded for id in ids)

    def total(self, option, years):
        value = self.over_years(option, years, self.assumed())["usd"]
        ids = self.used_with_today(option)
        if not self.is_bounded(ids):
            return value, None, None
        low, high = (self.over_years(option, years, self.at(ids, [place] * len(ids)))["usd"] for place in (1, 0))
        return value, low, high

    def saving(self, option, years):
        """What the option saves compared with staying, in USD and in percent, each as (value, low, high) over nine places in the interval
        of each speed; SKUs with the speed of the same cells are at the same place."""
        stay = self.inputs.options[0]

        def difference(assumed):
            return self.saved(*(self.over_years(o, years, assumed)["usd"] for o in (stay, option)))
        value = difference(self.assumed())
        ids = list(dict.fromkeys(self.used(option) + self.used(stay)))
        if not self.is_bounded(ids):
            return tuple((v, None, None) for v in value)
        cells = [self.inputs.skus[id].cells_key for id in ids]
        inputs = list(dict.fromkeys(cells))
        # All combinations are tried, which the program need not do.
        found = [value] + [difference(self.at(ids, [places[inputs.index(cell)] / 8 for cell in cells]))
                           for places in itertools.product(range(9), repeat=len(inputs))]
        return tuple((v, min(f[i] for f in found), max(f[i] for f in found)) for i, v in enumerate(value))


def break_even_load(own, other, low, high):
    """The smallest load at which `own` costs no more than `other`, and the load from which this holds up to the largest one. Both are
    found on a grid of 2000 loads and refined by bisection."""
    def wins(load):
        a, b = own(load), other(load)
        return a <= b or a - b < 1e-9 * a

    loads = [low * (high / low) ** (i / 1999) for i in range(2000)]
    first = always = None
    won = False
    for i, load in enumerate(loads):
        wins_here = wins(load)
        if wins_here and not won:
            begin = low
            if i > 0:
                loses, begin = loads[i - 1], load
                for _ in range(60):
                    middle = 0.5 * (loses + begin)
                    if wins(middle):
                        begin = middle
                    else:
                        loses = middle
            first = begin if first is None else first
            always = begin
        if not wins_here:
            always = None
        won = wins_here
    return first, always


# -- the brief

class Brief:
    def __init__(self, inputs):
        self.inputs, self.costs = inputs, Costs(inputs)
        self.stay = inputs.options[0]
        self.stay_usd = {}  # a cache: the cost of staying does not depend on the option that it is compared with
        self.savings = {}
        for option in inputs.options:
            if option is not self.stay and self.costs.is_known(option) and self.costs.is_known(self.stay):
                self.savings[option.name] = {years: self.costs.saving(option, years) for years in (1, 3)}
        self.decide()
        kept = [o for o in inputs.options if o.kind != "unasked" or o is self.unasked]
        self.expected = {
            "schema_version": 1,
            "decision_years": inputs.years,
            "options": [self.option(option) for option in kept],
            "skus": [self.sku(sku, kept) for sku in inputs.skus.values()],
            "apis": [self.api(inputs.demand["api"])] if "api" in inputs.demand else [],
            "prices": self.prices(),
            "runs": [{"seed": run["seed"]} for run in inputs.runs]}
        self.kept = kept
        self.expected["decision"] = self.decision()

    # - evidence

    def years_evidence(self, ids):
        evidence = PROJECTED
        for id in ids:
            evidence = evidence | self.inputs.skus[id].evidence
        return evidence

    # - the decision

    def is_eligible(self, option):
        limits, skus = self.inputs.limits, self.inputs.skus
        batch = self.inputs.batch_percent / 100
        shares = {}
        for load, weight in ((option.interactive, 1 - batch), (option.batch, batch)):
            for id, share in load.items():
                shares[id] = shares.get(id, 0) + share * weight
        vendors = {}
        for id, share in shares.items():
            vendors[skus[id].vendor] = vendors.get(skus[id].vendor, 0) + share
        on_spot = sum(share for id, share in shares.items() if skus[id].price.commitment == "spot")
        if not self.costs.is_known(option):
            return False
        if "max_single_vendor_percent" in limits and max(vendors.values()) > float(limits["max_single_vendor_percent"]) + 1e-9:
            return False
        if "max_spot_percent" in limits and on_spot > float(limits["max_spot_percent"]) + 1e-9:
            return False
        if any(share > 0 and skus[id].model != self.inputs.demand["model"] for id, share in shares.items()):
            return False
        for id in self.costs.used(option):
            sku = skus[id]
            if sku.faults or (limits.get("require_measured") == "true" and not sku.is_measured):
                return False
            for speed in (sku.slo, sku.full):
                if "max_speed_uncertainty_percent" in limits and speed and speed[1] is not None and \
                        uncertainty(speed) > float(limits["max_speed_uncertainty_percent"]):
                    return False
            if "min_memory_headroom_percent" in limits and sku.memory_free is not None and \
                    sku.memory_free < float(limits["min_memory_headroom_percent"]):
                return False
            if "max_price_age_days" in limits and sku.price.age(self.inputs.date) > int(float(limits["max_price_age_days"])):
                return False
        return True

    def surely_saves(self, option):
        if option.name not in self.savings:
            return False
        value, low, _ = self.savings[option.name][self.inputs.years][1]
        return six_digits(value if low is None else low) > self.inputs.least

    def merit(self, option):
        if option.name in self.savings:
            return six_digits(self.savings[option.name][self.inputs.years][1][0])
        return -six_digits(self.costs.total(option, self.inputs.years)[0])

    def decide(self):
        eligible = [o for o in self.inputs.options if o is not self.stay and self.is_eligible(o)]
        stated = [o for o in eligible if o.kind != "unasked"]

        def taken(options):
            if self.is_eligible(self.stay):
                options = filter(self.surely_saves, options)
            return max(options, key=self.merit, default=None)
        best, with_unasked = taken(stated), taken(eligible)
        is_named = with_unasked and with_unasked.kind == "unasked" and with_unasked.name in self.savings
        self.unasked = with_unasked if is_named else None
        self.stays = self.is_eligible(self.stay) and not best
        self.nearest = max(stated, key=self.merit, default=None)
        self.chosen = self.stay if self.stays else best
        compared = [self.stay] + [o for o in eligible if o.kind != "unasked"] + ([self.unasked] if self.unasked else [])
        self.compared = [sku for sku in self.inputs.skus.values()
                         if any(sku.id in self.costs.used_with_today(o) for o in compared if self.costs.is_known(o))]
        is_provisional = self.unasked or any(not sku.is_measured or sku.is_elsewhere for sku in self.compared)
        self.status = "no eligible option" if self.chosen is None else "provisional" if is_provisional else "decided"

    @property
    def over(self):
        return "over one year" if self.inputs.years == 1 else f"over {self.inputs.years} years"

    def comparison(self, option):
        if option.name not in self.savings:
            return "cannot be compared with staying"
        dollars, (value, low, high) = self.savings[option.name][self.inputs.years]
        value, low, high = (six_digits(x) for x in (value, low, high))
        less = value >= 0
        text = f"costs {percent(abs(value))}"
        if low is not None:
            ends = sorted((low, high) if less else (-low, -high))
            text += f" ({percent(ends[0])} to {percent(ends[1])})"
        text += f" {'less' if less else 'more'} than staying {self.over}"
        return text + (f", a saving of {usd(six_digits(dollars[0]))}" if less else "")

    def decision(self):
        if self.chosen is None:
            if not any(self.costs.is_known(option) for option in self.inputs.options):
                return {"option": "", "unasked": "", "status": self.status}  # the line tells the reason, without a figure
            line = "No option is within your risk limits."
        elif self.stays:
            line = (f"{self.stay.name}. No other option that you asked for is within your limits and sure to save more than "
                    f"{self.inputs.least:g} % {self.over}.")
        else:
            line = f"{self.chosen.name} {self.comparison(self.chosen)}."
        if self.unasked:
            line = f"{self.unasked.name} {self.comparison(self.unasked)}. Of your own options: {line}"
        return {"option": self.chosen.name if self.chosen else "", "unasked": self.unasked.name if self.unasked else "",
                "status": self.status, "line": line}

    def reasons(self):
        """The sentences below the decision that hold figures."""
        if self.chosen is None:
            return []
        if self.stays:
            return [f"The nearest, {self.nearest.name}, {self.comparison(self.nearest)}."] if self.nearest else []
        option = next(o for o in self.expected["options"] if o["name"] == self.chosen.name)
        return [f"{option['name']} pays while an hour of {row['sku']} costs less than {usd(row['usd_per_hour']['value'])} "
                f"(now {usd(row['usd_per_hour_now']['value'])})."
                for row in option["break_even_prices"] if row["usd_per_hour"]["value"] is not None]

    # - options

    def price_mark(self, sku):
        return "own cost" if sku.price.commitment == "own" else "list price"

    def option(self, option):
        costs, years = self.costs, self.inputs.years
        row = {"name": option.name, "kind": option.kind, "is_eligible": self.is_eligible(option), "timeline": self.timeline(option)}
        both = self.years_evidence(costs.used_with_today(option) + costs.used(self.stay))
        if not costs.is_known(option):
            absent = ("usd_1_year", "usd_3_years", "saving_percent_1_year", "saving_percent_3_years", "saving_usd",
                      "usd_per_1k_output", "migration_usd", "outage_usd", "break_even_requests_per_day")
            return {**row, **{name: ABSENT for name in absent}, "parts": [], "break_even_prices": [], "sensitivities": []}
        evidence = self.years_evidence(costs.used_with_today(option))
        row["usd_1_year"], row["usd_3_years"] = (figure(costs.total(option, y), evidence) for y in (1, 3))
        known = costs.over_years(option, years, costs.assumed())
        row["usd_per_1k_output"] = figure(mapped(costs.total(option, years), lambda x: 1000 * x / known["tokens"]), evidence)
        row["migration_usd"] = figure(known["migration"], "stated")
        row["outage_usd"] = figure(known["outage"], "stated") if self.inputs.outage else ABSENT
        row["parts"] = []
        for part, role, total in known["rows"]:
            # A speed decides how many machines are owed only if the SKU also serves load.
            mark = self.years_evidence([part["sku"]] if part["sku"] in costs.used_with_today(option) else [])
            row["parts"].append({
                "sku": part["sku"], "role": role, "interactive_percent": part["interactive"], "batch_percent": part["batch"],
                "peak_instances": figure(total["peak"], mark), "idle_percent": figure(100 * total["idle"] / total["hours"] if total["hours"] > 0 else 0.0, mark),
                "usd": figure(total["usd"], mark)})
        if option is self.stay or not costs.is_known(self.stay):
            names = ("saving_percent_1_year", "saving_percent_3_years", "saving_usd", "break_even_requests_per_day")
            return {**row, **{name: ABSENT for name in names}, "break_even_prices": [], "sensitivities": []}
        savings = self.savings[option.name]
        row["saving_percent_1_year"], row["saving_percent_3_years"] = (figure(savings[y][1], both) for y in (1, 3))
        row["saving_usd"] = figure(savings[years][0], both)
        row["break_even_prices"] = [self.break_even_price(option, id, both)
                                    for id in costs.used(option)
                                    if id not in costs.used(self.stay) and "committed" not in self.inputs.skus[id].spec]
        row["break_even_requests_per_day"] = self.break_even_volume(option, both)
        row["sensitivities"] = self.sensitivities(option, both)
        return row

    def break_even_price(self, option, id, both):
        years, assumed = self.inputs.years, self.costs.assumed()
        price = self.inputs.skus[id].price.usd_per_hour
        target = self.costs.over_years(self.stay, years, assumed)["usd"]
        known = self.costs.over_years(option, years, assumed)["usd"]
        assumed["usd"][id] = 0.0
        other = self.costs.over_years(option, years, assumed)["usd"]
        hours = (known - other) / price
        pays = hours > 0 and self.costs.saved(target, other)[0] > 0
        return {"sku": id, "usd_per_hour_now": figure(price, self.price_mark(self.inputs.skus[id])),
                "usd_per_hour": figure((target - other) / hours, both) if pays else ABSENT}

    def break_even_volume(self, option, both):
        def cost_of(which):
            def cost(volume):
                if which is self.stay and volume in self.stay_usd:
                    return self.stay_usd[volume]
                usd_of = self.costs.over_years(which, self.inputs.years, {**self.costs.assumed(), "volume": volume})["usd"]
                if which is self.stay:
                    self.stay_usd[volume] = usd_of
                return usd_of
            return cost
        _, always = break_even_load(cost_of(option), cost_of(self.stay), 0.01, 100)
        if always is None or always <= 0.01:
            return ABSENT
        return figure(always * self.inputs.requests, both)

    def sensitivities(self, option, both):
        rows = []

        def add(what, change):
            def saving(factor):
                assumed = self.costs.assumed()
                change(assumed, factor)
                stay, cost = (self.costs.over_years(o, self.inputs.years, assumed)["usd"] for o in (self.stay, option))
                return figure(self.costs.saved(stay, cost)[1], both)
            rows.append({"what": what, "saving_percent_if_lower": saving(1 - SWING), "saving_percent_if_higher": saving(1 + SWING)})

        def scale(names, key):
            def change(assumed, factor):
                for name in names:
                    if assumed[name][key] is not None:
                        assumed[name][key] *= factor
            return change
        for id in dict.fromkeys(self.costs.used(option) + self.costs.used(self.stay)):
            add("price of " + id, scale(["usd"], id))
            add("speed of " + id, scale(["slo", "batch"], id))
        add("your volume", lambda assumed, factor: assumed.update(volume=assumed["volume"] * factor))
        return rows

    def timeline(self, option):
        phases, begin = [], self.inputs.date
        for name, weeks in (("Certify", int(option.migration["certify_weeks"])), ("Migrate", option.work_weeks),
                            ("Ramp", int(option.migration["ramp_weeks"]))) if option.migration else ():
            if weeks > 0:
                phases.append({"name": name, "from": begin, "until": after(begin, 7 * weeks - 1)})
                begin = after(begin, 7 * weeks)
        return phases + [{"name": "Look again", "from": after(begin, 91), "until": ""}]

    # - SKUs

    def day_usd(self, sku):
        """USD and unit-hours of one day of the whole load on one SKU."""
        batch_percent = self.inputs.batch_percent
        if (batch_percent < 100 and not sku.slo) or not sku.batch:
            return None
        part = {"sku": sku.id, "role": "serves", "interactive": 100.0, "batch": 100.0}

        def hours(place):
            assumed = self.costs.assumed() if place is None else self.costs.at([sku.id], [place])
            return self.costs.day(part, 1.0, assumed)[0]
        spans = (hours(None), hours(1), hours(0)) if sku.is_bounded else (hours(None), None, None)
        return tuple(tuple(h and h * factor for h in spans) for factor in (sku.price.usd_per_hour, float(sku.price.units)))

    def token_costs(self, load, usd_per_hour, rate, evidence):
        """Costs of 1,000 tokens. One of `usd_per_hour`, the machine's price, and `rate`, its tokens/s, is (value, low, high)."""
        ratio = self.inputs.mean_in / self.inputs.mean_out
        w_in, w_out = self.inputs.weights["input"], self.inputs.weights["output"]
        if isinstance(usd_per_hour, tuple):
            per_1k = mapped(usd_per_hour, lambda x: 1000 * x / (3600 * rate))
        else:
            per_1k = mapped(rate, lambda r: 1000 * usd_per_hour / (3600 * r))
        return {"load": load, "usd_per_1k_output": figure(per_1k, evidence),
                "usd_per_1k_output_split": figure(mapped(per_1k, lambda x: x * w_out / (w_out + ratio * w_in)), evidence),
                "usd_per_1k_input_split": figure(mapped(per_1k, lambda x: x * w_in / (w_out + ratio * w_in)), evidence),
                "usd_per_1k_blended": figure(mapped(per_1k, lambda x: x / (1 + ratio)), evidence)}

    def sku_costs(self, sku):
        absent = {name: ABSENT for name in ("usd_per_1k_output", "usd_per_1k_output_split", "usd_per_1k_input_split",
                                            "usd_per_1k_blended", "device_hours_per_million", "joules_per_token")}
        priced = sku.evidence | DERIVED | (PROJECTED if sku.is_elsewhere else Evidence())
        rows = []
        for load, speed in (("full load", sku.full), ("at the SLO", sku.slo)):
            if not speed:
                rows.append({**absent, "load": load})
                continue
            row = self.token_costs(load, sku.price.usd_per_hour * sku.machines, speed, priced)
            row["device_hours_per_million"] = figure(mapped(speed, lambda r: sku.units * 1e6 / (3600 * r)), sku.evidence | DERIVED)
            row["joules_per_token"] = ABSENT  # a stored summary has no power readings
            rows.append(row)
        day_costs = self.day_usd(sku)
        if not day_costs:
            return rows + [{**absent, "load": "your load"}]
        tokens = self.inputs.requests * self.inputs.mean_out
        evidence = self.load_evidence(sku)
        row = self.token_costs("your load", tuple(x and x / 24 for x in day_costs[0]), tokens / 86400, evidence)
        row["device_hours_per_million"] = figure(mapped(day_costs[1], lambda h: h * 1e6 / tokens), evidence)
        row["joules_per_token"] = ABSENT
        return rows + [row]

    def load_evidence(self, sku):
        return sku.evidence | DERIVED | (PROJECTED if sku.is_elsewhere or sku.has_load_assumption else Evidence())

    def sku(self, sku, kept):
        shares = self.stay.interactive if self.inputs.batch_percent < 100 else self.stay.batch
        incumbent = self.inputs.skus[max(shares, key=shares.get)]
        now, then = self.day_usd(sku), self.day_usd(incumbent)
        saving = ABSENT
        if now and then and sku.model == incumbent.model:
            (value, low, high), (old, old_low, old_high) = now[0], then[0]
            pairs = [(old, value)] + ([] if low is None or old_low is None else [(old_low, high), (old_high, low)])
            saved = [self.costs.saved(*pair)[1] for pair in pairs] + [None, None]
            saving = figure(tuple(saved[:3]), self.load_evidence(sku) | self.load_evidence(incumbent))
        with_it = [o for o in kept if o.name in self.savings and sku.id in [p["sku"] for p in self.costs.parts(o)]]
        best = max(with_it, key=lambda o: self.savings[o.name][self.inputs.years][1][0], default=None)
        is_today = (self.inputs.batch_percent < 100 and sku.id in self.stay.interactive) or \
            (self.inputs.batch_percent > 0 and sku.id in self.stay.batch)
        is_bought = self.status == "decided" and sku.id in [p["sku"] for p in self.costs.parts(self.chosen)]
        price = figure(sku.price.usd_per_hour, self.price_mark(sku))
        return {"id": sku.id, "price_key": sku.price.key, "price_date": sku.price.date_text, "usd_per_hour": price,
                "rated_units": sku.rated, "units_per_replica": sku.units, "instances_per_replica": sku.machines,
                "output_tok_per_s": figure(sku.full, sku.evidence) if sku.full else ABSENT,
                "output_tok_per_s_at_slo": figure(sku.slo, sku.evidence) if sku.slo else ABSENT,
                "ttft_p50_ms": figure(sku.ttft[50], sku.evidence) if sku.ttft[50] else ABSENT,
                "ttft_p95_ms": figure(sku.ttft[95], sku.evidence) if sku.ttft[95] else ABSENT,
                "memory_headroom_percent": ABSENT if sku.memory_free is None else figure(sku.memory_free, sku.evidence | DERIVED),
                "costs": self.sku_costs(sku), "saving_percent": saving, "best_option": best.name if best else "",
                "best_option_saving_percent": self.saving_figure(best) if best else ABSENT,
                "verdict": "in use" if is_today else "buy" if is_bought else "no-buy"}

    def saving_figure(self, option):
        both = self.years_evidence(self.costs.used_with_today(option) + self.costs.used(self.stay))
        return figure(self.savings[option.name][self.inputs.years][1], both)

    # - the rest

    def api(self, api):
        inputs = self.inputs
        a_day = inputs.requests * (inputs.mean_in * float(api["usd_per_million_input"]) +
                                   inputs.mean_out * float(api["usd_per_million_output"])) / 1e6

        def over(years):
            return sum(a_day * DAYS_PER_MONTH * (1 + inputs.growth) ** (month / 12) for month in range(12 * years))
        quoted = Evidence(quoted=True, projected=True)
        row = {"usd_1_year": figure(over(1), quoted), "usd_3_years": figure(over(3), quoted),
               "first_requests_per_day": ABSENT, "always_requests_per_day": ABSENT}
        if not self.costs.is_known(self.stay):
            return row

        def own(volume):
            assumed = {**self.costs.assumed(), "volume": volume}
            return sum(self.costs.day(part, 1.0, assumed)[0] * assumed["usd"][part["sku"]] for part in self.costs.parts(self.stay))
        found = break_even_load(own, lambda volume: volume * a_day, 1e-4, 100)
        both = quoted
        for id in self.costs.used(self.stay):
            both = both | self.inputs.skus[id].evidence
        for name, volume in zip(("first_requests_per_day", "always_requests_per_day"), found):
            row[name] = ABSENT if volume is None or volume <= 1e-4 else figure(volume * inputs.requests, both)
        return row

    def prices(self):
        rows = {}
        for sku in self.inputs.skus.values():
            rows[sku.price.key] = {"key": sku.price.key, "usd_per_hour": figure(sku.price.usd_per_hour, self.price_mark(sku)),
                                   "date": sku.price.date_text, "age_days": sku.price.age(self.inputs.date)}
        return list(rows.values())


def uncertainty(speed):
    value, low, high = speed
    return 100 * max(high - value, value - low) / value


# -- the JSON

def compare(expected, actual, path, differ):
    """Reports every expected leaf that is missing or differs, and every number that was not expected."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        if "value" in actual and "mark" in actual and "value" not in expected:
            differ(path, "a rule for this figure", "none")
        for key, value in actual.items():
            if key in expected:
                compare(expected[key], value, f"{path}.{key}", differ)
            else:
                no_numbers(value, f"{path}.{key}", differ)
        for key in expected.keys() - actual.keys():
            differ(f"{path}.{key}", expected[key], "missing")
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            differ(path, f"{len(expected)} rows", f"{len(actual)}")
        for i, (one, other) in enumerate(zip(expected, actual)):
            compare(one, other, f"{path}[{i}]", differ)
    elif isinstance(expected, (int, float)) and isinstance(actual, (int, float)) and not isinstance(expected, bool):
        # Both have six digits; the last one may differ where two implementations round a bound.
        if abs(expected - actual) > 2e-6 * max(abs(expected), abs(actual)) + 1e-12:
            differ(path, expected, actual)
    elif expected != actual:
        differ(path, expected, actual)


def no_numbers(node, path, differ):
    if isinstance(node, bool) or node is None or isinstance(node, str):
        return
    if isinstance(node, (int, float)):
        differ(path, "a rule for this number", node)
    else:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            no_numbers(value, f"{path}.{key}", differ)


# -- the pages

class Page:
    """The tables with figures as they have to be shown, each found by its columns, and the sentences with figures."""

    def __init__(self, brief):
        self.brief, self.inputs, self.expected = brief, brief.inputs, brief.expected
        self.tables = []
        self.years = "one year" if self.inputs.years == 1 else "three years"
        self.add_option_tables()
        self.add_sku_tables()
        self.add_turning_points()
        self.add_charts()
        sources = {sku.price.key: sku.price for sku in self.inputs.skus.values()}
        self.add(["Key", "Machine", "Kind", "Source", "Date", "Age"], [
            [row["key"], shown(row["usd_per_hour"], "USD/h"), row["usd_per_hour"]["mark"],
             "; ".join(filter(None, (sources[row["key"]].source, sources[row["key"]].note))), row["date"],
             f"read {days(row['age_days'])} ago" if sources[row["key"]].dated == "undated" else days(row["age_days"])]
            for row in self.expected["prices"]])

    def add(self, columns, rows, is_marked=False):
        if is_marked and rows and len({row[-1] for row in rows}) == 1:
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        if rows:
            self.tables.append([columns] + rows)

    def saving(self, option):
        return option["saving_percent_1_year" if self.inputs.years == 1 else "saving_percent_3_years"]

    def add_option_tables(self):
        options = self.expected["options"]
        rows = [[o["name"], shown(self.saving(o), "%"), shown(o["usd_1_year"], "USD"), shown(o["usd_3_years"], "USD"),
                 shown(o["usd_per_1k_output"], "USD", 1000, False), "yes" if o["is_eligible"] else "no",
                 o["usd_3_years"]["mark"] or "not available"] for o in options]
        for spec, api in zip([self.inputs.demand.get("api")], self.expected["apis"]):
            rows.append(["Buy tokens: " + spec["name"], "-", shown(api["usd_1_year"], "USD"), shown(api["usd_3_years"], "USD"),
                         "-", "-", api["usd_1_year"]["mark"]])
        self.add(["Option", f"Saving, {self.years}", "One year", "Three years", "A million tokens out", "Within your limits",
                  "Figures are"], rows, True)
        self.add_timeline()
        self.add(["Option", "Machine type", "Role", "Interactive", "Batch", "Most at once", "Idle", f"Cost, {self.years}",
                  "Figures are"],
                 [[o["name"], p["sku"], p["role"], percent(p["interactive_percent"]), percent(p["batch_percent"]),
                   shown(p["peak_instances"], ""), shown(p["idle_percent"], "%"), shown(p["usd"], "USD"), p["usd"]["mark"]]
                  for o in options for p in o["parts"]], True)
        self.add(["Option", "What", "Migration", f"Expected outages, {self.years}", "Saving"],
                 [[o["name"], self.sentence(spec), shown(o["migration_usd"], "USD"), shown(o["outage_usd"], "USD"),
                   shown(o["saving_usd"], "USD")] for spec, o in zip(self.brief.kept, options)])

    def sentence(self, option):
        def on(shares):
            return ", ".join(f"{share:g} % on {id}" for id, share in shares.items())
        text = "Interactive load: " + on(option.interactive)
        if self.inputs.batch_percent > 0:
            text += "; batch work: " + on(option.batch)
        if option.fallback:
            is_rented = "hours_per_year" in option.fallback and not self.inputs.skus[option.fallback["sku"]].price.pays_for_peak
            text += f"; {option.fallback['sku']} ready to carry {float(option.fallback['percent']):g} % of the peak, "
            text += f"rented {float(option.fallback['hours_per_year']):g} hours a year" if is_rented else "running around the clock"
        return text + "."

    def add_timeline(self):
        names = [name for name in ("Certify", "Migrate", "Ramp", "Look again")
                 if any(phase["name"] == name for o in self.expected["options"] for phase in o["timeline"])]
        rows = []
        for spec, option in zip(self.brief.kept, self.expected["options"]):
            cells = {}
            for phase in option["timeline"]:
                text = f"{phase['from']} to {phase['until']}" if phase["until"] else phase["from"]
                if phase["name"] == "Migrate":
                    people = int(spec.migration["people"])
                    text += f": {float(spec.migration['person_days']):g} person-days by {people} {'person' if people == 1 else 'people'}"
                cells[phase["name"]] = text
            rows.append([option["name"]] + [cells.get(name, "-") for name in names])
        self.add(["Option"] + names, rows)

    def add_sku_tables(self):
        skus = self.expected["skus"]
        self.add(["Machine type", "Verdict", "Alone saves", "Best option with it", "Saves", "Why"],
                 [[s["id"], s["verdict"], shown(s["saving_percent"], "%"), s["best_option"] or "-",
                   shown(s["best_option_saving_percent"], "%"), None] for s in skus])
        self.add(["Machine type", "At", "A million out", "1,000 out", "A million out, split", "A million in, split",
                  "A million, blended", "Device-hours a million", "Joules a token", "Figures are"],
                 [[s["id"], c["load"], shown(c["usd_per_1k_output"], "USD", 1000), shown(c["usd_per_1k_output"], "USD", 1, False),
                   shown(c["usd_per_1k_output_split"], "USD", 1000, False), shown(c["usd_per_1k_input_split"], "USD", 1000, False),
                   shown(c["usd_per_1k_blended"], "USD", 1000, False), shown(c["device_hours_per_million"], "h"),
                   shown(c["joules_per_token"], "J"), c["usd_per_1k_output"]["mark"] or "not available"]
                  for s in skus for c in s["costs"]], True)
        self.add(["Machine type", "Speed at full load", "Speed at the SLO", "First token, median", "First token, 95 of 100",
                  "Memory free", "Figures are"],
                 [[s["id"], shown(s["output_tok_per_s"], "tok/s"), shown(s["output_tok_per_s_at_slo"], "tok/s"),
                   shown(s["ttft_p50_ms"], "ms"), shown(s["ttft_p95_ms"], "ms"),
                   shown(s["memory_headroom_percent"], "%", 1, False),
                   s["output_tok_per_s"]["mark"] or s["output_tok_per_s_at_slo"]["mark"] or "not available"] for s in skus], True)
        rows = []
        for sku in self.inputs.skus.values():
            replica = f"one machine of {sku.units:g} devices" if sku.machines == 1 else f"{sku.machines} machines with {sku.units:g} devices"
            if sku.rated != sku.units:
                replica += f", its speed scaled from {sku.rated:g}"
            rows.append([sku.id, sku.spec["description"], f"{sku.model} {sku.precision}", replica])
        self.add(["Machine type", "What it is", "Serves", "Replica"], rows)

    def add_turning_points(self):
        options = self.expected["options"]
        self.add(["Option", "Machine type", "Price now", "Pays below", "Figures are"],
                 [[o["name"], row["sku"], shown(row["usd_per_hour_now"], "USD/h"),
                   shown(row["usd_per_hour"], "USD/h") if row["usd_per_hour"]["value"] is not None else None,
                   row["usd_per_hour"]["mark"]] for o in options for row in o["break_even_prices"]], True)
        loads = [(o["name"], o["break_even_requests_per_day"]) for o in options if o["kind"] != "stay"]
        self.add(["Option", "Costs no more than staying from about", "Figures are"],
                 [[name, shown(load, "requests/day") if load["value"] is not None else None, load["mark"]]
                  for name, load in loads], True)
        self.add(["Option", "If this changes", "30 % lower", "30 % higher", "Figures are"],
                 [[o["name"], row["what"], shown(row["saving_percent_if_lower"], "%"), shown(row["saving_percent_if_higher"], "%"),
                   row["saving_percent_if_lower"]["mark"]] for o in options for row in o["sensitivities"]], True)

    def add_charts(self):
        """Adds (label, value, low, high) of every bar, in the unit of its chart."""
        name = "usd_1_year" if self.inputs.years == 1 else "usd_3_years"
        costs = [(o["name"], o[name]) for o in self.expected["options"] if o[name]["value"] is not None]
        largest = max((fig["value"] for _, fig in costs), default=0)
        scale = 1e6 if largest >= 1e6 else 1e3 if largest >= 1e3 else 1
        tokens = [(s["id"], s["costs"][-1]["usd_per_1k_output"]) for s in self.expected["skus"]
                  if s["costs"][-1]["usd_per_1k_output"]["value"] is not None]
        self.charts = []
        for bars, factor in ((costs, 1 / scale), (tokens, 1000)):
            rows = [(label, *(x if x is None else x * factor for x in (f["value"], f["low"], f["high"]))) for label, f in bars]
            if rows:
                self.charts.append(rows)

    # - sentences

    def sentences(self):
        inputs, demand = self.inputs, self.inputs.demand
        decision = self.expected["decision"]
        if "line" in decision:
            yield ("Provisional: " if decision["status"] == "provisional" else "") + decision["line"]
        yield from self.brief.reasons()
        yield (f"{number(inputs.requests)} requests a day, growing by {100 * inputs.growth:g} % a year; {inputs.batch_percent:g} % "
               "of them are batch work that may wait and run anywhere.")
        peak = max(inputs.profile)
        yield (f"The busiest hour begins at {inputs.profile.index(peak)}:00 and has {100 * peak:.1f} % of a day's interactive "
               "requests.")
        yield (f"Where the cost of an hour is split between tokens in and out, they count {inputs.weights['input']:g} : "
               f"{inputs.weights['output']:g}; you have {inputs.mean_in / inputs.mean_out:.3g} input tokens for each output token.")
        committed = [f"{int(sku.spec['committed']['machines'])} {'machine' if int(sku.spec['committed']['machines']) == 1 else 'machines'} "
                     f"of {sku.id} until {sku.spec['committed']['until']}" for sku in inputs.skus.values() if "committed" in sku.spec]
        if committed:
            yield f"Committed machines are paid to their last day, whether or not the load needs them: {', '.join(committed)}."
        if inputs.outage:
            yield (f"Without the main capacity for {float(inputs.outage['hours_per_year']):g} hours a year; an hour without service "
                   f"costs {usd(float(inputs.outage['usd_per_hour']))}.")
        def ages(undated):
            found = [row["age_days"] for row in self.expected["prices"] if row["date"].startswith("undated") == undated]
            return found and (days(found[0]) if min(found) == max(found) else f"{min(found)} to {days(max(found))}")
        if not ages(False):
            yield f"Prices were read {ages(True)} ago; their source gives no date."
        else:
            yield f"Prices are {ages(False)} old" + (
                f"; those whose source gives no date were read {ages(True)} ago." if ages(True) else ".")
        for spec, api in zip([demand.get("api")], self.expected["apis"]):
            age = "" if spec["date"] == "undated" else f", {days((day(inputs.date) - day(spec['date'])).days)} old"
            yield (f"{spec['name']} ({spec['source']}, {spec['date']}{age}): {shown(api['usd_1_year'], 'USD')} in one year, "
                   f"{shown(api['usd_3_years'], 'USD')} in three ({api['usd_1_year']['mark']}).")
            first, always = (api[name] for name in ("first_requests_per_day", "always_requests_per_day"))
            if first["value"] is not None or always["value"] is not None:
                begin = f"from about {shown(first, 'requests/day')} on" if first["value"] is not None else \
                    "from a load below a ten-thousandth of yours on"
                larger = (", but not for every larger load that was looked at" if always["value"] is None
                          else ", and for every larger load" if first["value"] == always["value"]
                          else f", and for every larger load from about {shown(always, 'requests/day')} on")
                yield (f"Your machines of today cost no more than buying tokens {begin}{larger} ({first['mark'] or always['mark']}).")
        for sku in inputs.skus.values():
            if sku.is_scaled:
                yield sku.scaling
            is_used = any(sku.id in self.brief.costs.used(option) for option in self.brief.kept)
            for speed in (sku.slo, sku.full):
                if sku.is_measured and is_used and speed and speed[1] is not None:
                    limit = float(inputs.limits.get("max_speed_uncertainty_percent", "inf"))
                    share = uncertainty(speed)
                    yield f"known to ± {beside_limit(share, limit, 1) if share > limit else f'{share:.1f}'} %"

    def loose_numbers(self):
        """Numbers in sentences about risks that are not recomputed as a whole: shares of the load, and savings that are too small."""
        for option in self.inputs.options:
            batch = self.inputs.batch_percent / 100
            shares = {}
            for load, weight in ((option.interactive, 1 - batch), (option.batch, batch)):
                for id, share in load.items():
                    sku = self.inputs.skus[id]
                    for group in ("vendor " + sku.vendor, "spot" if sku.price.commitment == "spot" else None):
                        shares[group] = shares.get(group, 0) + share * weight
            limits = {"spot": float(self.inputs.limits.get("max_spot_percent", 0))}
            vendor_limit = float(self.inputs.limits.get("max_single_vendor_percent", 100))
            yield from (beside_limit(share, limits.get(group, vendor_limit), 0) for group, share in shares.items() if group)
        for sku in self.expected["skus"]:
            yield from (beside_limit(sku["saving_percent"][end], self.inputs.least, 1).removeprefix("-")
                        for end in ("value", "low") if sku["saving_percent"][end] is not None)
        for run in self.inputs.runs:
            yield from (f"{100 * cell[name]:.0f}" for cell in run["cells"] for name in ("others_cpu_share",) if cell.get(name))


def days(n):
    return f"{n} {'day' if n == 1 else 'days'}"


class PageReader(html.parser.HTMLParser):
    """Tables as lists of rows, and the texts outside of them."""

    def __init__(self):
        super().__init__()
        self.tables, self.texts, self.cell, self.text = [], [], None, ""
        self.in_drawing = False

    def handle_starttag(self, tag, attributes):
        self.in_drawing |= tag == "svg"
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ""
        elif tag in ("p", "li", "h1", "h2", "h3"):
            self.text = ""

    def handle_endtag(self, tag):
        if tag == "svg":
            self.in_drawing = False
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(self.cell.strip())
            self.cell = None
        elif tag in ("p", "li", "h1", "h2", "h3", "caption"):
            self.texts.append(self.text.strip())
            self.text = ""

    def handle_data(self, data):
        if self.in_drawing:
            return
        if self.cell is not None:
            self.cell += data
        else:
            self.text += data


def plain(text):
    """Markdown without its escapes, such as backslashes before special characters."""
    return re.sub(r"\\([\\_*`|<>\[\]#~$])", r"\1", text.replace("<!-- -->", "")).replace("&lt;", "<").replace("&amp;", "&")


def read_markdown(text):
    tables, texts = [], []
    for line in text.split("\n"):
        if line.startswith("|"):
            cells = [plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if all(re.fullmatch(r"-+:?", cell) for cell in cells):
                continue
            if texts and texts[-1] is None:
                tables[-1].append(cells)
            else:
                tables.append([cells])
                texts.append(None)  # the place of a table
        else:
            texts.append(plain(line))
    return tables, [text for text in texts if text]


def compare_page(name, tables, texts, page, known, differ):
    tables = list(tables)
    for expected in page.tables:
        found = next((table for table in tables if table[0] == expected[0]), None)
        if found is None:
            differ(name, f"a table {expected[0]}", "none")
            continue
        tables.remove(found)
        if len(found) != len(expected):
            differ(name, f"{len(expected) - 1} rows in {expected[0]}", str(len(found) - 1))
        for row, other in zip(expected, found):
            for one, cell in zip(row, other):
                if one is not None and one != cell:
                    differ(f"{name}: {row[0]}", one, cell)
    sentences = list(page.sentences())
    whole = "\n".join(texts + ["\n".join(row) for table in tables for row in table])
    for sentence in sentences:
        if plain(sentence) not in whole:
            differ(name, sentence, "not on the page")
    allowed = known | set(numbers_in("\n".join(sentences))) | set(page.loose_numbers())
    for text in whole.split("\n"):
        for token in numbers_in(text):
            if token not in allowed:
                differ(name, "a rule for every number", f"{token} in: {text[:100]}")


def numbers_in(text):
    return re.findall(r"\d+(?:[.,]\d+)*", text)


def compare_charts(tables, page, differ):
    """Compares the tables of numbers below the charts, which list the lengths of the bars."""
    drawn = [table for table in tables if table[0][0] == "series"]
    if len(drawn) != len(page.charts):
        differ("brief.html", f"{len(page.charts)} charts", str(len(drawn)))
    for expected, table in zip(page.charts, drawn):
        for row, cells in itertools.zip_longest(expected, table[1:]):
            if row is None or cells is None or row[0] != cells[0]:
                differ("brief.html: chart", row, cells)
                continue
            for value, cell in zip(row[1:], cells[1:]):
                same = cell in ("", "-") if value is None else abs(float(cell.replace(",", "")) - value) <= 0.006 * abs(value)
                if not same:
                    differ(f"brief.html: chart: {row[0]}", value, cell)


def main():
    parser = argparse.ArgumentParser()
    for name in ("demand", "prices", "date", "brief"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--quoted")
    parser.add_argument("--saving", action="append", default=[], metavar="OPTION=PERCENT",
                        help="also expect this saving in year one, in percent")
    parser.add_argument("runs", nargs="*")
    options = parser.parse_args()
    brief = Brief(Inputs(options))
    differences = []

    def differ(where, expected, found):
        differences.append(f"{where}: expected {expected}, found {found}")

    def content_of(path):
        with open(path, encoding="utf-8") as file:
            return file.read()
    actual = json.loads(content_of(os.path.join(options.brief, "brief.json")))
    compare(brief.expected, actual, "brief.json", differ)
    for expectation in options.saving:
        name, _, wanted = expectation.rpartition("=")
        found = next(o for o in actual["options"] if o["name"] == name)["saving_percent_1_year"]["value"]
        if abs(found - float(wanted)) > 0.05:
            differ(f"saving of {name} in year one", wanted, found)
    # Numbers that are not computed: those in names, sources, notes and hosts, which come from the inputs, and the page's own metadata.
    paths = [options.demand, options.prices] + [options.quoted] * bool(options.quoted)
    paths += [os.path.join(run, file) for run in options.runs for file in ("run.json", "summary.json")]
    known = set(numbers_in("\n".join(content_of(path) for path in paths) + options.date))
    known |= {number(float(row["output_tok_per_s"])) for row in brief.inputs.quoted.values()}
    known |= set(numbers_in(json.dumps([actual["inputs"], [run["files"] for run in actual["runs"]], actual["command"]])))
    # Numbers in fixed texts: SLOs are stated "for N of 100 requests", swings are 30 %, intervals 95 %, months have 365/12 days,
    # costs are per 1,000 tokens, and a hash is named SHA-256.
    known |= {"100", "30", "95", "365", "12", "1,000", "256", "1", "3"}
    page = Page(brief)
    if os.path.exists(os.path.join(options.brief, "brief.md")):
        tables, texts = read_markdown(content_of(os.path.join(options.brief, "brief.md")))
        compare_page("brief.md", tables, texts, page, known, differ)
        reader = PageReader()
        reader.feed(content_of(os.path.join(options.brief, "brief.html")))
        compare_charts(reader.tables, page, differ)
        compare_page("brief.html", [table for table in reader.tables if table[0][0] != "series"], reader.texts, page, known, differ)
    for line in differences:
        print(line)
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
