"""Tests the scenario `swap`. Its loads and evictions are compared with an LRU cache in Python, and its figures with their definitions
in docs/scenarios.md. Refusals must be one line.

    python3 swap_test.py SECONDSOURCE SOURCE_FOLDER
"""

import collections
import csv
import io
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
MODELS = ["default", "tiny-gqa8-hd64", "tiny-gqa8-hd128"]
MIX = "+".join(MODELS)
MIB = 1 << 20


def program(*arguments, statuses=(0,)):
    run = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.returncode in statuses, (arguments, run.returncode, run.stdout, run.stderr)
    return run


def bundles(names):
    return [SOURCE / "bundles" / name for name in names]


def run_swap(out, scenario, *more, names=MODELS, statuses=(0, 6)):
    """Runs the program. Status 6 is accepted: on a busy machine the measurement may be invalid, but counts are still right."""
    return program("run", *bundles(names), "--backend", "cpu", "--variant", "int8", "--scenario", scenario, "--out", out, *more,
                   statuses=statuses)


class LruCache:
    """A textbook implementation, which evicts what was used longest ago."""

    def __init__(self, budget, sizes, resident):
        self.budget, self.sizes = budget, sizes
        self.resident = collections.OrderedDict((model, None) for model in resident)
        self.events = []

    def use(self, request, model):
        if model in self.resident:
            self.resident.move_to_end(model)
            return
        while self.resident and self.bytes() + self.sizes[model] > self.budget:
            self.events.append(("eviction", self.resident.popitem(last=False)[0], request))
        self.resident[model] = None
        self.events.append(("load", model, request))

    def bytes(self):
        return sum(self.sizes[model] for model in self.resident)


class Swap(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-swap-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.small, cls.large = cls.folder / "small", cls.folder / "large"
        run_swap(cls.small, "swap:24MiB+zipf=1@/8", "--price", "1.20")
        run_swap(cls.large, "swap:1GiB+shares=2:1:1+requests=24@/8", "--repetitions", "1")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def lines(self, folder, kind):
        lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
        return [line for line in lines if line["type"] == kind]

    def cell(self, folder):
        (cell,) = json.loads((folder / "summary.json").read_text())["cells"]
        return cell

    def samples_of(self, folder, repetition):
        samples = [one for one in self.lines(folder, "sample") if one["repetition"] == repetition]
        return sorted(samples, key=lambda one: one["request"])

    def test_loads_and_evictions_are_those_of_an_lru_cache(self):
        repetitions = self.lines(self.small, "repetition")
        self.assertEqual(len(repetitions), 3)
        for repetition in repetitions:
            swap = repetition["swap"]
            sizes = {one["model"]: one["resident_bytes"] for one in swap["models"]}
            samples = self.samples_of(self.small, repetition["repetition"])
            self.assertEqual(len(samples), 48)
            # Before the measurement, each model is loaded once, in the order in which the samples use it last. This cache holds the models
            # that are still resident then.
            first = LruCache(24 * MIB, sizes, [])
            for model in sorted(MODELS, key=lambda name: max(s["request"] for s in samples if s["model"] == name)):
                first.use(-1, model)
            self.assertEqual(swap["resident_at_start"], list(first.resident))
            cache = LruCache(24 * MIB, sizes, swap["resident_at_start"])
            for sample in samples:
                cache.use(sample["request"], sample["model"])
            found = [(event["action"], event["model"], event["request"]) for event in swap["events"]]
            self.assertEqual(found, cache.events)
            self.assertGreater(sum(action == "load" for action, _, _ in found), 5)
            self.assertTrue(all(event["resident_bytes"] <= 24 * MIB for event in swap["events"]))

    def test_the_mix_is_that_of_the_shares_and_the_same_in_every_repetition(self):
        orders = {tuple(one["model"] for one in self.samples_of(self.small, repetition)) for repetition in range(3)}
        self.assertEqual(len(orders), 1)
        zipf = [1 / rank for rank in (1, 2, 3)]
        shares = [model["share"] for model in self.cell(self.small)["swap"]["models"]]
        for share, expected in zip(shares, zipf):
            self.assertAlmostEqual(share, expected / sum(zipf))
        counts = collections.Counter(next(iter(orders)))
        for model, share in zip(MODELS, shares):  # four standard deviations of a binomial count
            self.assertLess(abs(counts[model] - 48 * share), 4 * (48 * share * (1 - share)) ** 0.5)

    def test_the_figures_follow_from_their_definitions(self):
        cell = self.cell(self.small)
        swap = cell["swap"]
        unswapped, lost, mean_bytes, in_events = [], [], [], []
        for repetition in self.lines(self.small, "repetition"):
            record = repetition["swap"]
            unswapped.append(1e9 * sum(one["alone_tokens"] for one in record["models"])
                             / sum(one["alone_ns"] for one in record["models"]))
            window = repetition["window_end_ns"] - repetition["window_start_ns"]
            lost.append(unswapped[-1] - 1e9 * repetition["window_output_tokens"] / window)
            in_events.append(sum(event["duration_ns"] for event in record["events"]) / window)
            samples = self.samples_of(self.small, repetition["repetition"])
            ends = [one["sent_ns"] for one in samples[1:]] + [samples[-1]["last_token_ns"]]
            resident, area = record["resident_bytes_at_start"], 0
            for sample, end in zip(samples, ends):
                for event in record["events"]:
                    resident = event["resident_bytes"] if event["request"] == sample["request"] else resident
                area += resident * (end - sample["sent_ns"])
            mean_bytes.append(area / (ends[-1] - samples[0]["sent_ns"]))
        self.assertAlmostEqual(swap["unswapped_tok_per_s"]["value"], statistics.median(unswapped), places=6)
        self.assertAlmostEqual(swap["lost_tok_per_s"]["value"], statistics.median(lost), places=6)
        self.assertAlmostEqual(swap["load_time_share"], statistics.median(in_events), places=9)
        self.assertAlmostEqual(swap["mean_resident_bytes"], statistics.median(mean_bytes), places=2)
        for model in swap["models"]:
            self.assertAlmostEqual(model["usd_per_resident_hour"], 1.20 * model["resident_bytes"] / (24 * MIB))
        self.assertEqual(program("verify", self.small).returncode, 0)

    def test_a_budget_that_holds_all_models_costs_no_swap(self):
        (repetition,) = self.lines(self.large, "repetition")
        self.assertEqual(repetition["swap"]["events"], [])
        swap = self.cell(self.large)["swap"]
        self.assertEqual((swap["loads"], swap["evictions"], swap["load_time_share"]), (0, 0, 0))
        self.assertEqual(swap["mean_resident_models"], 3)

    def test_a_budget_can_be_a_number_of_models(self):
        folder = self.folder / "counted"
        run_swap(folder, "swap:2models+requests=24@/8", "--repetitions", "1", "--price", "1.20")
        (repetition,) = self.lines(folder, "repetition")
        swap = repetition["swap"]
        cache = LruCache(2, {model: 1 for model in MODELS}, swap["resident_at_start"])
        for sample in self.samples_of(folder, 0):
            cache.use(sample["request"], sample["model"])
        self.assertEqual([(event["action"], event["model"], event["request"]) for event in swap["events"]], cache.events)
        cell = self.cell(folder)
        self.assertEqual((cell["key"]["scenario"], cell["swap"]["budget_models"]), ("swap-2models", 2))
        self.assertGreater(cell["swap"]["peak_resident_bytes"], 0)
        for model in cell["swap"]["models"]:
            self.assertAlmostEqual(model["usd_per_resident_hour"], 1.20 / 2)
        self.assertEqual(program("verify", folder).returncode, 0)

    def test_starts_say_where_the_files_were(self):
        for repetition in self.lines(self.small, "repetition"):
            for start in repetition["swap"]["starts"]:
                if start["source"] == "host memory":
                    self.assertIsNone(start["first_token_ns"])
                    self.assertIn("not applicable", start["why_not"])
                elif start["first_token_ns"] is None:  # on a file system in memory, files cannot be dropped from the page cache
                    self.assertEqual(start["source"], "disk")
                    self.assertRegex(start["why_not"], "stayed in the page cache|posix_fadvise|mincore")
                else:
                    self.assertLess(start["load_ns"], start["first_token_ns"])
                    if start["source"] == "disk":
                        self.assertLessEqual(start["cached_share"], 0.01)

    def test_tokens_are_judged_by_each_model_s_own_golden_outputs(self):
        (golden,) = self.lines(self.small, "golden")
        self.assertEqual((golden["bundle"], golden["verdict"], golden["n_wrong"]), (MIX, "passed", 0))
        samples = self.lines(self.small, "sample")
        self.assertTrue(all(one["wrong_at"] is None for one in samples))
        for model in MODELS:
            self.assertTrue(any(one["verified_tokens"] for one in samples if one["model"] == model), model)

    def test_reports_show_it(self):
        # The checks of the measurement are removed, so that other load on the machine does not hide the figures.
        plain = self.folder / "plain"
        plain.mkdir(exist_ok=True)
        record = json.loads((self.small / "run.json").read_text())
        record.pop("checksum", None)
        (plain / "run.json").write_text(json.dumps(record))
        with open(plain / "samples.jsonl", "w") as out:
            for line in (self.small / "samples.jsonl").read_text().splitlines():
                tree = json.loads(line)
                tree.pop("checksum", None)
                if tree["type"] == "repetition":
                    tree["checks"] = []
                out.write(json.dumps(tree) + "\n")
        swap = self.cell(self.small)["swap"]
        for form in ("table", "markdown", "html"):
            text = program("report", plain, "--format", form).stdout
            if form == "html":
                self.assertIn("Resident over time: ", text)
            for word in ("evictions", "unswapped", "from page cache", "resident hour", "not applicable", "24.0 MiB"):
                self.assertIn(word, text, form)
        (row,) = csv.DictReader(io.StringIO(program("report", plain, "--format", "csv").stdout, newline=""))
        self.assertEqual(float(row["swap_loads"]), swap["loads"])
        self.assertAlmostEqual(float(row["swap_lost_tok_per_s"]), swap["lost_tok_per_s"]["value"])
        (run,) = json.loads(program("report", plain, "--format", "json").stdout)
        self.assertEqual(run["summary"]["cells"][0]["swap"]["evictions"], swap["evictions"])

    def test_what_cannot_be_measured_is_refused_in_one_line(self):
        out = self.folder / "refused"
        cases = [("swap:1MiB", MODELS, "expected a memory budget that holds the largest model: the weights of default"),
                 ("swap:24MiB", MODELS[:1], "expected several bundles"),
                 ("swap:24MiB+shares=3:1", MODELS, "expected a share for each of 3 bundles, found 2"),
                 ("swap:24MiB+shares=1:1:0.001", MODELS, "none is for tiny-gqa8-hd128"),
                 ("swap:24MiB+static", MODELS, "swap:BUDGET"), ("swap:", MODELS, "swap:BUDGET"), ("swap:0models", MODELS, "swap:BUDGET"),
                 ("swap:models", MODELS, "swap:BUDGET"),
                 ("swap:24MiB+zipf=1+shares=1:1:1", MODELS, "expected +zipf=1 or +shares=1:1:1, found both"), ("swap:24MiB+shares=1::1", MODELS, "swap:BUDGET")]
        for scenario, names, words in cases:
            with self.subTest(scenario):
                refused = run_swap(out, scenario, names=names, statuses=(2,))
                self.assertIn(words, refused.stderr)
                self.assertEqual(len(refused.stderr.strip().splitlines()), 1)
                self.assertFalse(out.exists())

    def test_a_budget_for_the_weights_alone_says_what_the_model_needs(self):
        refused = run_swap(self.folder / "narrow", "swap:4MiB", "--repetitions", "1", statuses=(2,))
        self.assertEqual(len([line for line in refused.stderr.splitlines() if "the budget is" in line]), 1, refused.stderr)
        self.assertRegex(refused.stderr, r"needs \S+ MiB \(\d+ bytes\), the budget is 4\.0 MiB")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
