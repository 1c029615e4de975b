"""Tests llama-server's router with three models, which are the default bundle's weights under different names: the program starts the
server and tells it what to load, and its tokens must be right.

    python3 real_router_test.py SECONDSOURCE SOURCE_FOLDER

Skipped (77) with the reason if SECONDSOURCE_LLAMA_SERVER (default: llama-server in PATH) is not a llama-server with a router, or if the
Python of SECONDSOURCE_SERVERS_PYTHON (default: this one) cannot write GGUF.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
SERVER = os.environ.get("SECONDSOURCE_LLAMA_SERVER") or shutil.which("llama-server")
PYTHON = os.environ.get("SECONDSOURCE_SERVERS_PYTHON", sys.executable)
MODELS = ["default", "second", "third"]


def why_not():
    if not SERVER or not pathlib.Path(SERVER).exists():
        return "there is no llama-server"
    said = subprocess.run([SERVER, "--help"], capture_output=True, text=True, check=False)
    if "--models-dir" not in said.stdout + said.stderr:
        return f"{SERVER} has no router: its --help names no --models-dir"
    return ""


def copy_bundle(to, name):
    shutil.copytree(SOURCE / "bundles/default", to)
    manifest = to / "manifest.yaml"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(f"name: {name}\n" if line.startswith("name:") else line for line in lines))


def main():
    if reason := why_not():
        print("skipped: " + reason)
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="secondsource-router-") as scratch:
        folder = pathlib.Path(scratch)
        models = folder / "models"
        models.mkdir()
        file = models / "default.gguf"
        wrote = subprocess.run([PYTHON, SOURCE / "bundles/recipes/write_gguf.py", SOURCE / "bundles/default", file],
                               capture_output=True, text=True, check=False)
        if wrote.returncode != 0:
            print("skipped: write_gguf.py: " + wrote.stderr.strip()[-300:])
            return SKIPPED
        for name in MODELS:
            copy_bundle(folder / name, name)
            if name != "default":
                shutil.copy(file, models / f"{name}.gguf")
        plan = {"version": 1, "bundles": [str(folder / name) for name in MODELS], "variants": ["bf16"], "repetitions": 1,
                "noise_limit_percent": 100, "scenarios": ["swap:2models+zipf=1+requests=24@/8"],
                "systems": [{"name": "router", "preset": "llama-server", "stop_deadline": "60s",
                             "start": [SERVER, "--models-dir", str(models), "--models-max", "2", "--host", "127.0.0.1", "--port",
                                       "{port}", "--ctx-size", "4096", "--parallel", "1"]}]}
        (folder / "plan.yaml").write_text(json.dumps(plan))
        out = folder / "run"
        run = subprocess.run([PROGRAM, "run", "--config", str(folder / "plan.yaml"), "--out", str(out)], capture_output=True, text=True,
                             check=False)
        print(run.stdout, run.stderr, sep="\n")
        assert run.returncode in (0, 6), run.returncode  # 6: the measurement may be invalid on a busy machine
        lines = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
        (golden,) = [one for one in lines if one["type"] == "golden"]
        assert golden["verdict"] == "passed" and golden["level"] == "forced" and golden["n_wrong"] == 0, golden
        (repetition,) = [one for one in lines if one["type"] == "repetition"]
        swap = repetition["swap"]
        loads = [event for event in swap["events"] if event["action"] == "load"]
        assert len(loads) >= 3 and all(event["duration_ns"] > 0 for event in loads), swap
        # At most two models are loaded at once. The process of each takes at least the 5.5 MB of its weights and less than a gigabyte.
        assert all(5_000_000 < event["resident_bytes"] < 2_000_000_000 for event in loads), swap
        for start in swap["starts"]:
            assert start["first_token_ns"] or start["why_not"], start
        assert any(start["source"] == "page cache" and start["first_token_ns"] for start in swap["starts"])
        samples = [one for one in lines if one["type"] == "sample"]
        assert len(samples) == 24 and not any(one["error"] for one in samples)
        verified = subprocess.run([PROGRAM, "verify", str(out)], capture_output=True, text=True, check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr
    return 0


if __name__ == "__main__":
    sys.exit(main())
