#!/usr/bin/env python3
"""Measures `transformers serve` with the default bundle: real_server_test.py PROGRAM SOURCE_FOLDER.

Skipped (77) with the reason where transformers, PyTorch or what the server needs is not installed for this Python.
"""
import importlib.util
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SKIPPED = 77
NEEDED = ("torch", "transformers", "fastapi", "uvicorn", "openai", "accelerate")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_until_healthy(url, server, seconds=300):
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url + "/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False


def main():
    program, source = sys.argv[1], pathlib.Path(sys.argv[2])
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print("skipped: this Python has no " + ", ".join(missing))
        return SKIPPED
    bundle = source / "bundles" / "default"
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "model")
        folder.mkdir()
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(bundle / name, folder)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with open(pathlib.Path(scratch, "server.log"), "w+", encoding="utf-8") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1",
                 "--port", str(port), "--device", "cpu", "--dtype", "bfloat16"], stdout=log, stderr=log)
            try:
                if not wait_until_healthy(url, server):
                    log.seek(0)
                    print(log.read()[-3000:])
                    print("the server did not start")
                    return 1
                return measure(program, bundle, url, folder, pathlib.Path(scratch, "run"))
            finally:
                server.terminate()
                server.wait(30)


def measure(program, bundle, url, folder, out):
    system = f"transformers={url},preset=transformers,model={folder},variant=bf16"
    run = subprocess.run(
        [program, "run", str(bundle), "--system", system, "--backend", "cpu", "--variant", "bf16", "--scenario",
         "single-stream+requests=6@/16,offline:2+requests=4@/16", "--repetitions", "1", "--out", str(out)],
        capture_output=True, text=True, check=False)
    print(run.stdout)
    print(run.stderr)
    summary = json.loads((out / "summary.json").read_text())
    golden = [one for one in summary["golden"] if one["backend"] == "transformers"]
    cells = [one for one in summary["cells"] if one["key"]["backend"] == "transformers"]
    # Its BF16 is PyTorch's, which rounds as the envelope of the bundle does; its tokenizer and its end are its own.
    assert golden and golden[0]["verdict"] == "passed", golden
    assert golden[0]["level"] == "text", golden
    assert golden[0]["n_prompts"] >= 10, golden
    assert len(cells) == 2 and all(cell["n_errors"] == 0 and cell["n_samples"] > 0 for cell in cells), cells
    verified = subprocess.run([program, "verify", str(out)], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    return 0 if run.returncode in (0, 6) else 1


if __name__ == "__main__":
    sys.exit(main())
