"""Packs a kit of this build and runs real steps of it in a bare Debian 13 root without network, with the shim in place of a GPU.

    python3 elsewhere_test.py SOURCE_FOLDER BUILD_FOLDER [ROOT.tar]

ROOT.tar is a root file system from an earlier run of mmdebstrap. Without it, the test makes one, which needs mmdebstrap and a mirror; it
ends with 77 where that is not possible. The root has the essential packages and Python.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77
SOURCE, BUILD = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])


def skip(why):
    print(f"skipped: {why}")
    raise SystemExit(SKIPPED)


def unshared(*command):
    """The command, prefixed so that it runs in new namespaces, with no network interface but an unconfigured loopback."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *user, "--net", "--mount", "--pid", "--fork", *command]


def make_root(folder):
    root = folder / "root"
    root.mkdir()
    if len(sys.argv) > 3:
        archive = pathlib.Path(sys.argv[3])
    else:
        if shutil.which("mmdebstrap") is None:
            skip("mmdebstrap is not installed")
        archive = folder / "root.tar"
        made = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3",
                               '--aptopt=Acquire::Languages "none"', "trixie", archive], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if made.returncode != 0:
            skip(f"no Debian 13 root could be made: {made.stdout.strip().splitlines()[-1:]}")
    # Device files cannot be created on every machine. The test only needs those that inside() binds into the root.
    subprocess.run(["tar", "-xf", archive, "-C", root, "--exclude=./dev/*", "--no-same-owner"], check=True)
    return root


class Elsewhere(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if subprocess.run(unshared("true"), stderr=subprocess.DEVNULL, check=False).returncode != 0:
            skip("namespaces cannot be made here")
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-elsewhere-")
        cls.addClassCleanup(cls.scratch.cleanup)
        folder = pathlib.Path(cls.scratch.name)
        cls.root = make_root(folder)
        cls.kit = cls.root / "kit"
        packed = subprocess.run([sys.executable, "-B", SOURCE / "apps/gpu_kit/pack.py", "--build", BUILD, "--out", cls.kit,
                                 # This kit is larger than a real one, because the build has libcurl and the shim module.
                                 "--modules", "reference,gpu-shim", "--max-mb", "60"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert packed.returncode == 0, packed.stdout
        print(packed.stdout, end="")

    def inside(self, *command, timeout=1800):
        """Runs a command in the root, with the basic device files in /dev and a /proc that does not show the host's processes."""
        script = ('mount --make-rprivate / && mkdir -p "$0/dev" && mount -t tmpfs none "$0/dev" && '
                  'for file in null zero random urandom; do touch "$0/dev/$file"; mount --bind "/dev/$file" "$0/dev/$file"; done; '
                  'mkdir -p "$0/proc" && mount -t proc none "$0/proc"; exec chroot "$0" "$@"')
        return subprocess.run(unshared("sh", "-c", script, self.root, *command), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})

    def test_it_is_another_distribution_without_network(self):
        self.assertIn("Debian GNU/Linux 13", self.inside("cat", "/etc/os-release").stdout)
        said = self.inside("python3", "-c", "import socket; socket.create_connection(('192.0.2.1', 80), 1)").stdout
        self.assertIn("Network is unreachable", said)

    def test_the_programs_run_with_nothing_installed(self):
        for program in ("secondsource", "kernel_bench", "conformance"):
            said = self.inside("/bin/sh", "-c", f"LD_LIBRARY_PATH=/kit/lib ldd /kit/bin/{program}").stdout
            self.assertNotIn("not found", said)
        run = self.inside("/kit/secondsource", "backends")
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("gpu-shim", run.stdout)
        self.assertIn("whole", self.inside("/kit/kernel_bench", "--help").stdout)

    def test_without_a_gpu_it_says_so_in_one_line(self):
        run = self.inside("/kit/run", "--minutes", "1", "--out", "/tmp/none")
        self.assertEqual((run.returncode, run.stdout.count("\n")), (2, 1), run.stdout)
        self.assertIn("kit: no GPU here", run.stdout)

    def test_a_sitting_leaves_verdicts_and_a_page_is_made_elsewhere(self):
        run = self.inside("/kit/run", "--backend", "gpu-shim", "--minutes", "20", "--out", "/results", "conformance-attention",
                          "golden", "question-dependent-launch")
        out = self.root / "results"
        entries = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
        verdicts = {entry["step"]: entry["verdict"] for entry in entries if entry["event"] == "ended"}
        self.assertEqual(verdicts["question-dependent-launch"], "skipped", run.stdout)
        # The shim is thousands of times slower than a GPU, so the step may reach its deadline, which also gives a verdict.
        self.assertIn(verdicts["conformance-attention"], ("passed", "killed"), run.stdout)
        log = (out / "log.txt").read_text()
        self.assertIn("+ LD_LIBRARY_PATH=/kit/lib", log)
        self.assertNotIn("error while loading shared libraries", log)
        self.assertLessEqual(len(list(out.iterdir())), 8)
        page = subprocess.run([sys.executable, "-B", SOURCE / "apps/gpu_kit/page.py", out], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        self.assertIn("| 1 | conformance-attention |", page)

    def test_a_whole_product_is_compared(self):
        run = self.inside("/kit/kernel_bench", "--backend", "gpu-shim", "--whole", "reference", "--model", "SmolLM2-135M",
                          "--rows", "5", "--variant", "bf16", "--whole-repetitions", "1")
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertEqual(run.stdout.count(": passed: "), 4, run.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
