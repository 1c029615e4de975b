"""Tests that every JSON file that the program writes is valid by the published schemas, and that wrong ones are not.

    python3 schemas_test.py SECONDSOURCE MAKE_RUNS SOURCE_FOLDER
"""

import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import jsonschema
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)
try:
    import referencing
except ImportError:  # jsonschema before 4.18: Debian 12 has 4.10
    referencing = None

PROGRAM, MAKE_RUNS, SOURCE = sys.argv[1:4]
SCHEMAS = {path.name.removesuffix(".schema.json"): json.loads(path.read_text())
           for path in pathlib.Path(SOURCE, "reports/schemas").glob("*.schema.json")}


def validator(name):
    files = {f"{other}.schema.json": schema for other, schema in SCHEMAS.items()}
    if referencing:
        resources = ((file, referencing.Resource.from_contents(schema)) for file, schema in files.items())
        return jsonschema.Draft202012Validator(SCHEMAS[name], registry=referencing.Registry().with_resources(resources))
    resolver = jsonschema.RefResolver("", SCHEMAS[name], store=files)
    return jsonschema.Draft202012Validator(SCHEMAS[name], resolver=resolver)


def program(*arguments, statuses=(0,)):
    run = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.returncode in statuses, (arguments, run.returncode, run.stderr.decode())
    return run.stdout.decode()


class Schemas(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-schemas-")
        folder = cls.folder = pathlib.Path(cls.scratch.name)
        for kind in ("varied", "hostile"):
            subprocess.run([MAKE_RUNS, kind, folder / kind], check=True)
        bundle = pathlib.Path(SOURCE, "bundles/tiny-gqa8-hd64")
        cls.run_output = program("run", bundle, "--backend", "reference,cpu", "--variant", "bf16", "--scenario",
                                 "single-stream@/6,offline:2@/4,server:20@/4", "--repetitions", "5", "--fault", "cpu=crash:400",
                                 "--json", "--trace", folder / "trace.json", "--out", folder / "run", statuses=(0, 4, 6))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def check(self, name, value):
        errors = [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
                  for error in validator(name).iter_errors(value)]
        self.assertEqual(errors, [], name)

    def test_the_schemas_are_schemas(self):
        for name, schema in SCHEMAS.items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)

    def test_a_run_directory(self):
        folder = self.folder / "run"
        self.check("run", json.loads((folder / "run.json").read_text()))
        self.check("summary", json.loads((folder / "summary.json").read_text()))
        self.check("run-output", json.loads(self.run_output))
        for name, schema in (("samples", "sample"), ("telemetry", "telemetry")):
            path = folder / f"{name}.jsonl"
            lines = path.read_text().splitlines() if path.exists() else []
            if name == "samples":
                types = {json.loads(line)["type"] for line in lines}
                self.assertGreaterEqual(types, {"sample", "repetition", "golden", "failure"})
            for line in lines:
                self.check(schema, json.loads(line))

    def test_what_report_gate_and_history_write(self):
        for kind in ("run", "varied", "hostile"):
            self.check("report", json.loads(program("report", self.folder / kind, "--format", "json")))
        self.check("portability", json.loads(program("report", self.folder / "run", "--portability", "--format", "json")))
        gate = program("gate", self.folder / "varied", self.folder / "varied", "--format", "json", "--allow-unverified",
                       statuses=(0, 1, 3, 4, 5, 6))
        self.check("gate", json.loads(gate))
        database = self.folder / "history.db"
        program("history", "add", self.folder / "varied", self.folder / "hostile", "--db", database)
        runs = json.loads(program("history", "list", "--db", database, "--json"))
        self.assertEqual(len(runs), 2)
        for line in program("history", "export", "--db", database, "--format", "jsonl").splitlines():
            self.check("history-cell", json.loads(line))
        self.check("history", runs)
        # The newest runs have wrong tokens, which count whether anything is pinned or not.
        self.check("gate", json.loads(program("history", "check", "--db", database, "--format", "json", statuses=(3,))))

    def test_the_committed_plans(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("no PyYAML")
        for path in ("reports/demo.yaml", "reports/demo-speed.yaml", "docs/ci/secondsource.yaml"):
            with self.subTest(path):
                self.check("plan", yaml.safe_load(pathlib.Path(SOURCE, path).read_text()))

    def test_a_schema_refuses_what_is_missing_added_or_of_another_type(self):
        run = json.loads((self.folder / "run/run.json").read_text())
        for change in (lambda r: r.pop("seed"), lambda r: r.update(seed="7"), lambda r: r.update(more=1),
                       lambda r: r.update(schema_version=2), lambda r: r["cells"][0]["scenario"].update(kind="sideways")):
            wrong = copy.deepcopy(run)
            change(wrong)
            self.assertFalse(validator("run").is_valid(wrong))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
