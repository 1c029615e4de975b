"""The systems that are compared. Each says whether it is here, prepares what it needs, and measures one case in a process of
its own: {"prefill": tokens/s, "decode": tokens/s of the whole batch, "first token": prompt tokens / TTFT}."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
RECIPES = HERE.parents[1] / "bundles/recipes"
BACKENDS = ["cpu", "cuda", "hip", "vulkan"]


@dataclasses.dataclass(frozen=True)
class Case:
    shape: str
    precision: str  # one of LlamaCpp.TYPES
    batch: int
    context: int  # tokens that a sequence has before the measured decode steps
    prompt: int = 512
    generate: int = 128
    threads: int = 2
    backend: str = "cpu"  # ours: one of BACKENDS

    @property
    def name(self):
        return f"{self.shape} {self.precision} batch {self.batch} context {self.context}"


class Unavailable(Exception):
    """Why a system cannot do a case, for a person."""


def last_line(done):
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return f"{pathlib.Path(str(done.args[0])).name} ended with {done.returncode}: {last}"


def run(command, environment=None):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise Unavailable(last_line(done))
    return done.stdout


def multiplies_bf16():
    """AVX-512 BF16 or AMX on x86, BF16 on ARM, as Linux names them."""
    flags = set(re.findall(r"\w+", pathlib.Path("/proc/cpuinfo").read_text()))
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def gguf_file(case, folder, quantize):
    """The case's model as llama-quantize at the path `quantize` makes it of the bundle of the shape."""
    full = folder / f"{case.shape}-BF16.gguf"
    if not full.exists():
        run([sys.executable, RECIPES / "write_gguf.py", folder / case.shape, full])
    kind = LlamaCpp.TYPES[case.precision]
    path = folder / f"{case.shape}-{kind}.gguf"
    if not path.exists():
        run([quantize, full, path, kind])
    return path


def device_of(program, backend):
    """The name of the device that a backend of ours measures, which is the first of its list; None where it has no device."""
    listed = json.loads(run([program, "backends", "--json"]))["backends"]
    return next((device["name"] for one in listed if one["name"] == backend for device in one["devices"]), None)


class Ours:
    name = "secondsource"
    TRIES = 3

    def __init__(self, program, quantize):
        """quantize: the path of a llama-quantize, or None."""
        self.program = program
        self.quantize = quantize

    def version(self, case, folder):
        version = run([self.program, "--version"]).split("\n")[0]
        return f"{version}; {case.backend} on {device_of(self.program, case.backend)}"

    def bundle(self, shape, folder):
        path = folder / shape
        if not (path / "manifest.yaml").exists():
            run([self.program, "bundle", "synth", "--like", shape, "--out", path])
        return path

    def model(self, case, folder):
        """The bundle of the shape, whose variant is the precision; for a type of GGUF one of the file that llama.cpp reads."""
        bundle = self.bundle(case.shape, folder)
        if not case.precision.startswith("gguf-"):
            return bundle
        if self.quantize is None:
            raise Unavailable("the program llama-quantize, which makes the file, is not installed")
        file = gguf_file(case, folder, self.quantize)
        bundle = file.with_suffix("")
        if not (bundle / "manifest.yaml").exists():
            run([self.program, "bundle", "create", "--from-gguf", file, "--out", bundle])
        return bundle

    def scenario(self, prompt, generate, batch):
        """A batch shares all of its context but one token."""
        if batch == 1:
            return f"single-stream@{prompt}/{generate}"
        if prompt == 1:
            return f"offline:{batch}@1/{generate}"
        return f"offline:{batch}+prefix={prompt}@{prompt + 1}/{generate}"

    def cell(self, case, folder, prompt, generate, batch):
        """A measurement that found itself disturbed is taken again, as `secondsource ab` does."""
        for _ in range(self.TRIES):
            cell = self.cell_once(case, folder, prompt, generate, batch)
            if cell["status"] == "complete":
                return cell
        raise Unavailable("; ".join(cell["notes"]) or cell["status"])

    def cell_once(self, case, folder, prompt, generate, batch):
        with tempfile.TemporaryDirectory(prefix="peer-bench-") as scratch:
            done = subprocess.run([str(word) for word in (
                self.program, "run", self.model(case, folder), "--backend", case.backend, "--variant",
                case.precision, "--scenario", self.scenario(prompt, generate, batch), "--repetitions", "1", "--no-golden",
                "--cell-budget", "1ms", "--noise-limit", "100", "--threads", case.threads, "--json", "--out",
                pathlib.Path(scratch, "run"))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not done.stdout:
            raise Unavailable(last_line(done))
        return json.loads(done.stdout)["summary"]["cells"][0]

    def measure(self, case, folder):
        """Decode after a prompt as long as the context, whose prefill is timed on the way; without a context, the prefill of a prompt
        of its own. Beside each rate its share of the limit that bounds it, and which one that is; the same process measured it."""
        decode = self.cell(case, folder, max(case.context, 1), case.generate, case.batch)
        rates = {"decode": decode["decode_tok_per_s"]["value"], "limit of decode": decode["decode_of_limit"]}
        if case.batch == 1 and case.context > 0:
            rates |= {"prefill": decode["prefill_tok_per_s"]["value"], "limit of prefill": decode["prefill_of_limit"]}
        elif case.batch == 1:
            prefill = self.cell(case, folder, case.prompt, 2, 1)
            rates |= {"prefill": prefill["prefill_tok_per_s"]["value"], "limit of prefill": prefill["prefill_of_limit"],
                      "first token": 1e9 * case.prompt / prefill["ttft_p50_ns_by_repetition"][0],
                      "limit of first token": prefill["first_token_of_limit"]}
        return rates


class Torch:
    name = "PyTorch"
    flags = ()

    def version(self, case, folder):
        # A process that asks for the name of a GPU keeps a context on it until it ends. This one ends before anything is measured.
        device = "" if case.backend == "cpu" else ", '; on', torch.cuda.get_device_name(0)"
        program = f"import torch, transformers; print('torch', torch.__version__ + ', transformers', transformers.__version__{device})"
        return run([sys.executable, "-c", program]).strip().replace(" ; on", "; on")

    def check(self, case):
        if case.precision != "bf16":
            raise Unavailable("bf16 alone")
        for module in ("torch", "transformers", "safetensors"):
            if importlib.util.find_spec(module) is None:
                raise Unavailable(f"the Python package {module} is not installed")
        if case.backend != "cpu":
            import torch
            if not torch.cuda.is_available():
                raise Unavailable("this PyTorch sees no GPU")

    def measure(self, case, folder):
        out = run([sys.executable, HERE / "torch_bench.py", folder / case.shape, json.dumps(dataclasses.asdict(case)),
                   *self.flags])
        return json.loads(out.splitlines()[-1])


class TorchGraphs(Torch):
    name = "PyTorch, CUDA graphs"
    flags = ("--graphs",)

    def check(self, case):
        if case.backend == "cpu":
            raise Unavailable("on GPUs alone")
        super().check(case)


class TorchF32(Torch):
    """What PyTorch does best on a CPU that cannot multiply BF16: the same weights, widened."""
    name = "PyTorch, f32"
    flags = ("--f32",)

    def check(self, case):
        if case.backend != "cpu":
            raise Unavailable("on CPUs alone")
        if multiplies_bf16():
            raise Unavailable("this CPU multiplies BF16")
        super().check(case)


class LlamaCpp:
    """One build: whichever PATH has, or the one in a folder, to which `build` gives its name. It computes on the CPU."""
    backend = "cpu"  # of ours, beside which it is measured
    tuning = ""
    TRIES = 3
    # The type that llama-quantize is asked for, by our variant. These types have a scale for each 32 weights, as our variants do, except
    # int8, which has one for each channel. For variants that begin with gguf- both sides read the same file.
    TYPES = {"bf16": "BF16", "int8": "Q8_0", "int8-g32": "Q8_0", "int8-g32-w8a8": "Q8_0", "int4": "Q4_0",
             "int4-w8a8": "Q4_0", "gguf-q8_0": "Q8_0", "gguf-q4_0": "Q4_0", "gguf-q4_k": "Q4_K_M", "gguf-q5_k": "Q5_K_M",
             "gguf-q6_k": "Q6_K"}
    environment = {}

    def __init__(self, build="", programs=None):
        self.name = f"llama.cpp {build}".strip() + self.tuning
        self.programs = programs

    def find(self, program):
        """Its path, or None."""
        return shutil.which(program, path=self.programs)

    def version(self, case, folder):
        done = subprocess.run([self.find("llama-bench"), "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        version = next((line for line in done.stdout.splitlines() if line.startswith("version")), "version unknown")
        return f"{version}; {self.setting(case, folder)}"

    def setting(self, case, folder):
        """What its version leaves open."""
        return self.fast_matmul(self.model(case, folder))

    def fast_matmul(self, model):
        """Whether it was built with GGML_LLAMAFILE, which about doubles prefill: it tells as it starts to generate."""
        for program in ("llama-completion", "llama-cli"):
            if self.find(program) is None:
                continue
            done = subprocess.run([self.find(program), "-m", model, "-n", "1", "-p", "a", "-no-cnv", *self.placement()],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for line in done.stdout.splitlines():
                if "system_info" in line:
                    return "built with" + ("" if "LLAMAFILE = 1" in line else "out") + " GGML_LLAMAFILE"
        return "built with or without GGML_LLAMAFILE: not found out"

    def placement(self):
        """Flags that say on which device it computes. A build that has a backend for GPUs uses one unless it is told not to, and with
        `-ngl 0` alone still uses it for prompts."""
        return ["--device", "none"]

    def loading(self, program):
        """Flags that say how it loads weights."""
        return []

    def check(self, case):
        if case.backend != self.backend:
            raise Unavailable("compared with cpu and vulkan alone")
        needed = ["llama-bench", "llama-quantize"] + (["llama-batched-bench"] if self.in_one_run(case) else [])
        for program in needed:
            if self.find(program) is None:
                raise Unavailable(f"the program {program} is not " + (f"in {self.programs}" if self.programs else "installed"))
        if importlib.util.find_spec("gguf") is None:
            raise Unavailable("the Python package gguf is not installed")

    def model(self, case, folder):
        return gguf_file(case, folder, self.find("llama-quantize"))

    def bench(self, case, folder, arguments):
        out = run([self.find("llama-bench"), "-m", self.model(case, folder), "-t", case.threads, "-r", 1, "-o", "json",
                   *self.placement(), *self.loading("llama-bench"), *arguments], self.environment)
        return json.loads(out)[0]["avg_ts"]

    def in_one_run(self, case):
        """Whether prefill and decode are measured by one run of llama-batched-bench: llama-bench measures one sequence alone, and computes
        a context twice, once without a clock."""
        return case.batch > 1 or case.context > 0

    def batched(self, case, folder):
        """A context is the same for all sequences (-pps), and so computed once."""
        prompt = max(case.context, 1)
        shared = ["-pps"] if case.context > 0 else []
        n_cached = prompt + case.batch * case.generate if shared else case.batch * (prompt + case.generate)
        command = [self.find("llama-batched-bench"), "-m", self.model(case, folder), "-t", case.threads, "-c", n_cached + 256,
                   "-npp", prompt, "-ntg", case.generate, "-npl", case.batch, *shared, "--output-format", "jsonl",
                   *self.placement(), *self.loading("llama-batched-bench")]
        # On a busy machine it may end before its logging thread has written the figures (llama.cpp's issue 22142).
        for _ in range(self.TRIES):
            for line in run(command, self.environment).splitlines():
                if line.startswith("{"):
                    found = json.loads(line)
                    prefill = {"prefill": found["speed_pp"]} if case.batch == 1 else {}
                    return {"decode": found["speed_tg"]} | prefill
        raise Unavailable(f"llama-batched-bench ended without figures {self.TRIES} times")

    def measure(self, case, folder):
        if self.in_one_run(case):
            return self.batched(case, folder)
        return {"decode": self.bench(case, folder, ["-p", 0, "-n", case.generate]),
                "prefill": self.bench(case, folder, ["-p", case.prompt, "-n", 0])}


class TunedLlamaCpp(LlamaCpp):
    """Weights in huge pages, as ours are: up to 18 % faster decode than mapping the file."""
    tuning = ", huge pages"
    environment = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

    def loading(self, program):
        """They are read instead of mapped; the flag was renamed in 2026."""
        return ["--load-mode", "none"] if "--load-mode" in run([self.find(program), "--help"]) else (
            ["--mmap", "0"] if program == "llama-bench" else ["--no-mmap"])


class VulkanLlamaCpp(LlamaCpp):
    """Its Vulkan backend, on the device that ours measures."""
    backend = "vulkan"

    def __init__(self, build, programs, device):
        """device: its name, which both sides have from the driver; None where ours has none."""
        super().__init__(build, programs)
        self.name += f", Vulkan on {device}"
        self.device = device

    def place(self):
        """What it calls the device: Vulkan0, Vulkan1, ..."""
        listed = re.findall(r"^ *(Vulkan\d+): (.*) \(\d+ MiB, \d+ MiB free\)$",
                            run([self.find("llama-bench"), "--list-devices"]), re.M)
        if not listed:
            raise Unavailable("llama-bench --list-devices names no Vulkan device: it was built without Vulkan, or found no GPU")
        for place, name in listed:
            if name == self.device:
                return place
        raise Unavailable("llama-bench --list-devices does not name our device, only " +
                          ", ".join(f"{place}: {name}" for place, name in listed))

    def placement(self):
        """All layers on the device: 999 is more than any model has. Flash attention where the device can compute it; `on` would leave
        it to the CPU where the device cannot."""
        return ["--device", self.place(), "-ngl", "999", "-fa", "auto"]

    def setting(self, case, folder):
        return " ".join(self.placement())

    def check(self, case):
        super().check(case)
        self.place()
