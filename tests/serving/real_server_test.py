#!/usr/bin/env python3
"""Measures a real server with the default bundle: real_server_test.py PROGRAM SOURCE_FOLDER NAME, with one of the names of SERVERS.

The program starts the server itself, according to a plan. In the first run it has the bundle's weights, and its tokens must pass. In the
second run the RoPE base is wrong, and the tokens must be found wrong although the server is as fast as before.

Skipped (77) with the reason if the server is not installed. Python packages are expected in the Python that SECONDSOURCE_SERVERS_PYTHON
names (default: this one), and llama-server at SECONDSOURCE_LLAMA_SERVER (default: in PATH).
"""
import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from real_system import PYTHON, SKIPPED, check_right, check_wrong, measure, missing_packages, write_wrong_base

LLAMA_SERVER = os.environ.get("SECONDSOURCE_LLAMA_SERVER") or shutil.which("llama-server")
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


class Transformers:
    level = "text"

    def why_not(self):
        return missing_packages("torch", "transformers", "fastapi", "uvicorn", "openai", "accelerate")

    def plan(self, model, _scratch):
        return {"start": [PYTHON, "-m", "transformers.cli.transformers", "serve", model, "--host", "127.0.0.1", "--port",
                          "{port}", "--device", "cpu", "--dtype", "bfloat16"], "model": model}


class Vllm:
    level = "forced"
    publishes_metrics = True

    def why_not(self):
        return missing_packages("torch", "vllm")

    def plan(self, model, _scratch):
        return {"start": [PYTHON, "-m", "vllm.entrypoints.cli.main", "serve", model, "--host", "127.0.0.1", "--port",
                          "{port}", "--dtype", "bfloat16", "--max-model-len", "4096", "--enforce-eager",
                          "--no-enable-prefix-caching", "--served-model-name", "default"],
                "env": {"VLLM_CPU_KVCACHE_SPACE": "1"}}


class LlamaServer:
    level = "forced"
    publishes_metrics = True

    def why_not(self):
        if not LLAMA_SERVER or not pathlib.Path(LLAMA_SERVER).exists():
            return "there is no llama-server"
        return missing_packages("gguf", "torch", "safetensors")

    def plan(self, model, scratch):
        folder = BUNDLE if model == "{model}" else model
        file = pathlib.Path(scratch, "model.gguf")
        subprocess.run([PYTHON, SOURCE / "bundles/recipes/write_gguf.py", folder, file], check=True)
        return {"start": [LLAMA_SERVER, "--model", str(file), "--host", "127.0.0.1", "--port", "{port}", "--ctx-size",
                          "8192", "--parallel", "2", "--metrics"]}


class Container(LlamaServer):
    """llama-server in a container. Its image is built here; it is empty, and this machine's libraries are mounted into the container."""
    preset = "llama-server"
    options = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
    mounts = [word for folder in ("/usr", "/lib", "/lib64") for word in ("--volume", f"{folder}:{folder}:ro")]

    def why_not(self):
        why = super().why_not() or ("" if shutil.which("podman") else "there is no podman")
        return why or self.build()

    def build(self):
        """Builds the image and finds a runtime for it: crun needs a newer version of cgroups than runc. Returns why this failed, or ""."""
        self.scratch = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.scratch.name)
        (folder / "Containerfile").write_text('FROM scratch\nCOPY note /note\nENTRYPOINT ["/usr/bin/env"]\n')
        (folder / "note").write_text("this machine's libraries are mounted\n")
        built = subprocess.run(["podman", "build", "--isolation=chroot", "-q", str(folder)], capture_output=True, text=True,
                               check=False)
        if built.returncode != 0:
            return "podman builds no image: " + built.stderr.strip()[-200:]
        self.image = built.stdout.strip().split("\n")[-1]
        atexit.register(subprocess.run, ["podman", "rmi", "--force", self.image], stdout=subprocess.DEVNULL)
        self.engine = folder / "engine"
        for runtime in ("", "--runtime runc"):
            self.engine.write_text(f'#!/bin/sh\nexec podman {runtime} "$@"\n')
            self.engine.chmod(0o755)
            tried = subprocess.run([self.engine, "run", "--rm", "--pull=never", "--network=host", *self.options, *self.mounts,
                                    self.image, "true"], capture_output=True, text=True, check=False)
            if tried.returncode == 0:
                return ""
        return "podman runs no container here: " + tried.stderr.strip()[-200:]

    def plan(self, model, scratch):
        program, *arguments = super().plan(model, scratch)["start"]
        inside = [word.replace(str(scratch), "/files") for word in arguments]
        return {"engine": str(self.engine), "image": "sha256:" + self.image,
                "options": [*self.options, *self.mounts, "--volume", f"{pathlib.Path(program).parent}:/server:ro",
                            "--volume", f"{scratch}:/files:ro"],
                "start": ["/server/" + pathlib.Path(program).name, *inside]}


SERVERS = {"transformers": Transformers, "vllm": Vllm, "llama-server": LlamaServer, "container": Container}
PROGRAM, SOURCE, NAME = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
BUNDLE = SOURCE / "bundles" / "default"


def folder_with_wrong_base(scratch):
    folder = pathlib.Path(scratch, "wrong")
    folder.mkdir()
    for name in MODEL_FILES:
        shutil.copy(BUNDLE / name, folder)
    write_wrong_base(folder / "config.json")
    return str(folder)


def system_of(server, model, scratch):
    """The server's entry in the plan."""
    return {"preset": getattr(server, "preset", NAME), "stop_deadline": "60s", **server.plan(model, scratch)}


def check_metrics(cells):
    """Checks what the server itself counted in each repetition, and the memory of its processes."""
    for cell in cells:
        readings = {one["name"]: one["value"] for one in cell["telemetry"]}
        assert readings["server_metrics_failed_count"] == 0, readings
        assert readings["server_requests_running_max"] >= 0 and readings["server_rss_bytes"] > 1e6, readings
        # If a fresh page came too late for the end of a repetition, its counts belong to the next repetition.
        if "server_metrics_late_count" not in readings:
            assert readings["server_output_tokens_count"] >= 16, readings


def main():
    server = SERVERS[NAME]()
    why_not = server.why_not()
    if why_not:
        print("skipped: " + why_not)
        return SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        measured = measure(PROGRAM, BUNDLE, system_of(server, "{model}", scratch), scratch)
        check_right(measured, server.level)
        if getattr(server, "publishes_metrics", False):
            check_metrics(measured[1])
    with tempfile.TemporaryDirectory() as scratch:
        system = system_of(server, folder_with_wrong_base(scratch), scratch)
        check_wrong(measure(PROGRAM, BUNDLE, system, scratch), server.level)
    return 0


if __name__ == "__main__":
    sys.exit(main())
