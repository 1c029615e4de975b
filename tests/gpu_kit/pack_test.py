"""Tests pack.py: what a kit must contain, and what is refused. The symbols that it finds in a file are compared with objdump's.

    python3 pack_test.py SOURCE_FOLDER
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
sys.path.insert(0, str(SOURCE / "apps/gpu_kit"))
import pack  # noqa: E402
import symbols  # noqa: E402

NEEDS = """
Version needs section '.gnu.version_r' contains 2 entries:
 Addr: 0x0000000000002f88  Offset: 0x002f88  Link: 7 (.dynstr)
  000000: Version: 1  File: libstdc++.so.6  Cnt: 3
  0x0010:   Name: CXXABI_1.3.13  Flags: none  Version: 10
  0x0020:   Name: GLIBCXX_3.4.9  Flags: none  Version: 9
  0x0030:   Name: GLIBCXX_3.4.30  Flags: none  Version: 8
  0x0050: Version: 1  File: libc.so.6  Cnt: 2
  0x0060:   Name: GLIBC_2.4  Flags: none  Version: 6
  0x0070:   Name: GLIBC_2.34  Flags: none  Version: 5
"""


class Symbols(unittest.TestCase):
    def test_the_highest_version_is_by_number_and_of_what_is_needed(self):
        defined = "Version definition section '.gnu.version_d':\n  Name: GLIBC_9.9\n"
        self.assertEqual(symbols.needed_versions(defined + NEEDS),
                         {"GLIBC": "2.34", "GLIBCXX": "3.4.30", "CXXABI": "1.3.13"})

    def test_what_is_newer_than_ubuntu_22_04_has_is_named(self):
        self.assertEqual(symbols.beyond({"GLIBC": "2.35", "GLIBCXX": "3.4.30"}, pack.ALLOWED), {})
        self.assertEqual(symbols.beyond({"GLIBC": "2.36", "GLIBCXX": "3.4.4"}, pack.ALLOWED), {"GLIBC": "2.36"})

    def test_a_file_needs_what_objdump_says(self):
        file = pathlib.Path("/bin/ls").resolve()
        said = subprocess.run(["objdump", "-T", str(file)], stdout=subprocess.PIPE, text=True, check=True).stdout
        expected = max((tuple(map(int, version.split("."))) for version in re.findall(r"\(?GLIBC_([0-9.]+)\)?", said)))
        self.assertEqual(symbols.numbers(symbols.versions_of(file)["GLIBC"]), expected)
        self.assertIn("libc.so.6", symbols.needed_libraries(file))


class Pack(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-pack-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.build, self.kit = self.folder / "build", self.folder / "kit"
        self.compile("helper.c", "int helper(void) { return 7; }", self.folder / "libs/libhelper.so", "-shared")
        for program in pack.PROGRAMS:
            self.compile("main.c", "int helper(void); int main(void) { return helper(); }", self.build / "bin" / program,
                         f"-L{self.folder / 'libs'}", "-lhelper")
        for module in ("bin/libsecondsource-cuda.so", "proof/libsecondsource-gpu-shim.so",
                       "variants/staged-tiles/libsecondsource-cuda.so"):
            self.compile("module.c", "int module(void) { return 1; }", self.build / module, "-shared")
        (self.build / "CMakeCache.txt").write_text("SECONDSOURCE_CUDA_TARGETS:STRING=90a\n")
        os.environ["LD_LIBRARY_PATH"] = str(self.folder / "libs")  # lets the loader find the libraries of this test
        self.addCleanup(os.environ.pop, "LD_LIBRARY_PATH", None)

    def compile(self, name, text, out, *options):
        source = self.folder / name
        source.write_text(text)
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-fPIC", str(source), "-o", str(out), *options], check=True)

    def pack(self, *arguments):
        return subprocess.run([sys.executable, "-B", str(SOURCE / "apps/gpu_kit/pack.py"), "--build", str(self.build), "--out",
                               str(self.kit), "--modules", "cuda,gpu-shim", "--variants", "staged-tiles", *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def test_a_kit_runs_with_its_own_libraries_and_says_what_it_is(self):
        run = self.pack()
        self.assertEqual(run.returncode, 0, run.stdout)
        environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
        moved = self.folder / "elsewhere"
        self.kit.rename(moved)
        (self.folder / "libs/libhelper.so").unlink()
        self.assertEqual(subprocess.run([str(moved / "conformance")], env=environment, check=False).returncode, 7)
        facts = json.loads((moved / "kit.json").read_text())
        self.assertEqual((facts["modules"], facts["variants"], facts["cuda_targets"]),
                         (["cuda", "gpu-shim"], ["staged-tiles"], "90a"))
        self.assertLessEqual(facts["bytes"], 40_000_000)
        for file in ("run", "README.md", "LICENSE", "scripts/steps.py", "scripts/page.py", "scripts/peer_bench/peer_bench.py",
                     "bin/libsecondsource-gpu-shim.so", "variants/staged-tiles/libsecondsource-cuda.so",
                     "share/secondsource/bundles/tiny-mixtral/manifest.yaml"):
            self.assertTrue((moved / file).exists(), file)

    def test_the_same_programs_are_the_same_kit_and_others_another(self):
        self.pack()
        first = json.loads((self.kit / "kit.json").read_text())["id"]
        self.pack()
        self.assertEqual(json.loads((self.kit / "kit.json").read_text())["id"], first)
        self.compile("module.c", "int module(void) { return 2; }", self.build / "bin/libsecondsource-cuda.so", "-shared")
        self.pack()
        self.assertNotEqual(json.loads((self.kit / "kit.json").read_text())["id"], first)

    def test_symbols_that_are_too_new_are_refused_and_nothing_is_left(self):
        # The library's symbol has a version that glibc 2.35 does not have.
        self.compile("libc.c", "int from_the_future(void) { return 1; }", self.folder / "libs/libfuture.so", "-shared",
                     f"-Wl,--version-script={self.version_script('GLIBC_2.99')}")
        self.compile("module.c", "int from_the_future(void); int module(void) { return from_the_future(); }",
                     self.build / "bin/libsecondsource-cuda.so", "-shared", f"-L{self.folder / 'libs'}", "-lfuture")
        run = self.pack()
        self.assertEqual(run.returncode, 2)
        self.assertEqual(run.stdout, "pack: bin/libsecondsource-cuda.so needs GLIBC_2.99: expected at most 2.35, so that it runs "
                                     "on Ubuntu 22.04 and newer\n")
        self.assertFalse(self.kit.exists())

    def version_script(self, version):
        script = self.folder / "versions"
        script.write_text(f"{version} {{ global: *; }};\n")
        return script

    def test_more_than_40_mb_are_refused(self):
        with open(self.build / "bin/libsecondsource-cuda.so", "ab") as file:
            file.truncate(45_000_000)
        self.compile("big.c", "char big[41000000] = {1};", self.build / "bin/libsecondsource-cuda.so", "-shared")
        run = self.pack()
        self.assertEqual(run.returncode, 2)
        self.assertRegex(run.stdout, r"^pack: the kit has [0-9.]+ MB: expected at most 40\n$")

    def test_what_is_missing_is_named(self):
        self.assertIn("has no module hip: its target secondsource_backend_hip was not built",
                      self.pack("--modules", "hip").stdout)
        self.assertIn("has no variant none: its target cuda_variants was not built with it",
                      self.pack("--variants", "none").stdout)
        (self.build / "bin/kernel_bench").unlink()
        self.assertIn("has no kernel_bench: its target was not built", self.pack().stdout)

    def test_a_folder_that_is_no_kit_is_not_replaced(self):
        self.kit.mkdir()
        (self.kit / "mine").write_text("")
        run = self.pack()
        self.assertEqual((run.returncode, run.stdout), (2, f"pack: {self.kit} is not empty and no kit; it is not replaced\n"))
        self.assertTrue((self.kit / "mine").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
