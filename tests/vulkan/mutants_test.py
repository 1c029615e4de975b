"""Plants bugs in the kernels of the backend vulkan; the tests that are named for each (planted_bugs.py) must find it.

    python3 mutants_test.py KERNELS GLSLC SHIM CONFORMANCE MODULES UNIT_TEST [--flag=FLAG]... [--matrices] [--quick] [--bug NAME]...

KERNELS is the folder of the sources, SHIM the library of replaced_kernels.cpp, and each FLAG one with which the build calls GLSLC. A bug is
planted in a copy of the folder. The kernels that it changes are compiled again, and the shim gives them to the driver in the place of the
module's. A bug must not seem to be found because the replacement itself fails. So the same tests run first with every kernel replaced by
itself, and must pass; and of each bug, a kernel that it changes must have been loaded.

A bug is found when a case fails, or when the process ends by a signal. --matrices plants the bugs of kernels with cooperative matrices, for
which GLSLC and the driver must have them. --quick takes only the bugs that planted_bugs.py marks, with the
first of their tests, and --bug only those with these names. Ends 0 when every bug is found, 1 when not, and 77 without a Vulkan driver.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import planted_bugs

SKIPPED = 77
UNIT_TEST = "unit_vulkan"


class Failure(Exception):
    pass


class Kernels:
    """Compiles the kernels of a folder of sources, each of them once. With matrices, a source gives an FP16 kernel and an int8 kernel, of
    which the backend may use only one."""

    def __init__(self, folder, compiler, has_matrices):
        self.folder = folder
        self.compiler = compiler
        self.has_matrices = has_matrices
        self.words = {}

    def sources(self):
        """The kernels' sources, relative to the folder."""
        if not self.has_matrices:
            return sorted(path.name for path in self.folder.glob("*.comp"))
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.comp")
                      if path.parent != self.folder or "#ifdef MATRICES" in path.read_text())

    def names(self):
        types = [".F16", ".INT8"] if self.has_matrices else [""]
        return [pathlib.PurePath(source).stem + kind for source in self.sources() for kind in types]

    def compiled(self, name):
        if name not in self.words:
            stem, _, kind = name.partition(".")
            source = next(path for path in self.sources() if pathlib.PurePath(path).stem == stem)
            defined = [f"-DMATRICES_{kind}", "-DMATRICES"] if kind else []
            run = subprocess.run([*self.compiler, *defined, "-o", "-", self.folder / source], capture_output=True)
            if run.returncode != 0:
                raise Failure(f"{source} was not compiled: {run.stderr.decode()}")
            self.words[name] = run.stdout
        return self.words[name]


class Search:
    """Runs the tests with replacements for some of the module's kernels."""

    def __init__(self, arguments, originals):
        self.arguments = arguments
        self.originals = originals
        self.environment = os.environ | {
            "LD_PRELOAD": arguments.shim,
            "SECONDSOURCE_VULKAN_SOFTWARE": "1",
            "VK_LOADER_DRIVERS_SELECT": "*lvp*",  # llvmpipe, even if there is a GPU, which these bugs could hang
            "OMP_WAIT_POLICY": "passive",
        }

    def command(self, test, *flags):
        if test == UNIT_TEST:
            return [self.arguments.unit_test]
        return [self.arguments.conformance, "--backend", "vulkan", "--modules", self.arguments.modules, "--guards",
                "--option", f"matrices={int(self.originals.has_matrices)}", "--family", test, *flags]

    def run(self, test, replacements, *flags):
        """Returns the exit status, the output, and the names of the replaced kernels."""
        with tempfile.TemporaryDirectory(prefix="secondsource-replaced-") as folder:
            folder = pathlib.Path(folder)
            for name, words in replacements.items():
                (folder / f"{name}.original").write_bytes(self.originals.compiled(name))
                (folder / f"{name}.replacement").write_bytes(words)
            loaded = folder / "loaded"
            run = subprocess.run(self.command(test, *flags), env=self.environment | {"SECONDSOURCE_REPLACED_KERNELS": str(folder)},
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300)
            return run.returncode, run.stdout, set(loaded.read_text().split()) if loaded.exists() else set()

    def control(self, test):
        """Returns the kernels that a test loads. Each is replaced by itself, and the test must pass with them."""
        code, output, loaded = self.run(test, {name: self.originals.compiled(name) for name in self.originals.names()})
        if code == SKIPPED or "skipped: no Vulkan driver" in output:
            print(output)
            raise SystemExit(SKIPPED)
        if code != 0:
            raise Failure(f"{test} fails with the kernels as they are:\n{output}")
        if not loaded:
            raise Failure(f"{test}: no kernel was replaced. Are the module's kernels compiled by the same compiler with the same flags?")
        return loaded


def plant(bug, kernels, scratch):
    """Makes a copy of the kernels' folder that contains the bug."""
    shutil.copytree(kernels, scratch)
    path = scratch / bug.file
    source = path.read_text()
    if source.count(bug.text) != 1:
        raise Failure(f"{bug.name}: {bug.file} has its place {source.count(bug.text)} times, and not once:\n{bug.text}")
    path.write_text(source.replace(bug.text, bug.replacement))


def finding(code, output):
    """Returns how a test failed; "" if it passed."""
    if code < 0:
        return f"a fault: signal {-code}"
    if code == 0:
        return ""
    if re.search(r"vkCreate\w+", output):  # a kernel that the driver refuses does not show that the test finds the bug
        raise Failure(f"the driver refused a kernel:\n{output}")
    failed = re.search(r"^FAILED .*\n(.*)", output, re.MULTILINE)
    return failed[1].strip() if failed else output.strip().splitlines()[-1]


def search(bug, run, loaded, compiler):
    """Prints how each of a bug's tests failed. Returns whether all of them did."""
    with tempfile.TemporaryDirectory(prefix="secondsource-planted-") as scratch:
        folder = pathlib.Path(scratch) / "kernels"
        plant(bug, run.originals.folder, folder)
        mutated = Kernels(folder, compiler, run.originals.has_matrices)
        is_found = True
        for test in bug.found_by.split():
            replacements = {name: mutated.compiled(name) for name in loaded[test]}
            changed = {name: words for name, words in replacements.items() if words != run.originals.compiled(name)}
            if not changed:
                raise Failure(f"{bug.name}: no kernel that {test} runs is another than without the bug")
            code, output, replaced = run.run(test, changed, *([] if test == UNIT_TEST else ["--stop-at-first"]))
            if not replaced:
                raise Failure(f"{bug.name}: {test} ran no kernel with the bug")
            found = finding(code, output)
            print(f"{bug.name}: {test}: {found or 'SURVIVED: ' + bug.wrong}", flush=True)
            is_found = is_found and found != ""
        return is_found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("kernels", "glslc", "shim", "conformance", "modules", "unit_test"):
        parser.add_argument(name)
    parser.add_argument("--flag", action="append", default=[])
    parser.add_argument("--matrices", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--bug", action="append")
    arguments = parser.parse_args()

    planted = planted_bugs.MATRIX_BUGS if arguments.matrices else planted_bugs.BUGS
    bugs = planted
    if arguments.quick:
        bugs = [dataclasses.replace(bug, found_by=bug.found_by.split()[0]) for bug in bugs if bug.is_quick]
    if arguments.bug:
        bugs = [bug for bug in planted if bug.name in arguments.bug]
    compiler = [arguments.glslc, *arguments.flag]
    originals = Kernels(pathlib.Path(arguments.kernels), compiler, arguments.matrices)
    # With --matrices only the sources in kernels/matrices need a bug: BUGS has bugs for the others, which also work without matrices.
    needed = {source for source in originals.sources() if not arguments.matrices or "/" in source}
    failures = [f"{source}: no bug is planted in it" for source in sorted(needed - {bug.file for bug in planted})]
    run = Search(arguments, originals)
    begin = time.monotonic()
    loaded = {}
    for test in sorted({test for bug in bugs for test in bug.found_by.split()}):
        try:
            loaded[test] = run.control(test)
        except Failure as failure:
            failures.append(str(failure))
    print(f"control: {len(loaded)} tests pass with kernels that are replaced by themselves", flush=True)
    n_found = 0
    for bug in bugs:
        try:
            if not set(bug.found_by.split()) <= set(loaded):
                continue  # its control failed
            if search(bug, run, loaded, compiler):
                n_found += 1
            else:
                failures.append(f"{bug.name} was not found: {bug.wrong}")
        except (Failure, subprocess.TimeoutExpired) as failure:
            failures.append(str(failure))
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{n_found} of {len(bugs)} planted bugs found in {time.monotonic() - begin:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
