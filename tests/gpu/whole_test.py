"""Tests kernel_bench --whole, which compares a whole matmul with the same matmul computed in another way, and finds planted bugs.

    python3 whole_test.py KERNEL_BENCH SHIM_FOLDER MUTANTS_FOLDER
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SHIM, MUTANTS = (pathlib.Path(argument) for argument in sys.argv[1:4])
# Small enough for the shim, and with more than four rows, because up to four rows are computed by dot products.
SHAPE = ["--model", "SmolLM2-135M", "--rows", "5", "--whole-repetitions", "1"]


class Whole(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-whole-")
        self.addCleanup(scratch.cleanup)
        self.out = pathlib.Path(scratch.name) / "whole.json"

    def compare(self, *arguments, modules=SHIM, planted=""):
        environment = {**os.environ, "SECONDSOURCE_MODULES": str(modules), "SECONDSOURCE_PLANTED_BUG": planted}
        run = subprocess.run([PROGRAM, *SHAPE, "--whole-out", self.out, *arguments], env=environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        cases = json.loads(self.out.read_text())["whole_products"] if self.out.exists() else []
        return run, cases

    def test_a_right_product_passes_with_every_element(self):
        run, cases = self.compare("--backend", "gpu-shim", "--whole", "reference", "--variant", "bf16,int8-w8a8")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertEqual({case["verdict"] for case in cases}, {"passed"})
        # The matmuls are qkv, attention output, gate and up, and down, each once per variant.
        self.assertEqual([case["n_elements"] for case in cases], [5 * n for n in (960, 576, 3072, 576)] * 2)
        self.assertEqual(cases[0]["name"], "whole/gpu-shim/bf16/m:5/k:576/n:960")
        self.assertLess(max(case["largest_share"] for case in cases), 1)
        self.assertEqual({(case["n_repetitions"], case["n_changed_repetitions"]) for case in cases}, {(1, 0)})

    def test_one_backend_with_another_option_and_the_same_kernel_is_no_comparison(self):
        run, cases = self.compare("--backend", "gpu-shim", "--backend-option", "gpu-shim:tiles=16x64", "--whole",
                                  "gpu-shim:tiles=64x64", "--variant", "int4")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertEqual([case["verdict"] for case in cases], ["passed"] * 4, run.stdout)
        self.assertIn("16x64", cases[0]["kernel"])
        self.assertIn("64x64", cases[0]["other_kernel"])
        run, cases = self.compare("--backend", "gpu-shim", "--backend-option", "gpu-shim:tiles=64x64", "--whole",
                                  "gpu-shim:tiles=64x64", "--variant", "int4")
        self.assertEqual((run.returncode, run.stderr), (2, "kernel_bench: --whole: no product could be compared\n"))
        self.assertIn("both ways take", cases[0]["why"])

    def test_a_planted_bug_is_found_and_named_by_its_place(self):
        run, cases = self.compare("--backend", "gpu-shim", "--whole", "reference", "--variant", "bf16",
                                  modules=MUTANTS / "tiled_matmul-sm_80", planted="swapped_bytes_of_rows")
        self.assertEqual(run.returncode, 3, run.stdout + run.stderr)
        self.assertEqual({case["verdict"] for case in cases}, {"differs"})
        self.assertIn(f"row {cases[0]['worst']['row']}, column {cases[0]['worst']['column']}", run.stdout)

    def test_bad_input_is_one_line(self):
        for arguments, message in (
                (["--whole", "reference"], "--whole: expected one --backend, found 0"),
                (["--backend", "gpu-shim", "--whole", "gpu-shim:"], "expected BACKEND:KEY=VALUE, found gpu-shim:"),
                (["--backend", "gpu-shim", "--whole", "nothing"], "backend nothing: there is no backend of this name")):
            run, _ = self.compare(*arguments)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stderr)
            self.assertIn(message, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
