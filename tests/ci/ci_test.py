"""The files of docs/ci: they are YAML, name what exists, give away no right that they need not, and their shell commands do
what docs/ci.md says. Every step runs, twice in a row on one working copy, with stand-ins for what belongs to the host of
the code (hosts.py): checkout, artifacts, uploads, comments. Building is the one step that does less than the real one: the
program that is under test stands for both builds.

    python3 ci_test.py SECONDSOURCE SOURCE_FOLDER
"""

import json
import pathlib
import re
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

from hosts import Host, Workflow

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
SNIPPETS = SOURCE / "docs/ci"
# Small enough for a test: a tiny bundle, and too few pairs for a verdict other than inconclusive. tests/cli and tests/unit
# test the verdicts.
BUNDLE = str(SOURCE / "bundles/tiny-gqa8-hd64")
SMALL_PAIRS = f"""version: 1
suite: smoke
backends: [cpu]
variants: [bf16]
scenarios: ["single-stream@/4"]
cell_budget: 50ms
gate: {{max_pairs: 3, timed_bundle: {BUNDLE}}}
"""
SMALL_PLAN = f"""version: 1
bundles: [{BUNDLE}]
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


class Snippets(unittest.TestCase):
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

    def test_a_job_that_can_write_runs_nothing_of_a_change(self):
        for name in ("github-pull-request.yml", "github-nightly.yml", "github-comment.yml"):
            workflow = load(name)
            self.assertNotIn("secrets.", (SNIPPETS / name).read_text())
            for job in workflow["jobs"].values():
                permissions = job.get("permissions", workflow["permissions"])
                uses = [step.get("uses", "") for step in job["steps"]]
                if "write" in permissions.values():
                    self.assertFalse([action for action in uses if action.startswith("actions/checkout")], name)
                    self.assertFalse([step for step in job["steps"] if "build/" in step.get("run", "")], name)
                else:
                    self.assertEqual(permissions, {"contents": "read"}, name)
                    self.assertIs(job["steps"][0]["with"]["persist-credentials"], False)
        self.assertEqual(triggers(load("github-pull-request.yml")), "pull_request")
        comment = load("github-comment.yml")
        self.assertEqual(list(triggers(comment)), ["workflow_run"])
        self.assertEqual(triggers(comment)["workflow_run"]["workflows"], [load("github-pull-request.yml")["name"]])

    def test_no_expression_of_the_event_is_pasted_into_a_script(self):
        for path in SNIPPETS.glob("github-*.yml"):
            for job in load(path.name)["jobs"].values():
                for step in job["steps"]:
                    for expression in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", "")):
                        self.assertRegex(expression, r"^ steps\.\w+\.outputs\.\w+( \|\| \d+)? $", path.name)

    def host(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-ci-")
        self.addCleanup(scratch.cleanup)
        return Host(scratch.name, PROGRAM.parent, {"docs/ci/pull-request.yaml": SMALL_PAIRS, "docs/ci/secondsource.yaml": SMALL_PLAN})

    def names_of_steps(self, workflow):
        return [step["name"] for job in workflow["jobs"].values() for step in job["steps"]]

    def test_two_pull_requests_on_one_working_copy(self):
        workflow, comment = load("github-pull-request.yml"), load("github-comment.yml")
        host = self.host()
        for number in (1, 2):
            with self.subTest(number):
                commit = host.change(f"change-{number}")
                run = Workflow(host, workflow, {"github.sha": commit, "github.repository": "o/r", "github.ref": commit,
                                                "github.event.pull_request.head.repo.full_name": "o/r"},
                               {"GITHUB_BASE_REF": "main", "BUNDLE": BUNDLE})
                ended = run.run()
                logs = "\n".join(run.logs)
                status = run.context["steps.compare.outputs.status"]
                self.assertIn(status, ("0", "1", "5", "6"), logs)  # a busy machine may find anything but an error
                self.assertEqual(ended["gate"], status in ("0", "5"), logs)
                self.assertEqual(run.executed, self.names_of_steps(workflow), logs)
                self.assertEqual(len(host.uploaded), number)
                self.assertEqual(host.uploaded[-1]["version"], "2.1.0")
                gate = host.artifacts / "performance"
                suites = xml.etree.ElementTree.parse(gate / "gate.junit").getroot()
                self.assertGreater(len(suites.findall(".//testcase")), 0)
                self.assertIn("<!doctype html>", (gate / "gate.html").read_text())
                self.assertIn("## Gate: ", (host.folder / "summary.md").read_text())
                comments = Workflow(host, comment, {"github.event.workflow_run.event": "pull_request", "github.token": "t",
                                                    "github.repository": "o/r", "github.event.workflow_run.id": "1",
                                                    "github.event.workflow_run.head_sha": commit}, {})
                self.assertEqual(comments.run(), {"comment": True}, comments.logs)
                self.assertEqual(comments.executed, self.names_of_steps(comment))
                self.assertIn("pr\ncomment\n7\n", host.recorded.read_text())

    def test_the_job_ends_as_the_gate_ended(self):
        workflow = load("github-pull-request.yml")
        end = [step for step in workflow["jobs"]["gate"]["steps"] if step["name"] == "End as the gate ended"][0]
        for given, expected in (("0", True), ("1", False), ("3", False), ("5", True), ("", False)):
            host = self.host()
            host.checkout(host.change("change"))
            run = Workflow(host, workflow, {"steps.compare.outputs.status": given}, {})
            self.assertEqual(run.run_step(end), expected, given)

    def test_a_fork_s_findings_are_not_uploaded(self):
        workflow = load("github-pull-request.yml")
        del workflow["jobs"]["gate"]
        del workflow["jobs"]["findings"]["needs"]
        run = Workflow(self.host(), workflow, {"github.repository": "o/r",
                                               "github.event.pull_request.head.repo.full_name": "fork/r"}, {})
        self.assertEqual(run.run(), {})

    def test_the_nightly_job_twice(self):
        workflow = load("github-nightly.yml")
        host = self.host()
        for night in (1, 2):
            commit = host.change(f"night-{night}")
            # A busy machine may call its own measurement invalid; two nights are too few for an anchor, and none is pinned.
            run = Workflow(host, workflow, {"github.sha": commit},
                           {"HISTORY": str(host.folder / "history.db"), "GITHUB_SHA": commit},
                           {"Measure": (6,), "Hold it against the pinned release": (6,)})
            self.assertEqual(run.run(), {"measure": True}, run.logs)
            self.assertEqual(run.executed, self.names_of_steps(workflow))
            for name in ("report.html", "junit.xml", "trend.html"):
                self.assertTrue((host.artifacts / "nightly-performance" / name).exists(), name)
            listed = host.shell('build/release/bin/secondsource history list --db "$HISTORY"',
                                {"HISTORY": str(host.folder / "history.db")})
            self.assertIn(commit[:12], listed.stdout)
        self.assertEqual(listed.stdout.count("2026-"), 2, listed.stdout)

    def test_two_merge_requests_on_one_working_copy(self):
        pipeline = load("gitlab-ci.yml")
        job = pipeline["performance"]
        self.assertEqual(job["allow_failure"]["exit_codes"], [5])
        host = self.host()
        for number, token in ((1, ""), (2, "token")):
            host.checkout(host.change(f"change-{number}"))
            environment = {**pipeline["variables"], "BUNDLE": BUNDLE, "COMMENT_TOKEN": token, "CI_API_V4_URL": "https://host",
                           "CI_MERGE_REQUEST_DIFF_BASE_SHA": "origin/main", "CI_PROJECT_ID": "1", "CI_MERGE_REQUEST_IID": "2"}
            run = host.shell("\n".join([*job["before_script"], *job["script"]]), environment)
            self.assertIn(run.returncode, (0, 1, 5, 6), run.stderr)
            after = host.shell("\n".join(job["after_script"]), environment)
            self.assertEqual(after.returncode, 0, after.stderr)
            for path in [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]:
                self.assertTrue((host.work / path).exists(), path)
            self.assertEqual(host.recorded.exists(), bool(token))
        self.assertIn("https://host/projects/1/merge_requests/2/notes", host.recorded.read_text())

    def test_waivers_are_read_where_there_are_any(self):
        workflow = load("github-pull-request.yml")
        compare = [step for step in workflow["jobs"]["gate"]["steps"] if step.get("id") == "compare"][0]
        host = self.host()
        host.checkout(host.change("change"))
        host.shell("./dev build && git worktree add --detach ../base origin/main && (cd ../base && ./dev build)", {})
        (host.work / "waivers.yaml").write_text("waivers: [{id: W-1}]\n")
        run = Workflow(host, workflow, {}, {"BUNDLE": BUNDLE})
        self.assertTrue(run.run_step(compare), run.logs)
        self.assertEqual(run.context["steps.compare.outputs.status"], "2", run.logs)
        self.assertIn("waivers.yaml", run.logs[-1])

    def test_the_default_plan_is_the_one_of_the_file(self):
        text = (SOURCE / "docs/ci/pull-request.yaml").read_text()
        plan = yaml.safe_load(text)
        kinds = [scenario.split("@")[0].split(":")[0] for scenario in plan["scenarios"]]
        self.assertEqual(kinds, ["single-stream", "offline", "offline"])
        self.assertEqual(plan["max_time"], "10min")
        for workflow in ("github-pull-request.yml", "gitlab-ci.yml"):
            self.assertIn("PLAN: docs/ci/pull-request.yaml", (SNIPPETS / workflow).read_text())
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-ci-")
        self.addCleanup(scratch.cleanup)
        records = []
        for name, config in (("default", []), ("file", ["--config", str(SOURCE / "docs/ci/pull-request.yaml")])):
            out = pathlib.Path(scratch.name, name)
            run = subprocess.run([str(PROGRAM), "ab", BUNDLE, "--timed-bundle", BUNDLE, "--backend", "cpu", "--max-time", "1s",
                                  "--no-attribution", "--out", str(out), *config], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, timeout=300)
            self.assertIn(run.returncode, (5, 6), run.stderr)  # one second is too short for a verdict, and it says so
            records.append(json.loads((out / "ab.json").read_text()))
        for key in ("scenarios", "looks", "suite", "cell_budget", "threshold_percent"):
            self.assertEqual(records[0][key], records[1][key], key)
        self.assertEqual(records[0]["scenarios"], plan["scenarios"])
        self.assertEqual(records[0]["looks"][-1], plan["gate"]["max_pairs"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
