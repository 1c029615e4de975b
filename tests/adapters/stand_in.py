#!/usr/bin/env python3
"""A stand-in for an adapter, written from docs/adapters.md alone, with nothing but the standard library.

It answers from a bundle's expected outputs, so that its tokens are right unless a fault is planted. It finds the bundle by the
links in the model folder. Faults are planted by the plan's `options`; `stand_in.py --hello FAULT` plants one in the adapter's first
answer.
"""
import codecs
import json
import os
import pathlib
import signal
import sys
import time

KNOWN = {"forced", "tokens", "fault", "after", "wrong_token", "wrong_scores", "step_ms", "moody", "in_flight", "child", "log",
         "ends", "late_ms"}
hello_fault = sys.argv[2] if len(sys.argv) > 2 else ""
options, cases, texts, started, n_requests = {}, {}, {}, {}, 0
VOCABULARY = 2048
log = None


def say(**answer):
    line = json.dumps(answer)
    os.write(1, (line + "\n").encode())


def die(how):
    print("loading the runtime", file=sys.stderr, flush=True)
    if how == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(3600)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "out-of-memory":
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", file=sys.stderr, flush=True)
    elif how == "closes":
        os.close(1)
        time.sleep(3600)
    else:
        print("fatal: the runtime died", file=sys.stderr, flush=True)
    os._exit(7)


def endless():
    while True:
        os.write(1, b"x" * 65536)


def hello(request):
    global options, log
    options = request["options"]
    for name in options:
        if name not in KNOWN:
            say(say="error", kind="invalid-input", message=f"option {name}: expected one of {', '.join(sorted(KNOWN))}")
            sys.exit(1)
    if "log" in options:
        log = open(options["log"], "w", encoding="utf-8")
    answer = {"say": "hello", "protocol": 1, "runtime": "stand-in", "versions": {"stand-in": "1.2.3"},
              "settings": {"forced": options.get("forced", "logits")}, "tokens": options.get("tokens", "ids"),
              "forced": options.get("forced", "logits"), "max_in_flight": int(options.get("in_flight", "4"))}
    if hello_fault == "version":
        answer["protocol"] = 2
    elif hello_fault == "garbage":
        os.write(1, b"Loading checkpoint shards: 100%\n")
    elif hello_fault == "endless":
        endless()
    elif hello_fault == "nothing given":
        del answer["forced"]
    elif hello_fault == "no runtime":
        say(say="error", kind="unavailable", message="this Python has no package of that runtime")
        sys.exit(1)
    elif hello_fault == "another each time":
        answer["versions"]["stand-in"] = str(time.monotonic_ns())
    elif hello_fault:
        die(hello_fault)
    if "child" in options:
        child = os.fork()
        if child == 0:
            os.close(0)
            os.close(1)
            time.sleep(600)
        pathlib.Path(options["child"]).write_text(str(child))
    say(**answer)


def load(request):
    folder = pathlib.Path(request["model"])
    names = sorted(path.name for path in folder.iterdir())
    if "config.json" not in names or "model.safetensors" not in names or "manifest.yaml" in names:
        say(say="error", kind="unsupported", message="the model folder has " + ", ".join(names))
        sys.exit(1)
    if options.get("fault", "").startswith("load "):
        die(options["fault"].removeprefix("load "))
    bundle = (folder / "config.json").resolve().parent
    for line in (bundle / "expected" / "bf16.jsonl").read_text().splitlines():
        case = json.loads(line)
        if "prompt_ids" in case:
            cases[tuple(case["prompt_ids"])] = case
    if options.get("tokens") == "text":
        read_texts(bundle)
    say(say="loaded")


def read_texts(bundle):
    """The bytes of each token, by GPT-2's table from characters to bytes."""
    shown = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    hidden = [byte for byte in range(256) if byte not in shown]
    byte_of = {chr(byte): byte for byte in shown} | {chr(256 + index): byte for index, byte in enumerate(hidden)}
    tokenizer = json.loads((bundle / "tokenizer.json").read_text())
    for text, token in tokenizer["model"]["vocab"].items():
        texts[token] = bytes(byte_of[c] for c in text) if all(c in byte_of for c in text) else text.encode()
    for added in tokenizer["added_tokens"]:
        texts[added["id"]] = b""


def answer_to(ids, n_tokens):
    case = cases.get(tuple(ids))
    found = list(case["ids"]) if case else []
    while len(found) < n_tokens:
        found.append(300 + (len(ids) + 7 * len(found)) % 200)  # arbitrary ids after the end of the expected output
    wrong = int(options.get("wrong_token", "-1"))
    if 0 <= wrong < n_tokens:
        found[wrong] = 300 + (found[wrong] + 1) % 200
    if options.get("moody") and n_tokens > 3:
        found[3] = 300 + time.monotonic_ns() // 1000 % 200
    return found[:n_tokens]


def generate(request):
    global n_requests
    n_requests += 1
    one = {"ids": answer_to(request["ids"], request["n_tokens"]), "n": request["n_tokens"], "at": 0, "number": n_requests,
           "decoder": codecs.getincrementaldecoder("utf-8")("replace"), "ends": int(options.get("ends", "-1"))}
    case = cases.get(tuple(request["ids"]))
    if options.get("tokens") == "text" and case and case["finish"] == "eos" and len(case["ids"]) <= request["n_tokens"]:
        one["ends"] = len(case["ids"])  # an adapter that returns text stops at the end of text
    started[request["request"]] = one
    if request["n_tokens"] == 13:  # a length that a test asks for to be refused
        del started[request["request"]]
        say(say="end", request=request["request"], finish="error", message="13 tokens bring bad luck")


def score(request):
    n_prompt, ids = request["n_prompt"], request["ids"]
    case = cases.get(tuple(ids[:n_prompt]))
    if case is None:
        say(say="end", request=request["request"], finish="error", message="no such prompt")
        return
    scores = []
    for index, given in enumerate(ids[n_prompt:]):
        top = [list(one) for one in case["top"][index]]
        if options.get("wrong_scores"):
            top[0][0], top[3][0] = top[3][0], top[0][0]
        known = dict(map(tuple, top))
        one = {"logprob": known.get(given)}
        if options.get("forced", "logits") in ("best", "logits"):
            one["best"] = top[0][0]
        if request["wanted"]:
            one["wanted"] = [known.get(wanted) for wanted in request["wanted"][index]]
        scores.append(one)
    fault = options.get("fault")
    if fault == "few scores":
        scores.pop()
    if fault == "not finite":
        scores[0]["logprob"] = None
        scores[0]["wanted"] = [None] * len(scores[0]["wanted"])
    if fault == "likely":
        scores[0]["logprob"] = 0.5
    if fault == "no best":
        del scores[0]["best"]
    say(say="scores", request=request["request"], scores=scores)


def spoil(tokens, at_ns):
    """Applies the planted fault to a step, if the step's first request is one that the fault concerns."""
    name, one = options.get("fault", ""), tokens[0]
    if started[one["request"]]["number"] < int(options.get("after", "1")) or one["index"] < 2:
        return tokens, at_ns
    if name in ("exit", "killed", "hang", "out-of-memory", "closes"):
        die(name)
    if name == "garbage":
        os.write(1, b"/usr/lib/python3/warnings.py:1: UserWarning\n")
    elif name == "endless":
        endless()
    elif name == "repeated index":
        one["index"] -= 1
    elif name == "lost token":
        one["index"] += 1
    elif name == "strange request":
        one["request"] = 777777
    elif name == "strange id":
        one["id"] = VOCABULARY
    elif name == "future":
        at_ns += 10**10
    elif name == "past":
        at_ns -= 5 * 10**9
    elif name == "backwards":
        at_ns -= 5 * 10**8
    elif name == "early end":
        say(say="end", request=one["request"], finish="length")
    elif name == "cancelled":
        say(say="end", request=one["request"], finish="cancelled")
    elif name == "second hello":
        hello({"options": {}})
    elif name == "error":
        say(say="error", kind="error", message="RuntimeError: the device is gone\nand more")
    elif name == "null":
        os.write(1, b'{"say": "step", "at_ns": 1, "tokens": null}\n')
    return tokens, at_ns


def step():
    time.sleep(float(options.get("step_ms", "0")) / 1000)
    in_flight = list(started.items())[:int(options.get("in_flight", "4"))]
    tokens, ends = [], []
    for number, one in in_flight:
        token = {"request": number, "index": one["at"], "id": one["ids"][one["at"]]}
        if options.get("tokens") == "text":
            token = {"request": number, "index": one["at"], "text": one["decoder"].decode(texts.get(token["id"], b"?"))}
        one["at"] += 1
        tokens.append(token)
        if one["ends"] == one["at"]:
            ends.append({"say": "end", "request": number, "finish": "stop"})
        elif one["at"] == one["n"]:
            ends.append({"say": "end", "request": number, "finish": "length"})
            if options.get("fault") == "too many":
                tokens.append(dict(token, index=token["index"] + 1))
    tokens, at_ns = spoil(tokens, time.monotonic_ns())
    time.sleep(float(options.get("late_ms", "0")) / 1000)  # between the stamp and the line
    say(say="step", at_ns=at_ns, tokens=tokens)
    if log:
        log.write(json.dumps([at_ns, [[one["request"], one["index"]] for one in tokens]]) + "\n")
        log.flush()
    for end in ends:
        del started[end["request"]]
        say(**end)


def cancel(request):
    if started.pop(request["request"], None):
        say(say="end", request=request["request"], finish="cancelled")


def main():
    received = b""
    os.set_blocking(0, False)
    while True:
        try:
            chunk = os.read(0, 1 << 20)
            if not chunk:
                return
            received += chunk
        except BlockingIOError:
            time.sleep(0.0005)
        *lines, received = received.split(b"\n")
        for line in lines:
            request = json.loads(line)
            if request["do"] == "stop":
                return
            globals()[request["do"]](request)
        if started:
            step()


if __name__ == "__main__":
    main()
