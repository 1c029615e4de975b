"""Runs a model on the shim as `secondsource run` does on a GPU: measurements are checked against the limits of the device itself.

    python3 run_test.py SECONDSOURCE MODULES BUNDLE

The shim reads a few hundred MB/s and the host many GB/s, so that a mix-up of their limits is noticed.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from own_cache import own_cache  # noqa: E402

PROGRAM, MODULES, BUNDLE = sys.argv[1:4]


class DeviceRun(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-gpu-run-")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name) / "run"
        cls.environment = os.environ | {"SECONDSOURCE_MODULES": MODULES, **own_cache(cls.scratch.name)}
        cls.program("run", BUNDLE, "--backend", "gpu-shim,reference", "--variant", "bf16", "--scenario", "offline:1@4/3",
                    "--repetitions", "1", "--no-golden", "--noise-limit", "100", "--out", cls.folder)
        cls.record = json.loads((cls.folder / "run.json").read_text())
        lines = [json.loads(line) for line in (cls.folder / "samples.jsonl").read_text().splitlines()]
        cls.repetition = next(line for line in lines if line.get("type") == "repetition" and "gpu-shim" in line["cell"])
        cls.backend = next(backend for backend in cls.record["backends"] if backend["name"] == "gpu-shim")

    @classmethod
    def program(cls, *arguments):
        run = subprocess.run([PROGRAM, *arguments], env=cls.environment, capture_output=True, text=True)
        if run.returncode not in (0, 5):
            raise AssertionError(f"{arguments}: {run.returncode}\n{run.stdout}\n{run.stderr}")
        return run.stdout

    def test_the_device_has_limits_of_its_own_and_the_host_keeps_its(self):
        self.assertFalse(self.backend["device"]["is_host"])
        limits = self.backend["limits"]
        self.assertEqual(limits["instruction_set"], "sm_80")
        self.assertEqual([read["buffer_bytes"] for read in limits["reads"]], [1 << 13, 1 << 14])
        self.assertGreater(limits["bf16_flops"], 0)
        self.assertGreater(limits["int8_ops"], 0)
        # The limits were measured at least twice, so there is a second-best result.
        self.assertGreater(self.backend["second_limits"]["reads"][-1]["bytes_per_s"], 0)
        self.assertGreater(self.record["limits"]["reads"][-1]["bytes_per_s"], 2 * limits["reads"][-1]["bytes_per_s"])

    def test_the_repetition_is_checked_against_them(self):
        checks = {check["name"]: check["outcome"] for check in self.repetition["checks"]}
        self.assertEqual(checks["roofline"], "passed")
        self.assertIn(checks["machine"], ("passed", "suspect"))
        readings = {reading["name"]: reading["value"] for reading in self.repetition["telemetry"]}
        limits = self.backend["limits"]
        self.assertLessEqual(readings["machine_read_bytes_per_s"], limits["reads"][-1]["bytes_per_s"])
        self.assertLessEqual(readings["machine_f32_flops"], limits["f32_flops"])

    def test_shares_and_the_bottleneck_are_of_them(self):
        report = json.loads(self.program("report", self.folder, "--format", "json"))
        cell = next(cell for cell in report[0]["summary"]["cells"] if cell["key"]["backend"] == "gpu-shim")
        decode = self.repetition["decode"]
        rate = (decode["weight_bytes"] + decode["kv_bytes"]) / decode["ns"] * 1e9
        limit = self.backend["limits"]["reads"][-1]["bytes_per_s"]
        self.assertAlmostEqual(cell["read_fraction"], rate / limit, places=9)
        self.assertEqual(cell["bound"], "overhead")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
