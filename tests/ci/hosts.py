"""Stand-ins for the code hosts (GitHub and GitLab) that run the files of docs/ci: a working copy with its remote, the actions that
the files use, and the commands `gh` and `curl`. Every `run:` step is executed by bash, as on the real host. A step, an action or an
expression that is unknown here is an error, so that no step is left out by mistake.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from own_cache import own_cache  # noqa: E402

# Replaces `./dev build`: links the program under test to the place where a build leaves it.
DEV = """#!/usr/bin/env bash
set -e
[ "$1" = build ]
mkdir -p build/release
ln -sfn "$PROGRAM_FOLDER" build/release/bin
"""
# Replaces `python3 -m venv DIR`. The pip in DIR installs the program under test in DIR/bin.
PYTHON = """#!/usr/bin/env bash
set -e
[ "$1" != -c ] || exec REAL_PYTHON "$@"
[ "$1 $2" = "-m venv" ]
folder="${@: -1}"
mkdir -p "$folder/bin"
printf '%s\\n' '#!/bin/sh' 'echo "pip $*" >> "$RECORDED"' 'ln -sfn "$PROGRAM_FOLDER/secondsource" "$(dirname "$0")/secondsource"' \\
  > "$folder/bin/pip"
chmod +x "$folder/bin/pip"
"""
# Replaces apt-get. For the program's own package it installs a link to the program under test.
APT_GET = """#!/usr/bin/env bash
set -e
echo "apt-get $*" >> "$RECORDED"
case "${@: -1}" in
  *secondsource.deb) [ -f "${@: -1}" ] && ln -sfn "$PROGRAM_FOLDER/secondsource" "$(dirname "$0")/secondsource" ;;
esac
"""
# Records its arguments.
RECORDER = """#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0")" "$@" >> "$RECORDED"
[ ! -f "$RECORDED.refuses-$(basename "$0")" ]
"""
# Replaces gh, for GitHub's API of comments: the list is empty until a comment is posted, and the comment's text is kept.
GH = """#!/usr/bin/env bash
printf '%s\\n' "$@" >> "$RECORDED"
[ ! -f "$RECORDED.refuses-gh" ] || exit 1
for word in "$@"; do case "$word" in body=@*) cp "${word#body=@}" "$RECORDED.body" ;; esac; done
case "$*" in
  *"--method POST"*) touch "$RECORDED.comment" ;;
  *--paginate*) if [ -f "$RECORDED.comment" ]; then echo 7; fi ;;
  "api "*) echo 7 ;;
esac
"""
# Replaces curl, for GitLab's API of comments.
CURL = """#!/usr/bin/env bash
printf '%s\\n' "$@" >> "$RECORDED"
for word in "$@"; do case "$word" in body@*) cp "${word#body@}" "$RECORDED.body" ;; esac; done
case "$*" in
  *"--request POST"*) touch "$RECORDED.comment" ;;
  *"--request"*) ;;
  *) if [ -f "$RECORDED.comment" ]; then
       echo '[{"id": 8, "body": "other"}, {"id": 9, "body": "<!-- secondsource: performance -->\\nold"}]'; else echo '[]'; fi ;;
esac
"""


def git(folder, *arguments):
    run = subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always",
                          *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, (arguments, run.stdout)
    return run.stdout.strip()


def copy(source, target):
    """Copies a file, or a folder with all its content. Does nothing if the source does not exist."""
    source, target = pathlib.Path(source), pathlib.Path(target)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


class Host:
    """A remote with a main branch and changes, and a runner that keeps its working copy from one change to the next. With
    `installs`, packages are really installed: python3 and apt-get are not replaced."""

    def __init__(self, folder, program_folder, files, installs=False):
        self.folder = pathlib.Path(folder)
        self.deadline = 3600 if installs else 400  # seconds for a step
        self.remote = self.folder / "remote"
        self.kept = self.folder / "runner/checkout"  # the working copy of the runner that keeps its disk
        self.work = self.kept
        self.artifacts = self.folder / "artifacts"
        self.uploaded = []  # SARIF documents
        self.bin = self.folder / "bin"
        self.recorded = self.folder / "recorded"
        self.remote.mkdir(parents=True)
        self.bin.mkdir()
        self.caches = {}  # the host's caches: from the key to the folder with the stored files
        stand_ins = {"gh": GH, "curl": CURL, "nvidia-smi": RECORDER}
        if not installs:
            stand_ins.update({"python3": PYTHON.replace("REAL_PYTHON", sys.executable), "apt-get": APT_GET})
        for name, script in stand_ins.items():
            (self.bin / name).write_text(script)
            (self.bin / name).chmod(0o755)
        git(self.remote, "init", "--quiet", "--initial-branch=main")
        for path, text in {"dev": DEV, ".gitignore": "build/\n", **files}.items():
            (self.remote / path).parent.mkdir(parents=True, exist_ok=True)
            (self.remote / path).write_bytes(text if isinstance(text, bytes) else text.encode())
        (self.remote / "dev").chmod(0o755)
        git(self.remote, "add", "--all")
        git(self.remote, "commit", "--quiet", "--message", "base")
        self.environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "PROGRAM_FOLDER": str(program_folder),
                            "RECORDED": str(self.recorded), **own_cache(self.folder / "cache"),
                            "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig")}

    def change(self, name):
        """A branch with one commit on the newest main; returns its commit."""
        git(self.remote, "switch", "--quiet", "--create", name, "main")
        (self.remote / "change.txt").write_text(name)
        git(self.remote, "add", "--all")
        git(self.remote, "commit", "--quiet", "--message", name)
        commit = git(self.remote, "rev-parse", "HEAD")
        git(self.remote, "switch", "--quiet", "main")
        return commit

    def checkout(self, commit):
        """Checks a commit out as the host's action does on a runner that keeps its disk: ignored files, such as builds, stay."""
        if not (self.work / ".git").exists():
            self.work.parent.mkdir(parents=True, exist_ok=True)
            git(self.work.parent, "clone", "--quiet", str(self.remote), self.work.name)
        git(self.work, "fetch", "--quiet", "--prune", "origin", "+refs/heads/*:refs/remotes/origin/*")
        git(self.work, "checkout", "--quiet", "--force", "--detach", commit)

    def shell(self, script, environment, options=("-e", "-o", "pipefail")):
        return subprocess.run(["bash", *options, "-c", script], cwd=self.work,
                              env={**self.environment, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=self.deadline)


class Workflow:
    """Runs the jobs of a GitHub workflow for one event. `context` maps the text of each expression to its value. `forgiven` maps the
    names of steps to the exit statuses that do not count as failures of these steps."""

    def __init__(self, host, workflow, context, environment, forgiven=None):
        self.host, self.workflow, self.environment = host, workflow, environment
        self.forgiven = forgiven or {}
        self.context = dict(context)
        self.executed = []  # names of all steps
        self.added_to_path = []
        self.to_keep = []  # caches that are written when the job has succeeded: key, paths
        self.logs = []

    def value(self, expression):
        expression = expression.strip()
        parts = [part.strip() for part in expression.split("&&")]
        if len(parts) > 1:
            return all(self.value(part) for part in parts)
        if match := re.fullmatch(r"(.+?) \|\| (.+)", expression):
            return self.value(match[1]) or self.value(match[2])
        if match := re.fullmatch(r"(.+?) (==|!=) (.+)", expression):
            return (self.value(match[1]) == self.value(match[3])) == (match[2] == "==")
        if match := re.fullmatch(r"'([^']*)'|(\d+)", expression):
            return match[1] if match[2] is None else match[2]
        if match := re.fullmatch(r"hashFiles\('([^']+)'\)", expression):
            return "hash" if (self.host.work / match[1]).exists() else ""
        if match := re.fullmatch(r"hashFiles\(format\('\{0\}([^']*)', (.+)\)\)", expression):
            return "hash" if (self.host.work / (self.value(match[2]) + match[1])).exists() else ""
        if expression in ("!cancelled()", "always()"):
            return True
        if re.fullmatch(r"steps\.\w+\.outputs\.\w+", expression):
            return self.context.get(expression, "")
        return self.context[expression]  # an unknown expression is an error

    def fill(self, text):
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(self.value(match[1])), str(text))

    def condition(self, holder, failed):
        text = str(holder.get("if", ""))
        wanted = bool(self.value(re.sub(r"^\$\{\{|\}\}$", "", text))) if text else True
        return wanted and (not failed or "cancelled()" in text or "always()" in text)

    def run(self):
        """Runs all jobs in order; returns whether each succeeded."""
        succeeded = {}
        for name, job in self.workflow["jobs"].items():
            failed_before = any(not succeeded.get(needed, True) for needed in [job.get("needs")] if needed)
            if not self.condition(job, failed_before):
                continue
            self.host.work = self.host.kept
            if "self-hosted" not in job["runs-on"]:  # a newly created machine
                self.host.work = self.host.folder / "hosted/work"
                shutil.rmtree(self.host.work, ignore_errors=True)
            self.host.work.mkdir(parents=True, exist_ok=True)  # steps may run before the checkout
            succeeded[name] = self.run_job(job)
        return succeeded

    def run_job(self, job):
        permissions = job.get("permissions", self.workflow["permissions"])
        failed = False
        for step in job["steps"]:
            if not self.condition(step, failed):
                continue
            self.executed.append(step["name"])
            if "run" in step:
                failed = not self.run_step(step) or failed
            else:
                with_filled = {key: self.fill(value) for key, value in step.get("with", {}).items()}
                self.use({**step, "with": with_filled}, permissions)
        if not failed:
            for key, paths in self.to_keep:
                self.host.caches[key] = self.host.folder / "caches" / str(len(self.host.caches))
                for path in paths:
                    copy(path, self.host.caches[key] / pathlib.Path(path).relative_to("/"))
        return not failed

    def run_step(self, step):
        outputs, summary = self.host.folder / "outputs", self.host.folder / "summary.md"
        path = self.host.folder / "path"
        outputs.write_text("")
        path.write_text("")
        temporary = self.host.folder / "runner/temp"
        temporary.mkdir(parents=True, exist_ok=True)
        environment = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_PATH": str(path),
                       "RUNNER_TEMP": str(temporary)}
        for variables in (self.workflow.get("env", {}), step.get("env", {})):
            environment.update({key: self.fill(value) for key, value in variables.items()})
        environment.update(self.environment)
        environment["PATH"] = ":".join([*self.added_to_path, self.host.environment["PATH"]])
        run = self.host.shell(self.fill(step["run"]), environment)
        self.added_to_path += path.read_text().split()
        self.logs.append(f"{step['name']}: status {run.returncode}\n{run.stdout}{run.stderr}")
        for line in outputs.read_text().splitlines():
            key, value = line.split("=", 1)
            self.context[f"steps.{step['id']}.outputs.{key}"] = value
        return run.returncode in (0, *self.forgiven.get(step["name"], ()))

    def use(self, step, permissions):
        action, given = step["uses"].split("@")[0], step.get("with", {})
        if action == "actions/checkout":
            self.host.checkout(self.context["github.sha"])
        elif action == "actions/upload-artifact":
            shutil.rmtree(self.host.artifacts / given["name"], ignore_errors=True)
            shutil.copytree(self.host.work / given["path"], self.host.artifacts / given["name"])
        elif action == "actions/download-artifact":
            shutil.copytree(self.host.artifacts / given["name"], self.host.work / given["path"], dirs_exist_ok=True)
        elif action == "actions/cache":
            key, paths = given["key"], given["path"].split()
            kept = self.host.caches.get(key)
            for path in paths if kept else []:
                copy(kept / pathlib.Path(path).relative_to("/"), path)
            if not kept:
                self.to_keep.append((key, paths))
            self.context[f"steps.{step.get('id', '')}.outputs.cache-hit"] = "true" if kept else "false"
        elif action == "github/codeql-action/upload-sarif":
            assert permissions.get("security-events") == "write", "uploading SARIF needs security-events: write"
            self.uploaded_sarif(given["sarif_file"])
        else:
            raise AssertionError(f"no stand-in for the action {action}")

    def uploaded_sarif(self, path):
        self.host.uploaded.append(json.loads((self.host.work / path).read_text()))


class Action(Workflow):
    """Runs the steps of a composite action with the given inputs on the host's current working copy."""

    def __init__(self, host, action, inputs, context, environment, permissions):
        known = {name: str(declared.get("default", "")) for name, declared in action["inputs"].items()}
        assert set(inputs) <= set(known), f"no such inputs: {set(inputs) - set(known)}"
        assert all(step.get("shell") == "bash" for step in action["runs"]["steps"] if "run" in step)
        super().__init__(host, {"permissions": permissions}, context, environment)
        self.action = action
        for name, value in {**known, **inputs}.items():
            self.context[f"inputs.{name}"] = self.fill(value)

    def run(self):
        """Runs all steps; returns whether the action succeeded."""
        return self.run_job({"steps": self.action["runs"]["steps"]})

    def outputs(self):
        return {name: self.fill(declared["value"]) for name, declared in self.action["outputs"].items()}


def fill_component(text, inputs):
    """The jobs of a GitLab component with its inputs filled in. A value that consists of one placeholder alone keeps the input's type."""
    header, jobs = yaml.safe_load_all(text)
    declared = header["spec"]["inputs"]
    assert set(inputs) <= set(declared), f"no such inputs: {set(inputs) - set(declared)}"
    values = {name: one["default"] for name, one in declared.items() if "default" in one}
    values.update(inputs)

    def fill(node):
        if isinstance(node, dict):
            return {fill(key): fill(value) for key, value in node.items()}
        if isinstance(node, list):
            return [fill(item) for item in node]
        if not isinstance(node, str):
            return node
        if match := re.fullmatch(r"\$\[\[ inputs\.([\w-]+) \]\]", node):
            return values[match[1]]
        return re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda match: str(values[match[1]]), node)

    return fill(jobs)
