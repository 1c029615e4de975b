"""Two clients load one server at the same time; `merge` makes one run of theirs.

The server logs on its own clock when each client's requests arrive. The test compares the merged journal with this log, and
recomputes the prompts that each client had to send.

    python3 clients_test.py SECONDSOURCE SOURCE_FOLDER
"""
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
BUNDLE = SOURCE / "bundles/default"
N_REQUESTS, N_PROMPT, N_OUTPUT, SEED = 240, 16, 10, 5
sys.path.insert(0, str(SOURCE / "apps/python"))
import secondsource  # noqa: E402

MASK = (1 << 64) - 1


def random_bits(seed, counter):
    """SplitMix64's finalizer twice, as lib/core/random.h says."""
    def mix(z):
        z = (z + 0x9e3779b97f4a7c15) & MASK
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        return z ^ (z >> 31)
    return mix(mix(seed) ^ mix((counter * 0xd1342543de82ef95 + 1) & MASK))


def prompt_begins(index, vocabulary):
    stream = random_bits(SEED, index)
    return [random_bits(stream, position) % vocabulary for position in range(8)]


def program(*arguments, statuses=(0,)):
    run = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode in statuses, (arguments, run.returncode, run.stdout, run.stderr)
    return run


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-clients-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.server, cls.url = cls.start_server("--log", cls.folder / "log.jsonl")
        cls.run_clients(("one", "two"), "server:40", cls.url)

    @classmethod
    def tearDownClass(cls):
        cls.stop_server(cls.server)
        cls.scratch.cleanup()

    @classmethod
    def start_server(cls, *options):
        server = subprocess.Popen(
            [sys.executable, SOURCE / "tests/serving/stand_in.py", "--dialect", "vllm", "--bundle", BUNDLE, "--gap-ms", "8", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return server, "http://127.0.0.1:" + server.stdout.readline().strip()

    @classmethod
    def stop_server(cls, server):
        server.stdin.close()
        server.wait()
        server.stdout.close()

    @classmethod
    def run_clients(cls, names, load, url):
        """Starts all clients and waits for them. Status 6 is accepted: on a busy machine a measurement may be invalid."""
        running = []
        for index, name in enumerate(names):
            command = [PROGRAM, "run", BUNDLE, "--system", f"it={url},preset=vllm", "--variant", "bf16", "--no-golden",
                       "--scenario", f"{load}+requests={N_REQUESTS}@{N_PROMPT}/{N_OUTPUT}", "--repetitions", "1", "--seed", SEED,
                       "--client", f"{index + 1}/{len(names)}", "--out", cls.folder / name]
            running.append(subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        for client in running:
            out, err = client.communicate()
            assert client.returncode in (0, 6), (client.returncode, out, err)

    def lines(self, run, kind):
        lines = [json.loads(line) for line in (self.folder / run / "samples.jsonl").read_text().splitlines()]
        return [line for line in lines if line["type"] == kind and not line.get("warmup")]

    def check_offset(self, log, samples, end):
        """Checks that each client sent its own prompts, and that the corrected times agree with the arrivals in the server's log."""
        vocabulary = json.loads((BUNDLE / "config.json").read_text())["vocab_size"]
        arrived_of = {}
        for line in (self.folder / log).read_text().splitlines():
            one = json.loads(line)
            arrived_of[tuple(one["begins"])] = one["arrived_ns"]  # the last one: warm-up requests come before
        late_of = {0: [], 1: []}
        for one in samples:
            begins = tuple(prompt_begins(one["request"], vocabulary))
            self.assertIn(begins, arrived_of)
            late_of[one["request"] % 2].append(arrived_of[begins] - one["sent_ns"])
        self.assertEqual([len(late) for late in late_of.values()], [N_REQUESTS, N_REQUESTS])
        apart_ns = statistics.median(late_of[1]) - statistics.median(late_of[0])
        bound_ns = end["clients"][1]["bound_ns"]
        self.assertLessEqual(bound_ns, 0.01 * (end["window_end_ns"] - end["window_start_ns"]))
        self.assertLessEqual(abs(apart_ns), bound_ns + 5_000_000, "beyond what a request takes to arrive")

    def refuses(self, message, *arguments):
        run = program(*arguments, statuses=(2,))
        self.assertIn(message, run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1, run.stderr)

    def test_1_a_served_run_tells_of_the_servers_clock(self):
        report = program("report", self.folder / "one").stdout
        self.assertIn("it: its clock is between ", report)
        self.assertIn("client 1 of 2: a part of the load", report)
        (end,) = self.lines("one", "repetition")
        clock = end["server_clock"]
        # The stand-in and the client run on one machine and share its clock, so the true offset is 0.
        self.assertLessEqual(clock["ahead_low_ns"], 0)
        self.assertGreaterEqual(clock["ahead_high_ns"], 0)
        self.assertLess(clock["ahead_high_ns"] - clock["ahead_low_ns"], 1_000_000_000)
        self.assertGreaterEqual(clock["n_responses"], N_REQUESTS)
        self.assertGreater(len(clock["turns"]), 2)

    def test_2_the_merged_run_is_what_the_server_saw(self):
        merged = program("merge", self.folder / "two", self.folder / "one", "--out", self.folder / "both")
        self.assertIn("server-r80", merged.stdout)
        self.assertIn("merged: the load of 2 clients", merged.stdout)
        program("verify", self.folder / "both")
        samples = self.lines("both", "sample")
        (end,) = self.lines("both", "repetition")
        self.assertEqual(sorted(one["request"] for one in samples), list(range(2 * N_REQUESTS)))
        inside = 0
        for one in samples:
            at = one["first_token_ns"]
            for gap in [0] + one["itl_ns"]:
                at += gap
                inside += end["window_start_ns"] < at <= end["window_end_ns"]
        self.assertEqual(end["window_output_tokens"], inside)
        self.assertEqual([clock["source"] for clock in (self.lines(name, "repetition")[0]["server_clock"] for name in ("one", "two"))],
                         ["date", "date"])

        self.check_offset("log.jsonl", samples, end)

        run = secondsource.read_run(self.folder / "both")
        self.assertEqual([client.client for client in run.record.clients], [1, 2])
        self.assertEqual(run.record.cells[0].scenario.rate_per_s, 80)
        self.assertEqual(end["rate_per_s"], 80)
        gaps = [[one["scheduled_ns"] for one in self.lines(name, "sample")][:5] for name in ("one", "two")]
        self.assertNotEqual(gaps[0], gaps[1], "each client has arrivals of its own")
        for form in ("table", "markdown", "html", "csv", "json", "openmetrics"):
            with self.subTest(form):
                out = program("report", self.folder / "both", "--format", form).stdout
                self.assertIn("server-r80", out)
                if form in ("table", "markdown", "html"):
                    self.assertIn("the load of 2 clients", out)
        program("gate", self.folder / "both", self.folder / "both", "--allow-unverified", statuses=(0, 5, 6))
        junit = program("report", self.folder / "both", "--format", "junit").stdout
        self.assertIn("of 2 clients\"", junit)
        self.assertIn("server-r80", junit)
        for base, candidate, why in (("one", "both", 'number of merged clients: the base has "0", the candidate "2"'),
                                     ("one", "two", 'part of the load: the base has "client 1 of 2", the candidate "client 2 of 2"')):
            refused = program("gate", self.folder / base, self.folder / candidate, "--allow-unverified", statuses=(6,))
            self.assertIn("not comparable: " + why, refused.stdout)
        program("history", "add", self.folder / "both", "--db", self.folder / "history.db")

    def test_3_what_is_no_load_of_several_clients_is_refused(self):
        one, two, out = self.folder / "one", self.folder / "two", self.folder / "never"
        self.refuses("expected the runs of all 2 clients, found none of client 2", "merge", one, "--out", out)
        self.refuses("both are client 1 of 2", "merge", one, one, "--out", out)
        self.refuses("found a run in it", "merge", one, two, "--out", one)
        damaged = self.folder / "damaged"
        damaged.mkdir()
        for name in ("run.json", "samples.jsonl"):
            (damaged / name).write_text((two / name).read_text().replace('"scheduled_ns":', '"scheduled_ns":1', 1))
        self.refuses("damaged", "merge", one, damaged, "--out", out)
        self.refuses("run.json", "merge", one, self.folder / "absent", "--out", out)
        self.assertFalse(out.exists())

    def test_4_a_server_without_dates_is_related_by_when_it_answered(self):
        server, url = self.start_server("--no-date", "--log", self.folder / "without-dates.jsonl")
        try:
            self.run_clients(("early", "late"), "server:40", url)
        finally:
            self.stop_server(server)
        for name in ("early", "late"):
            (end,) = self.lines(name, "repetition")
            clock = end["server_clock"]
            self.assertEqual(clock["source"], "created")
            self.assertIn("by the times in the answers of", program("report", self.folder / name).stdout)
            self.assertLessEqual(clock["ahead_low_ns"], 0)
            self.assertGreaterEqual(clock["ahead_high_ns"], 0)
            self.assertGreater(len(clock["turns"]), 2)
        program("merge", self.folder / "early", self.folder / "late", "--out", self.folder / "without-dates")
        (end,) = self.lines("without-dates", "repetition")
        self.check_offset("without-dates.jsonl", self.lines("without-dates", "sample"), end)

    def test_5_only_loads_of_servers_are_divided(self):
        run = ("run", BUNDLE, "--out", self.folder / "never", "--client")
        system = ("--system", f"it={self.url},preset=vllm")
        self.refuses("expected only servers that run already", *run, "1/2", "--backend", "reference", "--scenario", "offline:2")
        self.refuses("scenario single-stream: expected offline:BATCH or server:RATE", *run, "1/2", *system)
        self.refuses("a search for a rate", *run, "1/2", *system, "--scenario", "server:slo-max", "--slo", "ttft_ms=500,tpot_ms=30")
        for client in ("0/2", "3/2", "1/1", "1", "1/", "a/b", "1/2000"):
            self.refuses("expected INDEX/COUNT", *run, client, *system, "--scenario", "offline:2")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
