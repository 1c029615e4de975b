"""Tests peer_bench.py with stand-ins for llama.cpp's programs, which print its formats (version 0.7.0), and without PyTorch.

    python3 peer_bench_test.py SECONDSOURCE SOURCE_FOLDER
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])

# Every measurement must have the option `--device none`, which selects the CPU.
ON_THE_CPU = 'case "$*" in *--version*|*--help*|*"--device none"*) ;; *) exit 5 ;; esac\n'
STAND_INS = {
    "llama-bench": ON_THE_CPU + """case "$*" in
  *--version*) echo "version: 0.0 (stand-in)" ;;
  *--help*) echo "  -lm, --load-mode <none|mmap>" ;;
  *"-p 512"*) echo '[{"avg_ts": 1000.0}]' ;;
  *"--load-mode none"*"-p 0 -n 8"*) [ "$GLIBC_TUNABLES" = glibc.malloc.hugetlb=1 ] || exit 9
     echo '[{"avg_ts": 50.0}]' ;;
  *"-p 0 -n 8"*) [ -z "$GLIBC_TUNABLES" ] || exit 8
     echo '[{"avg_ts": 40.0}]' ;;
  *) exit 7 ;;
esac""",
    "llama-batched-bench": ON_THE_CPU + """case "$*" in
  *--help*) echo "  --load-mode MODE" ;;
  *"-npp 1 -ntg 8 -npl 4 --output-format"*) echo "a line of another kind"; echo '{"n_kv": 9, "speed_pp": 90.0, "speed_tg": 80.0, "speed": 85.0}' ;;
  *"-c 319 -npp 31 -ntg 8 -npl 4 -pps --output-format"*) echo '{"speed_pp": 800.0, "speed_tg": 30.0}' ;;
  *"-c 295 -npp 31 -ntg 8 -npl 1 -pps --output-format"*) echo '{"speed_pp": 900.0, "speed_tg": 35.0}' ;;
  *) exit 6 ;;
esac""",
    "llama-completion": 'echo "system_info: n_threads = 2 | CPU : AVX512 = 1 | LLAMAFILE = 1 |" >&2',
    "llama-quantize": ': > "$2"',
}


class PeerBench(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-peers-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        (self.folder / "bin").mkdir()
        (self.folder / "python").mkdir()
        (self.folder / "python/gguf.py").write_text("")
        (self.folder / "python/torch.py").write_text("")
        (self.folder / "python/transformers.py").write_text("")
        (self.folder / "work").mkdir()
        (self.folder / "work/demo-50m-BF16.gguf").write_text("")

    def stand_in(self, name, script, folder="bin"):
        path = self.folder / folder / name
        path.write_text("#!/bin/sh\n" + script + "\n")
        path.chmod(0o755)

    def bench(self, *arguments, program=PROGRAM):
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(self.folder / "python")}
        return subprocess.run(
            [sys.executable, SOURCE / "apps/peer_bench/peer_bench.py", "--program", program, "--work", self.folder / "work",
             "--shape", "demo-50m", "--generate", "8", "--rounds", "2", "--out", self.folder / "out.json",
             *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_ratios_are_ours_over_theirs_and_what_is_left_out_is_said(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        run = self.bench("--precision", "int8", "--batch", "1,4", "--context", "0")
        self.assertEqual(run.returncode, 0, run.stderr)
        rows = re.findall(r"^\| demo-50m \| int8 \| (\d) \| 0 \| (\w+) \| (llama.cpp[^|]*) \| ([\d.]+) \| \d+ % (?:read|compute) \| ([\d.]+) \| ([\d.]+) \(([\d.]+) to ([\d.]+)\)",
                          run.stdout, re.M)
        tuned, default = "llama.cpp, huge pages", "llama.cpp"
        self.assertEqual([(row[0], row[1], row[2], float(row[4])) for row in rows],
                         [("1", "decode", tuned, 50.0), ("1", "prefill", tuned, 1000.0), ("1", "decode", default, 40.0),
                          ("1", "prefill", default, 1000.0), ("4", "decode", tuned, 80.0), ("4", "decode", default, 80.0)])
        for *_, ours, theirs, middle, low, high in rows:
            self.assertLessEqual(float(low), float(middle))
            self.assertLessEqual(float(middle), float(high))
            self.assertAlmostEqual(float(middle), float(ours) / float(theirs), delta=0.02 + 0.01 * float(middle))
        self.assertIn("llama.cpp: version: 0.0 (stand-in); built with GGML_LLAMAFILE", run.stdout)
        self.assertRegex(run.stdout, r"\nsecondsource: secondsource \S+; cpu on \w")
        self.assertIn("left out: PyTorch: bf16 alone (2 of 2 cases)", run.stdout)
        self.assertIn("left out: PyTorch, CUDA graphs: on GPUs alone (2 of 2 cases)", run.stdout)
        found = json.loads((self.folder / "out.json").read_text())
        self.assertEqual([len(case["rates"]["llama.cpp"]) for case in found["cases"]], [2, 2])
        self.assertIn("2 of 2: demo-50m int8 batch 4 context 0, round 1 of 2, about", run.stderr)
        # Stored results are shown again without measuring anything, which the absence of the programs proves.
        for name in STAND_INS:
            (self.folder / "bin" / name).unlink()
        again = self.bench("--precision", "int8", "--batch", "1,4", "--context", "0", "--resume")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(again.stdout, run.stdout)

    def test_what_was_stopped_goes_on_with_the_next_round(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        # The third generation by llama-bench, in the second round, kills the whole command, as a time limit would.
        stop = 'case "$*" in *"-p 0 -n 8"*) echo >> "$0.seen"; [ $(wc -l < "$0.seen") -ne 3 ] || { kill -9 $PPID; exit 1; } ;; esac\n'
        self.stand_in("llama-bench", stop + STAND_INS["llama-bench"])
        case = "--precision", "int8", "--batch", "1", "--context", "0", "--resume"
        self.assertEqual(self.bench(*case).returncode, -9)
        first, = json.loads((self.folder / "out.json").read_text())["cases"]
        self.assertEqual([len(rounds) for rounds in first["rates"].values()][:3], [1, 1, 1])
        run = self.bench(*case)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertNotIn("round 1 of 2", run.stderr)
        self.assertIn("round 2 of 2", run.stderr)
        whole, = json.loads((self.folder / "out.json").read_text())["cases"]
        self.assertEqual([len(rounds) for rounds in whole["rates"].values()][:3], [2, 2, 2])
        for name, rounds in first["rates"].items():
            self.assertEqual(whole["rates"][name][:len(rounds)], rounds)

    def test_cases_that_come_later_are_kept_while_earlier_ones_get_more_rounds(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        cases = "--precision", "int8", "--batch", "1,4", "--context", "0"
        self.assertEqual(self.bench(*cases).returncode, 0)
        before = json.loads((self.folder / "out.json").read_text())["cases"]
        stop = 'case "$*" in *"-p 0 -n 8"*) echo >> "$0.seen"; [ $(wc -l < "$0.seen") -ne 3 ] || { kill -9 $PPID; exit 1; } ;; esac\n'
        self.stand_in("llama-bench", stop + STAND_INS["llama-bench"])
        self.assertEqual(self.bench(*cases, "--rounds", "4", "--resume").returncode, -9)
        after = json.loads((self.folder / "out.json").read_text())["cases"]
        self.assertEqual([len(entry["rates"]["llama.cpp"]) for entry in after], [3, 2])
        self.assertEqual(after[1], before[1])

    def test_a_batch_shares_its_context(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        run = self.bench("--precision", "int8", "--batch", "4", "--context", "31")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r"\| demo-50m \| int8 \| 4 \| 31 \| decode \| llama.cpp \| [\d.]+ \| \d+ % (?:read|compute) \| 30.0 \|")
        self.assertNotIn("prefill", run.stdout)

    def test_the_prefill_of_a_context_is_timed_and_a_peer_can_be_chosen(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        run = self.bench("--precision", "int8", "--batch", "1", "--context", "31", "--peer", "llama.cpp")
        self.assertEqual(run.returncode, 0, run.stderr)
        rows = re.findall(r"^\| demo-50m \| int8 \| 1 \| 31 \| (\w+) \| ([^|]+) \| [\d.]+ \| \d+ % (?:read|compute) \| ([\d.]+) \|",
                          run.stdout, re.M)
        self.assertEqual(rows, [("decode", "llama.cpp", "35.0"), ("prefill", "llama.cpp", "900.0")])
        self.assertNotIn("huge pages", run.stdout)
        # A peer with stored rounds must not be left out, because its rounds would be lost or be paired with rounds of another run.
        stored = (self.folder / "out.json").read_text()
        run = self.bench("--precision", "int8", "--batch", "1", "--context", "31", "--peer", "PyTorch", "--resume")
        self.assertEqual(run.returncode, 2)
        self.assertIn("out.json has rounds of llama.cpp in demo-50m int8 batch 1 context 31: expected it among the peers", run.stderr)
        self.assertEqual((self.folder / "out.json").read_text(), stored)
        run = self.bench("--precision", "int8", "--peer", "llama")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--peer: expected one of llama.cpp, huge pages; llama.cpp; PyTorch", run.stderr)

    def test_rounds_of_another_version_are_not_added_to(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        case = "--precision", "int8", "--batch", "1", "--context", "0"
        self.assertEqual(self.bench(*case).returncode, 0)
        stored = (self.folder / "out.json").read_text()
        self.stand_in("llama-bench", STAND_INS["llama-bench"].replace("0.0 (", "0.1 ("))
        run = self.bench(*case, "--rounds", "3", "--resume")
        self.assertEqual(run.returncode, 2)
        self.assertRegex(run.stderr, r"out.json has rounds of llama.cpp, huge pages in version: 0.0 \(stand-in\).*, found version: 0.1")
        self.assertEqual((self.folder / "out.json").read_text(), stored)

    def test_lost_figures_are_measured_again(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        case = "--precision", "int8", "--batch", "4", "--context", "0"
        lost_once = 'case "$*" in *-npl*) [ -e "$0.seen" ] || { : > "$0.seen"; exit 0; } ;; esac\n'
        self.stand_in("llama-batched-bench", lost_once + STAND_INS["llama-batched-bench"])
        run = self.bench(*case)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(len(re.findall(r"\| decode \| llama.cpp[^|]* \| [\d.]+ \| \d+ % \w+ \| 80.0 \|", run.stdout)), 2)
        self.stand_in("llama-batched-bench", "exit 0")
        run = self.bench(*case)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("left out: llama.cpp: llama-batched-bench ended without figures 3 times (1 of 1 cases)", run.stdout)

    def test_of_gguf_both_read_the_same_file(self):
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        # The stand-in for llama-quantize writes an empty file, of which no bundle can be created. Therefore a stand-in for our program
        # synthesizes a bundle with the same shape, and runs int4 instead of gguf-q4_k.
        file = self.folder / "work/demo-50m-Q4_K_M.gguf"
        of_file = f'case "$*" in *--version*|*--help*|*"-m {file} "*) ;; *) exit 4 ;; esac\n'
        self.stand_in("llama-bench", of_file + STAND_INS["llama-bench"])
        bundle = file.with_suffix("")
        self.stand_in("ours", f"""case "$*" in
  "bundle create --from-gguf {file} --out {bundle}") exec {PROGRAM} bundle synth --like demo-50m --out {bundle} ;;
  "run {bundle} "*"--variant gguf-q4_k "*) exec {PROGRAM} $(printf '%s ' "$@" | sed 's/gguf-q4_k/int4/') ;;
  run*) exit 5 ;;
esac
exec {PROGRAM} "$@" """)
        case = "--precision", "gguf-q4_k", "--batch", "1", "--context", "0"
        run = self.bench(*case, program=self.folder / "bin/ours")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r"\| demo-50m \| gguf-q4_k \| 1 \| 0 \| decode \| llama.cpp \| [\d.]+ \| \d+ % (?:read|compute) \| 40.0 \|")
        self.assertTrue(file.exists() and (bundle / "manifest.yaml").exists())
        (self.folder / "bin/llama-quantize").unlink()
        run = self.bench(*case)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("the program llama-quantize, which makes the file, is not installed", run.stderr)

    def test_builds_of_llama_cpp_are_compared_by_name(self):
        (self.folder / "other").mkdir()
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
            other = script.replace("0.0 (", "0.1 (").replace("1000.0", "2000.0").replace("LLAMAFILE = 1", "LLAMAFILE = 0")
            self.stand_in(name, other, "other")
        case = "--precision", "int8", "--batch", "1", "--context", "0"
        old, new = f"old={self.folder / 'bin'}", f"new={self.folder / 'other'}"
        run = self.bench(*case, "--llama", old)
        self.assertEqual(run.returncode, 0, run.stderr)
        # The stored case lacks one of the two builds, so it is measured again with both.
        run = self.bench(*case, "--llama", old, "--llama", new, "--resume")
        self.assertEqual(run.returncode, 0, run.stderr)
        rates = re.findall(r"\| prefill \| (llama.cpp[^|]*) \| [\d.]+ \| \d+ % \w+ \| ([\d.]+) \|", run.stdout)
        self.assertEqual(rates, [("llama.cpp old, huge pages", "1000.0"), ("llama.cpp old", "1000.0"),
                                 ("llama.cpp new, huge pages", "2000.0"), ("llama.cpp new", "2000.0")])
        self.assertIn("llama.cpp old: version: 0.0 (stand-in); built with GGML_LLAMAFILE", run.stdout)
        self.assertIn("llama.cpp new: version: 0.1 (stand-in); built without GGML_LLAMAFILE", run.stdout)
        (self.folder / "other/llama-bench").unlink()
        run = self.bench(*case, "--llama", old, "--llama", new)
        self.assertIn(f"left out: llama.cpp new: the program llama-bench is not in {self.folder / 'other'}", run.stdout)
        self.assertIn("| llama.cpp old |", run.stdout)

    def bench_vulkan(self, *arguments, devices):
        """Runs peer_bench.py with a stand-in for llama.cpp that lists these devices and measures only on Vulkan1, and with a stand-in for
        our program that reports "GPU 9000 (driver)" as the device of vulkan and runs cpu instead."""
        for name, script in STAND_INS.items():
            self.stand_in(name, script.replace("--device none", "--device Vulkan1 -ngl 999 -fa auto"))
        listed = "Available devices:\n" + "".join(f"  {device} (16384 MiB, 15000 MiB free)\n" for device in devices)
        (self.folder / "devices").write_text(listed)
        list_devices = f'case "$*" in --list-devices) exec cat {self.folder / "devices"} ;; esac\n'
        self.stand_in("llama-bench", list_devices + (self.folder / "bin/llama-bench").read_text())
        (self.folder / "backends.json").write_text(json.dumps({"backends": [
            {"name": "cpu", "devices": [{"name": "a CPU"}]},
            {"name": "vulkan", "devices": [{"name": "GPU 9000 (driver)"}, {"name": "GPU 1"}]}]}))
        self.stand_in("ours", f"""case "$*" in
  "backends --json") exec cat {self.folder / "backends.json"} ;;
  run*" --backend vulkan "*) exec {PROGRAM} $(printf '%s ' "$@" | sed 's/--backend vulkan/--backend cpu/') ;;
  run*) exit 5 ;;
esac
exec {PROGRAM} "$@" """)
        return self.bench("--backend", "vulkan", "--precision", "int8", "--context", "0", *arguments, program=self.folder / "bin/ours")

    def test_beside_vulkan_llama_cpp_computes_on_the_same_device(self):
        run = self.bench_vulkan("--batch", "1,4", devices=["CUDA0: GPU 9000 (driver)", "Vulkan0: GPU 1", "Vulkan1: GPU 9000 (driver)"])
        self.assertEqual(run.returncode, 0, run.stderr)
        rows = re.findall(r"^\| demo-50m \| int8 \| (\d) \| 0 \| (\w+) \| ([^|]*) \| [\d.]+ \| [^|]+ \| ([\d.]+) \|",
                          run.stdout, re.M)
        name = "llama.cpp, Vulkan on GPU 9000 (driver)"
        self.assertEqual(rows, [("1", "decode", name, "40.0"), ("1", "prefill", name, "1000.0"), ("4", "decode", name, "80.0")])
        self.assertIn(f"{name}: version: 0.0 (stand-in); --device Vulkan1 -ngl 999 -fa auto", run.stdout)
        self.assertRegex(run.stdout, r"\nsecondsource: secondsource \S+; vulkan on GPU 9000 \(driver\)\n")

    def test_beside_vulkan_llama_cpp_is_left_out_where_it_does_not_have_our_device(self):
        for devices, why in (
                (["CUDA0: GPU 9000 (driver)"], "names no Vulkan device: it was built without Vulkan, or found no GPU"),
                (["Vulkan0: GPU 1", "Vulkan1: GPU 9000"], "does not name our device, only Vulkan0: GPU 1, Vulkan1: GPU 9000")):
            run = self.bench_vulkan("--batch", "1", "--rounds", "1", devices=devices)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertIn(f"left out: llama.cpp, Vulkan on GPU 9000 (driver): llama-bench --list-devices {why} (1 of 1 cases)",
                          run.stdout)
            self.assertNotIn("| llama.cpp", run.stdout)

    def test_a_peer_that_is_absent_or_fails_is_left_out_with_its_reason(self):
        run = self.bench("--precision", "bf16,int8", "--batch", "1", "--context", "0")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("left out: llama.cpp: the program llama-bench is not installed (2 of 2 cases)", run.stdout)
        for name, script in STAND_INS.items():
            self.stand_in(name, script)
        self.stand_in("llama-bench", "echo 'cannot load the model' >&2; exit 3")
        run = self.bench("--precision", "int8", "--batch", "1", "--context", "0")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("left out: llama.cpp: llama-bench ended with 3: cannot load the model (1 of 1 cases)", run.stdout)

    def test_a_backend_that_is_not_there_ends_with_its_reason(self):
        run = self.bench("--precision", "bf16", "--batch", "1", "--context", "0", "--backend", "cuda")
        self.assertEqual(run.returncode, 1)
        self.assertRegex(run.stderr, r"peer_bench: demo-50m bf16 batch 1 context 0: .*cuda")

    def test_bad_input_is_refused_with_status_2(self):
        for arguments in (("--rounds", "0"), ("--batch", "0"), ("--precision", "bf16", "--generate", "1")):
            run = self.bench(*arguments)
            self.assertEqual(run.returncode, 2)
            self.assertIn("expected at least one", run.stderr)
        for builds in (["here"], ["here="], ["=/usr"], ["here=/no/such/folder"], ["here=/usr", "here=/bin"]):
            run = self.bench("--precision", "bf16", *(word for build in builds for word in ("--llama", build)))
            self.assertEqual(run.returncode, 2)
            self.assertIn("--llama: expected NAME=FOLDER", run.stderr)
        run = self.bench("--precision", "int3")
        self.assertEqual(run.returncode, 2)
        self.assertIn("--precision: expected bf16, int8, int8-g32, int8-g32-w8a8, int4, int4-w8a8, gguf-q8_0, gguf-q4_0, gguf-q4_k, "
                      "gguf-q5_k, gguf-q6_k, found int3", run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
