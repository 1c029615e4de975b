#!/usr/bin/env python3
"""Measures a real runtime behind its adapter with the default bundle: real_adapter_test.py PROGRAM SOURCE_FOLDER NAME, with one
of the names of SYSTEMS.

Once with the bundle's weights, whose tokens must pass, and once with a planted error that no speed shows: the adapter is handed a
configuration with the wrong base of the rotation, by a program between it and the run that changes the model folder on its way.

Skipped (77) with the reason where the runtime is not installed: it is looked for in the Python that SECONDSOURCE_SERVERS_PYTHON
names (default: this one).
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
PYTHON = os.environ.get("SECONDSOURCE_SERVERS_PYTHON", sys.executable)
WRONG_BASE = 10000.0  # the default of most programs, where the bundle says 1e8
# Name: the adapter, the packages that it needs, its options.
SYSTEMS = {
    "transformers": ("transformers", ["torch", "transformers"], {}),
    "transformers-static": ("transformers", ["torch", "transformers"], {"cache": "static", "dtype": "float32"}),
    "transformers-compile": ("transformers", ["torch", "transformers"], {"cache": "static", "mode": "compile", "batch": "1"}),
    "ctranslate2": ("ctranslate2", ["ctranslate2", "torch", "transformers"], {}),
    "onnxruntime-genai": ("onnxruntime-genai", ["onnxruntime_genai", "onnx_ir", "torch", "transformers"], {}),
}
PROGRAM, SOURCE, NAME = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
BUNDLE = SOURCE / "bundles" / "default"


def why_not(packages):
    found = subprocess.run([PYTHON, "-c", "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if not u.find_spec(n)])",
                            *packages], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return f"{PYTHON} does not run"
    return f"{PYTHON} has no " + ", ".join(found.stdout.split()) if found.stdout.split() else ""


def pass_on(adapter, folder):
    """Starts the adapter and changes the model that it is to load: its configuration gets another base."""
    process = subprocess.Popen([PYTHON, "-B", SOURCE / "adapters" / "serve.py", adapter], stdin=subprocess.PIPE)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "load":
            shutil.rmtree(folder)
            folder.mkdir()
            for path in pathlib.Path(request["model"]).iterdir():
                (folder / path.name).symlink_to(path.resolve())
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").unlink()
            (folder / "config.json").write_text(json.dumps({**config, "rope_theta": WRONG_BASE}))
            request["model"] = str(folder)
        process.stdin.write((json.dumps(request) + "\n").encode())
        process.stdin.flush()
    process.stdin.close()
    return process.wait()


def measure(system, scratch):
    """The golden record, the cells and the exit status of a run of this system alone."""
    plan = {"version": 1, "bundles": [str(BUNDLE)], "variants": ["bf16"], "repetitions": 1, "noise_limit_percent": 100,
            "scenarios": ["single-stream+requests=6@/16", "offline:2+requests=4@/16"],
            "systems": [{"name": "it", "variant": "bf16", **system}]}
    file, out = pathlib.Path(scratch, "plan.yaml"), pathlib.Path(scratch, "run")
    file.write_text(json.dumps(plan))  # JSON is YAML
    run = subprocess.run([PROGRAM, "run", "--config", str(file), "--out", str(out)], capture_output=True, text=True, check=False)
    print(run.stdout, run.stderr, sep="\n")
    if run.returncode not in (0, 3, 6):
        print((out / "servers" / "it.log").read_text()[-3000:])
    verified = subprocess.run([PROGRAM, "verify", str(out)], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    summary = json.loads((out / "summary.json").read_text())
    return summary["golden"][0], summary["cells"], run.returncode


def main():
    adapter, packages, options = SYSTEMS[NAME]
    missing = why_not(packages)
    if missing:
        print("skipped: " + missing)
        return SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        golden, cells, status = measure({"adapter": adapter, "python": PYTHON, "options": options}, scratch)
    assert golden["verdict"] == "passed" and golden["level"] == "logits", golden
    assert golden["n_prompts"] >= 10 and golden["n_wrong"] == 0 and golden["kl_mean"] < 1e-3, golden
    assert len(cells) == 2 and all(cell["n_errors"] == 0 and cell["n_samples"] > 0 for cell in cells), cells
    assert status in (0, 6), status  # 6: a check of the measurement itself, on a busy machine
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "wrong")
        folder.mkdir()
        between = [sys.executable, __file__, PROGRAM, str(SOURCE), NAME, str(folder)]
        golden, cells, status = measure({"adapter": adapter, "start": between, "options": options}, scratch)
    # Nothing but the verdict tells: every request was answered, in full.
    assert all(cell["n_errors"] == 0 and cell["n_samples"] > 0 for cell in cells), cells
    assert golden["verdict"] == "failed" and golden["level"] == "logits" and golden["n_wrong"] > 0, golden
    assert status == 3, status
    return 0


if __name__ == "__main__":
    sys.exit(pass_on(SYSTEMS[NAME][0], pathlib.Path(sys.argv[4])) if len(sys.argv) > 4 else main())
