"""Tests the scenario `swap` on servers that hold several models: stand-ins for llama-server's router, Ollama and vLLM's sleep mode, which
follow the documentation of each (tests/serving/many_models.py). Loads and evictions are compared with an LRU cache in Python.

    python3 swap_servers_test.py SECONDSOURCE SOURCE_FOLDER
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request

from swap_test import LruCache

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
MODELS = ["default", "second", "third"]
MIB = 1 << 20
SIZES = {"default": 8 * MIB, "second": 10 * MIB, "third": 30 * MIB}


class Server:
    """A stand-in, which logs the calls that it receives."""

    def __init__(self, folder, control, models, *more):
        self.log = folder / f"{control}-{'-'.join(models)}.log"
        self.log.write_text("")
        words = [sys.executable, SOURCE / "tests/serving/many_models.py", "--control", control, "--log", self.log]
        for name in models:
            words += ["--model", f"{name}={folder / name}", "--bytes", f"{name}={SIZES[name]}"]
        self.process = subprocess.Popen([*map(str, words), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = "http://127.0.0.1:" + self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def calls(self):
        return self.log.read_text().splitlines()


class Servers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-swap-servers-")
        cls.folder = pathlib.Path(cls.scratch.name)
        for name in MODELS:  # three bundles of the same model with different names
            shutil.copytree(SOURCE / "bundles/default", cls.folder / name)
            manifest = cls.folder / name / "manifest.yaml"
            lines = manifest.read_text().splitlines(keepends=True)
            (at,) = [i for i, line in enumerate(lines) if line.startswith("name:")]
            lines[at] = f"name: {name}\n"
            manifest.write_text("".join(lines))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_program(self, system, scenarios, out, statuses=(0, 6), names=MODELS, price=True, golden=True):
        plan = {"version": 1, "bundles": [str(self.folder / name) for name in names], "variants": ["bf16"], "repetitions": 1,
                "noise_limit_percent": 100, "scenarios": scenarios, "systems": [{"name": "it", **system}]}
        if price:
            plan["price"] = {"usd_per_hour": 1.2, "per": "instance"}
        file = self.folder / f"{out}.yaml"
        file.write_text(json.dumps(plan))
        words = [PROGRAM, "run", "--config", str(file), "--out", str(self.folder / out), *([] if golden else ["--no-golden"])]
        run = subprocess.run(words, capture_output=True, text=True)
        self.assertIn(run.returncode, statuses, run.stdout + run.stderr)
        return run

    def lines(self, out, kind):
        lines = [json.loads(line) for line in (self.folder / out / "samples.jsonl").read_text().splitlines()]
        return [line for line in lines if line["type"] == kind]

    def check_run(self, out, budget_models=0, budget=0):
        """Checks that loads and evictions are those of an LRU cache, that tokens are right, and that `verify` accepts the run. Returns the
        repetition's record of the swaps."""
        (repetition,) = self.lines(out, "repetition")
        swap = repetition["swap"]
        samples = sorted(self.lines(out, "sample"), key=lambda one: one["request"])
        self.assertTrue(samples and all(not one["error"] for one in samples))
        sizes = {name: 1 if budget_models else SIZES[name] for name in MODELS}
        cache = LruCache(budget_models or budget, sizes, swap["resident_at_start"])
        for sample in samples:
            cache.use(sample["request"], sample["model"])
        self.assertEqual([(one["action"], one["model"], one["request"]) for one in swap["events"]], cache.events)
        self.assertGreater(len(cache.events), 4)
        (golden,) = self.lines(out, "golden")
        self.assertEqual((golden["verdict"], golden["n_wrong"]), ("passed", 0))
        self.assertGreater(golden["n_prompts"], 30)  # prompts of all three models
        verified = subprocess.run([PROGRAM, "verify", str(self.folder / out)], capture_output=True, text=True)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        return swap

    def cell(self, out):
        (cell,) = json.loads((self.folder / out / "summary.json").read_text())["cells"]
        return cell

    def test_a_router_takes_turns_under_a_number_of_models(self):
        with Server(self.folder, "llama-server", MODELS, "--models-max", "2", "--load-ms", "60") as server:
            self.run_program({"preset": "llama-server", "url": server.url}, ["swap:2models+zipf=1+requests=24@/4"], "router")
            calls = server.calls()
        swap = self.check_run("router", budget_models=2)
        # The server did everything on command and neither loaded nor evicted a model on its own.
        self.assertFalse([one for one in calls if one.startswith(("autoload", "evicted"))], calls)
        starts = {(one["model"], one["source"]): one for one in swap["starts"]}
        for name in MODELS:
            cached = starts[name, "page cache"]
            self.assertGreater(cached["load_ns"], 60e6)
            self.assertGreater(cached["first_token_ns"], cached["load_ns"])
            self.assertEqual(cached["cached_share"] is None, False)  # known, because the server names its file on this machine
            self.assertIn("not applicable", starts[name, "host memory"]["why_not"])
        for event in swap["events"]:
            self.assertIsNone(event["resident_bytes"])
            if event["action"] == "load":
                self.assertGreater(event["duration_ns"], 60e6)
        summary = self.cell("router")["swap"]
        self.assertEqual(summary["budget_models"], 2)
        self.assertIn("does not say", summary["memory_why_not"])
        self.assertIsNone(summary["peak_resident_bytes"])
        self.assertGreater(summary["lost_share"], 0)
        for model in summary["models"]:
            self.assertAlmostEqual(model["usd_per_resident_hour"], 1.2 / 2)
        report = subprocess.run([PROGRAM, "report", str(self.folder / "router")], capture_output=True, text=True).stdout
        if "INVALID" not in report:
            self.assertIn("it: memory: llama-server does not say what a model takes", report)

    def test_ollama_says_how_large_its_models_are(self):
        with Server(self.folder, "ollama", MODELS, "--load-ms", "30") as server:
            self.run_program({"preset": "ollama", "url": server.url, "models": {name: name for name in MODELS}},
                             ["swap:40MiB+shares=2:1:1+requests=24@/4"], "ollama")
            calls = server.calls()
        swap = self.check_run("ollama", budget=40 * MIB)
        self.assertFalse([one for one in calls if one.startswith("autoload")], calls)
        self.assertEqual({one["model"]: one["resident_bytes"] for one in swap["models"]}, SIZES)
        self.assertTrue(all(one["weights_bytes"] is None for one in swap["models"]))
        self.assertTrue(all(event["resident_bytes"] <= 40 * MIB for event in swap["events"]))
        summary = self.cell("ollama")["swap"]
        self.assertEqual(summary["memory_why_not"], "")
        for model in summary["models"]:
            self.assertAlmostEqual(model["usd_per_resident_hour"], 1.2 * SIZES[model["model"]] / (40 * MIB))

    def test_vllm_sleeps_into_host_memory_and_discards_what_is_to_come_from_disk(self):
        servers = [Server(self.folder, "vllm", [name], "--load-ms", "400", "--wake-ms", "10") for name in MODELS]
        try:
            models = dict(zip(MODELS, [server.url for server in servers]))
            self.run_program({"preset": "vllm", "models": models}, ["swap:1model+requests=12@/4"], "vllm")
            calls = [server.calls() for server in servers]
        finally:
            for server in servers:
                server.__exit__()
        swap = self.check_run("vllm", budget_models=1)
        for start in swap["starts"]:
            if start["first_token_ns"] is None:  # on a file system in memory, files cannot be dropped from the page cache
                self.assertEqual(start["source"], "disk")
            elif start["source"] == "host memory":
                self.assertGreater(start["load_ns"], 10e6)  # the calls, checked below, show that nothing was read again
            else:
                self.assertGreater(start["load_ns"], 400e6)
        for name, own in zip(MODELS, calls):
            # After waking, discarded weights are loaded again before the KV cache is allocated.
            for index, call in enumerate(own):
                if call == f"wake weights {name}":
                    self.assertEqual(own[index + 1:index + 3], [f"reload_weights {name}", f"wake kv_cache {name}"])
            self.assertIn(f"sleep 1 {name}", own)
            self.assertIn(f"sleep 2 {name}", own)

    def test_a_model_that_sleeps_without_its_weights_before_the_run_is_given_them_again(self):
        """An interrupted run leaves models at level 2, of which the server tells no more than that it sleeps."""
        servers = [Server(self.folder, "vllm", [name]) for name in MODELS]
        try:
            for server in servers:
                urllib.request.urlopen(urllib.request.Request(server.url + "/sleep?level=2", b"{}", method="POST")).read()
            models = dict(zip(MODELS, [server.url for server in servers]))
            self.run_program({"preset": "vllm", "models": models}, ["swap:1model+requests=12@/4"], "left-asleep")
            calls = [server.calls() for server in servers]
        finally:
            for server in servers:
                server.__exit__()
        self.check_run("left-asleep", budget_models=1)
        for name, own in zip(MODELS, calls):
            self.assertEqual(own[1:3], [f"wake weights {name}", f"reload_weights {name}"], own)

    def test_a_budget_in_bytes_needs_the_size_of_each_model(self):
        with Server(self.folder, "ollama", MODELS, "--bytes", f"{MODELS[0]}=0") as server:
            run = self.run_program({"preset": "ollama", "url": server.url, "models": {name: name for name in MODELS}},
                                   ["swap:40MiB+requests=12@/4"], "no-size", statuses=(2,))
        self.assertIn(f"swap: expected a server that tells the size of each model, for a budget in bytes: {MODELS[0]}", run.stderr)
        self.assertIn("give the budget as a number of models", run.stderr)

    def test_a_server_that_evicts_by_itself_is_named(self):
        with Server(self.folder, "llama-server", MODELS, "--models-max", "1") as server:
            run = self.run_program({"preset": "llama-server", "url": server.url}, ["swap:2models+requests=24@/4"], "own-rule",
                                   statuses=(2,))
        self.assertRegex(run.stderr, r"it evicted \w+ by itself; give it a larger limit")

    def test_a_server_that_evicts_after_each_answer_is_named_though_no_load_follows(self):
        # The budget holds all three models, so the mix loads nothing. Evictions begin with the first request of all (of a start), or where the
        # starts are over: three models, each started twice, or once where files stay in the page cache.
        for control, first in (("ollama", 1), ("llama-server", 10)):
            with Server(self.folder, control, MODELS, "--evicts-from", str(first)) as server:
                run = self.run_program({"preset": control, "url": server.url}, ["swap:3models+requests=24@/4"], f"each-{control}",
                                       statuses=(2,), golden=False)
            self.assertRegex(run.stderr, r"it evicted \w+(, \w+)* by itself; give it a larger limit")
            self.assertEqual(self.lines(f"each-{control}", "repetition"), [])

    def test_a_server_that_evicts_in_the_mix_is_named(self):
        # At most 6 requests are starts; 8 requests of each model, and one more to warm it up, are alone: from the 36th on they are the mix's.
        with Server(self.folder, "ollama", MODELS, "--evicts-from", "36") as server:
            run = self.run_program({"preset": "ollama", "url": server.url}, ["swap:3models+requests=24@/4"], "mix-evicts", statuses=(2,),
                                   golden=False)
            calls = server.calls()
        self.assertRegex(run.stderr, r"it evicted \w+(, \w+)* by itself")
        self.assertTrue([one for one in calls if one.startswith("evicted")])

    def test_a_request_that_fails_before_the_mix_ends_the_row_with_the_words_of_the_server(self):
        # The first requests are those of the starts; from the 7th on, all starts are over and each model is asked alone.
        for first, part in ((1, "start from (disk|page cache)"), (7, "(warm-up|alone)"), (12, "alone")):
            with Server(self.folder, "ollama", MODELS, "--refuses-from", str(first)) as server:
                run = self.run_program({"preset": "ollama", "url": server.url}, ["swap:3models+requests=24@/4"], f"refuses-{first}",
                                       statuses=(4,), golden=False)
            self.assertRegex(run.stderr, rf"default, {part}: a request failed: HTTP 500: planted: no more answers")
            self.assertEqual([one["kind"] for one in self.lines(f"refuses-{first}", "failure")], ["unavailable"])

    def test_an_answer_of_another_model_is_an_error(self):
        for control in ("llama-server", "ollama"):
            with Server(self.folder, control, MODELS, "--confuses", "second=third") as server:
                run = self.run_program({"preset": control, "url": server.url}, ["swap:3models+requests=24@/4"], f"confuses-{control}",
                                       statuses=(4,), golden=False)
            self.assertIn('expected an answer of model "second", found one of "third"', run.stderr)

    def test_a_model_that_cannot_be_loaded_is_a_failure_of_the_server(self):
        with Server(self.folder, "llama-server", MODELS, "--fails", "second") as server:
            run = self.run_program({"preset": "llama-server", "url": server.url}, ["swap:2models+requests=24@/4"], "fails", statuses=(4,))
        self.assertIn("second: the server could not load it: exit code 1", run.stderr)

    def test_a_budget_below_the_largest_model_says_what_it_takes(self):
        with Server(self.folder, "ollama", MODELS) as server:
            run = self.run_program({"preset": "ollama", "url": server.url}, ["swap:12MiB+requests=24@/4"], "narrow", statuses=(2,))
        self.assertRegex(run.stderr, r"the server says that third takes 30\.0 MiB \(\d+ bytes\), the budget is 12\.0 MiB")

    def test_what_cannot_be_measured_is_refused_or_left_out_with_the_reason(self):
        with Server(self.folder, "llama-server", MODELS) as server:
            bytes_budget = self.run_program({"preset": "llama-server", "url": server.url}, ["swap:1GiB"], "refused", statuses=(4,))
            self.assertIn("give the budget as a number of models", bytes_budget.stderr)
            other = self.run_program({"preset": "llama-server", "url": server.url}, ["single-stream"], "refused", statuses=(4,))
            self.assertIn("holds several models, which only the scenario swap measures", other.stderr)
            wrong = self.run_program({"preset": "llama-server", "url": server.url,
                                      "models": {"default": "default", "second": "nope", "third": "third"}},
                                     ["swap:2models"], "refused", statuses=(4,))
            self.assertIn("expected nope for bundle second, found default, second, third", wrong.stderr)
        with Server(self.folder, "llama-server", ["default"]) as server:
            refused = self.run_program({"preset": "llama-server", "url": server.url, "models": {"elsewhere": "default"}},
                                       ["swap:2models"], "refused", statuses=(2,))
            self.assertIn('expected bundles of this run, found "elsewhere"', refused.stderr)
        refused = self.run_program({"preset": "sglang", "url": "http://127.0.0.1:9", "models": {"default": "x"}}, ["swap:2models"],
                                   "refused", statuses=(2,))
        self.assertIn("expected a preset that is known to load and unload models", refused.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
