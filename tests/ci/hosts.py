"""Stand-ins for the hosts of code that run the files of docs/ci: a working copy with its remote, the actions that the
files use, and the commands `gh` and `curl`. Every `run:` step is executed by bash as the host does; a step, an action or
an expression that is unknown here is an error, so that no step is left out by mistake.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

# What `./dev build` stands for: the program under test, at the place where a build leaves it.
DEV = """#!/usr/bin/env bash
set -e
[ "$1" = build ]
mkdir -p build/release
ln -sfn "$PROGRAM_FOLDER" build/release/bin
"""
# Records its arguments and the files that they name.
RECORDER = """#!/usr/bin/env bash
printf '%s\\n' "$@" >> "$RECORDED"
case "$1 $2" in "api "*) echo 7 ;; esac
"""


def git(folder, *arguments):
    run = subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always",
                          *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, (arguments, run.stdout)
    return run.stdout.strip()


class Host:
    """A remote with a main branch and changes, and a runner that keeps its working copy from one change to the next."""

    def __init__(self, folder, program_folder, files):
        self.folder = pathlib.Path(folder)
        self.remote = self.folder / "remote"
        self.kept = self.folder / "runner/checkout"  # of the runner that keeps its disk
        self.work = self.kept
        self.artifacts = self.folder / "artifacts"
        self.uploaded = []  # SARIF documents
        self.bin = self.folder / "bin"
        self.recorded = self.folder / "recorded"
        self.remote.mkdir(parents=True)
        self.bin.mkdir()
        for name in ("gh", "curl"):
            (self.bin / name).write_text(RECORDER)
            (self.bin / name).chmod(0o755)
        git(self.remote, "init", "--quiet", "--initial-branch=main")
        for path, text in {"dev": DEV, ".gitignore": "build/\n", **files}.items():
            (self.remote / path).parent.mkdir(parents=True, exist_ok=True)
            (self.remote / path).write_text(text)
        (self.remote / "dev").chmod(0o755)
        git(self.remote, "add", "--all")
        git(self.remote, "commit", "--quiet", "--message", "base")
        self.environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "PROGRAM_FOLDER": str(program_folder),
                            "RECORDED": str(self.recorded), "XDG_CACHE_HOME": str(self.folder / "cache")}

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
        """What a host's checkout does on a runner that keeps its disk; ignored files, as builds, stay."""
        if not (self.work / ".git").exists():
            self.work.parent.mkdir(parents=True, exist_ok=True)
            git(self.work.parent, "clone", "--quiet", str(self.remote), self.work.name)
        git(self.work, "fetch", "--quiet", "--prune", "origin", "+refs/heads/*:refs/remotes/origin/*")
        git(self.work, "checkout", "--quiet", "--force", "--detach", commit)

    def shell(self, script, environment, options=("-e", "-o", "pipefail")):
        return subprocess.run(["bash", *options, "-c", script], cwd=self.work,
                              env={**self.environment, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=400)


class Workflow:
    """Runs the jobs of a GitHub workflow for one event. `context` has the values of its expressions, by their text;
    `forgiven` has for names of steps the exit statuses that do not fail them."""

    def __init__(self, host, workflow, context, environment, forgiven=None):
        self.host, self.workflow, self.environment = host, workflow, environment
        self.forgiven = forgiven or {}
        self.context = dict(context)
        self.executed = []  # names of all steps
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
            if "self-hosted" not in job["runs-on"]:  # a machine that is created anew
                self.host.work = self.host.folder / "hosted/work"
                shutil.rmtree(self.host.work, ignore_errors=True)
                self.host.work.mkdir(parents=True)
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
                self.use(step, permissions)
        return not failed

    def run_step(self, step):
        outputs, summary = self.host.folder / "outputs", self.host.folder / "summary.md"
        outputs.write_text("")
        environment = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)}
        for variables in (self.workflow.get("env", {}), step.get("env", {})):
            environment.update({key: self.fill(value) for key, value in variables.items()})
        run = self.host.shell(self.fill(step["run"]), {**environment, **self.environment})
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
        elif action == "github/codeql-action/upload-sarif":
            assert permissions.get("security-events") == "write", "uploading SARIF needs security-events: write"
            self.uploaded_sarif(given["sarif_file"])
        else:
            raise AssertionError(f"no stand-in for the action {action}")

    def uploaded_sarif(self, path):
        self.host.uploaded.append(json.loads((self.host.work / path).read_text()))
