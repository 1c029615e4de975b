"""Tests `./dev gpu` and `./dev gpu kit` with stand-ins for CMake and the compilers: what is configured and built for which
targets, and that nothing is installed if all tools are present.

    python3 command_test.py SOURCE_FOLDER
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()


class Command(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-gpu-command-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        shutil.copy(SOURCE / "dev", self.folder / "dev")
        (self.folder / "apps").symlink_to(SOURCE / "apps")
        self.calls = self.folder / "calls"
        for name, script in (("apt-get", "exit 1"), ("sudo", "exit 1"), ("dpkg-query", "echo ok installed"), ("cmake", ""),
                             ("nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.1'"), ("hipcc", ""),
                             ("python3", f'case "$*" in *pack.py*) ;; *) exec {sys.executable} "$@" ;; esac')):
            path = self.folder / "tools" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.calls}"\n{script}\n')
            path.chmod(0o755)

    def dev(self, *arguments):
        self.calls.write_text("")
        environment = {**os.environ, "PATH": f"{self.folder / 'tools'}:{os.environ['PATH']}", "ROCM_PATH": str(self.folder)}
        run = subprocess.run(["bash", self.folder / "dev", "gpu", *arguments], env=environment, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        return run, self.calls.read_text()

    def test_a_kit_has_code_for_the_chosen_targets_alone_and_no_line_tables(self):
        run, calls = self.dev("kit", "sm_80", "sm_90a")
        self.assertEqual(run.returncode, 0, run.stdout)
        for option in ("--preset release -B build/gpu-kit", "-DSECONDSOURCE_CUDA_TARGETS=80;90a",
                       "-DSECONDSOURCE_GPU_LINE_TABLES=OFF", "-DSECONDSOURCE_WITH_CUDA=ON", "-DSECONDSOURCE_WITH_HIP=OFF",
                       "-DSECONDSOURCE_CUDA_VARIANTS=staged-tiles",
                       "secondsource conformance kernel_bench secondsource_backend_reference secondsource_backend_cuda cuda_variants",
                       "--build build/gpu-kit --out build/gpu/kit --modules reference,cuda --variants staged-tiles"):
            self.assertIn(option, calls)
        self.assertNotIn("apt-get", calls)
        self.assertNotIn("pip", calls)

    def test_a_kit_for_amd(self):
        _, calls = self.dev("kit", "gfx942")
        self.assertIn("-DSECONDSOURCE_WITH_HIP=ON -USECONDSOURCE_HIPCC -DSECONDSOURCE_HIP_TARGETS=gfx942", calls)
        self.assertIn("--modules reference,hip", calls)

    def test_an_unknown_target_is_refused_before_anything_is_built(self):
        run, calls = self.dev("kit", "90a")
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stdout, 'dev: gpu kit: expected some of sm_80, sm_89, sm_90a, sm_100a, gfx90a, gfx942, gfx950, '
                                     'gfx1100, found "90a"\n')
        self.assertEqual(calls, "")

    def test_the_steps_are_listed_without_a_gpu_and_nothing_else_runs(self):
        run, _ = self.dev("--list")
        self.assertIn("\n3  racecheck ", run.stdout)
        if any(os.path.exists(driver) for driver in ("/dev/nvidiactl", "/dev/kfd")):
            self.skipTest("this machine has a GPU")
        run, calls = self.dev("limits")
        self.assertEqual(run.stdout, "dev: gpu: no GPU here: neither /dev/nvidiactl nor /dev/kfd is there; nothing was built or "
                                     "run\n")
        self.assertEqual(calls, "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
