"""Tests the files of docs/ci: they are YAML, refer only to things that exist, request no permission that they do not need, and their
shell commands do what docs/ci.md says. Every step runs, twice in a row on one working copy, with stand-ins for what the code host
provides (hosts.py): checkout, artifacts, uploads, comments. Only the build step does less than the real one: the program under test
takes the place of both builds.

    python3 ci_test.py SECONDSOURCE SOURCE_FOLDER [CLASS]
"""

import json
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

from hosts import Action, Host, Workflow, fill_component, git

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
                self.assertIn(status, ("0", "1", "5", "6"), logs)  # on a busy machine any verdict is possible, but no error
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
            # On a busy machine the measurement may be invalid (6). Two nights are too few for an anchor, and none is pinned (6).
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
                                  "--max-others", "100",
                                  "--no-attribution", "--out", str(out), *config], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, timeout=300)
            self.assertIn(run.returncode, (5, 6), run.stderr)  # inconclusive or invalid: one second is too short for a verdict
            records.append(json.loads((out / "ab.json").read_text()))
        for key in ("scenarios", "looks", "suite", "cell_budget", "threshold_percent"):
            self.assertEqual(records[0][key], records[1][key], key)
        self.assertEqual(records[0]["scenarios"], plan["scenarios"])
        self.assertEqual(records[0]["looks"][-1], plan["gate"]["max_pairs"])


class InitFiles(unittest.TestCase):
    """Runs the files that `secondsource init` writes as the code host would, twice in a row on one working copy."""

    def host(self, remote, files):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-ci-")
        self.addCleanup(scratch.cleanup)
        host = Host(scratch.name, PROGRAM.parent, files)
        git(host.remote, "remote", "add", "origin", remote)
        run = subprocess.run([str(PROGRAM), "init", "--repo", str(host.remote)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, timeout=100)
        self.assertEqual(run.returncode, 0, run.stdout)
        # Small enough for a test.
        plan = host.remote / "secondsource.yaml"
        text = plan.read_text().replace("max_pairs: 28", f"max_pairs: 3\n  timed_bundle: {BUNDLE}").replace("10min", "60s")
        text = re.sub(r"^backends: .*\n", "", text, flags=re.M).replace("variants:", "backends: [cpu]\nvariants:", 1)
        plan.write_text(re.sub(r'"[a-z:0-9+=-]+@\d+/\d+"', '"single-stream@16/4"', text, count=1).replace("cell_budget: 500ms", "cell_budget: 50ms"))
        for scenario in re.findall(r'  - "offline.*\n', plan.read_text()):
            plan.write_text(plan.read_text().replace(scenario, ""))
        git(host.remote, "add", "--all")
        git(host.remote, "commit", "--quiet", "--message", "secondsource init")
        return host, run.stdout

    def model(self):
        return {f"models/tiny/{path.relative_to(BUNDLE)}": path.read_bytes()
                for path in sorted(pathlib.Path(BUNDLE).rglob("*")) if path.is_file()}

    MODULE = {"kernels/CMakeLists.txt": "find_package(secondsource REQUIRED)\nsecondsource_add_backend(cpu SOURCES cpu.cpp)\n"}
    # Replaces the build of the module. tests/packaging builds a real one.
    BUILD = 'echo built >> "$RECORDED"; mkdir -p build/secondsource && cp "$PROGRAM_FOLDER/libsecondsource-cpu.so" build/secondsource/'

    def github(self, host, environment, statuses, green):
        workflow = yaml.safe_load((host.remote / ".github/workflows/performance.yml").read_text())
        for job in workflow["jobs"].values():
            job["runs-on"] = ["self-hosted", "performance"]  # a runner that keeps its disk, as the file's comment proposes
        for number in (1, 2):
            commit = host.change(f"change-{number}")
            run = Workflow(host, workflow, {"github.sha": commit, "github.ref": commit, "runner.os": "Linux", "runner.arch": "X64"},
                           {"GITHUB_BASE_REF": "main", **environment})
            ended = run.run()
            logs = "\n".join(run.logs)
            status = [run.context[key] for key in run.context if key.endswith(".outputs.status")][0]
            self.assertIn(status, statuses, logs)
            self.assertEqual(list(ended.values()), [status in green], logs)
            self.assertEqual(run.executed, [step["name"] for job in workflow["jobs"].values() for step in job["steps"]], logs)
            results = sorted(path.name for path in (host.artifacts / "performance").iterdir())
            self.assertTrue({"html", "junit", "markdown"} <= {name.split(".")[-1] for name in results}, results)
            self.assertGreater(len((host.folder / "summary.md").read_text()), 200)
        return run

    def test_a_model_on_github(self):
        host, said = self.host("https://github.com/o/r.git", self.model())
        self.assertIn("the model models/tiny", said)
        # On a busy machine the measurement may be invalid (6), which is a warning.
        self.github(host, {"PACKAGE": "dist/secondsource.whl"}, ("0", "6"), green=("0", "6"))
        self.assertIn("install --quiet dist/secondsource.whl", host.recorded.read_text())

    def test_backend_modules_on_github(self):
        host, said = self.host("git@github.com:o/r.git", self.MODULE)
        self.assertIn("the backend cpu, of kernels", said)
        package = host.folder / "secondsource.deb"
        package.write_text("")
        self.github(host, {"PACKAGE": str(package), "BUILD": self.BUILD}, ("0", "1", "5", "6"), green=("0", "5"))
        # The base was built once and each of the two changes once: the second comparison takes the base from the cache.
        self.assertEqual(host.recorded.read_text().count("built\n"), 3)
        record = json.loads((host.artifacts / "performance/ab/ab.json").read_text())
        self.assertNotEqual(record["base"]["modules"], record["candidate"]["modules"])
        # A newly created machine has nothing but the cache.
        shutil.rmtree(host.kept)
        shutil.rmtree(host.folder / "runner/temp")
        (host.folder / "recorded").unlink()
        workflow = yaml.safe_load((host.remote / ".github/workflows/performance.yml").read_text())
        commit = git(host.remote, "rev-parse", "change-2")
        run = Workflow(host, workflow, {"github.sha": commit, "github.ref": commit, "runner.os": "Linux", "runner.arch": "X64"},
                       {"GITHUB_BASE_REF": "main", "PACKAGE": str(package), "BUILD": self.BUILD})
        run.run()
        self.assertIn(run.context["steps.compare.outputs.status"], ("0", "1", "5", "6"), run.logs)
        self.assertEqual(host.recorded.read_text().count("built\n"), 1)

    def gitlab(self, host, environment):
        pipeline = yaml.safe_load((host.remote / ".gitlab-ci.yml").read_text())
        job = pipeline["performance"]
        for number in (1, 2):
            host.checkout(host.change(f"change-{number}"))
            base = git(host.work, "merge-base", "HEAD", "origin/main")
            variables = {**{key: str(value) for key, value in job["variables"].items()}, **environment,
                         "CI_MERGE_REQUEST_DIFF_BASE_SHA": base}
            run = host.shell("\n".join([*job["before_script"], *job["script"]]), variables)
            self.assertIn(run.returncode, (0, 1, 5, 6), run.stdout + run.stderr)
            after = host.shell("\n".join(job["after_script"]), variables)
            self.assertEqual(after.returncode, 0, after.stderr)
            self.assertTrue((host.work / job["artifacts"]["reports"]["junit"]).exists())

    def test_a_model_on_gitlab(self):
        host, _ = self.host("git@gitlab.example.com:g/r.git", self.model())
        self.gitlab(host, {"PACKAGE": "dist/secondsource.whl"})
        job = yaml.safe_load((host.remote / ".gitlab-ci.yml").read_text())["performance"]
        self.assertEqual(job["allow_failure"], {"exit_codes": [6]})

    def test_backend_modules_on_gitlab(self):
        host, _ = self.host("git@gitlab.example.com:g/r.git", self.MODULE)
        package = host.folder / "secondsource.deb"
        package.write_text("")
        self.gitlab(host, {"PACKAGE": str(package), "BUILD": self.BUILD})
        self.assertEqual(host.recorded.read_text().count("built\n"), 3)

    def test_the_measuring_job_fails_on_all_but_an_invalid_measurement(self):
        host, _ = self.host("https://github.com/o/r.git", self.model())
        host.checkout(host.change("change"))
        workflow = yaml.safe_load((host.remote / ".github/workflows/performance.yml").read_text())
        end = workflow["jobs"]["measure"]["steps"][-1]
        for given, expected in (("0", True), ("2", False), ("3", False), ("4", False), ("6", True), ("", False)):
            run = Workflow(host, workflow, {"steps.measure.outputs.status": given}, {})
            self.assertEqual(run.run_step(end), expected, given)
            self.assertEqual("::warning::" in run.logs[0], given == "6", run.logs)

    def test_a_job_without_a_package_says_so_before_it_installs_anything(self):
        for files in (self.model(), self.MODULE):
            host, said = self.host("https://github.com/o/r.git", files)
            self.assertIn("Set PACKAGE in .github/workflows/performance.yml", said)
            host.checkout(host.change("change"))
            workflow = yaml.safe_load((host.remote / ".github/workflows/performance.yml").read_text())
            first = next(iter(workflow["jobs"].values()))["steps"][0]
            run = Workflow(host, workflow, {}, {})
            self.assertFalse(run.run_step(first), run.logs)
            self.assertIn("::error::PACKAGE in .github/workflows/performance.yml is empty", run.logs[0])
            self.assertTrue(Workflow(host, workflow, {}, {"PACKAGE": "x"}).run_step(first))
            host, said = self.host("git@gitlab.example.com:g/r.git", files)
            self.assertIn("Set PACKAGE in .gitlab-ci.yml", said)
            host.checkout(host.change("change"))
            job = yaml.safe_load((host.remote / ".gitlab-ci.yml").read_text())["performance"]
            variables = {key: str(value) for key, value in job["variables"].items()}
            run = host.shell("\n".join([*job["before_script"], *job["script"]]), variables)
            self.assertEqual((run.returncode, run.stderr.count("\n")), (2, 1), run.stdout + run.stderr)
            self.assertIn("PACKAGE in .gitlab-ci.yml is empty", run.stderr)
            self.assertFalse(host.recorded.exists() and "install" in host.recorded.read_text())

    def test_a_pipeline_that_is_there_stays(self):
        host, said = self.host("git@gitlab.example.com:g/r.git", {".gitlab-ci.yml": "test: {script: [make]}\n"})
        self.assertIn("include: [{local: .gitlab/secondsource.yml}]", said)
        self.assertEqual((host.remote / ".gitlab-ci.yml").read_text(), "test: {script: [make]}\n")
        self.assertIn("performance", yaml.safe_load((host.remote / ".gitlab/secondsource.yml").read_text()))


class ActionAndComponent(unittest.TestCase):
    """Runs every step of action.yml and templates/gate, twice in a row on one working copy, for a pull request from the repository
    itself and for one from a fork."""

    BUILD = InitFiles.BUILD
    FILES = {"secondsource.yaml": SMALL_PAIRS.replace("gate: {", f"bundles: [{BUNDLE}]\ngate: {{")}
    WRITES = {"security-events": "write", "pull-requests": "write"}

    def host(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-ci-")
        self.addCleanup(scratch.cleanup)
        return Host(scratch.name, PROGRAM.parent, self.FILES)

    def act(self, host, name, inputs, head="o/r", permissions=None):
        action = yaml.safe_load((SOURCE / "action.yml").read_text())
        if name:
            host.checkout(host.change(name))
        run = Action(host, action, inputs,
                     {"github.token": "t", "github.repository": "o/r", "github.event.pull_request.head.repo.full_name": head,
                      "github.event.pull_request.number": "7", "github.action_path": str(host.remote)},
                     {"GITHUB_BASE_REF": "main"}, self.WRITES if permissions is None else permissions)
        return run, run.run()

    def test_two_pull_requests_on_one_working_copy(self):
        host = self.host()
        inputs = {"package": "secondsource==0.1.0", "build": self.BUILD, "modules": "build/secondsource", "arguments": "--threads 1"}
        for number in (1, 2):
            with self.subTest(number):
                run, succeeded = self.act(host, f"change-{number}", inputs)
                logs = "\n".join(run.logs)
                outputs = run.outputs()
                self.assertIn(outputs["status"], ("0", "1", "5", "6"), logs)
                self.assertEqual(succeeded, outputs["status"] in ("0", "5"), logs)
                self.assertEqual(outputs["verdict"], {"0": "passed", "1": "regressed", "5": "inconclusive",
                                                      "6": "not comparable"}[outputs["status"]])
                self.assertEqual(outputs["folder"], "performance")
                self.assertIn("secondsource 0.", logs)
                every = [step["name"] for step in run.action["runs"]["steps"]]
                left_out = ["Hold the clocks of the GPUs", "Give the clocks back", "Fetch what was measured"]
                self.assertEqual(run.executed, [name for name in every if name not in left_out], logs)
                self.assertIn("## Gate: ", (host.folder / "summary.md").read_text())
                self.assertIn("```text\n", (host.folder / "summary.md").read_text())  # the chart
                self.assertEqual(len(host.uploaded), number)
                body = pathlib.Path(f"{host.recorded}.body").read_text()
                self.assertTrue(body.startswith("<!-- secondsource: performance -->\n## Gate: "), body[:200])
                if outputs["status"] == "5":
                    self.assertIn("::warning title=", logs)
                results = {path.name for path in (host.artifacts / "performance").iterdir()}
                self.assertLessEqual({"ab", "gate.sarif", "report.html", "report.junit", "report.markdown"}, results)
        recorded = host.recorded.read_text()
        self.assertEqual(recorded.count("built\n"), 3)  # the base once, and each change once
        self.assertEqual((recorded.count("POST\n"), recorded.count("PATCH\n")), (1, 1))  # one comment, updated in place
        self.assertEqual(len(host.caches), 1)
        record = json.loads((host.artifacts / "performance/ab/ab.json").read_text())
        self.assertEqual(record["base"]["arguments"], ["--threads", "1"])

    def test_a_fork_gets_the_verdict_and_writes_nothing(self):
        host = self.host()
        run, _ = self.act(host, "change", {"package": "p", "build": self.BUILD, "modules": "build/secondsource"}, "fork/r", {})
        self.assertIn(run.outputs()["status"], ("0", "1", "5", "6"), run.logs)
        self.assertEqual(host.uploaded, [])
        self.assertNotIn("api\n", host.recorded.read_text())

    def test_measuring_and_publishing_in_two_jobs(self):
        host = self.host()
        inputs = {"package": "p", "build": self.BUILD, "modules": "build/secondsource"}
        measured, _ = self.act(host, "change", {**inputs, "do": "measure"}, permissions={"contents": "read"})
        self.assertEqual(host.uploaded, [])
        self.assertNotIn("api\n", host.recorded.read_text())
        host.work = host.folder / "hosted/work"  # another machine, which has no checkout of the change
        host.work.mkdir(parents=True)
        published, succeeded = self.act(host, "", {**inputs, "do": "publish"})
        self.assertTrue(succeeded, published.logs)
        self.assertEqual(published.executed, ["Fetch what was measured", "Upload the findings", "Comment"])
        self.assertEqual(len(host.uploaded), 1)
        every = {step["name"] for step in measured.action["runs"]["steps"]}
        self.assertEqual(every - set(measured.executed) - set(published.executed),
                         {"Hold the clocks of the GPUs", "Give the clocks back"})

    def test_without_a_build_the_change_is_measured_and_the_program_may_be_built(self):
        host = self.host()
        run, succeeded = self.act(host, "change", {"gpu-clock": "1410", "comment": "false", "sarif": "false"})
        self.assertIn(run.outputs()["status"], ("0", "6"), run.logs)
        self.assertEqual(succeeded, run.outputs()["status"] == "0", run.logs)
        self.assertTrue((host.artifacts / "performance/run/summary.json").exists())
        self.assertIn("nvidia-smi\n--lock-gpu-clocks=1410\nnvidia-smi\n--reset-gpu-clocks\n", host.recorded.read_text())
        pathlib.Path(f"{host.recorded}.refuses-nvidia-smi").write_text("")
        run, _ = self.act(host, "again", {"gpu-clock": "1410", "comment": "false"})
        self.assertIn("may not hold the GPUs' clocks", "\n".join(run.logs))

    def test_the_action_ends_as_the_gate_ended(self):
        action = yaml.safe_load((SOURCE / "action.yml").read_text())
        end = action["runs"]["steps"][-1]
        host = self.host()
        host.checkout(host.change("change"))
        for status, allow, expected in (("0", "true", True), ("1", "true", False), ("3", "true", False), ("4", "true", False),
                                        ("5", "true", True), ("5", "false", False), ("6", "true", False), ("", "true", False)):
            run = Action(host, action, {"allow-inconclusive": allow}, {"github.token": "t", "steps.measure.outputs.status": status},
                         {}, {})
            self.assertEqual(run.run_step(end), expected, (status, allow))

    def test_bad_input_fails_with_its_line_and_a_token_that_cannot_write_is_a_warning(self):
        host = self.host()
        pathlib.Path(f"{host.recorded}.refuses-gh").write_text("")
        run, succeeded = self.act(host, "change", {"package": "p", "plan": "none.yaml"})
        self.assertFalse(succeeded)
        logs = "\n".join(run.logs)
        self.assertEqual(run.outputs()["verdict"], "bad input")
        self.assertIn("none.yaml", logs)
        self.assertIn("the token cannot write comments", logs)

    def test_no_expression_is_pasted_into_a_script(self):
        for step in yaml.safe_load((SOURCE / "action.yml").read_text())["runs"]["steps"]:
            self.assertNotIn("${{", step.get("run", ""), step["name"])

    def test_the_docs_have_every_input_and_output(self):
        text = (SOURCE / "docs/ci.md").read_text()
        action = yaml.safe_load((SOURCE / "action.yml").read_text())
        spec = next(yaml.safe_load_all((SOURCE / "templates/gate/template.yml").read_text()))["spec"]
        for name in [*action["inputs"], *action["outputs"], *spec["inputs"]]:
            self.assertIn(f"`{name}`", text)

    def test_two_merge_requests_with_the_component(self):
        text = (SOURCE / "templates/gate/template.yml").read_text()
        job, = fill_component(text, {"package": "p", "build": self.BUILD, "modules": "build/secondsource"}).values()
        self.assertEqual(job["allow_failure"]["exit_codes"], [5])
        host = self.host()
        for number, token in ((1, ""), (2, "token"), (3, "token")):
            host.checkout(host.change(f"change-{number}"))
            environment = {**{key: str(value) for key, value in job["variables"].items()}, "COMMENT_TOKEN": token,
                           "CI_API_V4_URL": "https://host", "CI_PROJECT_ID": "1", "CI_MERGE_REQUEST_IID": "2",
                           "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(host.work, "merge-base", "HEAD", "origin/main")}
            run = host.shell("\n".join([*job["before_script"], *job["script"]]), environment)
            self.assertIn(run.returncode, (0, 1, 5, 6), run.stdout + run.stderr)
            after = host.shell("\n".join(job["after_script"]), environment)
            self.assertEqual(after.returncode, 0, after.stderr)
            for path in [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]:
                self.assertTrue((host.work / path).exists(), path)
            self.assertEqual("notes" in host.recorded.read_text(), bool(token))
        recorded = host.recorded.read_text()
        self.assertEqual((recorded.count("POST\n"), recorded.count("PUT\nhttps://host/projects/1/merge_requests/2/notes/9\n")), (1, 1))
        self.assertTrue(pathlib.Path(f"{host.recorded}.body").read_text().startswith("<!-- secondsource: performance -->\n## Gate"))
        self.assertEqual(recorded.count("built\n"), 4)

    def test_the_component_without_a_build(self):
        text = (SOURCE / "templates/gate/template.yml").read_text()
        job, = fill_component(text, {"package": "p", "gpu-clock": "1410", "job": "speed"}).values()
        host = self.host()
        host.checkout(host.change("change"))
        environment = {key: str(value) for key, value in job["variables"].items()}
        run = host.shell("\n".join([*job["before_script"], *job["script"]]), environment)
        self.assertIn(run.returncode, (0, 6), run.stdout + run.stderr)
        self.assertEqual(host.shell("\n".join(job["after_script"]), environment).returncode, 0)
        self.assertTrue((host.work / "speed/report.junit").exists())
        self.assertIn("--reset-gpu-clocks", host.recorded.read_text())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
