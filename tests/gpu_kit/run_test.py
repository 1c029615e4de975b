"""Tests `kit/run` with stand-ins for the programs: the order of the steps, their deadlines, what is written when, what is not
repeated, and what is left if the machine is lost during a step.

    python3 run_test.py SOURCE_FOLDER
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()
sys.path.insert(0, str(SOURCE / "apps/gpu_kit"))
import page  # noqa: E402
from steps import STEPS  # noqa: E402

ROW = ('{"name": "BM_matmul/cuda/bf16/m:512/k:4096/n:4096/manual_time", "run_type": "iteration", "label": "a kernel", "us": 2, '
       '"GB/s": 9, "GFLOP/s": 4000, "of_read": 0.5, "cpu_time": 1}')
# Each stand-in appends its command line to `calls`; some also write the files that the real programs write.
SECONDSOURCE = """case "$1" in
  backends) printf 'cpu        a CPU\\ncuda       1 device   NVIDIA GPUs\\n    0: Stand-In 80GB\\nonednn     another\\n' ;;
  bundle) mkdir -p "$6" && : >"$6/manifest.yaml" ;;
  run) case "$*" in *dependent_launch=1*) ns=4 ;; *) ns=5 ;; esac
    while [ "$1" != --out ]; do shift; done; mkdir "$2" || exit 2
    echo '{"type": "repetition", "cell": "8B/cuda/bf16/single-stream", "more": 1, "decode": {"ns": '$ns', "weight_bytes": 20, "kv_bytes": 20}}' >"$2/samples.jsonl" ;;
esac"""
CONFORMANCE = 'case "$*" in *matmul=library*) echo "skipped --option matmul=library: libcublasLt.so.13 not found"; exit 77 ;; esac'
KERNEL_BENCH = """for word in "$@"; do
  case "$word" in
    --benchmark_out=*) echo '{"context": {"read.cuda": "1 GB/s", "caches": [1]}, "benchmarks": [ROW]}' >"${word#*=}" ;;
    */limits.json) echo '{"devices": [{"backend": "cuda", "read_bytes_per_s": 4e12}]}' >"$word" ;;
    */whole*.json) echo '{"whole_products": [{"name": "whole/x", "verdict": "not compared", "why": "none"}]}' >"$word" ;;
  esac
done""".replace("ROW", ROW)
NVIDIA_SMI = 'case "$*" in *compute_cap*) echo 9.0 ;; esac'
NO_MODULES = 'case "$*" in *"-c import torch"*) exit 1 ;; *) exec PYTHON "$@" ;; esac'.replace("PYTHON", sys.executable)


def is_running(process):
    """Whether the process exists and is not a zombie."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Kit(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-kit-test-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.kit, self.out, self.calls = self.folder / "kit", self.folder / "out", self.folder / "calls"
        (self.kit / "scripts").mkdir(parents=True)
        shutil.copy(SOURCE / "apps/gpu_kit/run", self.kit / "run")
        for script in (SOURCE / "apps/gpu_kit").glob("*.py"):
            shutil.copy(script, self.kit / "scripts")
        (self.kit / "variants/staged-tiles").mkdir(parents=True)
        (self.kit / "kit.json").write_text('{"id": "one"}')
        (self.kit / "share/secondsource/bundles/tiny").mkdir(parents=True)
        self.program("kit/bin/secondsource", SECONDSOURCE)
        self.program("kit/bin/conformance", CONFORMANCE)
        self.program("kit/bin/kernel_bench", KERNEL_BENCH)
        self.program("tools/nvidia-smi", NVIDIA_SMI)
        self.program("tools/python3", NO_MODULES)

    def program(self, path, script):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{path.name} $*" >>"{self.calls}"\n{script}\n')
        path.chmod(0o755)

    def command(self, *arguments, minutes="10"):
        return [sys.executable, "-B", self.kit / "run", "--backend", "cuda", "--out", self.out, "--minutes", minutes, *arguments]

    @property
    def environment(self):
        return {**os.environ, "PATH": f"{self.folder / 'tools'}:/usr/bin:/bin", "TMPDIR": str(self.folder)}

    def sit(self, *arguments, minutes="10"):
        self.calls.write_text("")
        return subprocess.run(self.command(*arguments, minutes=minutes), env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, check=False)

    def entries(self):
        return [json.loads(line) for line in (self.out / "journal.jsonl").read_text().splitlines()]

    def verdicts(self):
        return {entry["step"]: entry["verdict"] for entry in self.entries() if entry["event"] == "ended"}

    def begun(self):
        return [entry["step"] for entry in self.entries() if entry["event"] == "began"]

    def test_all_steps_run_in_order_of_worth_and_leave_four_small_files(self):
        run = self.sit()
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertEqual(self.begun(), [step.name for step in STEPS])
        self.assertEqual(sorted(file.name for file in self.out.iterdir()),
                         ["device.txt", "figures.jsonl", "journal.jsonl", "log.txt"])
        self.assertLess(sum(file.stat().st_size for file in self.out.iterdir()), 100_000)
        verdicts = self.verdicts()
        self.assertEqual({name for name, verdict in verdicts.items() if verdict == "passed"},
                         {"conformance", "limits", "kernels", "conformance-tiles", "conformance-attention", "question-streamed",
                          "question-dependent-launch", "golden", "attention", "tiles", "kernels-quantized", "run-8B", "run-1B"})
        self.assertEqual(set(verdicts.values()), {"passed", "skipped"})
        calls = self.calls.read_text()
        self.assertIn("--each tiles=auto,16x64,64x64,128x128,wgmma128x128,wgmma128x256 ", calls)
        self.assertIn("--each tiles=streamk128x256,cluster128x128,cluster128x256 --family matmul,matmul_w8a8,", calls)
        self.assertRegex(calls, "kernel_bench .*tiles=cluster128x256")
        self.assertIn("bundle synth --like Llama-3.1-8B", calls)
        # The scratch folder was removed.
        self.assertEqual([path.name for path in self.folder.glob("secondsource-kit-*")], [])

    def test_what_is_skipped_says_why(self):
        self.sit()
        why = {entry["step"]: entry["why"] for entry in self.entries() if entry.get("verdict") == "skipped"}
        self.assertEqual(why["whole"], "skipped --option matmul=library: libcublasLt.so.13 not found")
        self.assertIn("no Python here has torch, transformers, safetensors and sees this GPU", why["models-1B-beside-pytorch"])
        self.assertIn("compute-sanitizer was not found", why["racecheck"])

    def test_what_passed_is_not_repeated_unless_it_is_named_and_another_kit_begins_anew(self):
        self.sit("--sitting", "1")
        self.sit("--sitting", "1")
        self.assertNotIn("--save-limits", self.calls.read_text())
        self.sit("limits")
        self.assertIn("--save-limits", self.calls.read_text())
        (self.kit / "kit.json").write_text('{"id": "two"}')
        self.sit("--sitting", "1")
        self.assertIn("--save-limits", self.calls.read_text())

    def test_runs_of_models_start_anew_and_a_question_about_one_generation_is_skipped_on_others(self):
        self.sit("run-8B")
        self.sit("run-8B")  # the results of the first run are already in the work folder
        self.assertEqual(self.verdicts(), {"run-8B": "passed"})
        self.program("tools/nvidia-smi", 'case "$*" in *compute_cap*) echo 8.0 ;; esac')
        self.sit("question-dependent-launch")
        self.assertEqual(self.entries()[-1]["why"], "this kit asks it on sm_90 alone")

    def test_a_step_beyond_its_time_is_killed_with_what_it_started_and_comes_last_next_time(self):
        self.program("kit/bin/kernel_bench", 'case "$*" in *--save-limits*) sleep 300 & echo $! >"$PIDS"; wait ;; esac\n'.replace(
            "$PIDS", str(self.folder / "child")) + KERNEL_BENCH)
        run = self.sit("limits", minutes="0.28")  # short enough that the step reaches its deadline
        self.assertEqual(run.returncode, 1, run.stdout)
        self.assertEqual(self.verdicts(), {"limits": "killed"})
        child = int((self.folder / "child").read_text())
        self.assertFalse(is_running(child))
        self.program("kit/bin/kernel_bench", KERNEL_BENCH)
        self.sit("--sitting", "1")
        self.assertEqual(self.begun()[1], "conformance")
        self.assertEqual(self.begun()[-1], "limits")
        self.assertEqual(self.verdicts()["limits"], "passed")

    def test_a_machine_that_goes_away_leaves_what_is_known_and_the_step_is_counted(self):
        self.program("kit/bin/kernel_bench", 'case "$*" in *kernels.json*) sleep 300 ;; esac\n' + KERNEL_BENCH)
        self.calls.write_text("")
        kit = subprocess.Popen(self.command(), env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while "kernels.json" not in self.calls.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        kit.send_signal(signal.SIGKILL)
        kit.wait()
        self.assertEqual(self.verdicts(), {"conformance": "passed", "limits": "passed"})
        self.assertEqual(self.begun()[-1], "kernels")
        with open(self.out / "journal.jsonl", "a", encoding="utf-8") as file:
            file.write('{"event": "ended", "st')  # a line that was cut off in the middle
        self.assertIn("| kernels |", page.page(self.out))
        self.assertIn("killed: it began and nothing says how it ended; killed 1 time", page.page(self.out))
        self.program("kit/bin/kernel_bench", KERNEL_BENCH)
        self.sit("--sitting", "1")
        lines = [json.loads(line) for line in (self.out / "journal.jsonl").read_text().splitlines() if line.endswith("}")]
        begun = [entry["step"] for entry in lines if entry["event"] == "began"]
        self.assertEqual(begun[3], "golden")
        self.assertEqual(begun[-1], "kernels")

    def test_told_to_end_it_writes_the_verdict_first(self):
        self.program("kit/bin/conformance", "sleep 300")
        self.calls.write_text("")
        kit = subprocess.Popen(self.command(), env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while "conformance" not in self.calls.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        kit.send_signal(signal.SIGTERM)
        _, said = kit.communicate(timeout=30)
        self.assertEqual(kit.returncode, 1)
        self.assertIn("told to end", said)
        self.assertEqual(self.verdicts(), {"conformance": "killed"})

    def test_a_step_that_needs_more_than_what_is_left_is_left_out(self):
        run = self.sit("conformance", "run-8B", "limits", minutes="0.5")
        self.assertEqual(self.begun(), ["conformance", "limits"])
        self.assertIn("the time was too short for run-8B", run.stdout)

    def test_a_failed_step_does_not_stop_the_others_and_says_what_was_last(self):
        self.program("kit/bin/conformance", 'echo "matmul: 3 of 40 cases are wrong"; exit 1')
        run = self.sit("--sitting", "1")
        self.assertEqual(run.returncode, 1)
        failed = [entry for entry in self.entries() if entry.get("verdict") == "failed"]
        self.assertEqual(failed[0]["why"], "status 1: matmul: 3 of 40 cases are wrong")
        self.assertEqual(self.verdicts()["limits"], "passed")
        self.assertIn("matmul: 3 of 40 cases are wrong", (self.out / "log.txt").read_text())

    def test_half_a_document_keeps_its_whole_rows(self):
        self.program("kit/bin/kernel_bench", """for word in "$@"; do case "$word" in --benchmark_out=*)
          printf '{"context": {}, "benchmarks": [ROW, {"name": "BM_ma' >"${word#*=}"; exit 9 ;; esac; done""".replace("ROW", ROW))
        self.sit("kernels")
        self.assertEqual(self.verdicts(), {"kernels": "failed"})
        self.assertIn("| BM_matmul/cuda/bf16/m:512/k:4096/n:4096 | a kernel | 2.0 | 9 | 50% |", page.page(self.out))

    def test_the_page_has_verdicts_aims_and_answers(self):
        self.program("kit/bin/conformance", "true")  # as if this machine had the vendor's library
        self.sit()
        text = page.page(self.out)
        self.assertIn("0: Stand-In 80GB", text)
        self.assertIn("| BM_matmul/cuda/bf16/m:512/k:4096/n:4096 | 4000 | 4000 | 1.000 |", text)
        self.assertIn("## Weights staged and streamed", text)
        self.assertIn("## Kernels one by one and overlapping", text)
        self.assertIn("| Llama-3.2-1B, bf16, one sequence | 8 | 10 | 1.250 |", text)
        self.assertIn("| whole/x | not compared: none | - | - | - |", text)
        self.assertIn("## Whole products in equal shares of steps", text)
        self.assertIn("## Each shape of tiles", text)
        self.assertIn("| decode of Llama-3.1-8B, bf16, one sequence: share of the measured read rate | 90% | 0.2%", text)
        self.assertEqual(text.count("| passed |"), 16)

    def test_a_file_that_the_file_system_dates_before_its_step_is_kept(self):
        dated = 'for word in "$@"; do case "$word" in --benchmark_out=*) touch -d "1 hour ago" "${word#*=}" ;; esac; done'
        self.program("kit/bin/kernel_bench", f"{KERNEL_BENCH}\n{dated}")
        self.sit("kernels")
        self.assertIn("| BM_matmul/cuda/bf16/m:512/k:4096/n:4096 | a kernel | 2.0 | 9 |", page.page(self.out))

    def test_what_an_earlier_sitting_wrote_is_not_kept_again(self):
        self.sit("kernels")
        self.program("kit/bin/kernel_bench", "exit 9")
        self.sit("kernels")
        lines = [json.loads(line) for line in (self.out / "figures.jsonl").read_text().splitlines()]
        self.assertEqual([line["file"] for line in lines], ["kernels.json"])

    def test_figures_of_an_earlier_sitting_serve_the_next(self):
        self.sit("kernels", "limits")
        self.program("tools/python3", f'case "$*" in *"-c import"*) ;; *side_by_side*) cat "$2" >/dev/null && echo "{{}}" >"$4.json" ;; '
                                      f'*) exec {sys.executable} "$@" ;; esac')
        self.sit("pytorch")
        self.assertEqual(self.verdicts()["pytorch"], "passed", (self.out / "log.txt").read_text())

    def test_bad_input_is_one_line(self):
        for arguments, message in ((["nothing"], "kit: there is no step nothing; --list prints them\n"),
                                   (["--minutes", "0"], "kit: --minutes: expected more than 0, found 0\n")):
            run = self.sit(*arguments)
            self.assertEqual((run.returncode, run.stdout), (2, message))
        self.program("kit/bin/secondsource", "echo 'cuda       unavailable   NVIDIA GPUs'; echo '    why: no driver'")
        run = self.sit()
        self.assertEqual(run.returncode, 2)
        self.assertIn("cuda cannot be used here:\ncuda       unavailable   NVIDIA GPUs\n    why: no driver", run.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
