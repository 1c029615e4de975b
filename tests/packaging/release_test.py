"""Tests the files that `./dev release` makes: checksums, bills of materials, and the wheel. The wheel is tested in a clean environment,
in which it may use no libraries from outside but basic system libraries, and in a root of another Debian release.

    python3 release_test.py SOURCE_FOLDER

Skipped (77) if a tool for building the wheel is missing.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

SOURCE = pathlib.Path(sys.argv[1]).resolve()
OTHER_RELEASE = "trixie"  # packages are built on Debian 12, bookworm


def call(*command, **options):
    run = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=3000, **options)
    assert run.returncode == 0, (command, run.returncode, run.stdout[-6000:])
    return run.stdout


def missing():
    for tool in ("cmake", "ninja", "dpkg-shlibdeps", "unzip"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", tempfile.mkdtemp(), "auditwheel"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return "" if probe.returncode == 0 else "no package index can be reached"


class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-release-")
        cls.out = pathlib.Path(os.environ.get("SECONDSOURCE_RELEASE_FILES") or cls.scratch.name).resolve()
        if not (cls.out / "SHA256SUMS").exists():
            call(SOURCE / "backends/packaging/release.sh", cls.out)
        cls.wheel, = cls.out.glob("secondsource-*.whl")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_every_file_has_its_sum(self):
        sums = dict(line.split("  ")[::-1] for line in (self.out / "SHA256SUMS").read_text().splitlines())
        files = {path.name for path in self.out.iterdir() if path.is_file() and path.name != "SHA256SUMS"}
        self.assertEqual(set(sums), files)
        for name, expected in sums.items():
            self.assertEqual(hashlib.sha256((self.out / name).read_bytes()).hexdigest(), expected, name)
        for ending in (".whl", ".deb", ".tar.gz", "-wheel.spdx.json", "-deb.spdx.json"):
            self.assertEqual(len([name for name in files if name.endswith(ending)]), 1, (ending, files))

    def test_the_bill_of_the_wheel_names_the_package_of_every_library_in_it(self):
        bill, = self.out.glob("*-wheel.spdx.json")
        names = {package["name"] for package in json.loads(bill.read_text())["packages"]}
        with zipfile.ZipFile(self.wheel) as wheel:
            libraries = [name for name in wheel.namelist() if re.search(r"/libraries/[^/]*\.so", name)]
            licensed = {pathlib.Path(name).name[:-len(".copyright")] for name in wheel.namelist() if name.endswith(".copyright")}
        self.assertGreater(len(libraries), 5)
        self.assertLessEqual(licensed, names)
        for soname in libraries:
            said = subprocess.run(["dpkg", "-S", f"*/{pathlib.Path(soname).name}"], stdout=subprocess.PIPE, text=True).stdout
            self.assertTrue(any(line.split(":")[0] in licensed for line in said.splitlines()), (soname, said))

    def test_the_changes_are_the_newest_section(self):
        text = (self.out / "CHANGES.md").read_text()
        self.assertEqual(len(re.findall(r"(?m)^## ", text)), 1)
        self.assertIn(text.splitlines()[0], (SOURCE / "CHANGELOG.md").read_text())

    def test_the_wheel_runs_in_a_clean_environment_on_its_own_libraries(self):
        with tempfile.TemporaryDirectory(prefix="secondsource-wheel-") as scratch:
            environment = pathlib.Path(scratch).resolve() / "venv"
            call(sys.executable, "-m", "venv", environment)
            call(environment / "bin/pip", "install", "--quiet", "--no-index", self.wheel)
            program = environment / "bin/secondsource"
            clean = {"PATH": "/usr/bin:/bin", "HOME": scratch}
            version = call(program, "--version", env=clean, cwd="/")
            self.assertIn(f"data: {environment}/share/secondsource", version)
            self.assertEqual(program.read_bytes()[:4], b"\x7fELF")  # the program itself, and not a Python script that starts it
            loaded = call("ldd", program)
            outside = [line.split("=>")[1].split()[0] for line in loaded.splitlines() if "=> /" in line]
            allowed = re.compile(r"/lib(c|m|dl|rt|pthread|resolv|stdc\+\+|gcc_s)\.so")
            self.assertEqual([path for path in outside if str(environment) not in str(pathlib.Path(path).resolve()) and not allowed.search(path)], [])
            listed = call(program, "backends", env=clean, cwd="/")
            self.assertRegex(listed, r"(?m)^cpu +available")
            self.assertRegex(listed, r"(?m)^onednn +available")
            self.assertIn("PASSED", call(program, "check", "installed:default", "--suite", "smoke", "--variant", "bf16",
                                         "--backend", "cpu,onednn", env=clean, cwd=scratch))
            said = call(environment / "bin/python", "-c", "import secondsource, sys; run = secondsource.read_run(sys.argv[1]); "
                        "print(len(run.cells), secondsource.__file__)", SOURCE / "reports/samples/runs/cpu", env=clean, cwd="/")
            self.assertRegex(said, r"^8 .*/site-packages/secondsource/__init__\.py\n\Z")
            self.assertTrue(list(environment.glob("lib/python*/site-packages/secondsource/py.typed")))
            call(environment / "bin/pip", "uninstall", "--quiet", "--yes", "secondsource")
            self.assertFalse(program.exists() or (environment / "share/secondsource/bundles/default/manifest.yaml").exists())

    def test_the_wheel_runs_in_a_root_of_another_release(self):
        if os.getuid() != 0 or not shutil.which("mmdebstrap"):
            self.skipTest("needs root and mmdebstrap")
        archive = re.search(r"deb (\S+) bookworm main", call("apt-get", "indextargets", "--format", "deb $(REPO_URI) $(CODENAME) $(COMPONENT)",
                                                             "Created-By: Packages"))
        if not archive:
            self.skipTest("this machine has no archive of Debian 12")
        with tempfile.TemporaryDirectory(prefix="secondsource-root-") as scratch:
            root = pathlib.Path(scratch) / "root"
            made = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3-venv", OTHER_RELEASE, str(root),
                                   f"deb {archive[1]} {OTHER_RELEASE} main"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if made.returncode != 0:
                self.skipTest(f"no root of {OTHER_RELEASE}: {made.stdout[-300:]}")
            shutil.copy(self.wheel, root / "tmp")
            subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
            try:
                said = call("chroot", root, "sh", "-ec", f"python3 -m venv /venv && /venv/bin/pip install --no-index /tmp/{self.wheel.name} && "
                            "/venv/bin/secondsource --version && /venv/bin/secondsource backends && "
                            "/venv/bin/secondsource check installed:default --suite smoke --variant bf16 --backend cpu,onednn")
            finally:
                subprocess.run(["umount", str(root / "proc")], check=True)
            self.assertIn("PASSED", said)
            for backend in ("cpu", "onednn"):
                self.assertRegex(said, rf"(?m)^{backend} +available")


if __name__ == "__main__":
    reason = missing()
    if reason and not os.environ.get("SECONDSOURCE_RELEASE_FILES"):
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
