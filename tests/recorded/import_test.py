#!/usr/bin/env python3
"""Tests `secondsource prompts import`: import_test.py SECONDSOURCE SOURCE_FOLDER. The suites are read with PyYAML and validated with
prompts/schema.json. `secondsource tokenize` counts lengths; tests/unit/tokenizer compares its ids with the publishers' tokenizers.
Python's ipaddress recognizes addresses, and a checksum that is computed here recognizes card numbers."""
import ipaddress
import json
import pathlib
import re
import stat
import subprocess
import sys
import tempfile
import unittest

try:
    import yaml
except ImportError:
    print("skipped: Python's yaml is missing")
    sys.exit(77)
try:
    import jsonschema
except ImportError:
    jsonschema = None

PROGRAM, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TOKENIZER = SOURCE / "bundles/default"
SECRETS = {
    "e-mail address": ["jane.doe+x@mail.example-corp.co.uk", "a_b@c.de"],
    "card number": ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009"],
    "IP address": ["10.20.30.40", "2001:470:1f0b:10::1", "fe80::1ff:fe23:4567:890a"],
    "phone number": ["+49 170 1234567", "(415) 555-2671", "415-555-2672", "0711 123 456 7"],
    "key": ["sk-proj-abcDEF123456ghiJKL7890", "hf_AbCdEfGhIjKlMnOpQrStUv", "ghp_0123456789abcdefghijABCDEFGHIJ456789",
            "AKIAIOSFODNN7EXAMPLE", "xoxb-123456789012-abcdefghij", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc+/=\n-----END RSA PRIVATE KEY-----"],
}
PLAIN = ["version 1.2.3 of 2024-07-26", "std::cout << a::b << 12:30:45;", "999.1.1.1", "order 4111 1111 1111 1112", "pi is 3.14159265358979",
         "mail me @home", "in 2023 and 2024", "https://example.org/a/b?c=d", "α β γ 漢字 🙂", "1,234,567 people", "a--b", "x = 10 * 20 + 30"]


def luhn(text):
    digits = [int(c) for c in text if c.isdigit()][::-1]
    return sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)) % 10 == 0


def shape(text):
    return re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "0", text)))


def chat(*turns):
    return [{"role": role, "content": content} for role, content in zip(("user", "assistant") * len(turns), turns)]


class Import(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="secondsource-import-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "mine.yaml"

    def write(self, content, name="in.jsonl"):
        path = self.folder / name
        if isinstance(content, list) and name.endswith("l"):
            content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in content)
        elif not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run_import(self, *arguments):
        return subprocess.run([PROGRAM, "prompts", "import", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    def good(self, path, form, *arguments):
        run = self.run_import(path, "--format", form, "--out", self.out, *arguments)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("nothing left this machine", run.stderr)
        suite = yaml.safe_load(self.out.read_text(encoding="utf-8"))
        if jsonschema:
            jsonschema.validate(suite, json.loads((SOURCE / "prompts/schema.json").read_text()))
        self.messages = run.stderr
        return suite["prompts"]

    def refused(self, says, *arguments):
        run = self.run_import(*arguments, "--out", self.out)
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        self.assertIn(says, run.stderr)
        self.assertFalse(self.out.exists())

    def n_tokens(self, text):
        run = subprocess.run([PROGRAM, "tokenize", TOKENIZER, "--no-add-special", "--text", text], capture_output=True, text=True, check=True)
        return len(json.loads(run.stdout)["ids"])

    # -- formats

    def test_sharegpt_as_lines_and_as_one_array(self):
        records = [{"id": "x", "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"},
                                                 {"from": "gpt", "value": "Hello there"}, {"from": "human", "value": "Why?"},
                                                 {"from": "gpt", "value": "Because."}]},
                   {"conversations": [{"from": "human", "value": "Only a question"}]},
                   {"conversations": [{"from": "gpt", "value": "Only an answer"}]},
                   {"conversations": []},
                   {"conversations": [{"from": "human", "value": "x"}, {"from": "tool", "value": "y"}]}]
        lines = self.good(self.write(records), "sharegpt")
        self.assertEqual(lines[0]["messages"], [{"role": "system", "content": "Be brief."}, *chat("Hi", "Hello there", "Why?")])
        self.assertEqual([prompt["kind"] for prompt in lines], ["multi-turn", "short-chat"])
        self.assertEqual([prompt["id"] for prompt in lines], ["mine-0001", "mine-0002"])
        for reason in ("no question before the answer", "no messages", 'a message of the role "tool"'):
            self.assertIn("left out 1: " + reason, self.messages)
        self.assertEqual(self.good(self.write(records, "in.json"), "sharegpt"), lines)
        first = self.good(self.write(records), "sharegpt", "--turn", "first")
        self.assertEqual(first[0]["messages"][-1], {"role": "user", "content": "Hi"})

    def test_openai_bodies_batches_and_fine_tuning_files(self):
        body = {"model": "m", "messages": [{"role": "developer", "content": "Rules"},
                                           {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "text", "text": " here"}]}]}
        answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Four words of answer"}}]}
        prompts = self.good(self.write([
            body, {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body},
            {"messages": chat("Question", "Answer")}, {"prompt": "def f():", "max_tokens": 5},
            {"request": body, "response": answer},
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            {"prompt": ["a", "b"]}, {"messages": [{"role": "user", "content": ""}]}]), "openai", "--tokenizer", TOKENIZER)
        rules = [{"role": "system", "content": "Rules"}, {"role": "user", "content": "Look here"}]
        self.assertEqual([prompt.get("messages") for prompt in prompts], [rules, rules, chat("Question"), None, rules])
        self.assertEqual(prompts[3]["text"], "def f():")
        lengths = [64, 64, self.n_tokens("Answer") + 1, 64, self.n_tokens("Four words of answer") + 1]
        self.assertEqual([prompt["max_new_tokens"] for prompt in prompts], lengths)
        for reason in ("a message that is not text alone", "a prompt that is not one text", "an empty message"):
            self.assertIn("left out 1: " + reason, self.messages)

    def test_what_a_litellm_proxy_logs(self):
        good = {"id": "1", "status": "success", "call_type": "acompletion", "completion_tokens": 37, "messages": chat("Hi"),
                "response": {"choices": [{"message": {"content": "Hello", "role": "assistant"}}]}}
        prompts = self.good(self.write([good, {**good, "status": "failure", "response": None},
                                        {**good, "messages": "redacted-by-litellm"}, {**good, "completion_tokens": 9000}]), "litellm")
        self.assertEqual([prompt["max_new_tokens"] for prompt in prompts], [37, 512])
        for says in ("left out 1: a request that failed", "left out 1: messages that the proxy redacted",
                     "lengths: 2 as the log counts them", "lengths: 1 cut to 512"):
            self.assertIn(says, self.messages)
        prompts = self.good(self.write([good]), "litellm", "--tokenizer", TOKENIZER)
        self.assertEqual(prompts[0]["max_new_tokens"], self.n_tokens("Hello") + 1)

    # Log lines of several versions of vLLM: their format strings, filled in by Python, so that texts are written with repr().

    OLDEST = "INFO 02-01 06:36:05 async_llm_engine.py:436] Received request %s: prompt: %r, prefix_pos: None,sampling_params: %s, " \
             "prompt_token_ids: %s, lora_request: None."
    OLD = "\x1b[32mINFO\x1b[0m 12-06 14:09:27 logger.py:37] Received request %s: prompt: %r, params: %s, prompt_token_ids: %s, " \
          "lora_request: None, prompt_adapter_request: None."
    PROMPT = "(APIServer pid=7) DEBUG 03-24 10:00:00 [entrypoints/logger.py:51] Request %s details: prompt: %r, prompt_token_ids: %s, " \
             "prompt_embeds shape: None."
    PARAMS = "(APIServer pid=7) INFO 03-24 10:00:00 [entrypoints/logger.py:60] Received request %s: params: %s, lora_request: None."
    RESPONSE = "INFO 03-24 10:00:01 [entrypoints/logger.py:90] Generated response %s%s: output: %r, output_token_ids: %s, finish_reason: stop"
    SAMPLING = "SamplingParams(n=1, temperature=0.7, stop=['\\n', \"it's\"], max_tokens=512)"
    POOLING = "PoolingParams(task='embed', normalize=True)"

    def test_the_log_of_a_vllm_server(self):
        tricky = "It's \"quoted\"', params: SamplingParams(), Received request x: prompt: 'y' \\n\n\r\t\x07 ü漢🙂\u2028"
        lines = [
            "INFO:     127.0.0.1:5000 - \"POST /v1/completions HTTP/1.1\" 200 OK",
            self.OLDEST % ("a", "The oldest", self.SAMPLING, [1, 2, 3]),
            self.OLD % ("cmpl-b-0", tricky, self.SAMPLING, None),
            self.PROMPT % ("chatcmpl-c", "<|im_start|>user\nHi<|im_end|>\n", list(range(12))),
            self.PARAMS % ("chatcmpl-c", self.SAMPLING),
            self.PROMPT % ("chatcmpl-d", "A stream", [4, 5]), self.PARAMS % ("chatcmpl-d", self.SAMPLING),
            self.PROMPT % ("chatcmpl-e", "A stream that nobody kept", [4, 5]), self.PARAMS % ("chatcmpl-e", self.SAMPLING),
            self.RESPONSE % ("cmpl-b", "", "Received request z: prompt: 'no'", (7, 8, 9)),
            self.RESPONSE % ("chatcmpl-c", "", "Hello", [7]),
            self.RESPONSE % ("chatcmpl-c", "", "Another choice, which does not count", [7] * 40),
            self.RESPONSE % ("chatcmpl-d", " (streaming delta)", "Four", [7]),
            self.RESPONSE % ("chatcmpl-d", " (streaming complete)", "Four words of answer", None),
            self.RESPONSE % ("chatcmpl-e", " (streaming complete)", "<streaming_complete: 77 tokens>", None),
            self.OLD % ("f", None, self.SAMPLING, [1, 2, 3]),
            self.OLD % ("g", "embed me", self.POOLING, [1, 2, 3]),
            self.PROMPT % ("h", "embed me, too", [4, 5]), self.PARAMS % ("h", self.POOLING),
            self.PARAMS % ("i", self.SAMPLING),
            (self.OLD % ("j", "a line that a logger cut", self.SAMPLING, None))[:90],
            self.OLD % ("k", "lone \ud800", self.SAMPLING, None), self.OLD % ("l", "zero \0", self.SAMPLING, None), self.OLD % ("m", "", self.SAMPLING, [])]
        prompts = self.good(self.write("\r\n".join(lines), "server.log"), "vllm", "--no-redaction")
        self.assertEqual([prompt["text"] for prompt in prompts],
                         ["The oldest", tricky, "<|im_start|>user\nHi<|im_end|>\n", "A stream", "A stream that nobody kept"])
        self.assertEqual([prompt["max_new_tokens"] for prompt in prompts], [64, 3, 1, 64, 77])
        self.assertIn("5 prompts of 13 records", self.messages)
        for reason in ("2: a request that generates nothing", "1: a request of token ids, whose text was not logged",
                       "1: a request whose prompt was not logged (VLLM_LOGGING_LEVEL=DEBUG logs it)", "1: a line that ends within its text",
                       "1: a text that is not Unicode", "1: a text with a zero byte", "1: an empty prompt"):
            self.assertIn("left out " + reason, self.messages)
        prompts = self.good(self.write("\n".join(lines), "server.log"), "vllm", "--no-redaction", "--tokenizer", TOKENIZER)
        counted = [self.n_tokens(answer) + 1 for answer in ("Received request z: prompt: 'no'", "Hello", "Four words of answer")]
        self.assertEqual([prompt["max_new_tokens"] for prompt in prompts], [64, *counted, 77])

    def test_prompts_that_a_vllm_server_cut_in_its_log(self):
        lines = [self.OLD % (f"r{i}", text[:40], self.SAMPLING, ids[:40])
                 for i, (text, ids) in enumerate([("short", [1, 2]), ("long " * 30, list(range(60))), ("words " * 10, list(range(12)))])]
        prompts = self.good(self.write("\n".join(lines), "server.log"), "vllm")
        self.assertEqual([prompt["text"] for prompt in prompts], ["short"])
        self.assertIn("left out 2: a prompt that --max-log-len cut", self.messages)

    def test_a_log_of_vllm_is_redacted_and_one_without_requests_refused(self):
        line = self.OLD % ("r", "Write to a_b@c.de", self.SAMPLING, None)
        self.assertNotIn("a_b@c.de", self.good(self.write(line, "server.log"), "vllm")[0]["text"])
        self.out.unlink()
        self.refused("server.log: expected requests in the log of a vLLM server", self.write("INFO nothing\n", "server.log"), "--format", "vllm")
        self.refused("expected at least one prompt", self.write(self.PARAMS % ("r", self.SAMPLING), "server.log"), "--format", "vllm")

    def test_texts(self):
        path = self.write("one\ntwo\n---\nthree\n---\n\n---\nfour", "in.txt")
        self.assertEqual([p["text"] for p in self.good(path, "text", "--separator", "---")], ["one\ntwo", "three", "four"])
        self.assertIn("left out 1: an empty text", self.messages)
        self.assertEqual([p["text"] for p in self.good(path, "text")], ["one\ntwo\n---\nthree\n---\n\n---\nfour"])

    def test_every_character_is_read_back(self):
        text = "".join(map(chr, [*range(1, 0x250), 0x2028, 0x2029, 0xfeff, 0xfffd, 0x1f642, 0x10ffff])) + "\r\n\t\\\"': #-{[&*!|>%@`"
        self.assertEqual(self.good(self.write([{"prompt": text}]), "openai", "--no-redaction")[0]["text"], text)

    # -- redaction

    def test_what_identifies_or_opens_is_replaced_by_the_same_form(self):
        records = [{"prompt": f"Before {value} after; again {value}."} for values in SECRETS.values() for value in values]
        review = self.folder / "review.jsonl"
        prompts = self.good(self.write(records), "openai", "--review", review, "--tokenizer", TOKENIZER)
        written = self.out.read_text()
        of_prompt = {}
        for line in map(json.loads, review.read_text().splitlines()):
            of_prompt.setdefault(line["prompt"], []).append(line)
        flat = [(kind, value) for kind, values in SECRETS.items() for value in values]
        for (kind, value), prompt in zip(flat, prompts, strict=True):
            with self.subTest(value):
                lines = of_prompt.get(prompt["id"], [])
                self.assertEqual([(line["kind"], line["found"]) for line in lines], [(kind, value)] * 2)
                became = lines[0]["became"]
                self.assertEqual(prompt["text"], f"Before {became} after; again {became}.")
                self.assertNotIn(value, written)
                if kind == "IP address":
                    networks = map(ipaddress.ip_network, ("192.0.2.0/24", "2001:db8::/32"))
                    address = ipaddress.ip_address(became)
                    self.assertTrue(any(address in network for network in networks if network.version == address.version))
                elif kind == "e-mail address":
                    self.assertTrue(became.endswith(".example"))
                    self.assertEqual(shape(became.split("@")[0]), shape(value.split("@")[0]))
                else:
                    self.assertEqual(shape(became), shape(value))
                    if kind == "card number":
                        self.assertFalse(luhn(became))
        for kind, values in SECRETS.items():
            self.assertIn(f"{kind} {2 * len(values)}", self.messages)
        before, after = map(int, re.search(r"tokens of the texts: (\d+) before, (\d+) after", self.messages).groups())
        self.assertLess(abs(after - before) / before, 0.15)
        self.assertEqual(stat.S_IMODE(review.stat().st_mode), 0o600)
        self.out.unlink()
        self.refused("must be a new file", self.folder / "in.jsonl", "--format", "openai", "--review", review)

    def test_values_behind_their_names(self):
        records = [{"prompt": text} for text in ('password: "hunter22!"', "API_KEY=abcdef99", "Authorization: Bearer abcdefghijklmnop.q")]
        texts = [prompt["text"] for prompt in self.good(self.write(records), "openai")]
        self.assertRegex(texts[0], r'^password: "[a-z]{6}\d\d!"$')
        self.assertRegex(texts[1], r"^API_KEY=[a-z]{6}\d\d$")
        self.assertRegex(texts[2], r"^Authorization: Bearer [a-z]{16}\.[a-z]$")
        for secret in ("hunter22", "abcdef99", "abcdefghijklmnop"):
            self.assertNotIn(secret, self.out.read_text())

    def test_what_is_not_private_stays(self):
        self.assertEqual([prompt["text"] for prompt in self.good(self.write([{"prompt": text} for text in PLAIN]), "openai")], PLAIN)

    def test_own_patterns_go_before_the_others_and_one_value_becomes_one(self):
        messages = chat("I am CUST-123 (CUST-456)", "Hello CUST-123", "My mail: CUST-123@corp.de")
        prompts = self.good(self.write([{"messages": messages}]), "openai", "--redact", "CUST-[0-9]+", "--redact", "Müller")
        first, second, third = (message["content"] for message in prompts[0]["messages"])
        name = re.fullmatch(r"I am ([A-Z]{4}-\d{3}) \(([A-Z]{4}-\d{3})\)", first)[1]
        self.assertEqual(second, "Hello " + name)
        self.assertNotIn("CUST", first + second + third)
        self.assertNotIn("corp", third)
        self.out.unlink()
        self.refused('--redact "("', self.folder / "in.jsonl", "--format", "openai", "--redact", "(")

    def test_the_made_up_values_do_not_tell_the_real_ones(self):
        became = [self.good(self.write([{"prompt": f"call +49 170 {number}"}]), "openai")[0]["text"] for number in (1234567, 7654321)]
        self.assertEqual(*became)

    def test_without_redaction_it_says_so(self):
        prompts = self.good(self.write([{"prompt": "a_b@c.de"}]), "openai", "--no-redaction")
        self.assertEqual(prompts[0]["text"], "a_b@c.de")
        self.assertIn("redaction is off", self.messages)

    # -- how many, and what is refused

    def test_a_sample_is_that_of_its_seed(self):
        path = self.write([{"prompt": f"number {i}"} for i in range(500)])
        one, same, other = (self.good(path, "openai", "--sample", "20", "--seed", seed) for seed in ("7", "7", "8"))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)
        numbers = [int(prompt["text"].split()[1]) for prompt in one]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(len(numbers), 20)
        path = self.write([{"prompt": str(i)} for i in range(10_001)])
        self.out.unlink()
        self.refused("at most 10000 prompts, found 10001; take some of them (--sample)", path, "--format", "openai")

    def test_tags_and_patterns_may_be_repeated(self):
        path = self.write([{"prompt": "AB-1 and CD-2"}])
        run = self.run_import(path, "--format", "openai", "--redact", "AB", "--redact", "CD", "--tag", "smoke", "--tag", "full")
        self.assertEqual(run.returncode, 0, run.stderr)
        prompt = yaml.safe_load(run.stdout)["prompts"][0]
        self.assertEqual(prompt["tags"], ["smoke", "full"])
        self.assertRegex(prompt["text"], r"^[A-Z]{2}-1 and [A-Z]{2}-2$")
        self.assertNotRegex(prompt["text"], "AB|CD")
        self.refused("tags", path, "--format", "openai", "--tag", "a b")

    def test_long_prompts_are_left_out(self):
        prompts = self.good(self.write([{"prompt": "x" * 101}, {"prompt": "x" * 100}]), "openai", "--most-bytes", "100")
        self.assertEqual(len(prompts), 1)
        self.assertIn("left out 1: a prompt of more than 100 bytes", self.messages)

    def test_input_that_is_wrong_is_named_with_its_line(self):
        cases = [("openai", '{"prompt": "a"}\n{"prompt": \n', "in.jsonl:2"), ("openai", '{"x": 1}\n', "in.jsonl:1: messages: expected a list of messages"),
                 ("sharegpt", '{"messages": []}', "in.jsonl:1: conversations: expected a list of messages"),
                 ("sharegpt", '[{"conversations": [{"from": "human"}]}]', "expected at least one prompt, found none"), ("openai", "[1]", "in.jsonl: record 1"),
                 ("openai", '{"messages": [{"content": "x"}]}', "messages[0]: role"), ("openai", "", "expected at least one prompt, found none"),
                 ("openai", b'{"prompt": "\xff"}', "expected UTF-8, found another byte at offset 12"),
                 ("litellm", '{"messages": [{"role": "user", "content": "x"}], "response": "y", "completion_tokens": -1}', "completion_tokens: expected")]
        for form, content, says in cases:
            with self.subTest(says):
                self.refused(says, self.write(content), "--format", form)
        self.refused("cannot open", self.folder / "absent.jsonl", "--format", "openai")
        path = self.write([{"prompt": "a"}])
        self.refused("--name: expected", path, "--format", "openai", "--name", "Größe")

    def test_the_suite_goes_into_a_bundle(self):
        folder, bundle = self.folder / "prompts", self.folder / "bundle"
        folder.mkdir()
        self.out = folder / "mine.yaml"
        self.good(self.write([{"prompt": "Once upon a time"}, {"prompt": "def f(x):"}]), "openai")
        model = self.folder / "model"
        model.mkdir()
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (model / name).write_bytes((SOURCE / "bundles/tiny-gqa8-hd64" / name).read_bytes())
        subprocess.run([PROGRAM, "bundle", "create", "--from-hf", model, "--prompts", folder, "--out", bundle], check=True, capture_output=True)
        info = subprocess.run([PROGRAM, "bundle", "info", bundle], check=True, capture_output=True, text=True)
        self.assertIn("2 golden prompts", info.stdout)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
