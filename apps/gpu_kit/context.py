"""What the steps are made for: the kit, the device that it runs on, and what this machine has beside them."""

import dataclasses
import glob
import os
import pathlib
import shutil
import site
import subprocess

from runner import Command

IMPORT_S = 90  # PyTorch takes seconds, from a cold disk more


@dataclasses.dataclass
class Context:
    kit: pathlib.Path
    work: pathlib.Path  # scratch: synthesized models, what programs write before it is reduced
    backend: str
    device: str = ""  # as the program describes it
    environment: dict = dataclasses.field(default_factory=lambda: dict(os.environ))
    search_folders: list = dataclasses.field(default_factory=list)
    known: dict = dataclasses.field(default_factory=dict)  # answers that take seconds to find, by question

    def once(self, question, find):
        if question not in self.known:
            self.known[question] = find()
        return self.known[question]

    def plain(self, *argv):
        """A Command of a program of this machine, which must not get the kit's shared libraries."""
        return Command(argv)

    def own(self, program, *arguments, modules=None, under=(), accepts=(0,)):
        """A Command of one of the kit's programs, with its own shared libraries and the vendor's. `modules`: a variant of the
        module; `under`: a tool that runs it; `accepts`: exit statuses after which the step goes on."""
        folders = [str(self.kit / "lib"), *self.search_folders]
        if self.environment.get("LD_LIBRARY_PATH"):
            folders.append(self.environment["LD_LIBRARY_PATH"])
        environment = [("LD_LIBRARY_PATH", ":".join(folders))]
        if modules is not None:
            environment.append(("SECONDSOURCE_MODULES", str(self.kit / "variants" / modules)))
        return Command((*under, self.kit / "bin" / program, *arguments), tuple(environment), accepts)

    def has_variant(self, name):
        return (self.kit / "variants" / name).is_dir()

    def python(self, *modules):
        """The first Python that has these modules and, with torch, sees a GPU; None if none does."""
        return self.once(("python", *modules), lambda: self.find_python(modules))

    def find_python(self, modules):
        test = f"import {', '.join(modules)}" + ("; assert torch.cuda.is_available()" if "torch" in modules else "")
        for python in (self.environment.get("SECONDSOURCE_KIT_PYTHON"), "python3"):
            try:
                if python and subprocess.run([python, "-c", test], capture_output=True, check=False, env=self.environment,
                                             timeout=IMPORT_S).returncode == 0:
                    return python
            except (OSError, subprocess.TimeoutExpired):
                continue
        return None

    def tool(self, name):
        """A tool of the vendor's toolkit; None if it is not there."""
        found = shutil.which(name, path=self.environment.get("PATH"))
        if found:
            return found
        places = ("/usr/local/cuda*/bin/", "/opt/nvidia/*/*/", "/opt/nvidia/*/", "/opt/rocm/bin/")
        return next((path for place in places for path in sorted(glob.glob(place + name), reverse=True)), None)

    def is_sm_90(self):
        return self.once("is sm_90", self.find_sm_90)

    def find_sm_90(self):
        smi = self.tool("nvidia-smi")
        if self.backend != "cuda" or smi is None:
            return False
        said = subprocess.run([smi, "--query-gpu=compute_cap", "--format=csv,noheader"], capture_output=True, text=True,
                              check=False, env=self.environment).stdout
        return said.split()[:1] == ["9.0"]

    def tiles(self):
        return ["auto", "16x64", "64x64", "128x128"] + (["wgmma128x128", "wgmma128x256"] if self.is_sm_90() else [])

    def tiles_on_request(self):
        """Those that the planner never chooses; they are for weights that are multiplied as they are stored."""
        return ["streamk128x256", "cluster128x128", "cluster128x256"] if self.is_sm_90() else []

    def attentions(self):
        return ["auto", "mma"] + (["wgmma"] if self.is_sm_90() else [])


def find_search_folders():
    """The folders of cuBLASLt or hipBLASLt on this machine: of toolkits, and of the wheels that PyTorch brings."""
    packages = [*site.getsitepackages(), site.getusersitepackages()]
    places = [f"{folder}/nvidia/{part}/lib" for folder in packages for part in ("cu13", "cublas")]
    places += ["/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/opt/rocm*/lib"]
    if "ROCM_PATH" in os.environ:
        places.insert(0, os.environ["ROCM_PATH"] + "/lib")
    names = ("libcublasLt.so*", "libhipblaslt.so*")
    return list(dict.fromkeys(str(pathlib.Path(folder).resolve()) for place in places for folder in sorted(glob.glob(place))
                              if any(glob.glob(f"{folder}/{name}") for name in names)))
