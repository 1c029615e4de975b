"""Tests on_device.sh with stand-ins for the programs, the driver's tools and PyTorch: which steps run with which arguments,
what is reported when something is missing, and what is not repeated.

    python3 on_device_test.py SOURCE_FOLDER
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()

# Each stand-in appends its command line to `calls`; some also write the files that the real programs write.
SECONDSOURCE = """case "$1" in
  backends) printf 'cpu        a CPU\\ncuda       1 device   NVIDIA GPUs\\n    0: Stand-In 80GB\\nonednn     another\\n' ;;
  bundle) mkdir -p "$6" && : >"$6/manifest.yaml" ;;
  run) while [ "$1" != --out ]; do shift; done; mkdir "$2"
    printf 'seed: 1\\n\\nbundle  variant\\n------  -------\\n8B      bf16\\n\\na note\\n' ;;
esac"""
CONFORMANCE = """case "$*" in
  *matmul=library*) echo "skipped --option matmul=library: libcublasLt.so.13 not found"; exit 77 ;;
esac"""
KERNEL_BENCH = """for word in "$@"; do
  case "$word" in
    --benchmark_out=*) echo '{"benchmarks": [{"name": "BM_matmul/cuda/bf16/m:1/k:8/n:8/manual_time", "us": 2, "GB/s": 9, "GFLOP/s": 4}]}' \
      >"${word#*=}" ;;
    */limits.json) echo '{"devices": [{"backend": "cuda", "read_bytes_per_s": 4e12}]}' >"$word" ;;
  esac
done"""
# Like the real pip, it does nothing if the folder exists.
PIP = """  *pip*--target*) while [ "$1" != --target ]; do shift; done
    if [ -e "$2/nvidia" ]; then echo "WARNING: Target directory $2/nvidia already exists."; exit 0; fi
    mkdir -p "$2/nvidia/cu13/bin"
    tool=$2/nvidia/cu13/bin/compute-sanitizer
    printf '#!/bin/bash\necho "compute-sanitizer $*" >>calls\n' >"$tool"
    chmod +x "$tool" ;;"""
NVIDIA_SMI = """case "$*" in
  *compute_cap*) echo 9.0 ;;
  *) echo '| NVIDIA-SMI 580.1   Driver Version: 580.1   CUDA Version: 13.0 |' ;;
esac"""


class OnDevice(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-on-gpu-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        for part in ("tests", "apps"):
            (self.folder / part).symlink_to(SOURCE / part)
        self.calls = self.folder / "calls"
        for name, script in (("secondsource", SECONDSOURCE), ("conformance", CONFORMANCE), ("kernel_bench", KERNEL_BENCH)):
            self.program(f"build/release/bin/{name}", script)
        # Python works, but there is no PyTorch and no registry to get it from.
        self.python("""  *"import torch"*) exit 1 ;;
  *venv*|*pip*) echo "no registry here"; exit 1 ;;""")
        self.program("tools/nvidia-smi", NVIDIA_SMI)
        self.environment = {}

    def python(self, script):
        """Writes a python3 that handles `cases` (of a shell's case statement) and passes all else to this Python."""
        self.program("tools/python3", f"""case "$*" in
{script}
  *) exec {sys.executable} "$@" ;;
esac""")

    def program(self, path, script):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{path.name} $*" >>"{self.calls}"\n{script}\n')
        path.chmod(0o755)

    def run_steps(self, *steps, vendor="cuda"):
        self.calls.write_text("")
        run = subprocess.run(["bash", "tests/on_gpu/on_device.sh", vendor, *steps], cwd=self.folder,
                             # Hides the toolkits of this machine.
                             env={**os.environ, "PATH": f"{self.folder / 'tools'}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
                                  "CUDA_HOME": str(self.folder / "absent"), **self.environment},
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        results = self.folder / "build/gpu/results.md"
        self.results = results.read_text() if results.exists() else ""
        self.verdicts = {name: verdict for name, verdict in
                         re.findall(r"^\| ([\w-]+) \| [^|]+ \| ([^|]+) \| [^|]+ \|$", self.results, re.M)}
        return run

    def called(self, *words):
        """Returns the lines of `calls` that contain all of these words."""
        return [line for line in self.calls.read_text().splitlines() if all(word in line for word in words)]

    def test_all_steps_with_neither_the_library_nor_pytorch_nor_a_registry(self):
        run = self.run_steps()
        self.assertEqual(run.returncode, 0, run.stdout)
        for name in ("conformance", "golden-smoke", "golden-all", "limits", "run-1B", "run-8B", "kernels", "tiles", "attention"):
            self.assertEqual(self.verdicts[name], "passed", name)
        self.assertEqual(self.verdicts["conformance-library"],
                         "skipped: skipped --option matmul=library: libcublasLt.so.13 not found")
        self.assertIn("libcublasLt.so.13 not found", self.verdicts["kernels-library"])
        self.assertEqual(self.verdicts["get-sanitizer"], "skipped: could not be installed: no registry here")
        self.assertEqual(self.verdicts["sanitizer-memcheck"],
                         "skipped: compute-sanitizer was not found (step get-sanitizer)")
        self.assertEqual(self.verdicts["get-pytorch"], "skipped: could not be installed: no registry here")
        self.assertIn("step get-pytorch", self.verdicts["pytorch"])
        self.assertIn("step get-pytorch", self.verdicts["models-beside-pytorch"])
        self.assertIn("0: Stand-In 80GB", self.results)
        self.assertNotIn("another", self.results)
        self.assertEqual(len(re.findall(r"not measured: ", self.results)), 4)

    def test_the_kernels_that_no_plan_takes_are_asked_for_by_name(self):
        self.run_steps("conformance")
        self.assertEqual(len(self.called("conformance", "--require-one", "matmul=own",
                                         "tiles=auto,16x64,64x64,128x128,wgmma128x128,wgmma128x256")), 1)
        self.assertEqual(len(self.called("conformance", "--require-one", "matmul=own", "attention=auto,mma,wgmma")), 1)
        self.program("tools/nvidia-smi", NVIDIA_SMI.replace("echo 9.0", "echo 8.0"))
        self.run_steps("conformance")
        self.assertEqual(len(self.called("tiles=auto,16x64,64x64,128x128")), 1)
        self.assertEqual(self.called("wgmma"), [])

    def test_what_passed_is_not_done_again_unless_it_is_named_or_the_programs_changed(self):
        self.run_steps("limits", "kernels")
        self.assertEqual(self.verdicts["limits"], "passed")
        self.assertEqual(self.verdicts["golden-all"], "not done")
        self.assertEqual(len(self.called("kernel_bench")), 2)
        self.run_steps()
        self.assertEqual(self.called("--machine"), [])
        self.assertEqual(self.called("--rows 1,16,64,512"), [])
        self.assertEqual(self.verdicts["golden-all"], "passed")
        self.run_steps("limits")
        self.assertEqual(len(self.called("--machine", "--backend cuda")), 1)
        self.program("build/release/bin/kernel_bench", KERNEL_BENCH + "\n: changed")
        self.run_steps("golden-smoke")
        self.assertEqual(self.verdicts["limits"], "not done")

    def test_what_failed_is_named_and_done_again(self):
        self.program("build/release/bin/conformance", 'echo "FAILED matmul: worst at 3"; exit 1')
        run = self.run_steps("conformance", "golden-smoke")
        self.assertEqual(run.returncode, 1)
        self.assertIn("FAILED matmul: worst at 3", run.stdout)
        self.assertEqual(self.verdicts["conformance"], "FAILED with status 1")
        self.assertEqual(self.verdicts["golden-smoke"], "passed")
        self.run_steps()
        self.assertEqual(len(self.called("conformance", "tiles=")), 1)

    def test_the_sanitizer_is_found_in_a_wheel_and_sees_the_large_tiles(self):
        self.python(PIP)
        (self.folder / "build/toolchains/cuda/nvidia/cu13/bin").mkdir(parents=True)  # the compiler's
        self.run_steps("get-sanitizer", "sanitizer-racecheck")
        self.assertEqual(self.verdicts["get-sanitizer"], "passed")
        self.assertEqual(self.verdicts["sanitizer-racecheck"], "passed")
        self.assertEqual(len(self.called("compute-sanitizer", "--tool racecheck", "wgmma128x256")), 1)
        self.assertEqual(len(self.called("compute-sanitizer", "--tool racecheck", "attention=auto,mma,wgmma")), 1)

    def test_a_toolkit_brings_its_sanitizer(self):
        self.environment["CUDA_HOME"] = str(self.folder / "toolkit")
        self.program("toolkit/bin/compute-sanitizer", "exit 0")
        self.run_steps("get-sanitizer", "sanitizer-racecheck")
        self.assertEqual(self.verdicts["sanitizer-racecheck"], "passed")
        self.assertEqual(self.called("pip"), [])

    def test_a_pip_that_succeeds_without_installing_is_no_sanitizer(self):
        self.python(PIP)
        (self.folder / "build/toolchains/sanitizer/nvidia").mkdir(parents=True)
        self.run_steps("get-sanitizer")
        self.assertEqual(self.verdicts["get-sanitizer"],
                         "skipped: pip succeeded, but there is no compute-sanitizer in build/toolchains/sanitizer")

    def test_the_library_that_comes_with_pytorch_is_there_for_all_steps_after_it(self):
        self.python("""  *"import torch"*) exit 1 ;;
  *venv*) mkdir -p "$3/bin" "$3/lib/python3.11/site-packages/nvidia/cublas/lib"
     printf '#!/bin/bash\n' >"$3/bin/python"; chmod +x "$3/bin/python" ;;""")
        self.program("build/release/bin/conformance", 'case "$LD_LIBRARY_PATH" in *nvidia/cublas/lib*) ;; *) exit 77 ;; esac')
        self.program("build/release/bin/secondsource", SECONDSOURCE.replace("\\nonednn", "\\n      matmul_library: %s\\nonednn")
                     .replace("another\\n'", "another\\n' \"${LD_LIBRARY_PATH##*nvidia/}\""))
        self.run_steps("conformance-library", "get-pytorch")
        self.assertIn("matmul_library: cublas/lib", self.results)
        for name in ("get-pytorch", "conformance-library"):
            self.assertEqual(self.verdicts[name], "passed", name)
        self.run_steps("golden-smoke")  # in the same folder
        self.assertEqual(self.verdicts["conformance-library"], "passed")

    def test_with_pytorch_figures_become_verdicts(self):
        (self.folder / "case.json").write_text(json.dumps({"cases": [
            {"kind": "attention", "q": 9, "kv": 9, "seqs": 1, "gflop_s": 8, "pytorch_gflop_s": 10}]}))
        self.python("""  *"import torch"*) exit 0 ;;
  *side_by_side.py*) cp case.json "${@: -1}.json"
     echo "a table" >"${@: -1}.md" ;;
  *peer_bench.py*) echo "| a row of models | PyTorch |" ;;""")
        run = self.run_steps("limits", "kernels", "pytorch", "models-beside-pytorch")
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("| 70% | 80.0% (the worst of 1: q:9 kv:9 seqs:1) | met |", self.results)
        self.assertIn("a table", self.results)
        self.assertIn("| a row of models | PyTorch |", self.results)

    def test_results_have_the_figures_and_the_commands_they_came_of(self):
        self.run_steps("run-8B", "kernels")
        self.assertIn("\nrun-8B:\n\n    bundle  variant\n    ------  -------\n    8B      bf16\n", self.results)
        self.assertNotIn("a note", self.results)
        self.assertIn("| BM_matmul/cuda/bf16/m:1/k:8/n:8 | - | 2.0 | 9 | - |", self.results)
        self.run_steps("conformance", "conformance-library", "kernels-library")
        _, commands = self.results.split("\nCommands:\n\n")
        self.assertEqual(commands.count("    build/release/bin/kernel_bench --backend cuda"), 1, commands)
        self.assertEqual(commands.count("    build/release/bin/conformance --backend cuda"), 4, commands)
        self.assertEqual(commands.count("    build/release/bin/secondsource run build/gpu/Llama-3.1-8B"), 1)

    def test_pytorch_beside_kernels_needs_the_limits(self):
        self.python("""  *"import torch"*) exit 0 ;;""")
        self.run_steps("kernels", "pytorch")
        self.assertEqual(self.verdicts["pytorch"], "skipped: the device's read rate is not known (step limits)")

    def test_models_are_measured_anew_when_they_were_finished_and_go_on_when_not(self):
        # Like peer_bench.py --resume, it keeps what the file has, even if PyTorch was absent then.
        peers = """  *"import torch"*) exit 0 ;;
  *peer_bench.py*) for word in "$@"; do case "$word" in */peers.json) file=$word ;; esac; done
     [ ! -f "$file" ] || { echo resumed; cat "$file"; exit STATUS; }
     echo "LINE" | tee "$file"; exit STATUS ;;"""
        def run(line, status):
            self.python(peers.replace("LINE", line).replace("STATUS", str(status)))
            self.run_steps("models-beside-pytorch")
            log = next(self.folder.glob("build/gpu/*/models-beside-pytorch.log")).read_text()
            return self.verdicts["models-beside-pytorch"], "resumed" in log
        self.assertEqual(run("left out: PyTorch: out of memory (4 of 4 cases)", 0),
                         ("skipped: PyTorch was not measured: PyTorch: out of memory (4 of 4 cases)", False))
        row = "| Llama-3.1-8B | bf16 | 1 | 0 | decode | PyTorch |"
        self.assertEqual(run(row, 3), ("FAILED with status 3", False))
        self.assertEqual(run(row, 0), ("passed", True))
        self.assertEqual(run(row, 0), ("passed", False))

    def test_a_vendor_that_cannot_be_used_and_a_step_that_does_not_exist(self):
        run = self.run_steps(vendor="hip")
        self.assertEqual(run.returncode, 1)
        self.assertIn("gpu: hip cannot be used here", run.stdout)
        run = self.run_steps("no-such-step")
        self.assertEqual(run.returncode, 1)
        self.assertIn("gpu: there is no step no-such-step; --list prints them", run.stdout)
        self.program("build/release/bin/secondsource",
                     "printf 'cuda       unavailable   NVIDIA GPUs\\n        why: the driver is too old\\n'")
        run = self.run_steps()
        self.assertEqual(run.returncode, 1)
        self.assertIn("why: the driver is too old", run.stdout)
        # A module that cannot be loaded has no description of a device.
        self.program("build/release/bin/secondsource", "printf 'cuda       unavailable\\n    why: libcudart.so.13 not found\\n'")
        run = self.run_steps()
        self.assertEqual(run.returncode, 1)
        self.assertIn("why: libcudart.so.13 not found", run.stdout)

    def test_the_list_has_every_step_and_each_has_its_function(self):
        script = (SOURCE / "tests/on_gpu/on_device.sh").read_text()
        listed = subprocess.run(["bash", SOURCE / "tests/on_gpu/on_device.sh", "--check", "--list"], stdout=subprocess.PIPE,
                                text=True, check=True).stdout.splitlines()
        names = [line.split(":")[0] for line in listed]
        self.assertEqual(sorted(name.replace("-", "_") for name in names), sorted(re.findall(r"^step_(\w+)\(\)", script, re.M)))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
