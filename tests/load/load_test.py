"""Runs the program with conversations, cancelled requests, recorded requests that are longer than the context, and late sends. Compares
what was sent and received with the journal, and the figures with their definitions in docs/metrics.md
and docs/scenarios.md.

    python3 load_test.py SECONDSOURCE SOURCE_FOLDER
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
TINY = SOURCE / "bundles/tiny-gqa8-hd64"


def program(*arguments, statuses=(0, 6)):
    """Runs the program. Status 6 is accepted: on a busy machine the measurement may be invalid, but counts are still right."""
    run = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert run.returncode in statuses, (arguments, run.returncode, run.stdout, run.stderr)
    return run


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-load-")
        cls.folder = pathlib.Path(cls.scratch.name)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_load(self, out, scenario, *more, bundle=TINY):
        run = program("run", bundle, "--scenario", scenario, "--no-golden", "--out", self.folder / out, *more)
        verified = program("verify", self.folder / out, statuses=(0,))
        self.assertIn("follow", verified.stdout)
        return run

    def lines(self, out, kind):
        lines = [json.loads(line) for line in (self.folder / out / "samples.jsonl").read_text().splitlines()]
        return [line for line in lines if line["type"] == kind and not line.get("warmup")]

    def cell(self, out):
        (cell,) = json.loads((self.folder / out / "summary.json").read_text())["cells"]
        return cell

    def check_cancelled(self, out, asked, after):
        """Returns the samples of the cancelled requests."""
        samples = self.lines(out, "sample")
        cancelled = [one for one in samples if one["finish"] == "cancelled"]
        for one in samples:
            self.assertEqual(one["error"], "")
            if one["finish"] == "cancelled":
                self.assertEqual(one["asked_tokens"], asked)
                self.assertGreaterEqual(one["n_output_tokens"], after)
                self.assertLess(one["n_output_tokens"], asked)
            else:
                self.assertIsNone(one["asked_tokens"])
                self.assertEqual(one["n_output_tokens"], asked)
        cell = self.cell(out)
        self.assertEqual(cell["n_cancelled"], len(cancelled))
        self.assertEqual(cell["n_errors"], 0)
        freed = []
        for end in self.lines(out, "repetition"):
            spared = sum(asked - one["n_output_tokens"] for one in cancelled if one["repetition"] == end["repetition"])
            freed.append(1e9 * spared / (end["window_end_ns"] - end["window_start_ns"]))
        self.assertAlmostEqual(cell["freed_tok_per_s"], statistics.median(freed))
        # Cancelled requests do not count in the end-to-end latency.
        self.assertEqual(cell["e2e_p50_ns"]["n"], len(samples) - len(cancelled))
        self.assertEqual(cell["ttft_e2e_p50_ns"]["n"], len(samples))
        return cancelled

    def test_a_share_of_the_requests_is_cancelled_after_some_tokens_and_the_same_ones_each_time(self):
        for scenario, name in (("offline:4+cancel=0.5:3+requests=40@16/12", "offline-b4+cancel=0.5:3"),
                               ("single-stream+cancel=0.5:3+requests=20@16/12", "single-stream+cancel=0.5:3"),
                               ("server:200+cancel=0.5:3+requests=40@16/12", "server-r200+cancel=0.5:3")):
            with self.subTest(scenario):
                out = scenario.split("+")[0].replace(":", "-")
                self.run_load(out, scenario, "--backend", "cpu", "--variant", "int8", "--repetitions", "2")
                cancelled = self.check_cancelled(out, 12, 3)
                self.assertEqual(self.cell(out)["key"]["scenario"], name)
                # The engine cancels a request between two steps, so it generates no token after the cancellation.
                self.assertTrue(all(one["n_output_tokens"] == 3 for one in cancelled))
                of = [{one["request"] for one in cancelled if one["repetition"] == repetition} for repetition in (0, 1)]
                self.assertEqual(of[0], of[1])
                n = 20 if "single" in out else 40  # the bound below is four standard deviations of a binomial count
                self.assertLess(abs(len(of[0]) - n / 2), 4 * (n / 4) ** 0.5)
                self.assertIsNone(self.cell(out)["unwanted_tokens"])

    def test_a_server_that_goes_on_for_nobody_is_seen_by_its_own_count(self):
        server = subprocess.Popen([sys.executable, SOURCE / "tests/serving/stand_in.py", "--dialect", "vllm", "--gap-ms", "5", "--bundle",
                                   SOURCE / "bundles/default"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            url = "http://127.0.0.1:" + server.stdout.readline().strip()
            self.run_load("served", "offline:4+cancel=0.4:5+requests=20@16/20", "--system", f"it={url},preset=vllm", "--variant", "bf16",
                          "--repetitions", "1", bundle=SOURCE / "bundles/default")
        finally:
            server.stdin.close()
            server.wait()
            server.stdout.close()
        cancelled = self.check_cancelled("served", 20, 5)
        self.assertGreater(len(cancelled), 0)
        # The stand-in counts all requested tokens, like a server that continues after a client has disconnected.
        (end,) = self.lines("served", "repetition")
        count = {one["name"]: one["value"] for one in end["telemetry"]}.get("server_output_tokens_count")
        if count is not None:
            arrived = sum(one["n_output_tokens"] for one in self.lines("served", "sample"))
            self.assertAlmostEqual(self.cell("served")["unwanted_tokens"], count - arrived)

    def serve(self, *options):
        """Starts a server that answers from the default bundle's expected outputs and ends with the test. Returns its URL."""
        server = subprocess.Popen([sys.executable, SOURCE / "tests/serving/stand_in.py", "--bundle", SOURCE / "bundles/default",
                                   *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def end():
            server.stdin.close()
            server.wait()
            server.stdout.close()
        self.addCleanup(end)
        return "http://127.0.0.1:" + server.stdout.readline().strip()

    def check_turns(self, out, n_turns, question, answer, think_s=None):
        """Checks that turns are in order and due at the right times, and checks the summary's figures. Returns the samples by repetition
        and request."""
        samples = self.lines(out, "sample")
        by_place = {(one["repetition"], one["request"]): one for one in samples}
        self.assertEqual(len(by_place), len(samples))
        for (repetition, request), one in by_place.items():
            turn = request % n_turns
            self.assertEqual(one["error"], "")
            self.assertEqual(one["turn"], turn + 1)
            self.assertEqual(one["n_prompt_tokens"], turn * (question + answer) + question)
            self.assertEqual(one["n_output_tokens"], answer)
            self.assertGreaterEqual(one["sent_ns"], one["scheduled_ns"])
            if turn > 0:
                pause_ns = one["scheduled_ns"] - by_place[repetition, request - 1]["last_token_ns"]
                if think_s is None:
                    self.assertGreaterEqual(pause_ns, 0)
                else:
                    self.assertEqual(pause_ns, round(1e9 * think_s))
        cell = self.cell(out)
        found = cell["conversation"]

        def median_ttft(turns, repetition=None):
            return statistics.median(one["first_token_ns"] - one["scheduled_ns"] - (one["connect_ns"] or 0) for one in samples
                                     if one["turn"] in turns and repetition in (None, one["repetition"]))
        later = range(2, n_turns + 1)
        self.assertAlmostEqual(found["first_turn_ttft_p50_ns"]["value"], median_ttft([1]), delta=1)
        self.assertAlmostEqual(found["later_turns_ttft_p50_ns"]["value"], median_ttft(later), delta=1)
        for repetition, value in enumerate(found["later_turns_ttft_p50_ns_by_repetition"]):
            self.assertAlmostEqual(value, median_ttft(later, repetition), delta=1)
        self.assertEqual([one["turn"] for one in found["turns"]], list(range(1, n_turns + 1)))
        for one in found["turns"]:
            of_turn = [sample for sample in samples if sample["turn"] == one["turn"]]
            self.assertEqual(one["n_requests"], len(of_turn))
            self.assertAlmostEqual(one["mean_cached_tokens"], statistics.mean(s["n_cached_prompt_tokens"] for s in of_turn))
        late = [one["sent_ns"] - one["scheduled_ns"] for one in samples]
        self.assertAlmostEqual(cell["late_send_share"], sum(ns > 1e6 for ns in late) / len(late))
        self.assertEqual(cell["latest_send_ns"], max(late))
        return by_place

    def test_conversations_with_our_engine_have_their_turns_in_order_and_reuse_nothing(self):
        for scenario, name, basis in (
                ("offline:2+turns=3+requests=12@16/4", "offline-b2+turns=3", "saturation"),
                ("offline:2+turns=3+think=0.02+requests=12@16/4", "offline-b2+turns=3+think=0.02", "offered load"),
                ("server:20+constant+turns=3+think=0.01+requests=12@16/4", "server-r20+constant+turns=3+think=0.01", "offered load")):
            with self.subTest(scenario):
                out = name.replace("+", "-")
                self.run_load(out, scenario, "--backend", "cpu", "--variant", "int8", "--repetitions", "2")
                think_s = float(scenario.split("think=")[1].split("+")[0]) if "think=" in scenario else 0
                samples = self.check_turns(out, 3, 16, 4, think_s)
                self.assertEqual(len(samples), 24)
                self.assertEqual(self.cell(out)["key"]["scenario"], name)
                self.assertEqual(self.cell(out)["throughput_basis"], basis)
                self.assertEqual(self.cell(out)["conversation"]["later_turns_cached_share"], 0)
                report = program("report", self.folder / out).stdout
                self.assertIn("2 to 3", report)
                self.assertIn("of them cached", report)

    def test_what_a_server_reuses_of_a_conversation_shows_in_its_later_turns(self):
        # The server takes 1 ms for each prompt token that is not reused, and reuses whole blocks of 16 tokens. The turns' prompts have 32,
        # 72 and 112 tokens. Each begins with the previous prompt; the answers in it are recorded ones, which the server did not generate.
        url = self.serve("--dialect", "vllm", "--reuse-block", 16, "--prompt-us", 1000, "--gap-ms", 2)
        self.run_load("reused", "offline:2+turns=3+think=exp:0.02+requests=12@32/8", "--system", f"it={url},preset=vllm",
                      "--variant", "bf16", "--repetitions", "2", bundle=SOURCE / "bundles/default")
        self.check_turns("reused", 3, 32, 8)
        found = self.cell("reused")["conversation"]
        # A block that ends with the prompt is not stored, so the second turn reuses 16 of the 32 earlier tokens, and the third 64 of 72.
        self.assertEqual([one["mean_cached_tokens"] for one in found["turns"]], [0, 16, 64])
        self.assertAlmostEqual(found["later_turns_cached_share"], (16 + 64) / (72 + 112))
        for one, computed in zip(found["turns"], (32, 56, 48)):
            self.assertGreaterEqual(one["ttft_p50_ns"]["value"], computed * 1e6)
        pauses = self.lines("reused", "sample")
        again = {(one["repetition"], one["request"]): one for one in pauses}
        drawn = [one["scheduled_ns"] - again[r, i - 1]["last_token_ns"] for (r, i), one in again.items() if i % 3]
        self.assertEqual(len(set(drawn)), len(drawn))

    def test_prompts_that_a_server_has_computed_before_are_found(self):
        url = self.serve("--dialect", "vllm", "--reuse-block", 16, "--gap-ms", 1)

        def outcome(out, *more):
            self.run_load(out, "offline:2+requests=8@64/4", "--system", f"it={url},preset=vllm", "--variant", "bf16", "--repetitions",
                          "2", *more, bundle=SOURCE / "bundles/default")
            ends = self.lines(out, "repetition")
            (found,) = {check["outcome"] for end in ends for check in end["checks"] if check["name"] == "prompt_cache"}
            return found, program("report", self.folder / out).stdout

        # No repetition or warm-up sends a prompt that another one has sent.
        self.assertEqual(outcome("first")[0], "passed")
        found, report = outcome("again")
        self.assertEqual(found, "invalid")
        self.assertIn("75 % of the prompt tokens came from the system's cache", report)  # 48 of 64: a prompt's last block is never reused
        self.assertEqual(outcome("seeded", "--seed", "7")[0], "passed")

    def test_a_delay_is_counted_from_when_a_turn_was_due(self):
        # The first token takes 60 ms. Latency counts from the time at which a turn was due, and no turn is sent before that.
        url = self.serve("--dialect", "vllm", "--first-ms", 60, "--gap-ms", 1)
        self.run_load("delayed", "server:30+constant+turns=2+think=0.03+requests=12@16/4", "--system", f"it={url},preset=vllm",
                      "--variant", "bf16", "--repetitions", "1", bundle=SOURCE / "bundles/default")
        samples = self.check_turns("delayed", 2, 16, 4, 0.03)
        for one in samples.values():
            self.assertGreaterEqual(one["first_token_ns"] - one["scheduled_ns"], 60e6)
        # Conversations begin at the given rate, however long earlier ones take.
        begun = sorted(one["scheduled_ns"] for one in samples.values() if one["turn"] == 1)
        for before, after in zip(begun, begun[1:]):
            self.assertAlmostEqual(after - before, 1e9 / 30, delta=10)

    def test_a_chat_server_gets_questions_and_answers_in_turn(self):
        log = self.folder / "chat.jsonl"
        url = self.serve("--dialect", "any", "--gap-ms", 1, "--log", log)
        self.run_load("chat", "offline:1+turns=3+requests=3@12/6", "--system", f"it={url},api=chat", "--variant", "bf16",
                      "--repetitions", "1", bundle=SOURCE / "bundles/default")
        bodies = [json.loads(line)["messages"] for line in log.read_text().splitlines()][-3:]
        self.assertEqual([[one["role"] for one in messages] for messages in bodies],
                         [["user"], ["user", "assistant", "user"], ["user", "assistant", "user", "assistant", "user"]])
        for earlier, later in zip(bodies, bodies[1:]):
            self.assertEqual(later[:len(earlier)], earlier)

    def test_conversations_that_make_no_sense_are_refused(self):
        context = json.loads((TINY / "config.json").read_text())["max_position_embeddings"]
        for scenario, words in (("offline:2+turns=0", "expected +turns=COUNT, 2 to 1000"), ("offline:2+turns=3+think=-1", "0 to 3600 s"),
                                ("single-stream+turns=3", "offline:1 is one user"), ("offline:2+think=1", "only a conversation has pauses"),
                                ("offline:2+turns=3+cancel=0.2:3", "found both"),
                                (f"offline:2+turns=3@{context // 3}/8", "found 3 turns of")):
            with self.subTest(scenario):
                refused = program("run", TINY, "--backend", "cpu", "--scenario", scenario, "--out", self.folder / "refused", statuses=(2,))
                self.assertIn(words, refused.stderr)
                self.assertEqual(len(refused.stderr.strip().splitlines()), 1)
                self.assertFalse((self.folder / "refused").exists())
        refused = program("run", TINY, "--backend", "cpu", "--scenario", "offline:2+turns=3@8/8", "--shared-prefix", 4, "--out",
                          self.folder / "refused", statuses=(2,))
        self.assertIn("expected conversations or a shared prefix", refused.stderr)

    def trace(self, lengths):
        file = self.folder / "trace.jsonl"
        file.write_text("".join(json.dumps({"timestamp": 10 * i, "input_length": prompt, "output_length": answer}) + "\n"
                                for i, (prompt, answer) in enumerate(lengths)))
        return file

    def test_recorded_requests_that_are_longer_than_the_context_are_left_out_and_counted(self):
        context = json.loads((TINY / "config.json").read_text())["max_position_embeddings"]
        lengths = [(20, 4), (context - 4, 4), (context - 5, 4), (30, 5), (context + 1000, 3), (10, 6), (context - 3, 2), (12, 3)]
        # The engine reserves room for one more token than a request has.
        fits = [prompt + answer <= context - 1 for prompt, answer in lengths]
        self.assertEqual(fits.count(False), 2)
        run = self.run_load("long", f"server:trace={self.trace(lengths)}@{2 * context}/16", "--backend", "cpu", "--variant", "int8",
                            "--repetitions", "1")
        self.assertIn(f"of 8 recorded requests 2 are longer than the context of {context} tokens, and are not sent", run.stderr)
        samples = sorted(self.lines("long", "sample"), key=lambda one: one["request"])
        self.assertEqual([(one["n_prompt_tokens"], one["n_output_tokens"]) for one in samples],
                         [one for one, is_sent in zip(lengths, fits) if is_sent])
        # The requests that are sent keep their recorded times.
        times = [10 * i for i, is_sent in enumerate(fits) if is_sent]
        for one, ms in zip(samples, times):
            self.assertAlmostEqual(one["scheduled_ns"] - samples[0]["scheduled_ns"], ms * 1e6, delta=1e6)
        scenario = self.cell("long")["scenario"]
        self.assertEqual((scenario["n_too_long"], scenario["n_requests"], scenario["trace_context"]), (2, 6, context - 1))
        report = program("report", self.folder / "long", "--format", "csv").stdout
        self.assertIn("late_send_share", report.splitlines()[0])
        refused = program("run", TINY, "--backend", "cpu", "--scenario",
                          f"server:trace={self.trace([(2 * context, 5)] * 3)}@{3 * context}/16", "--out", self.folder / "none",
                          statuses=(2,))
        self.assertIn("expected recorded requests that fit into the context", refused.stderr)

    def test_late_sends_are_those_of_the_journal(self):
        # The rate is far above what the engine can serve, and requests are only sent between its steps, so many are late.
        self.run_load("late", "server:2000+requests=60@64/8", "--backend", "cpu", "--variant", "int8", "--repetitions", "2")
        late = [one["sent_ns"] - one["scheduled_ns"] for one in self.lines("late", "sample")]
        cell = self.cell("late")
        self.assertAlmostEqual(cell["late_send_share"], sum(ns > 1e6 for ns in late) / len(late))
        self.assertEqual(cell["latest_send_ns"], max(late))
        self.assertGreaterEqual(min(late), 0)

    def test_cancellations_that_make_no_sense_are_refused(self):
        for scenario, words in (("single-stream+cancel=0.2", "expected single-stream"), ("single-stream+cancel=2:3", "expected single-stream"),
                                ("single-stream+cancel=0.2:0", "expected single-stream"), ("server:slo-max+cancel=0.2:3", "expected single-stream"),
                                ("single-stream+cancel=0.2:9@16/8", "expected +cancel=SHARE:TOKENS with fewer tokens than the 8 output tokens"),
                                ("offline:4+prefix=8+cancel=0.2:3@16/8", "expected +cancel or +prefix")):
            with self.subTest(scenario):
                refused = program("run", TINY, "--backend", "cpu", "--scenario", scenario, "--out", self.folder / "refused", statuses=(2,))
                self.assertIn(words, refused.stderr)
                self.assertFalse((self.folder / "refused").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
