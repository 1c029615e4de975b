"""Reads the OpenMetrics output of `report` and `history export` with the parsers of Prometheus' own Python client, which check syntax,
units, duplicates and the order of times, and compares the values with `report --format json` and `history export --format jsonl`.

    python3 openmetrics_test.py SECONDSOURCE MAKE_RUNS SOURCE_FOLDER
"""

import datetime
import json
import re
import shutil
import sys
import unittest

try:
    from prometheus_client import parser as older_parser
    from prometheus_client.openmetrics import parser
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

from programs import N_NIGHTS, SOURCE, WithRuns, has_credit, program, report_cells

# For each metric: the field of a cell in summary.json, and how many units of the field make one unit of the metric.
FIGURES = {
    "ttft_e2e_p50_seconds": ("ttft_e2e_p50_ns", 1e9), "ttft_e2e_p95_seconds": ("ttft_e2e_p95_ns", 1e9),
    "ttft_e2e_p99_seconds": ("ttft_e2e_p99_ns", 1e9), "tpot_p50_seconds": ("tpot_p50_ns", 1e9),
    "itl_p99_seconds": ("itl_p99_ns", 1e9), "e2e_p50_seconds": ("e2e_p50_ns", 1e9),
    "output_tokens_per_second": ("output_tok_per_s", 1), "decode_tokens_per_second": ("decode_tok_per_s", 1),
    "prefill_tokens_per_second": ("prefill_tok_per_s", 1), "requested_requests_per_second": ("rate_per_s", 1),
    "goodput_requests_per_second": ("goodput_req_per_s", 1), "slo_attainment_ratio": ("slo_attainment", 1),
    "usd_per_1k_output_tokens": ("usd_per_1k_output", 1), "device_utilisation_ratio": ("device_utilisation", 1),
    "verified_tokens_ratio": ("verified_share", 1), "time_lost_ratio": ("time_lost", 1), "load_seconds": ("load_ns", 1e9),
}
MEMORY = {"memory_peak_bytes": "peak_bytes", "memory_weights_bytes": "weights_bytes", "memory_kv_bytes": "kv_bytes",
          "memory_workspace_bytes": "workspace_bytes"}
OF_HISTORY = {"ttft_e2e_p50_seconds": ("ttft_e2e_p50_ns", 1e9), "ttft_e2e_p95_seconds": ("ttft_e2e_p95_ns", 1e9),
              "tpot_p50_seconds": ("tpot_p50_ns", 1e9), "itl_p99_seconds": ("itl_p99_ns", 1e9),
              "output_tokens_per_second": ("output_tok_per_s", 1), "usd_per_1k_output_tokens": ("usd_per_1k_output", 1),
              "memory_peak_bytes": ("peak_bytes", 1)}
KEY = ("bundle", "backend", "variant", "scenario")


def parsed(text):
    """Parses OpenMetrics text. Maps each metric's name without its prefix to its samples."""
    families = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.name.startswith("secondsource_") and family.type == "gauge" and family.documentation, family
        for unit in ("seconds", "bytes", "ratio"):
            assert family.name.endswith("_" + unit) == (family.unit == unit), family.name
        families[family.name[len("secondsource_"):]] = family.samples
    return families


def by_cell(samples, *more):
    return {tuple(sample.labels[name] for name in (*KEY, *more)): sample.value for sample in samples}


def started(run):
    return datetime.datetime.strptime(run["started_utc"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


class OpenMetrics(WithRuns):
    def test_every_figure_of_a_run_is_that_of_the_report(self):
        families = parsed(program("report", self.varied, "--format", "openmetrics"))
        cells = {tuple(cell["key"][name] for name in KEY): (run, cell) for run, cell in report_cells(self.varied)}
        for metric, (field, divisor) in FIGURES.items():
            expected = {}
            for key, (_, cell) in cells.items():
                value = cell[field]["value"] if isinstance(cell[field], dict) else cell[field]
                if has_credit(cell) and value is not None:
                    expected[key] = value / divisor
            self.assertEqual(by_cell(families.get(metric, [])), expected, metric)
        for metric, field in MEMORY.items():
            self.assertEqual(by_cell(families[metric]), {key: cell["memory"][field] for key, (_, cell) in cells.items()
                                                         if has_credit(cell) and cell["memory"]}, metric)
        for end in ("low", "high"):
            self.assertEqual(by_cell(families[f"ttft_e2e_p50_{end}_seconds"]),
                             {key: cell["ttft_e2e_p50_ns"][end] / 1e9 for key, (_, cell) in cells.items()
                              if has_credit(cell) and cell["ttft_e2e_p50_ns"][end] is not None})
        self.assertEqual(by_cell(families["cell_measured_timestamp_seconds"]),
                         {key: started(run) for key, (run, _) in cells.items()})
        self.assertGreater(len(families["usd_per_1k_output_tokens"]), 10)
        self.assertEqual(set(families) - set(FIGURES) - set(MEMORY) - {
            "run_info", "backend_info", "cell_golden", "cell_status", "cell_outside_limits", "cell_suspect", "cell_samples", "cell_errors",
            "cell_measured_timestamp_seconds", "ttft_e2e_p50_low_seconds", "ttft_e2e_p50_high_seconds",
            "output_tokens_per_second_low", "output_tokens_per_second_high"}, set())

    def test_wrong_tokens_and_refused_measurements_are_seen_and_have_no_figure(self):
        families = parsed(program("report", self.varied, "--format", "openmetrics"))
        golden = by_cell(families["cell_golden"], "verdict")
        status = by_cell(families["cell_status"], "status")
        states = {"golden": {"passed", "failed", "unverified", "not run", "unavailable"},
                  "status": {"complete", "partial", "invalid", "failed", "missing"}}
        seen = set()
        for _, cell in report_cells(self.varied):
            key = tuple(cell["key"][name] for name in KEY)
            self.assertEqual({state: golden[(*key, state)] for state in states["golden"]},
                             {state: float(state == cell["golden"]) for state in states["golden"]})
            self.assertEqual({state: status[(*key, state)] for state in states["status"]},
                             {state: float(state == cell["status"]) for state in states["status"]})
            seen |= {cell["golden"], cell["status"]}
            if not has_credit(cell):
                for metric in (*FIGURES, *MEMORY, "cell_suspect"):
                    self.assertNotIn(key, by_cell(families.get(metric, [])), metric)
        self.assertLessEqual({"failed", "passed", "unverified", "invalid", "partial"}, seen)

    def test_a_variant_outside_its_limits_is_marked_in_a_run_and_in_a_history(self):
        outside = self.folder / "outside"
        shutil.copytree(self.varied, outside)
        record = json.loads((outside / "run.json").read_text())
        del record["checksum"]
        figures = "mean KL 0.07, at most 0.05 allowed"
        record["bundles"][0]["variants"] = [{"name": "bf16", "tier": "blessed", "outside_limits": ""},
                                            {"name": "int8", "tier": "opportunistic", "outside_limits": figures}]
        (outside / "run.json").write_text(json.dumps(record))
        cells = {tuple(cell["key"][name] for name in KEY) for _, cell in report_cells(outside)}
        expected = {key: float(key[KEY.index("variant")] == "int8") for key in cells}
        self.assertEqual(set(expected.values()), {0.0, 1.0})
        self.assertEqual(by_cell(parsed(program("report", outside, "--format", "openmetrics"))["cell_outside_limits"]), expected)
        history = ("--db", self.folder / "outside.db")
        program("history", "add", outside, *history)
        exported = program("history", "export", "--format", "openmetrics", *history)
        self.assertEqual(by_cell(parsed(exported)["cell_outside_limits"]), expected)
        rows = [json.loads(line) for line in program("history", "export", "--format", "jsonl", *history).splitlines()]
        self.assertEqual({row["variant"]: row["outside_limits"] for row in rows}, {"bf16": "", "int8": figures})

    def test_the_text_is_of_the_older_format_too_and_has_no_times(self):
        text = program("report", self.varied, "--format", "openmetrics")
        newer = {(s.name, tuple(sorted(s.labels.items()))): s.value for samples in parsed(text).values() for s in samples}
        older = {}
        for family in older_parser.text_string_to_metric_families(text):
            self.assertEqual(family.type, "gauge", family.name)
            for sample in family.samples:
                self.assertIsNone(sample.timestamp)
                older[(sample.name, tuple(sorted(sample.labels.items())))] = sample.value
        self.assertEqual(older, newer)
        self.assertTrue(text.endswith("\n# EOF\n"))

    def test_names_that_attack_are_text(self):
        text = program("report", self.hostile, "--format", "openmetrics")
        self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\x7f\u202e]")
        families = parsed(text)
        cells = report_cells(self.hostile)
        self.assertEqual(len(families["ttft_e2e_p50_seconds"]), len(cells))
        self.assertIn("\"'><img src=x onerror=window.hacked=1>", {s.labels["backend"] for s in families["ttft_e2e_p50_seconds"]})
        self.assertIn("a\\x1b[31mred\\x07\\x01", {s.labels["backend"] for s in families["ttft_e2e_p50_seconds"]})

    def test_of_several_runs_the_newest_counts_in_any_order(self):
        (run, _), *_ = report_cells(self.nights[1])
        for order in ((0, 1), (1, 0)):
            families = parsed(program("report", *(self.nights[i] for i in order), "--format", "openmetrics"))
            self.assertEqual(set(by_cell(families["cell_measured_timestamp_seconds"]).values()), {started(run)})
            self.assertEqual(len(families["run_info"]), 2)
            for _, cell in report_cells(self.nights[1]):
                self.assertIn(cell["ttft_e2e_p50_ns"]["value"] / 1e9, by_cell(families["ttft_e2e_p50_seconds"]).values())

    def test_a_history_has_every_run_at_its_time(self):
        families = parsed(program("history", "export", "--db", self.history, "--format", "openmetrics"))
        rows = [json.loads(line) for line in program("history", "export", "--db", self.history, "--format", "jsonl").splitlines()]
        for metric, (field, divisor) in OF_HISTORY.items():
            got = {(s.labels["branch"], s.labels["backend"], s.labels["variant"], s.labels["scenario"], float(s.timestamp)): s.value
                   for s in families.get(metric, [])}
            expected = {(row["branch"], row["backend"], row["variant"], row["scenario"], started(row)): row[field] / divisor
                        for row in rows if row[field] is not None and "hacked" not in row["bundle"]}
            self.assertEqual({key: got[key] for key in expected}, expected, metric)
            self.assertEqual(len(families.get(metric, [])), len([row for row in rows if row[field] is not None]), metric)
        nights = [s for s in families["output_tokens_per_second"] if s.labels["branch"] == "main"]
        self.assertEqual(len({float(s.timestamp) for s in nights}), N_NIGHTS)
        failed = [s for s in families["cell_golden"] if s.labels["verdict"] == "failed" and s.value == 1]
        self.assertEqual({(s.labels["backend"], s.labels["variant"]) for s in failed}, {("onednn", "int8")})
        only = parsed(program("history", "export", "--db", self.history, "--format", "openmetrics", "--branch", "main"))
        self.assertEqual({s.labels["branch"] for samples in only.values() for s in samples}, {"main"})

    def test_the_page_shows_real_lines_and_names_every_metric(self):
        page = (SOURCE / "docs/exports.md").read_text()
        real = program("report", SOURCE / "reports/samples/runs/cpu", "--format", "openmetrics").splitlines()
        shown = re.findall(r"(?m)^    (secondsource_.*|# .*)$", page)
        self.assertGreater(len(shown), 8)
        self.assertEqual([line for line in shown if line not in real], [])
        for metric in parsed(program("report", self.varied, "--format", "openmetrics")):
            name = re.sub(r"_(low|high)\b", "", metric.replace("_low_", "_").replace("_high_", "_")).replace("p95", "p50").replace("p99", "p50")
            self.assertTrue(f"`{metric}" in page or f"`{name}" in page, metric)

    def test_the_parser_refuses_what_is_wrong(self):
        text = program("report", self.varied, "--format", "openmetrics")
        for wrong in (text.replace("# EOF\n", ""), text.replace('",bundle="', '"bundle="', 1),
                      text.replace("# UNIT secondsource_ttft_e2e_p50_seconds seconds", "# UNIT secondsource_ttft_e2e_p50_seconds bytes")):
            self.assertNotEqual(wrong, text)
            with self.assertRaises(ValueError):
                parsed(wrong)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
