"""The Python package `secondsource` of the wheel, on committed runs and on runs of this build: its figures against
`report --format json` and `--format csv`, its fields against the published schemas, and what it refuses.

    python3 reader_test.py SECONDSOURCE MAKE_RUNS SOURCE_FOLDER

Frames are compared where pandas is installed, types where mypy is.
"""

import csv
import dataclasses
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import typing
import unittest

from programs import SOURCE, WithRuns, has_credit, program

sys.path.insert(0, str(SOURCE / "apps/python"))
import secondsource  # noqa: E402

COMMITTED = SOURCE / "reports/samples/runs/cpu"


def as_json(value):
    """Converts a record back to JSON values, for comparison with the JSON from which it was read."""
    if dataclasses.is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [as_json(element) for element in value]
    return value.value if hasattr(value, "value") and isinstance(value, str) else value


def schema(name):
    return json.loads((SOURCE / f"reports/schemas/{name}.schema.json").read_text())


class Fields(unittest.TestCase):
    def compare(self, kind, properties, required, where):
        optional = {field.name for field in dataclasses.fields(kind)
                    if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING}
        names = {field.name for field in dataclasses.fields(kind)}
        self.assertEqual(names, set(properties) - {"type", "checksum"}, where)
        needed = names if kind is secondsource.Estimate else names - optional  # an Estimate has defaults only for absent estimates
        self.assertEqual(needed, set(required) - {"type"}, where)
        hints = typing.get_type_hints(kind)
        for name in names:
            inner, part = hints[name], properties[name]
            if "anyOf" in part:
                part = next(one for one in part["anyOf"] if one.get("type") != "null")
            while typing.get_args(inner):
                if typing.get_origin(inner) is tuple:
                    part = part.get("items", part)
                inner = typing.get_args(inner)[0]
            if dataclasses.is_dataclass(inner):
                self.compare(inner, part["properties"], part["required"], f"{where}: {name}")

    def test_they_are_those_of_the_schemas(self):
        for name, kind in (("run", secondsource.RunRecord), ("summary", secondsource.RunSummary)):
            self.compare(kind, schema(name)["properties"], schema(name)["required"], name)
        lines = {one["properties"]["type"]["const"]: one for one in schema("sample")["oneOf"]}
        for name, kind in (("sample", secondsource.Sample), ("repetition", secondsource.Repetition), ("golden", secondsource.Golden),
                           ("failure", secondsource.Failure)):
            self.compare(kind, lines[name]["properties"], lines[name]["required"], name)


class Reading(WithRuns):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.real = cls.folder / "real"
        program("run", SOURCE / "bundles/tiny-gqa8-hd64", "--backend", "reference,cpu", "--variant", "bf16", "--scenario",
                "single-stream@/4,offline:2@/4", "--repetitions", "2", "--price", "1.2", "--out", cls.real, statuses=(0, 6))

    def copy(self, name="copy"):
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.real, folder)
        return folder

    def without_absent_limits(self, reported, folder):
        """The run of the report, its limits without the fields that the run's file does not have: the package gives limits as the
        file has them, and the report writes null for a field that was added after the run."""
        recorded = json.loads((folder / "run.json").read_text())
        return reported | {name: {field: value for field, value in reported[name].items() if field in recorded[name] or value is not None}
                           for name in ("limits", "second_limits") if reported[name]}

    def test_the_figures_are_those_of_the_report(self):
        for folder in (COMMITTED, self.real):
            entry, = json.loads(program("report", folder, "--format", "json"))
            run = secondsource.read_run(folder)
            self.assertEqual(as_json(run.record), {name: value for name, value in self.without_absent_limits(entry["run"], folder).items()
                                                   if name != "checksum"})
            for name in ("cells", "golden", "failures"):
                self.assertEqual([as_json(one) for one in getattr(run.summary, name)], entry["summary"][name], (folder, name))
            self.assertGreater(len(run.cells), 3)
            self.assertEqual([cell.has_credit for cell in run.cells], [has_credit(cell) for cell in entry["summary"]["cells"]])

    def test_a_report_of_several_runs_is_read_also_of_unfinished_ones(self):
        path = self.folder / "report.json"
        program("report", self.varied, COMMITTED, "--format", "json", "--out", path)
        varied, committed = secondsource.read_report(path)
        self.assertEqual(committed.cells, secondsource.read_run(COMMITTED).cells)
        wrong = [cell for cell in varied.cells if cell.golden is secondsource.GoldenVerdict.FAILED]
        self.assertGreater(len(wrong), 0)
        self.assertFalse(any(cell.has_credit for cell in wrong))

    def test_samples_are_those_that_the_figures_come_from(self):
        run = secondsource.read_run(self.real)
        self.assertTrue(run.has_samples and run.has_checksums)
        lines = [json.loads(line) for line in (self.real / "samples.jsonl").read_text().splitlines()]
        self.assertEqual([as_json(sample) for sample in run.samples],
                         [{key: value for key, value in line.items() if key not in ("type", "checksum")}
                          for line in lines if line["type"] == "sample"])
        for cell in run.cells:
            samples = run.samples_of(cell.id)
            self.assertEqual(len(samples), cell.n_samples)
            first = sorted(sample.ttft_e2e_ns for sample in samples)
            middle = (first[(len(first) - 1) // 2] + first[len(first) // 2]) / 2  # the median by its definition
            self.assertAlmostEqual(cell.ttft_e2e_p50_ns.value, middle, delta=1)
            self.assertIs(run.cell(cell.id), cell)
        self.assertEqual(secondsource.read_run(self.real, samples=False).samples, ())

    def test_samples_of_a_repetition_that_did_not_end_are_left_out(self):
        folder = self.copy()
        journal = folder / "samples.jsonl"
        text = journal.read_bytes()
        orphan = next(line for line in text.splitlines(True) if b'"type":"sample"' in line)
        moved = orphan.split(b',"checksum"')[0].replace(b'"repetition":0', b'"repetition":7') + b"}\n"
        self.assertIn(b'"repetition":7', moved)
        journal.write_bytes(b"".join(line.split(b',"checksum"')[0] + b"}\n" for line in text.splitlines()) + moved)
        run = secondsource.read_run(folder)
        self.assertFalse(run.has_checksums)  # like runs of earlier versions
        self.assertEqual(run.samples, secondsource.read_run(self.real).samples)
        journal.write_bytes(text + orphan[:-20])  # a crash cut the last line short
        self.assertEqual(secondsource.read_run(folder).samples, run.samples)

    def test_an_old_run_lacks_what_was_added_later(self):
        folder = self.copy()
        summary = json.loads((folder / "summary.json").read_text())
        del summary["checksum"]
        for cell in summary["cells"]:
            for name in ("tier", "time_lost", "telemetry", "ttft_queue_p50_ns", "itl_mean_ns", "throughput_basis"):
                del cell[name]
        (folder / "summary.json").write_text(json.dumps(summary))
        run = secondsource.read_run(folder)
        self.assertEqual(run.cells[0].tier, secondsource.Tier.BLESSED)
        self.assertIsNone(run.cells[0].itl_mean_ns.value)
        self.assertFalse(run.has_checksums)

    def test_bad_input_is_one_sentence(self):
        def unsealed(text):
            return text[:text.rindex(b",")] + b"}"

        def without_one_seal(text):
            lines = text.splitlines(True)
            return b"".join((*lines[:3], unsealed(lines[3]) + b"\n", *lines[4:]))

        def changed(before, after):
            return lambda text: unsealed(text).replace(before, after, 1)

        for file, edit, part in (
                ("run.json", lambda text: text.replace(b'"seed": ', b'"seed": 1'), "run.json: damaged: its checksum"),
                ("summary.json", lambda text: text[:-30], "summary.json: "),
                ("samples.jsonl", lambda text: text.replace(b'"scheduled_ns":', b'"scheduled_ns":1', 1), ": damaged: its checksum"),
                ("samples.jsonl", without_one_seal, "samples.jsonl:4: damaged: it has no checksum, and a line before it has one"),
                ("samples.jsonl", lambda text: text[:-1] + b"x", "damaged: expected a newline at the end"),
                ("samples.jsonl", lambda text: b'{"type":"song"}\n', "samples.jsonl:1: type: expected that of a line"),
                ("summary.json", changed(b'"golden": "passed"', b'"golden": "splendid"'), "golden: expected one of 'passed', 'failed'"),
                ("summary.json", changed(b'"n_samples": ', b'"n_samples": "x", "more": '), 'n_samples: expected an integer, found "x"'),
                ("summary.json", changed(b'"n_errors"', b'"errors"'), "cells[0]: n_errors: missing"),
                ("summary.json", changed(b'"run_id": "', b'"run_id": "other'), "run_id: expected"),
                ("summary.json", changed(b'"n_repetitions": 2', b'"n_repetitions": 3'), "has 3 repetitions, and samples.jsonl has 2"),
                ("run.json", changed(b'"schema_version": 1', b'"schema_version": 2'), "run.json: schema_version: expected 1, found 2"),
                ("run.json", changed(b'"seed": ', b'"seed": NaN, "more": '), "NaN is not JSON"),
                ("run.json", lambda text: b"[" * 200000, "run.json: expected JSON"),
                ("run.json", lambda text: b"\xff", "run.json: expected JSON")):
            with self.subTest(part):
                folder = self.copy()
                text = (folder / file).read_bytes()
                self.assertNotEqual(edit(text), text)
                (folder / file).write_bytes(edit(text))
                with self.assertRaises(secondsource.RunError) as caught:
                    secondsource.read_run(folder)
                self.assertIn(part, str(caught.exception))
                self.assertNotIn("\n", str(caught.exception))
        unfinished = self.copy()
        (unfinished / "summary.json").unlink()
        for folder, part in ((self.folder / "nowhere", "run.json: cannot read: No such file"),
                             (unfinished, "summary.json: missing, so the run is not finished")):
            with self.assertRaisesRegex(secondsource.RunError, part):
                secondsource.read_run(folder)
        with self.assertRaisesRegex(secondsource.RunError, "expected an array"):
            secondsource.read_report(self.real / "run.json")
        with self.assertRaisesRegex(secondsource.RunError, "expected a file"):
            secondsource.read_report(self.real)

    def test_frames_have_the_columns_of_the_csv(self):
        if importlib.util.find_spec("pandas") is None:
            with self.assertRaisesRegex(ImportError, "a frame needs pandas"):
                secondsource.read_run(self.real).to_frame()
            self.skipTest("pandas is not installed")
        path = self.folder / "varied.json"
        program("report", self.varied, "--format", "json", "--out", path)
        for folder, run in ((self.varied, secondsource.read_report(path)[0]), (self.real, secondsource.read_run(self.real))):
            rows = list(csv.DictReader(io.StringIO(program("report", folder, "--format", "csv"), newline="")))
            frame = run.to_frame()
            self.assertEqual(len(frame), len(rows))
            self.assertEqual(set(rows[0]) - set(frame.columns), {"device", "figures_from", "clients"} & set(rows[0]))
            for i, row in enumerate(rows):
                for name in set(rows[0]) & set(frame.columns):
                    value = frame[name][i]
                    found = "" if value is None or value != value else value
                    expected = row[name] if isinstance(found, str) or row[name] == "" else float(row[name])
                    self.assertEqual(found, expected, (name, row["backend"], row["scenario"]))
        samples = run.samples_to_frame()
        self.assertEqual(len(samples), len(run.samples))
        self.assertEqual(samples["ttft_e2e_ns"][0], run.samples[0].ttft_e2e_ns)

    def test_the_example_of_the_page_prints_what_it_says(self):
        page = (SOURCE / "docs/exports.md").read_text()
        code = re.search(r"(?ms)^    import secondsource$.*?(?=\n\nprints)", page)[0]
        expected = re.search(r"(?ms)^prints\n\n(.*?)\n\n", page)[1]
        run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=SOURCE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(SOURCE / "apps/python")})
        self.assertEqual(run.stdout, textwrap.dedent(expected) + "\n")

    def test_the_types_hold(self):
        if importlib.util.find_spec("mypy") is None:
            self.skipTest("mypy is not installed")
        checked = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", self.folder / "mypy", "secondsource"],
                                 cwd=SOURCE / "apps/python", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        self.assertTrue((SOURCE / "apps/python/secondsource/py.typed").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
