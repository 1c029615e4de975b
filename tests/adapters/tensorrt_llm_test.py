#!/usr/bin/env python3
"""The adapter of TensorRT-LLM over a stand-in for NVIDIA's package (stand_ins/tensorrt_llm): tensorrt_llm_test.py SOURCE_FOLDER.

The expected ids and logits follow from the rule that stand_ins/tensorrt_llm states, computed here a second time. Scores need NumPy,
as they do behind every adapter; without it that test says that it is skipped.
"""
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(sys.argv[1])
STAND_INS = SOURCE / "tests/adapters/stand_ins"
END = 9  # stands for the end of text there


def next_id(ids):
    return (sum(ids) + 7 * len(ids)) % 64


def answer_to(ids, n_tokens):
    ids = list(ids)
    for _ in range(n_tokens):
        ids.append(next_id(ids))
    return ids[-n_tokens:]


class TensorrtLlm(unittest.TestCase):
    def start(self, **options):
        process = subprocess.Popen([sys.executable, "-B", SOURCE / "adapters/serve.py", "tensorrt-llm"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(STAND_INS)})

        def end():
            process.kill()
            process.communicate()
        self.addCleanup(end)

        def send(**request):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()

        def get():
            return json.loads(process.stdout.readline())
        send(do="hello", protocol=1, options=options)
        return send, get

    def loaded(self, **options):
        send, get = self.start(**options)
        self.hello = get()
        send(do="load", model="/model")
        self.assertEqual(get(), {"say": "loaded"})
        return send, get

    def answers(self, get, n_ends):
        tokens, ends = {}, {}
        while len(ends) < n_ends:
            answer = get()
            if answer["say"] == "end":
                ends[answer["request"]] = answer["finish"]
                continue
            self.assertEqual(answer["say"], "step")
            for token in answer["tokens"]:
                row = tokens.setdefault(token["request"], [])
                self.assertEqual(token["index"], len(row))
                row.append(token["id"])
        return tokens, ends

    def test_requests_advance_together_and_have_all_of_their_tokens(self):
        send, get = self.loaded(batch="3")
        self.assertEqual(self.hello["versions"], {"tensorrt-llm": "1.2.1"})
        self.assertEqual(self.hello["settings"]["enable_block_reuse"], "False")
        self.assertEqual(self.hello["max_in_flight"], 3)
        prompts = {0: [5, 6], 1: [7], 2: [1, 2, 3, 4]}
        for number, ids in prompts.items():
            send(do="generate", request=number, ids=ids, n_tokens=12 + number)
        tokens, ends = self.answers(get, 3)
        self.assertEqual(tokens, {number: answer_to(ids, 12 + number) for number, ids in prompts.items()})
        self.assertEqual(ends, {0: "length", 1: "length", 2: "length"})

    def test_the_end_of_text_is_a_token_like_any_other(self):
        send, get = self.loaded()
        ids = next([one] for one in range(64) if next_id([one]) == END)
        send(do="generate", request=0, ids=ids, n_tokens=5)
        tokens, ends = self.answers(get, 1)
        self.assertEqual(tokens[0], answer_to(ids, 5))
        self.assertEqual(tokens[0][0], END)
        self.assertEqual(ends, {0: "length"})

    def test_a_cancelled_request_ends_and_the_others_go_on(self):
        send, get = self.loaded()
        send(do="generate", request=0, ids=[1], n_tokens=100_000)
        self.assertEqual(get()["say"], "step")
        send(do="generate", request=1, ids=[2], n_tokens=4)
        send(do="cancel", request=0)
        seen, ends = [], {}
        while len(ends) < 2:
            answer = get()
            if answer["say"] == "end":
                ends[answer["request"]] = answer["finish"]
            else:
                seen += [token["id"] for token in answer["tokens"] if token["request"] == 1]
        self.assertEqual(ends, {0: "cancelled", 1: "length"})
        self.assertEqual(seen, answer_to([2], 4))

    def test_options_are_checked(self):
        for name, value, message in (("dtype", "int3", "option dtype: expected auto or float32"),
                                     ("batch", "0", "option batch: expected a number from 1"),
                                     ("kv_cache_share", "2", "option kv_cache_share: expected a number above 0 and up to 1"),
                                     ("engine", "x", "option engine: expected one of batch, dtype")):
            _, get = self.start(**{name: value})
            answer = get()
            self.assertEqual((answer["say"], answer["kind"]), ("error", "invalid-input"))
            self.assertIn(message, answer["message"])

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "scores need NumPy")
    def test_scores_are_log_probabilities_behind_each_id(self):
        send, get = self.loaded()
        ids = [3, 1, 4, 1, 5]
        send(do="score", request=0, ids=ids, n_prompt=2, wanted=[[0, 63], [], [7]])
        scores = get()["scores"]
        self.assertEqual(len(scores), 3)
        total = math.log(sum(math.exp(-one) for one in range(64)))
        for index, score in enumerate(scores):
            before = ids[:2 + index]

            def logprob(one):
                return -((one - next_id(before)) % 64) - total
            self.assertEqual(score["best"], next_id(before))
            self.assertAlmostEqual(score["logprob"], logprob(ids[2 + index]), places=4)
            for one, found in zip([[0, 63], [], [7]][index], score["wanted"], strict=True):
                self.assertAlmostEqual(found, logprob(one), places=4)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
