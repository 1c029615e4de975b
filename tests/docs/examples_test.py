"""Runs the pages of docs/examples: each folder is copied into a scratch repository, and every command of its page runs in order. On every
page, at least one block ends with 0 (the gate passes; 5 on a busy machine), and others end with the status of a planted regression.

    python3 examples_test.py SECONDSOURCE SOURCE_FOLDER model|backend|server

The reader's own things are replaced: the model folder by a committed bundle, which is a Hugging Face folder with expected outputs; vLLM
by tests/serving/stand_in.py, which answers from the default bundle's expected outputs; and the package for building a backend by the
program's build tree, installed into the scratch folder.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from pages import command_blocks
from scratch import Scratch

PROGRAM, SOURCE = (Path(argument).resolve() for argument in sys.argv[1:3])
# The time of each token is dominated by a sleep, so that other load on the machine has little effect.
VLLM = f"""#!{sys.executable}
import os, sys
command, model, *flags = sys.argv[1:]
assert command == "serve" and "--no-enable-prefix-caching" in flags, sys.argv
slow = 3 if "--enforce-eager" in flags else 1
words = [{str(SOURCE / "tests/serving/stand_in.py")!r}, "--dialect", "vllm", "--bundle", {str(SOURCE / "bundles/default")!r}, "--model", model,
         "--port", flags[flags.index("--port") + 1], "--first-ms", str(15 * slow), "--gap-ms", str(5 * slow)]
if "--hf-overrides" in flags:
    words += ["--wrong-scores", "--wrong-token", "1"]
os.execv(sys.executable, [sys.executable, *words])
"""


def begin_model(scratch):
    shutil.copytree(SOURCE / "bundles/tiny-gqa8-hd64", scratch.work / "model")
    (scratch.work / "new").mkdir()
    (scratch.work / "new/secondsource").symlink_to(PROGRAM)


def begin_server(scratch):
    scratch.add_program("vllm", VLLM)


def begin_backend(scratch):
    prefix = scratch.folder / "prefix"
    for component in ("program", "development"):
        subprocess.run(["cmake", "--install", PROGRAM.parent.parent, "--prefix", prefix, "--component", component], check=True,
                       stdout=subprocess.DEVNULL)
    scratch.environment["CMAKE_PREFIX_PATH"] = str(prefix)
    (scratch.bin / "secondsource").unlink()
    (scratch.bin / "secondsource").symlink_to(prefix / "bin/secondsource")


def fault_of_server(scratch) -> str:
    """Checks the estimated changes. On a busy machine both gates may be inconclusive (5), but their estimates still show which server is
    three times as slow."""
    for candidate, is_slow in (("change", False), ("slow", True)):
        gate = subprocess.run(["secondsource", "gate", "runs/main", f"runs/{candidate}", "--format", "json"], cwd=scratch.work,
                              env=scratch.environment, capture_output=True, text=True)
        changes = {one["metric"]: one["change_percent"] for one in json.loads(gate.stdout)["verdicts"]}
        if set(changes) != {"cost", "ttft"} or any((change > 50) != is_slow for change in changes.values()):
            return f"runs/{candidate}: {changes}\n{gate.stdout[-2000:]}"
    return ""


def main() -> int:
    name = sys.argv[3]
    folder = SOURCE / "docs/examples" / name
    blocks = command_blocks((folder / "README.md").read_text())
    statuses = [block.statuses for block in blocks if not block.reason]
    assert any(0 in one for one in statuses) and any(0 not in one for one in statuses), statuses
    with Scratch(PROGRAM, SOURCE) as scratch:
        shutil.copytree(folder, scratch.work, dirs_exist_ok=True)
        (scratch.bin / "secondsource").symlink_to(PROGRAM)
        {"model": begin_model, "backend": begin_backend, "server": begin_server}[name](scratch)
        # A reader has a repository; the page of the backend itself commits the example.
        repository = "git init -q" if name == "backend" else "git init -q && git add . && git commit -qm Begin"
        for place, script, expected in [("the repository", repository, (0,))] + [
                (f"docs/examples/{name}/README.md:{block.line}", block.script, block.statuses) for block in blocks if not block.reason]:
            begin = time.monotonic()
            fault = scratch.fault_of(place, script, expected)
            print(f"{place}: {time.monotonic() - begin:.1f} s", flush=True)
            if fault:
                print(fault, file=sys.stderr)
                return 1
        if name == "server" and (fault := fault_of_server(scratch)):
            print(fault, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
