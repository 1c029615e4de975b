"""Building a target builds everything that running it needs, and nothing else.

    python3 targets_test.py NINJA BUILD_FOLDER
"""

import subprocess
import sys
import unittest

NINJA, BUILD = sys.argv[1], sys.argv[2]


def built_files(target):
    """The files that building the target makes, relative to the build folder."""
    out = subprocess.run([NINJA, "-C", BUILD, "-t", "inputs", target], check=True, capture_output=True, text=True).stdout
    return [line for line in out.splitlines() if line.startswith(("lib/", "apps/", "backends/", "bin/", "gpu-code/",
                                                                  "proof/", "tests/"))]


def has_module(files, backend):
    """Whether the backend's module.cpp is compiled. The module itself is an order-only dependency, which ninja does not list."""
    return any(file.startswith(f"backends/{backend}/") and file.endswith("/module.cpp.o") for file in files)


def unwanted(files):
    return [file for file in files
            if file.startswith(("tests/", "gpu-code/", "proof/"))
            or file.startswith(("backends/gpu/", "backends/cuda/", "backends/hip/")) and file.endswith(".o")]


class Targets(unittest.TestCase):
    def test_the_program_and_kernel_bench_need_neither_tests_nor_gpu_code(self):
        for target in ("secondsource", "kernel_bench"):
            files = built_files(target)
            self.assertGreater(len(files), 100, target)
            self.assertEqual(unwanted(files), [], target)

    def test_they_bring_the_modules_that_every_machine_can_run(self):
        for target in ("secondsource", "kernel_bench", "host_backends"):
            files = built_files(target)
            for backend in ("reference", "cpu"):
                self.assertTrue(has_module(files, backend), f"{target} without {backend}")

    def test_all_modules_together_need_no_tests_and_no_proof(self):
        files = built_files("backends")
        self.assertTrue(has_module(files, "cpu"))
        self.assertEqual([file for file in files if file.startswith(("tests/", "proof/"))], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
