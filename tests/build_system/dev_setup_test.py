"""Tests what ./dev setup gpu installs and what ./dev bench builds, with stand-ins for the packages, pip, the driver's tool and the compilers.

    python3 dev_setup_test.py SOURCE_FOLDER
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()


class Dev(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-setup-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        shutil.copy(SOURCE / "dev", self.folder / "dev")
        self.calls = self.folder / "calls"
        for name in ("apt-get", "apt-cache", "sudo"):
            self.program(name)
        self.program("dpkg-query", "echo ok installed")
        self.program("python3", 'mkdir -p "${@: -1}" build/toolchains/cuda')
        for name in ("cuobjdump", "nvdisasm"):
            self.program(name)

    def program(self, name, script="exit 0", folder="tools"):
        path = self.folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.calls}"\n{script}\n')
        path.chmod(0o755)

    def dev(self, *arguments, rocm="absent"):
        self.calls.write_text("")
        # PATH has a few basic tools of this system, but not its nvcc, hipcc or nvidia-smi.
        system = self.folder / "system"
        system.mkdir(exist_ok=True)
        for name in ("bash", "sed", "head", "grep", "du", "dirname", "nproc", "realpath", "mkdir", "env", "id"):
            if not (system / name).exists():
                (system / name).symlink_to(shutil.which(name))
        run = subprocess.run(["bash", self.folder / "dev", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={"PATH": f"{self.folder / 'tools'}:{system}", "ROCM_PATH": str(self.folder / rocm),
                                  "CUDA_HOME": str(self.folder / "absent")}, text=True)
        self.called = self.calls.read_text()
        return run


class DevBench(Dev):
    def setUp(self):
        super().setUp()
        self.program("cmake")
        self.program("kernel_bench", folder="build/release/bin")
        for name in ("cpu", "cuda"):
            (self.folder / "backends" / name).mkdir(parents=True)
            (self.folder / "backends" / name / "CMakeLists.txt").write_text("")

    def targets(self, *arguments):
        run = self.dev("bench", *arguments)
        self.assertEqual(run.returncode, 0, run.stdout)
        built = [line for line in self.called.splitlines() if line.startswith("cmake --build")]
        return built[0].split("--target ")[1].split()

    def test_what_is_named_is_built_and_nothing_else(self):
        self.assertEqual(self.targets("--machine"), ["kernel_bench"])
        self.assertEqual(self.targets("--backend", "cpu", "--rows", "1"), ["kernel_bench", "secondsource_backend_cpu"])
        self.assertEqual(self.targets("--machine", "--backend=cpu,cuda"),
                         ["kernel_bench", "secondsource_backend_cpu", "secondsource_backend_cuda"])
        self.assertIn("kernel_bench --machine --backend=cpu,cuda", self.called)
        self.assertEqual(self.targets("peers", "--backend", "cuda"),
                         ["secondsource", "secondsource_backend_cpu", "secondsource_backend_cuda"])

    def test_a_backend_that_is_not_there_is_named(self):
        run = self.dev("bench", "--backend", "cpp")
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("bench: --backend: there is no folder backends/cpp", run.stdout)
        self.assertNotIn("cmake", self.called)


class DevSetup(Dev):
    def driver(self, cuda):
        self.program("nvidia-smi", f"echo '| NVIDIA-SMI 1   Driver Version: 1   CUDA Version: {cuda} |'")

    def nvcc(self, release):
        self.program("nvcc", f"echo 'Cuda compilation tools, release {release}, V{release}.1'")

    def setup_gpu(self, rocm="absent"):
        return self.dev("setup", "gpu", rocm=rocm)

    def installed(self):
        """What the distribution's package manager was asked to install, call by call."""
        command = "apt-get install -y -qq --no-install-recommends "
        return [line.removeprefix(command) for line in self.called.splitlines() if line.startswith(command)]

    def test_without_a_compiler_nvidias_comes_as_wheels(self):
        run = self.setup_gpu()
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("python3 -m pip install --quiet --no-deps --target build/toolchains/cuda nvidia-cuda-nvcc==13.0.88",
                      self.called)

    def test_what_reads_machine_code_comes_as_wheels_where_either_is_missing(self):
        self.nvcc("13.0")
        installs = ("python3 -m pip install --quiet --no-deps --upgrade --target build/toolchains/cuda-readers "
                    "nvidia-cuda-cuobjdump==13.2.51 nvidia-cuda-nvdisasm==13.2.51")
        self.setup_gpu()
        self.assertNotIn("pip install", self.called)
        (self.folder / "tools/nvdisasm").unlink()
        run = self.setup_gpu()
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn(installs, self.called)
        self.assertIn("4.8 MB to fetch", run.stdout)
        for name in ("cuobjdump", "nvdisasm"):
            self.program(name, folder="build/toolchains/cuda-readers/nvidia/cu13/bin")
        self.setup_gpu()
        self.assertNotIn("pip install", self.called)

    def test_an_nvcc_without_c_plus_plus_20_is_none(self):
        self.nvcc("11.8")
        self.assertEqual(self.setup_gpu().returncode, 0)
        self.assertIn("pip install", self.called)

    def test_a_compiler_that_fits_the_driver_is_taken(self):
        self.nvcc("12.4")
        for cuda in ("12.2", "13.0"):
            self.driver(cuda)
            self.assertEqual(self.setup_gpu().returncode, 0)
            self.assertNotIn("pip install", self.called)

    def test_a_driver_that_is_too_old_for_the_wheels_is_said(self):
        self.nvcc("13.0")
        self.driver("12.8")
        run = self.setup_gpu()
        self.assertEqual(run.returncode, 1)
        self.assertIn("this driver runs CUDA up to 12.8, and the compiler that could be installed here is 13.0: install a CUDA 12 "
                      "toolkit", run.stdout)
        self.assertNotIn("pip install", self.called)

    def test_beside_amds_own_rocm_nothing_of_amds_is_installed(self):
        self.nvcc("13.0")
        self.program("hipcc", folder="rocm/bin")
        self.program("dpkg-query", "echo not installed")
        self.assertEqual(self.setup_gpu("rocm").returncode, 0)
        self.assertEqual(self.installed(), ["libvulkan-dev glslc"])  # packages for Vulkan, none of AMD's
        (self.folder / "rocm/bin/hipcc").unlink()
        run = self.setup_gpu("rocm")
        self.assertEqual(run.returncode, 0)
        self.assertIn("rocm has no hipcc", run.stdout)
        self.assertEqual(self.installed(), ["libvulkan-dev glslc"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
