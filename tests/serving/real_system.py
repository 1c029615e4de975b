"""Shared by the tests of real servers and of real runtimes behind adapters: a run of the default bundle on one system, and the expected
verdicts with the right weights and with a planted error that does not change the speed."""
import json
import os
import pathlib
import subprocess
import sys

SKIPPED = 77
WRONG_BASE = 10000.0  # the RoPE base that most programs assume by default; the bundle's is 1e8
# The Python in which the servers and runtimes are installed.
PYTHON = os.environ.get("SECONDSOURCE_SERVERS_PYTHON", sys.executable)


def missing_packages(*names):
    """A message that names the packages that PYTHON lacks; empty if it has all of them."""
    found = subprocess.run([PYTHON, "-c", "import sys, importlib.util as u; print(*[n for n in sys.argv[1:] if not u.find_spec(n)])",
                            *names], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return f"{PYTHON} does not run"
    return f"{PYTHON} has no " + ", ".join(found.stdout.split()) if found.stdout.split() else ""


def write_wrong_base(config):
    """Writes the wrong RoPE base into the config.json at this path."""
    changed = {**json.loads(config.read_text()), "rope_theta": WRONG_BASE}
    config.unlink()  # it may be a link to the bundle's own file
    config.write_text(json.dumps(changed))


def measure(program, bundle, system, scratch):
    """Runs a plan with this system only. Returns the golden record, the cells and the exit status. `verify` must accept the run."""
    plan = {"version": 1, "bundles": [str(bundle)], "variants": ["bf16"], "repetitions": 1, "noise_limit_percent": 100,
            "scenarios": ["single-stream+requests=6@/16", "offline:2+requests=4@/16"],
            "systems": [{"name": "it", "variant": "bf16", **system}]}
    file, out = pathlib.Path(scratch, "plan.yaml"), pathlib.Path(scratch, "run")
    file.write_text(json.dumps(plan))  # JSON is YAML
    run = subprocess.run([program, "run", "--config", str(file), "--out", str(out)], capture_output=True, text=True, check=False)
    print(run.stdout, run.stderr, sep="\n")
    if run.returncode not in (0, 3, 6):
        print((out / "servers" / "it.log").read_text()[-3000:])
    verified = subprocess.run([program, "verify", str(out)], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    summary = json.loads((out / "summary.json").read_text())
    return summary["golden"][0], summary["cells"], run.returncode


def check_answers(cells):
    """Checks that no request of the two scenarios failed."""
    assert len(cells) == 2 and all(cell["n_errors"] == 0 and cell["n_samples"] > 0 for cell in cells), cells


def check_right(measured, level):
    golden, cells, status = measured
    check_answers(cells)
    assert golden["verdict"] == "passed" and golden["level"] == level, golden
    assert golden["n_prompts"] >= 10 and golden["n_wrong"] == 0, golden
    assert status in (0, 6), status  # 6: a check of the measurement itself, on a busy machine


def check_wrong(measured, level):
    """Checks that the verdict is the only sign that the system is wrong."""
    golden, cells, status = measured
    check_answers(cells)
    assert golden["verdict"] == "failed" and golden["level"] == level, golden
    assert status == 3, status
