"""Tests what `cmake --install` and the Debian package install: the program finds its modules and its data there, and a backend
outside of this source tree can be built with nothing but the installed headers and libraries.

    python3 install_test.py BUILD_FOLDER SOURCE_FOLDER
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
DATA = ["bundles/default/manifest.yaml", "bundles/shapes/demo-50m.yaml", "bundles/recipes/expect.py",
        "bundles/recipes/requirements.txt", "prompts/everyday.yaml", "prompts/documents/long-8k.txt", "reports/prices.yaml",
        "reports/quoted.yaml", "reports/templates/demand.yaml", "reports/schemas/plan.schema.json", "reports/monitoring/alerts.yaml",
        "reports/monitoring/dashboard.json", "adapters/serve.py"]
# A module that has the interface but no functionality. This suffices for opening it.
STUB = """#include "backend/module.h"
namespace {
secondsource::Result<std::vector<secondsource::DeviceInfo>> devices() {
  return secondsource::Error{secondsource::ErrorCode::kUnavailable, "a stub has no device"};
}
secondsource::Result<std::unique_ptr<secondsource::Backend>> create(const secondsource::BackendOptions&) {
  return secondsource::Error{secondsource::ErrorCode::kUnavailable, "a stub"};
}
}  // namespace
SS_BACKEND_MODULE("stub", "a stub", devices, create)
"""


def call(*command, status=0, **options):
    options.setdefault("env", {**os.environ, "SECONDSOURCE_MODULES": ""})
    run = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=500, **options)
    assert run.returncode == status, (command, run.returncode, run.stdout[-4000:])
    return run.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-install-")
        cls.folder = pathlib.Path(cls.scratch.name).resolve()
        cls.prefix = cls.folder / "a prefix"
        for component in ("program", "development"):
            call("cmake", "--install", BUILD, "--prefix", cls.prefix, "--component", component)
        cls.program = cls.prefix / "bin/secondsource"

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_the_data_is_there_and_the_program_says_where(self):
        version = call(self.program, "--version")
        self.assertIn(f"\ndata: {self.prefix}/share/secondsource\n", version)
        self.assertRegex(version, r"\Asecondsource \d+\.\d+\.\d+\ncommit: \S+\nbuilt: \S+, \S+ [0-9.]+, ")
        for path in DATA:
            self.assertTrue((self.prefix / "share/secondsource" / path).exists(), path)
        self.assertFalse(list(self.prefix.rglob("__pycache__")))

    def test_it_finds_its_own_modules_and_an_installed_bundle(self):
        self.assertRegex(call(self.program, "backends"), r"(?m)^cpu +available")
        self.assertIn("default: ", call(self.program, "bundle", "info", "installed:default", cwd="/"))
        self.assertIn("PASSED", call(self.program, "check", "installed:default", "--backend", "cpu", "--variant", "bf16",
                                     "--suite", "smoke", cwd=self.folder))
        self.assertTrue((self.prefix / "share/man/man1/secondsource-init.1").exists())
        for file in ("bash-completion/completions/secondsource", "fish/vendor_completions.d/secondsource.fish",
                     "zsh/site-functions/_secondsource", "zsh/vendor-completions/_secondsource"):
            self.assertTrue((self.prefix / "share" / file).exists(), file)

    def build(self, source, name, *options):
        build = self.folder / f"build-{name}"
        call("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={self.prefix}",
             *options)
        call("cmake", "--build", build)
        return {**os.environ, "SECONDSOURCE_MODULES": str(build)}

    def test_a_backend_outside_of_the_tree_is_built_and_its_tokens_are_right(self):
        source = self.folder / "outside"
        (source / "outside").mkdir(parents=True)
        shutil.copy(SOURCE / "tests/packaging/outside/CMakeLists.txt", source)
        for path in (SOURCE / "backends/reference").glob("*.[ch]*"):
            text = path.read_text()
            (source / "outside" / path.name).write_text(re.sub(r"\breference\b", "outside", text))
        environment = self.build(source, "outside", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        self.assertRegex(call(self.program, "backends", env=environment), r"(?m)^outside +available")
        said = call(self.program, "check", SOURCE / "bundles/tiny-gqa8-hd64", "--backend", "outside", "--variant", "bf16",
                    env=environment)
        self.assertRegex(said, r"outside\s.*PASSED")
        symbols = call("nm", "-D", "--defined-only", self.folder / "build-outside/libsecondsource-outside.so")
        self.assertEqual([line.split()[-1] for line in symbols.splitlines() if "secondsource" in line],
                         ["secondsource_backend_module"])

    def test_a_module_of_another_compiler_or_of_other_headers_is_refused_with_both_sides(self):
        source = self.folder / "stub"
        source.mkdir()
        (source / "stub.cpp").write_text(STUB)
        (source / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(stub CXX)\n"
                                               "find_package(secondsource REQUIRED)\n"
                                               "secondsource_add_backend(stub SOURCES stub.cpp)\n")
        self.assertIn("why: a stub has no device", call(self.program, "backends", env=self.build(source, "stub")))
        other = self.build(source, "assertions", "-DCMAKE_CXX_FLAGS=-D_GLIBCXX_ASSERTIONS")
        self.assertRegex(call(self.program, "backends", env=other),
                         r"why: built for another program: expected \".*\", found \".* assertions;")
        header = self.prefix / "include/secondsource/backend/op.h"
        text = header.read_text()
        header.write_text(text + "// changed\n")
        self.addCleanup(header.write_text, text)
        self.assertRegex(call(self.program, "backends", env=self.build(source, "headers")),
                         r"why: built for another program: expected \".*\", found \".*boundary")

    def test_another_version_is_asked_for_in_vain(self):
        source = self.folder / "version"
        source.mkdir()
        (source / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(version CXX)\n"
                                               "find_package(secondsource 99.0 REQUIRED)\n")
        said = call("cmake", "-S", source, "-B", self.folder / "build-version", f"-DCMAKE_PREFIX_PATH={self.prefix}", status=1)
        self.assertIn("99.0", said)


class DebianPackage(unittest.TestCase):
    def test_it_holds_the_program_its_modules_its_data_and_the_headers(self):
        if not shutil.which("dpkg-deb") or not shutil.which("dpkg-shlibdeps"):
            self.skipTest("dpkg-deb or dpkg-shlibdeps is not installed")
        with tempfile.TemporaryDirectory(prefix="secondsource-deb-") as scratch:
            folder = pathlib.Path(scratch).resolve()
            call("cpack", "--config", BUILD / "CPackConfig.cmake", "-G", "DEB", "-B", folder)
            package, = folder.glob("secondsource_*.deb")
            fields = call("dpkg-deb", "-f", package)
            self.assertRegex(fields, r"(?m)^Depends: .*\blibc6\b")
            self.assertIn("Suggests: g++", fields)
            call("dpkg-deb", "-x", package, folder / "root")
            usr = folder / "root/usr"
            program = usr / "bin/secondsource"
            self.assertRegex(call(program, "backends"), r"(?m)^cpu +available")
            self.assertIn(f"data: {usr}/share/secondsource", call(program, "--version"))
            for path in DATA:
                self.assertTrue((usr / "share/secondsource" / path).exists(), path)
            self.assertTrue((usr / "include/secondsource/backend/module.h").exists())
            self.assertTrue((usr / "include/secondsource/reference/backend.h").exists())
            self.assertTrue(list(usr.rglob("secondsource-config.cmake")))
            self.assertTrue(list(usr.rglob("libsecondsource_backend_kit.a")))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
