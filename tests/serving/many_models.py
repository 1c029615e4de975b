#!/usr/bin/env python3
"""A stand-in for servers that hold several models: llama-server's router, Ollama, or one vLLM with its sleep mode. Standard library only.

It loads and unloads models as the documentation of each server describes, and no more:
  llama-server  tools/server/README.md of llama.cpp, "Using multiple models": /models, /models/load, /models/unload, --models-max with
                the least recently used unloaded; the answers for a model that is loaded already, that does not exist or that fails
                were observed with build 10434.
  ollama        docs/api.md of Ollama: "Load a model", "Unload a model", "List Running Models", "Show Model Information".
  vllm          docs/features/sleep_mode.md of vLLM: /sleep?level=, /wake_up?tags=, /is_sleeping, /collective_rpc with reload_weights.
Like the router, it starts one process for each loaded model, a stand_in.py, which generates the tokens. It prints its port on the first
line.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

parser = argparse.ArgumentParser()
parser.add_argument("--control", choices=["llama-server", "ollama", "vllm"], required=True)
parser.add_argument("--model", action="append", default=[])  # NAME=BUNDLE, once for each model; vllm has only one
parser.add_argument("--bytes", action="append", default=[])  # NAME=BYTES, for ollama
parser.add_argument("--models-max", type=int, default=4)  # llama-server: 0 is unlimited
parser.add_argument("--load-ms", type=float, default=0)
parser.add_argument("--wake-ms", type=float, default=0)  # vllm, level 1
parser.add_argument("--fails", default="")  # the model of this name cannot be loaded
parser.add_argument("--load-says", default="")  # ollama: this JSON answers each request to load, which loads nothing
parser.add_argument("--confuses", default="")  # NAME=OTHER: OTHER answers the requests for NAME
parser.add_argument("--refuses-from", type=int, default=1 << 60)  # from this request for tokens on, each is refused
parser.add_argument("--evicts-from", type=int, default=1 << 60)  # after this request for tokens and each later one, its model is evicted
parser.add_argument("--log", default="")  # a line for each call that loads or unloads
parser.add_argument("--port", type=int, default=0)
options = parser.parse_args()

STAND_IN = pathlib.Path(__file__).with_name("stand_in.py")
BUNDLES = dict(one.split("=", 1) for one in options.model)
BYTES = {name: int(size) for name, size in (one.split("=", 1) for one in options.bytes)}
LOCK = threading.RLock()


def say(line):
    if options.log:
        with LOCK, open(options.log, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class Model:
    def __init__(self, name):
        self.name, self.process, self.port, self.failed, self.loading, self.last_use = name, None, 0, False, False, 0.0

    @property
    def status(self):
        return "loading" if self.loading else "loaded" if self.process else "unloaded"

    def start(self):
        time.sleep(options.load_ms / 1000)
        if self.name == options.fails:
            self.failed, self.loading = True, False
            return
        # A model answers by its own name, as llama-server's router tells it to with --alias, and as Ollama and vLLM do.
        process = subprocess.Popen([sys.executable, STAND_IN, "--dialect", options.control, "--bundle", BUNDLES[self.name], "--models",
                                    self.name, "--answers-as", self.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(process.stdout.readline())
        self.process, self.loading, self.failed, self.last_use = process, False, False, time.monotonic()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None


MODELS = {name: Model(name) for name in BUNDLES}
COUNT = {"tokens": 0}  # requests for tokens
SLEEP = {"level": 0, "weights": True, "kv_cache": True}  # vllm


def make_room(for_name):
    """Unloads the least recently used models as long as --models-max is reached, as llama-server does."""
    loaded = sorted((one for one in MODELS.values() if one.process and one.name != for_name), key=lambda one: one.last_use)
    while options.models_max and len(loaded) >= options.models_max:
        say("evicted " + loaded[0].name)
        loaded.pop(0).stop()


def untagged(name):
    return name[:-len(":latest")] if options.control == "ollama" and name.endswith(":latest") else name


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, tree, status=200):
        data = b"" if tree is None else json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message):
        self.answer({"error": {"code": status, "message": message, "type": "invalid_request_error"}}, status)

    def do_GET(self):
        path = urlparse(self.path).path
        if path in ("/health", "/api/version", "/version"):
            return self.answer({"status": "ok", "version": "1.2.3"})
        if path == "/props" and options.control == "llama-server":
            return self.answer({"role": "router", "build_info": "b1.2.3", "model_path": "none"})
        if path in ("/v1/models", "/models"):
            return self.answer({"object": "list", "data": [self.entry(one) for one in MODELS.values()]})
        if path == "/api/ps" and options.control == "ollama":
            return self.answer({"models": [{"name": one.name + ":latest", "model": one.name + ":latest", "size": BYTES[one.name],
                                            "size_vram": 0, "expires_at": "2318-10-17T16:47:07Z"}
                                           for one in MODELS.values() if one.process]})
        if path == "/is_sleeping" and options.control == "vllm":
            return self.answer({"is_sleeping": SLEEP["level"] > 0})
        self.refuse(404, "File Not Found")

    def entry(self, one):
        if options.control == "ollama":
            return {"id": one.name + ":latest", "object": "model"}
        if options.control == "vllm":
            return {"id": one.name, "object": "model", "root": BUNDLES[one.name]}
        status = {"value": one.status, "args": ["llama-server", "--alias", one.name, "--model",
                                                str(pathlib.Path(BUNDLES[one.name], "model.safetensors"))]}
        if one.failed:
            status.update(failed=True, exit_code=1)
        return {"id": one.name, "object": "model", "status": status}

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        tree = json.loads(body) if body else {}
        url = urlparse(self.path)
        if url.path.startswith("/models/") and options.control == "llama-server":
            return self.router(url.path, tree)
        if url.path in ("/sleep", "/wake_up", "/collective_rpc") and options.control == "vllm":
            return self.sleep_mode(url.path, parse_qs(url.query), tree)
        if url.path == "/api/generate" and options.control == "ollama":
            return self.keep_alive(tree)
        if url.path == "/api/show" and options.control == "ollama":
            file = pathlib.Path(BUNDLES[untagged(tree["model"])], "model.safetensors")
            return self.answer({"modelfile": f"# Modelfile generated by \"ollama show\"\n\nFROM {file}\nTEMPLATE x\n"})
        return self.forward(body, tree)

    def router(self, path, tree):
        one = MODELS.get(tree.get("model"))
        if one is None:
            return self.refuse(404, "File Not Found")
        say(path.rsplit("/", 1)[-1] + " " + one.name)
        with LOCK:
            if path == "/models/unload":
                one.stop()
                return self.answer({"success": True})
            if one.process or one.loading:
                return self.refuse(400, "model is already running")
            make_room(one.name)
            one.loading = True
        threading.Thread(target=one.start, daemon=True).start()
        self.answer({"success": True})

    def keep_alive(self, tree):
        one = MODELS.get(untagged(tree.get("model", "")))
        if one is None:
            return self.refuse(404, "model not found")
        if tree.get("prompt"):
            return self.refuse(400, "a prompt was not expected")
        with LOCK:
            if tree.get("keep_alive") == 0:
                say("unload " + one.name)
                one.stop()
                return self.answer({"model": one.name, "response": "", "done": True, "done_reason": "unload"})
            say("load " + one.name)
            if options.load_says:
                return self.answer(json.loads(options.load_says))
            if not one.process:
                one.start()
        if one.failed:
            return self.refuse(500, "llama runner process has terminated: exit status 2")
        self.answer({"model": one.name, "response": "", "done": True, "done_reason": "load"})

    def sleep_mode(self, path, query, tree):
        (one,) = MODELS.values()
        with LOCK:
            if path == "/sleep":
                level = int(query.get("level", ["1"])[0])
                say(f"sleep {level} {one.name}")
                # Level 1 keeps the weights in host memory; only level 2 discards them.
                SLEEP.update(level=max(SLEEP["level"], level), kv_cache=False)
                if level == 2:
                    SLEEP["weights"] = False
            elif path == "/collective_rpc":
                say(f"{tree['method']} {one.name}")
                time.sleep(options.load_ms / 1000)
                SLEEP["weights"] = True
            else:
                tags = query.get("tags", ["weights", "kv_cache"])
                say(f"wake {','.join(tags)} {one.name}")
                if "kv_cache" in tags:
                    time.sleep(options.wake_ms / 1000)
                    SLEEP.update(level=0, kv_cache=True)
        self.answer(None)

    def forward(self, body, tree):
        """Forwards a request for tokens to the process of its model. As llama-server and Ollama do, starts that process if necessary."""
        name = untagged(tree.get("model", ""))
        if name not in MODELS:
            return self.refuse(400, "model name is missing from the request")
        with LOCK:
            COUNT["tokens"] += 1
            count = COUNT["tokens"]
        if count >= options.refuses_from:
            return self.refuse(500, "planted: no more answers")
        confused = dict([options.confuses.split("=", 1)]) if options.confuses else {}
        one = MODELS[confused.get(name, name)]
        if options.control == "vllm" and (SLEEP["level"] or not SLEEP["weights"]):
            return self.refuse(500, "the engine sleeps, or its weights were not loaded again")
        with LOCK:
            if not one.process:
                say("autoload " + name)
                make_room(name)
                one.start()
            one.last_use = time.monotonic()
        request = urllib.request.Request(f"http://127.0.0.1:{one.port}{self.path}", body, {"Content-Type": "application/json"})
        try:
            reply = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return self.answer(json.loads(error.read()), error.code)
        self.send_response(200)
        self.send_header("Content-Type", reply.headers["Content-Type"])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while data := reply.read1(1 << 16):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if count >= options.evicts_from:
            with LOCK:
                say("evicted " + one.name)
                one.stop()
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", options.port), Handler)
if options.control == "vllm":
    next(iter(MODELS.values())).start()
print(server.server_address[1], flush=True)


def end_with_parent():
    sys.stdin.read()
    for one in MODELS.values():
        one.stop()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
server.serve_forever()
