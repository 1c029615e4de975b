"""`history export` as CSV and JSON Lines, read by Python's csv and json: the same rows, with the figures of `report --format csv`.

    python3 history_test.py SECONDSOURCE MAKE_RUNS SOURCE_FOLDER
"""

import csv
import io
import json
import subprocess
import sys
import unittest

from programs import N_NIGHTS, PROGRAM, WithRuns, program

FIGURES = ("output_tok_per_s", "ttft_e2e_p50_ns", "ttft_e2e_p95_ns", "tpot_p50_ns", "itl_p99_ns", "usd_per_1k_output", "peak_bytes",
           "later_turns_ttft_p50_ns")


def table(text):
    assert text.endswith("\r\n") and "\n" not in text.replace("\r\n", ""), "lines end as RFC 4180 says"
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


class HistoryExport(WithRuns):
    def rows(self, *more):
        as_csv = table(program("history", "export", "--db", self.history, "--format", "csv", *more))
        as_lines = [json.loads(line) for line in
                    program("history", "export", "--db", self.history, "--format", "jsonl", *more).splitlines()]
        return as_csv, as_lines

    def test_both_formats_hold_the_same(self):
        as_csv, as_lines = self.rows()
        self.assertEqual(len(as_csv), len(as_lines))
        for fields, values in zip(as_csv, as_lines):
            self.assertEqual(list(fields), list(values))
            for name, value in values.items():
                if name in FIGURES:
                    self.assertEqual(float(fields[name]) if fields[name] else None, value, name)
                elif isinstance(value, bool):
                    self.assertEqual(fields[name], "true" if value else "false", name)
                elif value.isprintable() and len(value) < 900:
                    self.assertEqual(fields[name].removeprefix("'") if value[:1] in "=+-@" else fields[name], value, name)

    def test_the_figures_are_those_of_the_report(self):
        _, rows = self.rows("--branch", "main")
        self.assertEqual(len(rows), 2 * N_NIGHTS)
        self.assertEqual([row["started_utc"] for row in rows], sorted(row["started_utc"] for row in rows))
        expected = {}
        for row in table(program("report", self.varied, *self.nights, "--format", "csv")):
            expected[tuple(row[name] for name in ("run_id", "backend", "variant", "scenario"))] = row
        seen = set()
        for row in self.rows()[1]:
            key = tuple(row[name] for name in ("run_id", "backend", "variant", "scenario"))
            if key not in expected:
                continue
            seen.add(key)
            self.assertEqual((row["golden"], row["status"]), (expected[key]["golden"], expected[key]["status"]))
            for name in FIGURES:
                text = expected[key][name]
                if row["counts"]:
                    self.assertEqual(row[name], float(text) if text else None, (key, name))
                else:
                    self.assertIsNone(row[name])
        self.assertEqual(seen, set(expected))

    def test_what_does_not_count_has_no_figure(self):
        wrong = [row for row in self.rows()[1] if row["golden"] == "failed"]
        self.assertGreater(len(wrong), 0)
        for row in wrong:
            self.assertFalse(row["counts"])
            self.assertTrue(all(row[name] is None for name in FIGURES))

    def test_a_text_is_no_formula_and_keeps_its_place(self):
        as_csv, as_lines = self.rows("--branch", 'a "branch", =1+2')
        self.assertEqual({row["label"] for row in as_csv}, {"'=cmd|x"})
        self.assertEqual({row["label"] for row in as_lines}, {"=cmd|x"})
        self.assertEqual({row["branch"] for row in as_csv}, {'a "branch", =1+2'})
        self.assertEqual({len(row) for row in as_csv}, {len(as_lines[0])})

    def test_a_branch_without_runs_has_no_rows(self):
        as_csv, as_lines = self.rows("--branch", "other")
        self.assertEqual((as_csv, as_lines), ([], []))
        self.assertIn("usd_per_1k_output", program("history", "export", "--db", self.history, "--branch", "other"))

    def test_bad_input_is_one_line_and_status_2(self):
        for arguments, part in ((["--db", self.folder / "none.db"], "there is no history"),
                                (["--db", self.history, "--format", "xml"], 'expected one of csv, jsonl, openmetrics, found "xml"')):
            run = subprocess.run([PROGRAM, "history", "export", *map(str, arguments)], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
            self.assertEqual((run.returncode, run.stdout), (2, ""))
            self.assertIn(part, run.stderr)
            self.assertEqual(run.stderr.count("\n"), 1, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
