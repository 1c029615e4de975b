"""The program and its modules are hardened (cmake/Hardening.cmake), as readelf and objdump of binutils see them.

    python3 hardening_test.py SOURCE_FOLDER BUILD_FOLDER FILE...    the program first, then modules
"""

import json
import pathlib
import platform
import re
import subprocess
import sys
import unittest

SOURCE, BUILD = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
FILES = [pathlib.Path(name) for name in sys.argv[3:]]
PROGRAM = FILES[0]
IS_X86 = platform.machine() == "x86_64"


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}).stdout


def imports_of(file):
    """The names of functions that the file takes from shared libraries."""
    return set(re.findall(r" UND (\w+)", output_of("readelf", "--wide", "--dyn-syms", file)))


def sources_of(compiled):
    """The sources that are compiled as this file: those that it includes if CMake generated it for a unity build."""
    if not re.fullmatch(r"unity_\d+_cxx\.cxx", compiled.name):
        return [compiled]
    return [pathlib.Path(name) for name in re.findall(r'#include "([^"]+)"', compiled.read_text())]


class Hardening(unittest.TestCase):
    def test_every_address_is_resolved_at_the_start_and_read_only_from_then_on(self):
        for file in FILES:
            dynamic = output_of("readelf", "--wide", "--dynamic", file)
            segments = output_of("readelf", "--wide", "--segments", file)
            with self.subTest(file=file.name):
                self.assertRegex(dynamic, r"BIND_NOW|Flags:.*NOW")
                self.assertIn("GNU_RELRO", segments)

    def test_no_stack_is_executable(self):
        for file in FILES:
            stack = re.search(r"GNU_STACK.*", output_of("readelf", "--wide", "--segments", file))
            with self.subTest(file=file.name):
                self.assertIsNotNone(stack)
                self.assertNotIn("E", stack.group().replace("GNU_STACK", ""))

    def test_the_program_can_be_loaded_anywhere(self):
        self.assertRegex(output_of("readelf", "--wide", "--file-header", PROGRAM), r"Type:\s+DYN")
        self.assertRegex(output_of("readelf", "--wide", "--dynamic", PROGRAM), r"Flags:.*PIE")

    def test_stacks_are_guarded_and_copies_checked(self):
        for file in FILES:
            with self.subTest(file=file.name):
                self.assertIn("__stack_chk_fail", imports_of(file))
        checked = {name for name in imports_of(PROGRAM) if re.fullmatch(r"__\w+_chk", name)}
        self.assertTrue(checked, "no checked copy or format of the C library")

    @unittest.skipUnless(IS_X86, "endbr64 is an instruction of x86")
    def test_functions_begin_as_targets_of_indirect_jumps(self):
        code = output_of("objdump", "--disassemble=main", PROGRAM)
        self.assertRegex(code, r"<main>:\n[^\n]*endbr64")

    def test_every_file_of_the_program_and_its_modules_was_compiled_so(self):
        wanted = ["-D_FORTIFY_SOURCE=3", "-fstack-protector-strong", "-fstack-clash-protection"]
        if IS_X86:
            wanted.append("-fcf-protection=full")
        entries = [entry for entry in json.loads((BUILD / "compile_commands.json").read_text())
                   if re.search(r" -o (lib|apps/secondsource|backends/(cpu|onednn|reference))/", entry["command"])]
        compiled = {source for entry in entries for source in sources_of(pathlib.Path(entry["file"]))}
        written = {path.resolve() for folder in ("lib", "apps/secondsource", "backends/cpu", "backends/reference")
                   for path in (SOURCE / folder).rglob("*.cpp")
                   # Kernels of a single instruction set, and the stub for the HTTP client in builds without libcurl.
                   if not path.name.startswith("isa_") and path.name != "without_http.cpp"}
        self.assertEqual(sorted(str(path) for path in written - compiled), [])
        without = [(entry["file"], option) for entry in entries for option in wanted if option not in entry["command"].split()]
        self.assertEqual(without[:5], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
