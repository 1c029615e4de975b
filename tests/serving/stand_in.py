#!/usr/bin/env python3
"""A stand-in for the inference servers of lib/serving/preset.cpp, with nothing but the standard library.

It answers from a bundle's expected outputs, so that its tokens are right unless a fault is planted, and logs when it sent each event. It
does not depend on this project's client. It prints its port on the first line.
"""
import argparse
import codecs
import gzip
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--dialect", default="any")
parser.add_argument("--bundle", default="")
parser.add_argument("--variant", default="bf16")
parser.add_argument("--fault", default="")  # NAME or NAME:EVERY: every EVERY-th streamed request has it
parser.add_argument("--wrong-token", type=int, default=-1)  # the index of a token that is wrong in every answer
parser.add_argument("--wrong-scores", action="store_true")  # log-probabilities are wrong
parser.add_argument("--moody", action="store_true")  # answers to the same prompt differ
parser.add_argument("--first-ms", type=float, default=0)
parser.add_argument("--gap-ms", type=float, default=0)
parser.add_argument("--tokens-per-event", type=int, default=1)
parser.add_argument("--channel", default="content")  # of the first three tokens: content, reasoning_content, tool_calls
parser.add_argument("--no-usage", action="store_true")
parser.add_argument("--usage-says", type=int, default=-1)  # the number of output tokens that usage claims
parser.add_argument("--cap", type=int, default=0)  # answers have at most so many tokens, with finish_reason length
parser.add_argument("--no-ids", action="store_true")
parser.add_argument("--no-scores", action="store_true")
parser.add_argument("--key", default="")
parser.add_argument("--version", default="1.2.3")
parser.add_argument("--models", default="stand-in")
parser.add_argument("--answers-as", default="")  # the model that the events of an answer name; empty: they name none
parser.add_argument("--log", default="")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--certificate", default="")  # a file with certificate and key, for TLS
parser.add_argument("--metrics", default="")  # "" (the dialect's own), off, broken, huge, slow or html
parser.add_argument("--speculative", default="")  # this and the next two are settings that the server reports
parser.add_argument("--prefix-cache", default="true")
parser.add_argument("--kv-cache", default="auto")
parser.add_argument("--reuse-block", type=int, default=0)  # tokens per block of the prefix cache; cached blocks take no time
parser.add_argument("--prompt-us", type=float, default=0)  # time before the first token, for each prompt token that is not cached
# For servers that the program under test starts.
parser.add_argument("--model", default="")  # the model folder that the program passes; it must contain a model and nothing else
parser.add_argument("--at-start", default="")  # crash, hang or out-of-memory
parser.add_argument("--after", type=int, default=1)  # the number of the streamed request at which --then happens
parser.add_argument("--then", default="")  # exit, killed, out-of-memory or hang
parser.add_argument("--no-date", action="store_true")  # no Date in responses, but `created` in events, as llama-server has it
parser.add_argument("--ignore-sigterm", action="store_true")
parser.add_argument("--child", default="")  # starts a child process and writes its id to this file
parser.add_argument("--daemon", default="")  # the same, in a session of its own and with a parent that has ended
options = parser.parse_args()


def die(how):
    """Fails in the way that `how` names, as servers do."""
    print("loading the engine", file=sys.stderr, flush=True)
    if how == "hang":
        threading.Event().wait()
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "out-of-memory":
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\nthe engine is gone",
              file=sys.stderr, flush=True)
    else:
        print("fatal: the engine died", file=sys.stderr, flush=True)
    os._exit(7)


def check_model_folder():
    names = sorted(os.listdir(options.model))
    if "config.json" not in names or "model.safetensors" not in names or "manifest.yaml" in names:
        sys.exit("the model folder has " + ", ".join(names))
    for name in names:
        with open(os.path.join(options.model, name), "rb") as file:
            file.read(1)


if options.ignore_sigterm:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if options.child:
    with open(options.child, "w", encoding="utf-8") as file:
        file.write(str(subprocess.Popen(["sleep", "600"]).pid))
if options.daemon:
    with open(options.daemon, "wb") as file:
        file.write(subprocess.check_output(["sh", "-c", "setsid sleep 600 < /dev/null > /dev/null 2>&1 & printf $!"]))
if options.model:
    check_model_folder()
if options.at_start:
    die(options.at_start)


def byte_alphabet():
    """GPT-2's table from characters to bytes."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[chr(byte)] = byte
        else:
            table[chr(256 + extra)] = byte
            extra += 1
    return table


class Model:
    """The expected outputs of a bundle, found by the prompt."""

    def __init__(self):
        self.tokens, self.special, self.cases = {}, set(), []
        self.eos, self.vocabulary = 2, 2048
        if not options.bundle:
            return
        with open(os.path.join(options.bundle, "tokenizer.json"), encoding="utf-8") as file:
            tokenizer = json.load(file)
        alphabet = byte_alphabet()
        for text, token in tokenizer["model"]["vocab"].items():
            self.tokens[token] = bytes(alphabet[c] for c in text) if all(c in alphabet for c in text) else text.encode()
        for added in tokenizer["added_tokens"]:
            self.tokens[added["id"]] = added["content"].encode()
            self.special.add(added["id"])
        with open(os.path.join(options.bundle, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.eos, self.vocabulary = config["eos_token_id"], config["vocab_size"]
        with open(os.path.join(options.bundle, "expected", options.variant + ".jsonl"), encoding="utf-8") as file:
            for line in file:
                case = json.loads(line)
                if "prompt_ids" in case:
                    case["text"] = self.text(case["prompt_ids"], True)
                    self.cases.append(case)
        self.by_ids = {tuple(case["prompt_ids"]): case for case in self.cases}
        self.by_text = {case["text"]: case for case in self.cases}

    def text(self, ids, with_special=False):
        return b"".join(self.tokens.get(i, b"?") for i in ids if with_special or i not in self.special).decode(
            "utf-8", "replace")

    def find(self, prompt):
        """The case with whose prompt the given one begins, and how many tokens of its output follow there."""
        if isinstance(prompt, list):
            whole = tuple(prompt)
            for case in self.cases:
                n = len(case["prompt_ids"])
                given = len(whole) - n
                if 0 <= given <= len(case["ids"]) and whole[:n] == tuple(case["prompt_ids"]) and \
                        list(whole[n:]) == case["ids"][:given]:
                    return case, given
            return None, 0
        return (self.by_text.get(prompt), 0) if self.cases else (None, 0)

    def answer(self, prompt, n_tokens, ignores_eos):
        """The greedily generated ids, and whether they ended with the end of text."""
        case, given = self.find(prompt)
        ids = list(case["ids"][given:]) if case else []
        ended = False
        # transformers checks the maximum number of tokens before the end of text.
        n_last = n_tokens - (1 if options.dialect == "transformers" else 0)
        if case and case["finish"] == "eos" and not ignores_eos and len(ids) <= n_last:
            ended = True
        elif ignores_eos and ids and ids[-1] == self.eos:
            ids.pop()
        seed = len(prompt)
        while len(ids) < n_tokens and not ended:
            ids.append(300 + (seed + 7 * len(ids)) % 200)  # arbitrary ids after the end of the expected output
        ids = ids[:n_tokens]
        if 0 <= options.wrong_token < len(ids):
            ids[options.wrong_token] = 300 + (ids[options.wrong_token] + 1) % 200
            ended = False
        return ids, ended

    def scores(self, case, index):
        """[[id, log-probability], ...], best first."""
        top = [list(one) for one in case["top"][index]]
        if options.wrong_scores:
            top[0][0], top[3][0] = top[3][0], top[0][0]
        return top


class PrefixCache:
    """Remembers which beginnings of prompts were computed before, in whole blocks of --reuse-block tokens."""

    def __init__(self):
        self.known = set()

    def take(self, prompt, n_tokens):
        """Returns how many tokens of a prompt are cached, and caches all its blocks except one that would end with the prompt."""
        if options.reuse_block == 0:
            return 0
        per_token = 1 if isinstance(prompt, list) else 3
        n_known, whole = 0, True
        for end in range(options.reuse_block, n_tokens, options.reuse_block):
            beginning = str(prompt[:end * per_token])
            whole = whole and beginning in self.known
            n_known = end if whole else n_known
            self.known.add(beginning)
        return n_known


MODEL = Model()
PREFIXES = PrefixCache()
LOG = open(options.log, "w", encoding="utf-8") if options.log else None
LOCK = threading.Lock()
COUNT = {"streamed": 0, "generated": 0, "begun": 0, "running": 0, "prompt": 0, "output": 0, "pages": 0}


def metrics_page():
    """The metrics page in the format of the dialect's server, with the current counters."""
    with LOCK:
        COUNT["pages"] += 1
        running, prompt, output = COUNT["running"], COUNT["prompt"], COUNT["output"]
    if options.dialect == "vllm":
        common = 'engine="0",model_name="stand-in"'
        lines = ["# HELP vllm:num_requests_running Number of requests in model execution batches.",
                 "# TYPE vllm:num_requests_running gauge",
                 "vllm:num_requests_running{%s} %.1f" % (common, running),
                 "vllm:num_requests_waiting{%s} 2.0" % common,
                 "vllm:kv_cache_usage_perc{%s} 0.25" % common,
                 "vllm:num_preemptions_total{%s} %.1f" % (common, 3 * COUNT["begun"]),
                 "vllm:prompt_tokens_total{%s} %.1f" % (common, prompt),
                 "vllm:generation_tokens_total{%s} %.1f" % (common, output),
                 "vllm:prefix_cache_queries_total{%s} %.1f" % (common, prompt),
                 "vllm:prefix_cache_hits_total{%s} %.2f" % (common, prompt / 4),
                 'vllm:request_success_total{%s,finished_reason="a \\"quoted\\" \\\\ reason\\n"} 1.0' % common,
                 'vllm:time_to_first_token_seconds_bucket{%s,le="+Inf"} 7.0' % common,
                 'vllm:cache_config_info{block_size="16",cache_dtype="%s",enable_prefix_caching="%s",engine="0"} 1.0'
                 % (options.kv_cache, options.prefix_cache.capitalize())]
        if options.speculative:
            lines += ["vllm:spec_decode_num_draft_tokens_total{%s} %.1f" % (common, 4 * output),
                      "vllm:spec_decode_num_accepted_tokens_total{%s} %.1f" % (common, 3 * output)]
    elif options.dialect == "sglang":
        common = 'model_name="stand-in",tp_rank="0",pp_rank="0"'
        again = common.replace('tp_rank="0"', 'tp_rank="1"')
        lines = ["sglang:num_running_reqs{%s} %.1f" % (common, running), "sglang:num_running_reqs{%s} 99.0" % again,
                 'sglang:num_queue_reqs{%s,priority=""} 2.0' % common, 'sglang:num_queue_reqs{%s,priority="7"} 99.0' % common,
                 "sglang:token_usage{%s} 0.25" % common, "sglang:num_retracted_requests_total{%s} %.1f" % (common, COUNT["begun"]),
                 "sglang:prompt_tokens_total{%s} %.1f" % (common, prompt), "sglang:cached_tokens_total{%s} %.1f" % (common, prompt / 2),
                 "sglang:generation_tokens_total{%s} %.1f" % (common, output)]
    elif options.dialect == "tgi":
        lines = ["# TYPE tgi_queue_size gauge", "tgi_queue_size 2", "tgi_batch_current_size %d" % running,
                 "tgi_request_generated_tokens_sum %d" % output, "tgi_request_input_length_sum %d" % prompt]
    elif options.dialect == "llama-server":
        lines = ["llamacpp:requests_processing %d" % running, "llamacpp:requests_deferred 2",
                 "llamacpp:prompt_tokens_total %d" % prompt, "llamacpp:tokens_predicted_total %d" % output,
                 "llamacpp:predicted_tokens_seconds nan"]
    else:
        return None
    return "\n".join(lines) + "\n"


def device_page():
    """A page of NVIDIA's exporter on a host with two devices, one of which does not report its temperature."""
    lines = ["# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).", "# TYPE DCGM_FI_DEV_POWER_USAGE gauge"]
    for gpu, power in ((0, 300.5), (1, 250.0)):
        labels = 'gpu="%d",UUID="GPU-%d",modelName="stand-in"' % (gpu, gpu)
        lines += ["DCGM_FI_DEV_POWER_USAGE{%s} %s" % (labels, power), "DCGM_FI_DEV_SM_CLOCK{%s} 1980" % labels,
                  "DCGM_FI_DEV_MEM_CLOCK{%s} 2619" % labels, "DCGM_FI_DEV_FB_USED{%s} 1024" % labels,
                  "DCGM_FI_DEV_GPU_UTIL{%s} %d" % (labels, 50 + 40 * gpu),
                  "DCGM_FI_DEV_GPU_TEMP{%s} %d" % (labels, 9223372036854775794 if gpu else 61),
                  "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{%s} %d" % (labels, 4 * gpu)]
    return "\n".join(lines) + "\n"


def write_down(record):
    if LOG:
        with LOCK:
            LOG.write(json.dumps(record) + "\n")
            LOG.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "stand-in"

    def log_message(self, *args):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_header(self, keyword, value):
        if not (options.no_date and keyword == "Date"):
            super().send_header(keyword, value)

    def answer_json(self, tree, status=200, headers=()):
        body = (tree if isinstance(tree, str) else json.dumps(tree)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def is_allowed(self):
        given = self.headers.get("Authorization", "")
        if not options.key or given == "Bearer " + options.key:
            return True
        self.answer_json({"error": {"message": "wrong key: " + given}}, 401)
        return False

    def answer_text(self, text, content_type="text/plain; version=0.0.4"):
        body = text if isinstance(text, bytes) else text.encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # the client closed the connection

    def metrics(self):
        how, page = options.metrics, metrics_page()
        if page is None or how == "off":
            return self.answer_json({"error": {"code": 501, "message": "This server does not support metrics endpoint. Start it "
                                               "with `--metrics`"}}, 501)
        if how == "broken":
            page = page.replace("} ", "} not-a-number ", 1)
        if how == "huge":
            page = page.encode() + b"x_total 1\n" * 1_000_000
        if how == "slow":
            time.sleep(1.5)
        if how == "html":
            return self.answer_text("<html>a gateway's page</html>", "text/html")
        return self.answer_text(page)

    def do_GET(self):
        if self.path == "/device-metrics":  # stands for another program, which needs no API key and must not receive the server's
            if self.headers.get("Authorization"):
                return self.answer_json({"error": {"message": "a key was sent to another program"}}, 400)
            return self.answer_text(device_page())
        if not self.is_allowed():
            return
        dialect = options.dialect
        if self.path == "/metrics":
            return self.metrics()
        if dialect == "llama-server" and self.path == "/slots":
            return self.answer_json([{"id": 0, "n_ctx": 4096, "speculative": bool(options.speculative)}])
        if self.path in ("/health", "/v2/health/ready"):
            return self.answer_json({})
        if self.path.endswith("/models"):
            models = [{"id": name, "object": "model", "max_model_len": 32768} for name in options.models.split(",")]
            return self.answer_json({"object": "list", "data": models})
        if dialect == "vllm" and self.path == "/version":
            return self.answer_json({"version": options.version})
        if dialect == "sglang" and self.path == "/get_server_info":
            return self.answer_json({"version": options.version, "dtype": "bfloat16", "tp_size": 1,
                                     "speculative_algorithm": options.speculative or None,
                                     "disable_radix_cache": options.prefix_cache != "true",
                                     "kv_cache_dtype": options.kv_cache,
                                     "api_key": options.key or "a secret of the server"})
        if dialect == "tgi" and self.path == "/info":
            return self.answer_json({"version": options.version, "model_id": "stand-in", "max_total_tokens": 4096})
        if dialect == "llama-server" and self.path == "/props":
            return self.answer_json({"build_info": options.version, "model_path": "/models/stand-in.gguf",
                                     "total_slots": 4, "default_generation_settings": {"n_ctx": 4096}})
        if dialect == "ollama" and self.path == "/api/version":
            return self.answer_json({"version": options.version})
        if dialect == "openvino" and self.path == "/v2":
            return self.answer_json({"name": "OpenVINO Model Server", "version": options.version})
        return self.answer_json({"error": {"message": "no such path"}}, 404)

    def do_POST(self):
        arrived_ns = time.monotonic_ns()
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if not self.is_allowed():
            return
        if self.path in ("/generate", "/completion"):
            return self.native(body)
        if not self.path.endswith("/completions"):
            return self.answer_json({"error": {"message": "no such path"}}, 404)
        self.is_chat = self.path.endswith("/chat/completions")
        if self.is_chat:
            prompt = "".join("<|im_start|>%s\n%s<|im_end|>\n" % (m["role"], m["content"]) for m in body["messages"])
            prompt += "<|im_start|>assistant\n"
        else:
            prompt = body["prompt"]
        takes_ids = options.dialect in ("vllm", "sglang", "llama-server", "mlc")
        if isinstance(prompt, list) and not takes_ids:
            return self.answer_json({"error": {"message": "prompt: expected a text"}}, 422)
        if body.get("prompt_logprobs") is not None:
            return self.vllm_scores(body, prompt)
        ignores = body.get("ignore_eos") and options.dialect in ("vllm", "sglang", "llama-server", "lmdeploy", "openvino")
        ids, ended = MODEL.answer(prompt, body["max_tokens"], ignores)
        if options.cap and len(ids) > options.cap:
            ids, ended = ids[:options.cap], False
        if body.get("stream"):
            return self.stream(body, prompt, ids, ended, arrived_ns)
        return self.whole(body, prompt, ids, ended)

    def n_prompt(self, prompt):
        if isinstance(prompt, list):
            return len(prompt)
        case, _ = MODEL.find(prompt)
        return len(case["prompt_ids"]) if case else max(1, len(prompt) // 3)

    def moody(self, ids):
        with LOCK:
            COUNT["generated"] += 1
            if options.moody and COUNT["generated"] % 2 == 0 and ids:
                return ids[:-1] + [301]
        return ids

    def whole(self, body, prompt, ids, ended):
        ids = self.moody(ids)
        choice = {"index": 0, "finish_reason": "stop" if ended else "length"}
        if self.is_chat:
            choice["message"] = {"role": "assistant", "content": MODEL.text(ids)}
        else:
            choice["text"] = MODEL.text(ids)
        if body.get("return_token_ids") and options.dialect == "vllm" and not options.no_ids:
            choice["token_ids"] = ids
        self.answer_json({"choices": [choice], "usage": {"prompt_tokens": self.n_prompt(prompt),
                                                         "completion_tokens": len(ids)}})

    def vllm_scores(self, body, prompt):
        if options.dialect != "vllm" or options.no_scores:
            return self.answer_json({"error": {"message": "prompt_logprobs is not supported"}}, 400)
        entries = [None]
        for index in range(1, len(prompt)):
            case, given = MODEL.find(prompt[:index])
            if case and given < len(case["ids"]):
                top = MODEL.scores(case, given)
                entry = {str(i): {"logprob": p, "rank": rank + 1} for rank, (i, p) in enumerate(top)}
                entry.setdefault(str(prompt[index]), {"logprob": -20.0, "rank": 99})
            else:
                entry = {str(prompt[index]): {"logprob": -1.0, "rank": 1}}
            entries.append(entry)
        self.answer_json({"choices": [{"index": 0, "text": "", "finish_reason": "length", "prompt_logprobs": entries}],
                          "usage": {"prompt_tokens": len(prompt), "completion_tokens": 1}})

    def native(self, body):
        dialect = options.dialect
        if dialect == "sglang" and self.path == "/generate":
            ids = body["input_ids"]
            if body.get("return_logprob"):
                given, top = [[None, ids[0], None]], [None]
                for index in range(1, len(ids)):
                    case, n = MODEL.find(ids[:index])
                    scores = MODEL.scores(case, n) if case and n < len(case["ids"]) else [[ids[index], -1.0]]
                    known = dict((i, p) for i, p in scores)
                    given.append([known.get(ids[index], -20.0), ids[index], None])
                    top.append([[p, i, None] for i, p in scores])
                return self.answer_json({"text": "", "output_ids": [], "meta_info": {
                    "input_token_logprobs": given, "input_top_logprobs": top, "prompt_tokens": len(ids)}})
            out, ended = MODEL.answer(ids, body["sampling_params"]["max_new_tokens"], False)
            out = self.moody(out)
            return self.answer_json({"text": MODEL.text(out), "output_ids": out, "meta_info": {
                "finish_reason": {"type": "stop" if ended else "length"}, "prompt_tokens": len(ids)}})
        if dialect == "llama-server" and self.path == "/completion":
            ids = body["prompt"]
            out, ended = MODEL.answer(ids, body["n_predict"], False)
            out = self.moody(out)
            tree = {"content": MODEL.text(out), "stop": True, "stop_type": "eos" if ended else "limit",
                    "tokens_evaluated": len(ids), "tokens": out if body.get("return_tokens") else []}
            if body.get("n_probs"):
                case, n = MODEL.find(ids)
                scores = MODEL.scores(case, n) if case and n < len(case["ids"]) else [[300, -1.0]]
                tree["completion_probabilities"] = [{"id": out[0], "logprob": scores[0][1], "top_logprobs": [
                    {"id": i, "token": "", "logprob": p} for i, p in scores]}]
            return self.answer_json(tree)
        if dialect == "tgi" and self.path == "/generate":
            text, parameters = body["inputs"], body["parameters"]
            if parameters.get("decoder_input_details"):
                for case in MODEL.cases:
                    if text == case["text"] + MODEL.text(case["ids"], True):
                        prefill = [{"id": i, "text": "", "logprob": None if k == 0 else -1.0}
                                   for k, i in enumerate(case["prompt_ids"])]
                        for k, i in enumerate(case["ids"]):
                            known = dict((j, p) for j, p in MODEL.scores(case, k))
                            prefill.append({"id": i, "text": "", "logprob": known.get(i, -20.0)})
                        return self.answer_json({"generated_text": "", "details": {
                            "prefill": prefill, "tokens": [], "finish_reason": "length"}})
                return self.answer_json({"error": "unknown text"}, 422)
            out, ended = MODEL.answer(text, parameters["max_new_tokens"], False)
            out = self.moody(out)
            return self.answer_json({"generated_text": MODEL.text(out), "details": {
                "finish_reason": "eos_token" if ended else "length",
                "tokens": [{"id": i, "text": "", "logprob": -0.1} for i in out]}})
        return self.answer_json({"error": {"message": "no such path"}}, 404)

    # Streams of events, and their faults.

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, tree):
        if options.no_date and isinstance(tree, dict):
            tree = {**tree, "created": int(time.time())}
        if options.answers_as and isinstance(tree, dict):
            tree = {**tree, "model": options.answers_as}
        self.chunk(b"data: " + (tree if isinstance(tree, bytes) else json.dumps(tree).encode()) + b"\n\n")

    def begin(self, content_type="text/event-stream; charset=utf-8", headers=()):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def fault_now(self):
        if not options.fault:
            return ""
        name, _, every = options.fault.partition(":")
        with LOCK:
            COUNT["streamed"] += 1
            return name if COUNT["streamed"] % int(every or 1) == 0 else ""

    def refused(self, fault):
        """Answers with the fault instead of a stream. Returns False if the fault is not of this kind."""
        said = "the key is " + self.headers.get("Authorization", "")
        if fault in ("429", "503"):
            self.answer_json({"error": {"message": "too busy"}}, int(fault), [("Retry-After", "7")])
        elif fault == "500-with-key":
            self.answer_json({"error": {"message": said}}, 500)
        elif fault == "redirect":
            self.answer_json({}, 307, [("Location", "http://127.0.0.1:9/elsewhere")])
        elif fault == "html":
            self.begin("text/html")
            self.chunk(b"<html>a gateway's page</html>")
            self.chunk(b"")
        elif fault == "error-object":
            self.answer_json({"error": {"message": "out of memory"}})
        elif fault == "reset-at-once":
            self.reset()
        elif fault == "no-answer":
            self.close_connection = True  # without a byte, once the request was read
        else:
            return False
        return True

    def broken(self, fault, index):
        """Applies a fault within a stream before its third event. Returns True if the stream is over."""
        if index != 2 or not fault:
            return False
        if fault == "malformed-json":
            self.event(b'{"choices": [')
        elif fault == "no-event":
            self.chunk(b'{"choices": []}\n\n')
        elif fault == "error-event":
            self.event({"error": {"message": "the engine died"}})
        elif fault == "wrong-type":
            self.event({"choices": "none"})
        elif fault == "cut":
            self.chunk(b'data: {"choices"')
        elif fault == "reset":
            self.reset()
            return True
        elif fault == "stall":
            time.sleep(30)
        elif fault == "comments":
            for _ in range(3000):
                self.chunk(b": still here\n\n")
                time.sleep(0.01)
        elif fault == "endless-line":
            block = b"x" * (1 << 20)
            self.chunk(b"data: ")
            for _ in range(64):
                self.chunk(block)
        else:
            return False
        self.chunk(b"")
        return True

    def stream(self, body, prompt, ids, ended, arrived_ns):
        with LOCK:
            COUNT["begun"] += 1
            is_over = COUNT["begun"] >= options.after
        if options.then and is_over:
            die(options.then)
        fault = self.fault_now()
        if self.refused(fault):
            return
        with LOCK:
            COUNT["running"] += 1
            COUNT["prompt"] += self.n_prompt(prompt)
            COUNT["output"] += len(ids)
        try:
            self.send_stream(body, prompt, ids, ended, arrived_ns, fault)
        finally:
            with LOCK:
                COUNT["running"] -= 1

    def send_stream(self, body, prompt, ids, ended, arrived_ns, fault):
        sent = []
        try:
            with LOCK:
                self.n_cached = 0 if body.get("cache_prompt") is False else PREFIXES.take(prompt, self.n_prompt(prompt))
            time.sleep(options.first_ms / 1000 + 1e-6 * options.prompt_us * (self.n_prompt(prompt) - self.n_cached))
            if fault == "gzip":
                return self.stream_at_once(body, prompt, ids, ended)
            self.begin("Text/Event-Stream" if fault == "upper-case" else "text/event-stream; charset=utf-8")
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            if self.is_chat:
                self.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
            for index in range(0, len(ids), options.tokens_per_event):
                if self.broken(fault, index // options.tokens_per_event):
                    return
                if index:
                    time.sleep(options.gap_ms / 1000)
                sent.append(time.monotonic_ns())
                self.event(self.piece(body, prompt, ids, index, decoder))
            # The log line is written before the client sees the end of the answer, so that the client can rely on it.
            write_down({"n_prompt": self.n_prompt(prompt), "arrived_ns": arrived_ns, "sent_ns": sent,
                        "begins": prompt[:8] if isinstance(prompt, list) else [], "messages": body.get("messages")})
            self.end(body, prompt, ids, ended, fault)
        except OSError:
            pass  # the client disconnected

    def piece(self, body, prompt, ids, index, decoder):
        some = ids[index:index + options.tokens_per_event]
        text = decoder.decode(b"".join(MODEL.tokens.get(i, b"w ") for i in some if i not in MODEL.special))
        choice = {"index": 0, "finish_reason": None}
        if self.is_chat:
            channel = options.channel if index < 3 else "content"
            if channel == "tool_calls":
                choice["delta"] = {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
            else:
                choice["delta"] = {channel: text}
        else:
            choice["text"] = text
        if body.get("return_token_ids") and options.dialect == "vllm" and not options.no_ids:
            choice["token_ids"] = some
        tree = {"choices": [choice]}
        n_so_far = index + len(some)
        if body.get("stream_options", {}).get("continuous_usage_stats"):
            tree["usage"] = {"prompt_tokens": self.n_prompt(prompt), "completion_tokens": n_so_far}
        if body.get("timings_per_token") and options.dialect == "llama-server":
            tree["timings"] = {"predicted_n": n_so_far}
        return tree

    def end(self, body, prompt, ids, ended, fault):
        empty = {"delta": {}} if self.is_chat else {"text": ""}
        if fault not in ("no-finish", "no-finish-no-done"):
            reason = "content_filter\n" if fault == "other-finish" else "stop" if ended else "length"
            self.event({"choices": [{"index": 0, "finish_reason": reason, **empty}]})
        n_said = options.usage_says if options.usage_says >= 0 else len(ids)
        if body.get("stream_options", {}).get("include_usage") and not options.no_usage:
            self.event({"choices": [], "usage": {"prompt_tokens": self.n_prompt(prompt), "completion_tokens": n_said,
                                                 "prompt_tokens_details": {"cached_tokens": self.n_cached}}})
        if fault == "cut-done":
            self.chunk(b"data: [DONE]")  # the line and the event have no end
        elif fault not in ("no-done", "no-finish-no-done"):
            self.event(b"[DONE]")
        self.chunk(b"")

    def stream_at_once(self, body, prompt, ids, ended):
        """Answers like a compressing gateway: with all events in one compressed body, sent in small pieces."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        events = [self.piece(body, prompt, ids, index, decoder)
                  for index in range(0, len(ids), options.tokens_per_event)]
        events.append({"choices": [{"index": 0, "finish_reason": "stop" if ended else "length", "text": ""}]})
        events.append({"choices": [], "usage": {"prompt_tokens": self.n_prompt(prompt), "completion_tokens": len(ids)}})
        text = b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in events) + b"data: [DONE]\r\n\r\n"
        packed = gzip.compress(text)
        self.begin(headers=[("Content-Encoding", "gzip")])
        for at in range(0, len(packed), 7):
            self.chunk(packed[at:at + 7])
        self.chunk(b"")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


server = Server(("127.0.0.1", options.port), Handler)
if options.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
# The server ends when its standard input is closed, at the latest with the process that started it.
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
