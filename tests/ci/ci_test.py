"""The files of docs/ci: they are YAML, name what exists, give away no right that they need not, and their shell commands do
what docs/ci.md says, run in a folder that looks like the runner's checkout.

    python3 ci_test.py SECONDSOURCE SOURCE_FOLDER

What cannot be run here is building (the program that is under test stands for both builds) and what belongs to the
host of the code: checkout, artifacts, comments.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

try:
    import yaml
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
SNIPPETS = SOURCE / "docs/ci"
# Small enough for a test; the tokens of a tiny bundle, the fewest pairs that can have a verdict.
SMALL = {"BUNDLE": str(SOURCE / "bundles/tiny-gqa8-hd64"),
         "AB_FLAGS": "--max-pairs 14 --budget 50ms --backend cpu --variant bf16 --scenario single-stream@/4 --no-attribution "
                     f"--timed-bundle {SOURCE / 'bundles/tiny-gqa8-hd64'}"}
SMALL_PLAN = f"""version: 1
bundles: [{SOURCE / 'bundles/tiny-gqa8-hd64'}]
suite: smoke
backends: [cpu]
variants: [bf16]
scenarios: ["single-stream@/4"]
repetitions: 5
"""


def load(name):
    return yaml.safe_load((SNIPPETS / name).read_text())


def triggers(workflow):
    return workflow.get("on", workflow.get(True))  # YAML 1.1 reads the key `on` as true


class Runner:
    """A checkout with both builds in place, and the variables of a runner."""

    def __init__(self, test, environment):
        self.scratch = tempfile.TemporaryDirectory(prefix="secondsource-ci-")
        test.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name, "checkout")
        for checkout in (self.folder, self.folder.parent / "base"):
            (checkout / "build/release").mkdir(parents=True)
            (checkout / "build/release/bin").symlink_to(PROGRAM.parent)
        (self.folder / "waivers.yaml").write_text("waivers: []\n")
        (self.folder / "docs/ci").mkdir(parents=True)
        (self.folder / "docs/ci/secondsource.yaml").write_text(SMALL_PLAN)
        self.summary = self.folder / "summary.md"
        self.outputs = self.folder / "outputs"
        self.environment = {**os.environ, "XDG_CACHE_HOME": self.scratch.name, "GITHUB_STEP_SUMMARY": str(self.summary),
                            "GITHUB_OUTPUT": str(self.outputs), "GITHUB_SHA": "0123456789abcdef", **environment}

    def run(self, script):
        return subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], cwd=self.folder, env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)


class Snippets(unittest.TestCase):
    def check(self, run):
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def test_they_are_yaml_with_commands_that_a_shell_reads(self):
        names = sorted(path.name for path in SNIPPETS.iterdir())
        text = (SOURCE / "docs/ci.md").read_text()
        self.assertEqual(names, sorted(set(re.findall(r"\(ci/([\w.-]+)\)", text))))
        for name in names:
            snippet = load(name)
            scripts = [step["run"] for job in snippet.get("jobs", {}).values() for step in job["steps"] if "run" in step]
            for part in ("before_script", "script", "after_script"):
                scripts += snippet.get("performance", {}).get(part, [])
            for script in scripts:
                with self.subTest(name, script=script):
                    self.assertEqual(subprocess.run(["bash", "-n", "-c", script]).returncode, 0)

    def test_a_workflow_that_runs_a_change_holds_nothing_that_can_write(self):
        for name in ("github-pull-request.yml", "github-nightly.yml"):
            workflow = load(name)
            self.assertEqual(workflow["permissions"], {"contents": "read"}, name)
            self.assertNotIn("secrets.", (SNIPPETS / name).read_text())
            checkout = workflow["jobs"].popitem()[1]["steps"][0]
            self.assertIs(checkout["with"]["persist-credentials"], False)
        self.assertEqual(triggers(load("github-pull-request.yml")), "pull_request")
        comment = load("github-comment.yml")
        self.assertEqual(list(triggers(comment)), ["workflow_run"])
        self.assertEqual(triggers(comment)["workflow_run"]["workflows"], [load("github-pull-request.yml")["name"]])
        self.assertNotIn("checkout", str(comment["jobs"]))  # nothing of the fork is run

    def test_no_expression_of_the_event_is_pasted_into_a_script(self):
        for path in SNIPPETS.glob("github-*.yml"):
            for job in load(path.name)["jobs"].values():
                for step in job["steps"]:
                    for expression in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", "")):
                        self.assertRegex(expression, r"^ steps\.\w+\.outputs\.\w+( \|\| \d+)? $", path.name)

    def test_the_pull_request_gate(self):
        workflow = load("github-pull-request.yml")
        steps = {step["name"]: step for step in workflow["jobs"]["gate"]["steps"]}
        runner = Runner(self, {**workflow["env"], **SMALL})
        self.check(runner.run(steps["Compare in interleaved pairs"]["run"]))
        status = runner.outputs.read_text().strip()
        self.assertRegex(status, r"^status=[0156]$")  # a busy machine may find anything but an error
        self.check(runner.run(steps["Write the reports"]["run"]))
        self.assertTrue(runner.summary.read_text().startswith("## Gate: "))
        suites = xml.etree.ElementTree.parse(runner.folder / "performance/gate.junit").getroot()
        self.assertEqual(suites.tag, "testsuites")
        self.assertGreater(len(suites.findall(".//testcase")), 0)
        self.assertIn("<!doctype html>", (runner.folder / "performance/gate.html").read_text())
        end = steps["End as the gate ended"]["run"]
        for given, expected in (("0", 0), ("1", 1), ("3", 3), ("5", 0), ("", 70)):
            script = re.sub(r"\$\{\{.*?\|\| (\d+) \}\}", lambda match: given or match.group(1), end)
            self.assertEqual(runner.run(script).returncode, expected)

    def test_the_nightly_job_twice(self):
        workflow = load("github-nightly.yml")
        steps = [step for step in workflow["jobs"]["measure"]["steps"] if "run" in step and step["name"] != "Build"]
        runner = Runner(self, {**workflow["env"]})
        runner.environment["HISTORY"] = str(runner.folder / "history.db")
        for _ in range(2):
            shutil.rmtree(runner.folder / "nightly", ignore_errors=True)
            for step in steps:
                run = runner.run(step["run"])
                # Two nights are too few to be held against an anchor, and there is none: not comparable.
                expected = 6 if "history check" in step["run"] else 0
                if "secondsource run" in step["run"] and run.returncode == 6:
                    continue  # a busy machine may call its own measurement invalid
                self.assertEqual(run.returncode, expected, step["name"] + run.stdout + run.stderr)
        listed = self.check(runner.run('build/release/bin/secondsource history list --db "$HISTORY"'))
        self.assertEqual(listed.count("0123456789ab"), 2)
        for name in ("report.html", "junit.xml", "trend.html"):
            self.assertTrue((runner.folder / "nightly" / name).exists(), name)

    def test_the_gitlab_job(self):
        pipeline = load("gitlab-ci.yml")
        job = pipeline["performance"]
        self.assertEqual(job["allow_failure"]["exit_codes"], [5])
        runner = Runner(self, {**pipeline["variables"], **SMALL, "COMMENT_TOKEN": ""})
        run = runner.run("\n".join(job["script"]))
        self.assertIn(run.returncode, (0, 1, 5, 6), run.stderr)
        self.check(runner.run("\n".join(job["after_script"])))
        for path in [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]:
            self.assertTrue((runner.folder / path).exists(), path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
