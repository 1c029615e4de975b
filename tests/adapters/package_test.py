#!/usr/bin/env python3
"""Tests the protocol of adapters/secondsource_adapters with small runtimes that are defined here: package_test.py SOURCE_FOLDER.

With the name of one of these runtimes as a second argument, this file is the adapter that the tests start.
"""
import json
import math
import pathlib
import subprocess
import sys
import time
import unittest

SOURCE = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(SOURCE / "adapters"))
from secondsource_adapters import STOP, Refusal, Runtime, Score, StaticBatches, serve  # noqa: E402
from secondsource_adapters.protocol import Request, versions_of  # noqa: E402


class Counting(StaticBatches):
    """Each generated id is the previous id plus one. At most two requests run in a batch."""
    name = "counting"
    forced = "logits"
    max_in_flight = 2
    known_options = {"fails": "", "size": "2"}

    def versions(self):
        return {"counting": 1}

    def load(self, folder):
        print("a library prints to standard output")
        if self.options["fails"] == "load":
            raise MemoryError("no memory for " + folder)

    def add(self, request):
        if len(request.ids) > 5:
            raise ValueError("too long")
        super().add(request)

    def generate(self, prompts, n_tokens):
        last = [ids[-1] for ids in prompts]
        for _ in range(n_tokens):
            if self.options["fails"] == "step":
                raise RuntimeError("the device is gone\nand more")
            last = [one + 1 for one in last]
            yield dict(enumerate(last))

    def score(self, ids, n_prompt, wanted):
        return [Score(math.nan if given == 0 else -float(given), given, [-float(one) for one in wanted[index]])
                for index, given in enumerate(ids[n_prompt:])]


class Bounded(Counting):
    """A padded prompt and what is generated after it have six tokens at most."""
    max_in_flight = 3

    def fits(self, longest_prompt, n_tokens):
        return longest_prompt + n_tokens <= 6

    def generate(self, prompts, n_tokens):
        if max(len(ids) for ids in prompts) + n_tokens > 6:
            raise AssertionError("a batch that does not fit")
        return super().generate(prompts, n_tokens)


class Ending(Runtime):
    """Returns text instead of ids, and stops by itself after two tokens."""
    name = "ending"
    tokens = "text"

    def load(self, folder):
        self._count = {}

    def add(self, request):
        self._count[request.number] = 0

    def step(self):
        number = next(iter(self._count))
        self._count[number] += 1
        if self._count[number] == 3:
            del self._count[number]
            return [(number, STOP)]
        return [(number, None, "a")]


RUNTIMES = {"counting": Counting, "ending": Ending}


class Adapter:
    def __init__(self, name, **options):
        self.process = subprocess.Popen([sys.executable, "-B", __file__, str(SOURCE), name], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.send(do="hello", protocol=1, options=options)

    def send(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def get(self):
        return json.loads(self.process.stdout.readline())

    def end(self):
        """Closes the input and returns the remaining answers, the exit status and the text of standard error."""
        out, err = self.process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()], self.process.returncode, err


class Package(unittest.TestCase):
    def loaded(self, name, **options):
        adapter = Adapter(name, **options)
        self.addCleanup(adapter.process.kill)
        self.hello = adapter.get()
        adapter.send(do="load", model="/model")
        self.assertEqual(adapter.get(), {"say": "loaded"})
        return adapter

    def answers(self, adapter, n_ends):
        """Reads answers until `n_ends` requests have ended. Returns tokens by request, the number of tokens in each step, and the ends."""
        tokens, steps, ends = {}, [], []
        while len(ends) < n_ends:
            answer = adapter.get()
            if answer["say"] == "end":
                ends.append(answer)
                continue
            self.assertEqual(answer["say"], "step")
            self.assertLessEqual(answer["at_ns"], time.monotonic_ns())
            steps.append(len(answer["tokens"]))
            for token in answer["tokens"]:
                row = tokens.setdefault(token["request"], [])
                self.assertEqual(token["index"], len(row))
                row.append(token.get("id", token.get("text")))
        return tokens, steps, ends

    def test_hello_has_versions_settings_and_what_is_given(self):
        self.loaded("counting", size="3")
        self.assertEqual(self.hello, {"say": "hello", "protocol": 1, "runtime": "counting", "versions": {"counting": "1"},
                                      "settings": {"fails": "", "size": "3"}, "tokens": "ids", "forced": "logits",
                                      "max_in_flight": 2})

    def test_requests_are_batched_and_queued(self):
        adapter = self.loaded("counting")
        for number, n_tokens in ((0, 4), (1, 2), (2, 1)):
            adapter.send(do="generate", request=number, ids=[10 * number], n_tokens=n_tokens)
        tokens, steps, ends = self.answers(adapter, 3)
        self.assertEqual(tokens, {0: [1, 2, 3, 4], 1: [11, 12], 2: [21]})
        self.assertEqual({end["request"]: end["finish"] for end in ends}, {0: "length", 1: "length", 2: "length"})
        self.assertTrue(all(n <= 2 for n in steps))

    def test_a_cancelled_request_ends_and_another_begins(self):
        adapter = self.loaded("counting")
        adapter.send(do="generate", request=0, ids=[0], n_tokens=10**9)
        self.assertEqual(adapter.get()["say"], "step")
        adapter.send(do="cancel", request=0)
        while (answer := adapter.get())["say"] == "step":
            pass
        self.assertEqual(answer, {"say": "end", "request": 0, "finish": "cancelled"})
        adapter.send(do="cancel", request=0)  # the request has ended already: there is no answer
        adapter.send(do="generate", request=1, ids=[7], n_tokens=1)
        self.assertEqual(self.answers(adapter, 1)[0], {1: [8]})

    def test_scores_and_what_is_not_finite(self):
        adapter = self.loaded("counting")
        adapter.send(do="score", request=3, ids=[1, 2, 0], n_prompt=1, wanted=[[2, 4], [1]])
        self.assertEqual(adapter.get(), {"say": "scores", "request": 3, "scores": [
            {"logprob": -2.0, "best": 2, "wanted": [-2.0, -4.0]}, {"logprob": None, "best": 0, "wanted": [-1.0]}]})

    def test_a_request_that_can_never_run_fails_alone(self):
        adapter = self.loaded("counting")
        adapter.send(do="generate", request=0, ids=[1] * 6, n_tokens=1)
        self.assertEqual(adapter.get(), {"say": "end", "request": 0, "finish": "error", "message": "too long"})
        adapter.send(do="generate", request=1, ids=[1], n_tokens=1)
        self.assertEqual(self.answers(adapter, 1)[0], {1: [2]})

    def test_an_answer_may_end_by_itself_and_be_text(self):
        adapter = self.loaded("ending")
        adapter.send(do="generate", request=5, ids=[1], n_tokens=9)
        tokens, _, ends = self.answers(adapter, 1)
        self.assertEqual((tokens, ends), ({5: ["a", "a"]}, [{"say": "end", "request": 5, "finish": "stop"}]))

    def test_stop_and_the_end_of_the_input_end_it_in_order(self):
        adapter = self.loaded("counting")
        adapter.send(do="stop")
        answers, status, err = adapter.end()
        self.assertEqual((answers, status), ([], 0))
        self.assertIn("a library prints to standard output", err)
        self.assertEqual(self.loaded("counting").end()[:2], ([], 0))

    def test_what_a_runtime_raises_is_one_line(self):
        adapter = Adapter("counting", fails="load")
        adapter.send(do="load", model="/model")
        answers, status, _ = adapter.end()
        self.assertEqual(answers[1], {"say": "error", "kind": "out-of-memory", "message": "MemoryError: no memory for /model"})
        self.assertEqual(status, 1)
        adapter = self.loaded("counting", fails="step")
        adapter.send(do="generate", request=0, ids=[1], n_tokens=1)
        answers, status, err = adapter.end()
        self.assertEqual(answers, [{"say": "error", "kind": "error", "message": "RuntimeError: the device is gone"}])
        self.assertIn("Traceback", err)

    def test_options_and_versions_that_are_not_known_are_refused(self):
        answers, status, _ = Adapter("counting", siez="3").end()
        self.assertEqual(answers, [{"say": "error", "kind": "invalid-input",
                                    "message": "option siez: expected one of fails, size"}])
        self.assertEqual(status, 1)
        with self.assertRaises(Refusal) as caught:
            versions_of("no-such-distribution-anywhere")
        self.assertEqual(caught.exception.kind, "unavailable")
        adapter = Adapter.__new__(Adapter)
        adapter.process = subprocess.Popen([sys.executable, "-B", __file__, str(SOURCE), "counting"], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        adapter.send(do="hello", protocol=7, options={})
        answers, _, _ = adapter.end()
        self.assertEqual(answers[0]["kind"], "unsupported")

    def test_requests_that_do_not_fit_into_one_batch_run_one_after_the_other(self):
        runtime = Bounded({})
        # Each of them fits alone. The first two would take 2 + 5 tokens together, and the last two take 2 + 3.
        for number, n_ids, n_tokens in ((0, 1, 5), (1, 2, 3), (2, 2, 1)):
            runtime.add(Request(number, [10 * number] * n_ids, n_tokens))
        steps = []
        while not steps or sum(len(step) for step in steps) < 9:
            steps.append([(number, token) for number, token in runtime.step()])
            for row in runtime._rows:
                if row is not None:
                    row.n_done += 1
        self.assertEqual(steps, [[(0, 1)], [(0, 2)], [(0, 3)], [(0, 4)], [(0, 5)],
                                 [(1, 11), (2, 21)], [(1, 12)], [(1, 13)]])

    def test_the_program_names_its_adapters(self):
        run = subprocess.run([sys.executable, "-B", SOURCE / "adapters/serve.py", "nonsense"],
                             input='{"do":"hello","protocol":1,"options":{}}\n', capture_output=True, text=True, check=False)
        self.assertIn("expected one of the adapters", json.loads(run.stdout)["message"])
        self.assertIn("transformers", run.stdout)


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[2] in RUNTIMES:
        sys.exit(serve(RUNTIMES[sys.argv[2]]))
    unittest.main(argv=sys.argv[:1])
