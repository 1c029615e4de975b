"""Every figure of the sample briefs, and of briefs on other demands, is what recompute.py makes of the inputs; and
recompute.py finds a figure that was changed.

    python3 recompute_test.py SECONDSOURCE REPORTS
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM, REPORTS = sys.argv.pop(1), sys.argv.pop(1)
SAMPLES = os.path.join(REPORTS, "samples")
RECOMPUTE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recompute.py")


def content_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


# As reports/samples/make.sh has it.
DATE = re.search(r"--date (\S+)", content_of(os.path.join(SAMPLES, "make.sh"))).group(1)


def inputs(demand, prices=os.path.join(REPORTS, "prices.yaml")):
    return ["--demand", demand, "--prices", prices, "--quoted", os.path.join(REPORTS, "quoted.yaml"), "--date", DATE]


def random_demand(draw):
    """Changes of the sample with two GPU suppliers, and a price book with contracts of some machines."""
    book, changes = content_of(os.path.join(REPORTS, "prices.yaml")), []
    for instance in ("BM.GPU.H100.8", "BM.GPU.MI300X.8", "VM.Standard.E5.Flex$_128_1024"):
        contract = draw.choice(["1-year", "3-years", "on-demand"])
        row = re.compile(f'(instance: "?{re.escape(instance)}"?, commitment: )on-demand')
        book, n_rows = row.subn(rf"\g<1>{contract}", book, count=1)
        assert n_rows == 1, instance
        committed = ""
        if contract != "on-demand" and draw.random() < 0.7:
            until = f"{draw.randint(2027, 2030)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
            committed = f"\n    committed: {{machines: {draw.choice([1, 2, 5, 9, 20, 60])}, until: {until}}}"
        changes.append((instance + "/on-demand", f"{instance}/{contract}{committed}"))
    changes += [("growth_percent_per_year: 40", f"growth_percent_per_year: {draw.choice([-60, -20, 0, 40, 150])}"),
                ("batch_percent: 20", f"batch_percent: {draw.choice([0, 20, 70, 100])}"),
                ("decision_years: 3", f"decision_years: {draw.choice([1, 3])}"),
                ("requests_per_day: 20000000", f"requests_per_day: {draw.choice([2000, 300000, 20000000])}")]
    if draw.random() < 0.4:
        changes.append(("{kind: stay, sku: h100}", "{kind: stay, interactive: [{sku: h100, percent: 60}, {sku: mi300x, percent: 40}], "
                        "batch: [{sku: h100, percent: 100}]}"))
    if draw.random() < 0.4:  # the load moves after the first year
        changes.append(("certify_weeks: 4, ramp_weeks: 4", "certify_weeks: 60, ramp_weeks: 30"))
    if draw.random() < 0.4:  # a fallback on a machine that may serve as well
        changes.append(("    sku: cpu\n    percent: 5", "    sku: mi300x\n    percent: 15"))
    return changes, book


class Recomputed(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-brief-")
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def differences(self, demand, brief, *more, **prices):
        run = os.path.join(SAMPLES, "runs", "cpu")
        done = subprocess.run([sys.executable, RECOMPUTE, *inputs(demand, **prices), "--brief", brief, *more, run],
                              stdout=subprocess.PIPE, encoding="utf-8")
        self.assertEqual(done.returncode, 1 if done.stdout else 0)
        return done.stdout.splitlines()

    def made(self, sample, *changes, **prices):
        """Writes a changed copy of a sample's demand and lets the program make a brief of it. Returns both paths."""
        text = content_of(os.path.join(SAMPLES, sample, "demand.yaml"))
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        demand, brief = os.path.join(self.folder, "demand.yaml"), os.path.join(self.folder, "brief")
        write(demand, text)
        subprocess.run([PROGRAM, "brief", os.path.join(SAMPLES, "runs", "cpu"), *inputs(demand, **prices), "--out", brief], check=True,
                       stdout=subprocess.DEVNULL)
        return demand, brief

    def test_every_figure_of_the_samples(self):
        for sample in ("second-gpu-supplier", "cpu-serving"):
            with self.subTest(sample):
                folder = os.path.join(SAMPLES, sample)
                self.assertEqual(self.differences(os.path.join(folder, "demand.yaml"), folder), [])

    def test_savings_begin_when_the_timeline_says(self):
        # With replicas of the 16 accelerators that were quoted, moving at once would save 32.2 % of the first year.
        as_quoted = ("    quoted: {full_load: mlperf-v5.1-llama2-70b-16x", "    machines_per_replica: 2\n    quoted: {full_load: mlperf-v5.1-llama2-70b-16x")
        at_once = ("migration: {person_days: 90, usd_per_day: 900, people: 3, certify_weeks: 4, ramp_weeks: 4}\n\noptions",
                   "migration: {person_days: 0, usd_per_day: 0, people: 3, certify_weeks: 0, ramp_weeks: 0}\n\noptions")
        demand, brief = self.made("second-gpu-supplier", as_quoted)
        self.assertEqual(self.differences(demand, brief, "--saving", "All on AMD=24.03"), [])
        demand, brief = self.made("second-gpu-supplier", as_quoted, at_once)
        # 81000 USD of migration are 2.66 % of the 3.042 million USD that staying costs.
        self.assertEqual(self.differences(demand, brief, "--saving", "All on AMD=34.83"), [])

    def test_other_demands(self):
        for sample, *changes in (
            ("second-gpu-supplier", ("decision_years: 3", "decision_years: 1"), ("{kind: stay, sku: h100}", "{kind: stay, interactive: "
             "[{sku: h100, percent: 60}, {sku: mi300x, percent: 40}], batch: [{sku: h100, percent: 100}]}"),
             ("percent: 5\n    migr", "percent: 5\n    hours_per_year: 72\n    migr")),
            # Two vendors with equal shares, and a fallback that is rented for less than the outage of 8 hours.
            ("second-gpu-supplier", ("{kind: stay, sku: h100}", "{kind: stay, interactive: [{sku: h100, percent: 50}, {sku: mi300x, "
             "percent: 50}], batch: [{sku: h100, percent: 100}]}"), ("percent: 5\n    migr", "percent: 5\n    hours_per_year: 3\n    migr")),
            ("cpu-serving", ("max_spot_percent: 40", "max_spot_percent: 100"), ("hardware: similar", "hardware: same"),
             ("usd_per_million_output: ", "usd_per_million_output: 9000")),
        ):
            with self.subTest(sample, changes=changes):
                self.assertEqual(self.differences(*self.made(sample, *changes)), [])

    def test_machines_that_are_committed(self):
        prices, row = os.path.join(self.folder, "prices.yaml"), "instance: BM.GPU.H100.8, commitment: "
        write(prices, content_of(os.path.join(REPORTS, "prices.yaml")).replace(row + "on-demand", row + "3-years"))
        for machines, until in ((20, "2028-03-05"), (9, "2026-12-31"), (1, "2036-01-01")):
            with self.subTest(machines=machines, until=until):
                demand, brief = self.made("second-gpu-supplier", (
                    "BM.GPU.H100.8/on-demand\n", f"BM.GPU.H100.8/3-years\n    committed: {{machines: {machines}, until: {until}}}\n"),
                    prices=prices)
                self.assertEqual(self.differences(demand, brief, prices=prices), [])
                options = json.loads(content_of(os.path.join(brief, "brief.json")))["options"]
                owed = {option["name"]: [part for part in option["parts"] if part["role"] == "owed"] for option in options}
                self.assertEqual([part["sku"] for part in owed["All on AMD"]], ["h100"])
                self.assertEqual(bool(owed["Stay"]), machines > 1)

    def test_random_demands(self):
        """Demands with random contracts, growth, sizes and migrations. The environment says how many, and from which seed on."""
        first = int(os.environ.get("SECONDSOURCE_FIRST_SEED", 1))
        for seed in range(first, first + int(os.environ.get("SECONDSOURCE_RANDOM_DEMANDS", 3))):
            with self.subTest(seed=seed):
                changes, book = random_demand(random.Random(seed))
                prices = os.path.join(self.folder, "prices.yaml")
                write(prices, book)
                self.assertEqual(self.differences(*self.made("second-gpu-supplier", *changes, prices=prices), prices=prices), [])

    def test_a_figure_that_was_changed_is_found(self):
        sample, brief = os.path.join(SAMPLES, "cpu-serving"), os.path.join(self.folder, "changed")
        shutil.copytree(sample, brief)
        record = json.loads(content_of(os.path.join(brief, "brief.json")))
        last = len(record["options"][1]["parts"]) - 1
        record["options"][1]["parts"][last]["usd"]["value"] *= 1.001
        record["skus"][0]["costs"][2]["usd_per_1k_blended"]["value"] *= 1.001
        record["prices"][0]["age_days"] += 1
        record["options"][0]["a_new_number"] = 7
        write(os.path.join(brief, "brief.json"), json.dumps(record))
        for name in ("brief.md", "brief.html"):
            text = content_of(os.path.join(brief, name))
            share = re.search(r"has \d\.\d % of a day", text)  # in a sentence
            cell = re.search(r"\$\d+\.\d+(?= \||</td>)", text)   # in a table
            self.assertTrue(share and cell)
            text = text[:cell.start()] + "$77.77" + text[cell.end():]
            write(os.path.join(brief, name), text.replace(share.group(0), "has 9.9 % of a day"))
        found = self.differences(os.path.join(sample, "demand.yaml"), brief)
        self.assertEqual([line.split(": expected")[0] for line in found if line.startswith("brief.json")], [
            "brief.json.options[0].a_new_number", f"brief.json.options[1].parts[{last}].usd.value",
            "brief.json.skus[0].costs[2].usd_per_1k_blended.value", "brief.json.prices[0].age_days"])
        for name in ("brief.md", "brief.html"):
            of_page = [line for line in found if line.startswith(name)]
            self.assertTrue(any("$77.77" in line for line in of_page), of_page)
            self.assertTrue(any("9.9 in: " in line for line in of_page), of_page)


if __name__ == "__main__":
    unittest.main()
