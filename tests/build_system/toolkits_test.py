"""Tests which of several toolkits cmake/GpuToolkits.cmake chooses; the toolkits are folders with empty files.

    python3 toolkits_test.py CMAKE SOURCE_FOLDER
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

CMAKE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])

PROJECT = r"""cmake_minimum_required(VERSION 3.25)
project(toolkits NONE)
include({source}/cmake/GpuToolkits.cmake)
set(CMAKE_FIND_LIBRARY_PREFIXES lib)  # no language, no platform's
set(CMAKE_FIND_LIBRARY_SUFFIXES .so .a)
if(NVCC)
  ss_find_nvcc(why)
  if(CHOOSE)
    string(REPLACE "," "\n" known "${{KNOWN}}")
    ss_choose_cuda_targets(chosen why "${{CHOSEN}}" "${{known}}")
    message(STATUS "found chosen=${{chosen}}")
  endif()
  if(RUNTIME)
    ss_find_cuda_runtime(why)
    message(STATUS "found runtime=${{SECONDSOURCE_CUDART}} ${{SECONDSOURCE_CUDA_INCLUDE}}")
  endif()
else()
  ss_find_hip(why)
  if(TARGETS)
    ss_find_hip_targets(SECONDSOURCE_HIP_TARGETS ${{SECONDSOURCE_HIPCC}} ${{SECONDSOURCE_HIPCC}})
    message(STATUS "found targets=${{SECONDSOURCE_HIP_TARGETS}}")
  endif()
endif()
foreach(name IN ITEMS why SECONDSOURCE_HIPCC SECONDSOURCE_HIP_RUNTIME SECONDSOURCE_HIP_INCLUDE SECONDSOURCE_HIP_PREFIX
    SECONDSOURCE_NVCC)
  message(STATUS "found ${{name}}=${{${{name}}}}")
endforeach()
"""


class Toolkits(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-toolkits-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name).resolve()
        (self.folder / "CMakeLists.txt").write_text(PROJECT.format(source=SOURCE))
        self.system = self.rocm("system")  # what CMake finds by default: the distribution's

    def program(self, path, script="exit 0"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" + script + "\n")
        path.chmod(0o755)
        return path

    def rocm(self, name, with_runtime=True):
        prefix = self.folder / name
        self.program(prefix / "bin/hipcc")
        if with_runtime:
            for file in ("lib/libamdhip64.so", "include/hip/hip_runtime_api.h"):
                (prefix / file).parent.mkdir(parents=True, exist_ok=True)
                (prefix / file).write_text("")
        return prefix

    def find(self, *definitions, again=False, **environment):
        """Configures the project; with `again`, in the existing build folder."""
        variables = {name: value for name, value in os.environ.items() if name != "ROCM_PATH"}
        variables["PATH"] = f"{self.system / 'bin'}:{variables['PATH']}"
        run = subprocess.run([CMAKE, "-S", self.folder, "-B", self.folder / "build", *([] if again else ["--fresh"]),
                              "-G", "Unix Makefiles", f"-DCMAKE_MAKE_PROGRAM={shutil.which('true')}",  # no make has to be in PATH
                              "-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF",  # ignores the toolkits that this machine has
                              f"-DCMAKE_PREFIX_PATH={self.system}", *definitions], env={**variables, **environment},
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(run.returncode, 0, run.stdout)
        lines = [line[len("-- found "):] for line in run.stdout.splitlines() if line.startswith("-- found ")]
        return dict(line.split("=", 1) for line in lines)

    def check_all_of(self, found, prefix):
        self.assertEqual(found, {"why": "", "SECONDSOURCE_HIPCC": f"{prefix}/bin/hipcc",
                                 "SECONDSOURCE_HIP_RUNTIME": f"{prefix}/lib/libamdhip64.so",
                                 "SECONDSOURCE_HIP_INCLUDE": f"{prefix}/include", "SECONDSOURCE_HIP_PREFIX": str(prefix),
                                 "SECONDSOURCE_NVCC": ""})

    def test_rocm_in_its_own_folder_goes_before_the_distributions_and_brings_all_of_its_own(self):
        rocm = self.rocm("opt-rocm")
        self.check_all_of(self.find(f"-DSECONDSOURCE_ROCM_FOLDERS={self.folder / 'absent'};{rocm}"), rocm)

    def test_the_users_rocm_goes_before_all(self):
        rocm = self.rocm("rocm-of-the-user")
        self.check_all_of(self.find(ROCM_PATH=str(rocm)), rocm)

    def test_a_linked_folder_is_left_as_it_was_named(self):
        real = self.rocm("rocm-6.4.1")
        link = self.folder / "rocm"
        link.symlink_to(real)
        self.check_all_of(self.find(f"-DSECONDSOURCE_ROCM_FOLDERS={link}"), link)

    def test_without_rocm_it_is_the_distributions(self):
        self.check_all_of(self.find(f"-DSECONDSOURCE_ROCM_FOLDERS={self.folder / 'absent'}"), self.system)

    def test_a_compiler_without_its_runtime_does_not_get_the_distributions(self):
        rocm = self.rocm("opt-rocm", with_runtime=False)
        found = self.find(f"-DSECONDSOURCE_ROCM_FOLDERS={rocm}")
        self.assertEqual(found["why"], f"libamdhip64 or its headers were not found beside {rocm}/bin/hipcc")

    def test_another_compiler_brings_its_own_and_what_a_person_set_stays(self):
        folders = f"-DSECONDSOURCE_ROCM_FOLDERS={self.folder / 'opt-rocm'}"
        self.check_all_of(self.find(folders), self.system)
        rocm = self.rocm("opt-rocm")
        self.check_all_of(self.find(again=True), self.system)
        self.check_all_of(self.find("-USECONDSOURCE_HIPCC", again=True), rocm)  # as ./dev gpu configures it
        other = self.rocm("other")
        shutil.rmtree(rocm)
        own = other / "lib/libamdhip64.so"
        for definitions in ([f"-DSECONDSOURCE_HIP_RUNTIME={own}"], []):
            found = self.find(*definitions, again=True)
            self.assertEqual((found["why"], found["SECONDSOURCE_HIPCC"], found["SECONDSOURCE_HIP_RUNTIME"]),
                             ("", f"{self.system}/bin/hipcc", str(own)))

    def test_the_targets_are_those_of_the_compiler_that_is_there_now(self):
        for name, target in (("rocm-6", "gfx90a"), ("rocm-7", "gfx942")):
            self.program(self.rocm(name) / "bin/hipcc", f'case "$*" in *{target}*) exit 0 ;; *) exit 1 ;; esac')
        link = self.folder / "rocm"
        link.symlink_to(self.folder / "rocm-6")
        self.assertEqual(self.find("-DTARGETS=1", f"-DSECONDSOURCE_ROCM_FOLDERS={link}")["targets"], "gfx90a")
        link.unlink()
        link.symlink_to(self.folder / "rocm-7")
        self.assertEqual(self.find(again=True)["targets"], "gfx942")
        for definitions in (["-DSECONDSOURCE_HIP_TARGETS=gfx1100"], []):
            self.assertEqual(self.find(*definitions, again=True)["targets"], "gfx1100")
        link.unlink()
        link.symlink_to(self.folder / "rocm-6")
        self.assertEqual(self.find(again=True)["targets"], "gfx1100")

    def test_the_runtime_is_that_of_the_nvcc_that_is_there_now(self):
        def toolkit(name):
            top = self.folder / name
            for file in ("lib64/libcudart_static.a", "include/cuda_runtime_api.h"):
                (top / file).parent.mkdir(parents=True)
                (top / file).write_text("")
            self.program(top / "bin/nvcc", f"echo 'Cuda compilation tools, release 13.0, V13.0.1'; echo '#$ TOP={top}' >&2")
            return f"-DSECONDSOURCE_NVCC={top}/bin/nvcc", f"{top}/lib64/libcudart_static.a {top}/include"
        first, its_own = toolkit("first")
        self.assertEqual(self.find("-DNVCC=1", "-DRUNTIME=1", first)["runtime"], its_own)
        second, its_own = toolkit("second")
        self.assertEqual(self.find(second, again=True)["runtime"], its_own)
        self.assertEqual(self.find("-DSECONDSOURCE_CUDA_INCLUDE=/of/mine", again=True)["runtime"].split()[1], "/of/mine")
        self.assertEqual(self.find(first, again=True)["runtime"].split()[1], "/of/mine")

    def nvcc(self, folder, release):
        return self.program(self.folder / folder / "nvcc", f"echo 'Cuda compilation tools, release {release}, V{release}.1'")

    def test_an_nvcc_on_the_path_that_knows_no_c_plus_plus_20_is_passed_over(self):
        old, new = self.nvcc("old", "11.8"), self.nvcc("build/toolchains/cuda/nvidia/cu13/bin", "13.0")
        path = str(old.parent)
        found = self.find("-DNVCC=1", PATH=path)
        self.assertEqual((found["why"], found["SECONDSOURCE_NVCC"]), ("", str(new)))
        old = self.nvcc("old", "12.0")
        self.assertEqual(self.find("-DNVCC=1", PATH=path)["SECONDSOURCE_NVCC"], str(old))

    def test_an_nvcc_that_was_named_has_to_be_fit_too(self):
        old = self.nvcc("old", "11.8")
        found = self.find("-DNVCC=1", f"-DSECONDSOURCE_NVCC={old}")
        self.assertEqual(found["why"], f"{old} is of CUDA 11.8: expected 12 or newer")
        silent = self.program(self.folder / "silent/nvcc", "echo nothing of the kind")
        found = self.find("-DNVCC=1", f"-DSECONDSOURCE_NVCC={silent}")
        self.assertEqual(found["why"], f"{silent} --version does not say which release it is")

    def choose(self, chosen, known="sm_75,sm_80,sm_89,sm_90,"):
        nvcc = self.nvcc("chooser", "13.0")
        found = self.find("-DNVCC=1", f"-DSECONDSOURCE_NVCC={nvcc}", "-DCHOOSE=1", f"-DCHOSEN={chosen}", f"-DKNOWN={known}")
        return found["chosen"], found["why"]

    def test_the_targets_of_cuda_are_those_that_nvcc_knows_or_those_that_were_chosen(self):
        self.assertEqual(self.choose(""), ("80;89;90a", ""))
        self.assertEqual(self.choose("", "sm_90,sm_100,"), ("90a;100a", "it has no target sm_80"))
        self.assertEqual(self.choose("90a"), ("90a", ""))
        self.assertEqual(self.choose("80;90a"), ("80;90a", ""))
        self.assertEqual(self.choose("100a")[1], "it has no target sm_100a")
        self.assertEqual(self.choose("90")[1], "SECONDSOURCE_CUDA_TARGETS: expected some of 80, 89, 90a, 100a, found 90")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
