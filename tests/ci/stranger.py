#!/usr/bin/env python3
"""Goes through the first steps of a new user, who has a repository and the packages of a release, in a fresh container of Debian 12.
Prints the elapsed minutes after each step.

    stranger.py laptop    installs the wheel and measures the bundle that comes with it
    stranger.py github    a repository with the backend and the plan of docs/examples/backend: `init`, a pull request that changes
                          nothing, a slower one
    stranger.py gitlab    a repository with a model: `init`, a merge request that changes nothing, one that damages the weights

/source is this source tree and /release the release. The code hosts are the stand-ins of hosts.py; packages are really installed.
"""

import pathlib
import subprocess
import sys
import time

import yaml
from hosts import Host, Workflow, git

SOURCE, RELEASE = pathlib.Path("/source"), pathlib.Path("/release")
WHEEL, DEB = (str(next(RELEASE.glob(pattern))) for pattern in ("secondsource-*.whl", "secondsource_*.deb"))
SCRATCH = pathlib.Path("/tmp/stranger")
BEGIN = time.monotonic()


def say(text):
    print(f"{(time.monotonic() - BEGIN) / 60:5.1f} min  {text}", flush=True)


def shell(script, folder=SCRATCH, expected=0):
    print("           $ " + script, flush=True)
    run = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == expected, f"status {run.returncode}\n{run.stdout}"
    return run.stdout


def install():
    """Installs the program from the wheel, as a user does before creating a repository."""
    shell("apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv git")
    shell(f"python3 -m venv tools && tools/bin/pip install --quiet {WHEEL} && ln -s $PWD/tools/bin/secondsource /usr/local/bin/")
    say(shell("secondsource --version").splitlines()[0])


def laptop():
    install()
    shell("secondsource run installed:default --out first")
    print(shell("secondsource report first"))
    say("the first report")


def repository(remote, files):
    """A repository with these files on a stand-in for its host, after `secondsource init`."""
    host = Host(SCRATCH / "host", pathlib.Path("/usr/local/bin"), files, installs=True)
    git(host.remote, "remote", "add", "origin", remote)
    print(shell("secondsource init", host.remote))
    git(host.remote, "add", "--all")
    git(host.remote, "commit", "--quiet", "--message", "secondsource init")
    say("committed what init wrote")
    return host


def change(host, name, path, edit):
    """Creates a branch from main with one commit that edits one file. Returns the commit."""
    git(host.remote, "switch", "--quiet", "--create", name, "main")
    content = (host.remote / path).read_bytes()
    changed = edit(content)
    assert changed != content or edit is unchanged
    (host.remote / path).write_bytes(changed)
    git(host.remote, "commit", "--quiet", "--allow-empty", "--all", "--message", name)
    commit = git(host.remote, "rev-parse", "HEAD")
    git(host.remote, "switch", "--quiet", "main")
    return commit


def unchanged(content):
    return content


def slower(content):
    """Plants the slowdown that docs/examples/backend describes."""
    return content.replace(b"#include <vector>", b"#include <thread>\n#include <vector>").replace(
        b"float squares = 0.0F;", b"std::this_thread::sleep_for(std::chrono::milliseconds(2));\n      float squares = 0.0F;")


def damaged(weights):
    """One weight in a hundred gets another exponent."""
    changed = bytearray(weights)
    for at in range(len(changed) // 2 | 1, len(changed), 200):
        changed[at] ^= 0x02
    return bytes(changed)


def github():
    install()
    example = SOURCE / "docs/examples/backend"
    host = repository("https://github.com/o/r.git", {name: (example / name).read_text() for name in ("CMakeLists.txt", "backend.cpp", "secondsource.yaml")})
    workflow = yaml.safe_load((host.remote / ".github/workflows/performance.yml").read_text())
    for name, edit, wanted in (("a change of nothing", unchanged, ("0", "5")), ("a slower kernel", slower, ("1",))):
        commit = change(host, name.replace(" ", "-"), "backend.cpp", edit)
        run = Workflow(host, workflow, {"github.sha": commit, "github.ref": commit, "runner.os": "Linux", "runner.arch": "X64"},
                       {"GITHUB_BASE_REF": "main", "PACKAGE": DEB})
        ended = run.run()
        status = run.context.get("steps.compare.outputs.status")
        assert status in wanted, "\n".join(run.logs)
        print((host.folder / "summary.md").read_text().split("\n\n")[0])
        say(f"pull request with {name}: {'green' if all(ended.values()) else 'red'} (status {status})")


def gitlab():
    install()
    bundle = SOURCE / "bundles/default"
    host = repository("git@gitlab.example.com:g/r.git",
                      {f"model/{path.relative_to(bundle)}": path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()})
    job = yaml.safe_load((host.remote / ".gitlab-ci.yml").read_text())["performance"]
    for name, edit, wanted in (("a change of nothing", unchanged, (0,)), ("damaged weights", damaged, (2, 3))):
        host.checkout(change(host, name.replace(" ", "-"), "model/model.safetensors", edit))
        variables = {**{key: str(value) for key, value in job["variables"].items()}, "PACKAGE": WHEEL,
                     "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(host.work, "merge-base", "HEAD", "origin/main")}
        run = host.shell("\n".join([*job["before_script"], *job["script"]]), variables)
        assert run.returncode in wanted, run.stdout + run.stderr
        say(f"merge request with {name}: {'red' if run.returncode else 'green'} (status {run.returncode})")


if __name__ == "__main__":
    SCRATCH.mkdir()
    {"laptop": laptop, "github": github, "gitlab": gitlab}[sys.argv[1]]()
