"""Speaks the adapter's end of the protocol (docs/adapters.md), one JSON object per line. It needs only the standard library.

A runtime is a subclass of Runtime. This module reads the requests, calls it, stamps what it returns, and writes the answers;
whatever a library prints to standard output goes to standard error.
"""
import json
import math
import os
import select
import sys
import time
from dataclasses import dataclass, field

PROTOCOL = 1
STOP = object()  # in place of a token's id: the runtime has ended the answer, and cannot be made to go on


class Refusal(Exception):
    """Says why the adapter cannot go on. `kind` is invalid-input (an option), unavailable (something is not installed),
    unsupported (this model), out-of-memory or error."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


@dataclass
class Request:
    number: int
    ids: list
    n_tokens: int
    n_done: int = 0


@dataclass
class Score:
    """The log-probabilities of the model at one position, in nats."""
    logprob: float
    best: int = None
    wanted: list = field(default_factory=list)

    @classmethod
    def of(cls, logprobs, given, wanted):
        """Makes a score from the log-probabilities of the whole vocabulary, a NumPy array. If one of them is not finite, none
        counts."""
        import numpy
        if not numpy.isfinite(logprobs).all():
            return cls(math.nan, int(logprobs.argmax()), [math.nan] * len(wanted))
        return cls(float(logprobs[given]), int(logprobs.argmax()), [float(logprobs[one]) for one in wanted])

    @classmethod
    def of_each(cls, logprobs, given, wanted):
        """Makes the scores that Runtime.score() returns. Row i of `logprobs`, a NumPy array, holds the log-probabilities of the
        whole vocabulary at the position of given[i]."""
        return [cls.of(logprobs[index], one, wanted[index] if wanted else ()) for index, one in enumerate(given)]

    @classmethod
    def of_logits(cls, logits, given, wanted):
        """Makes the scores that Runtime.score() returns from logits of the same shape, which are normalized in float64."""
        import numpy
        logits = numpy.asarray(logits, dtype=numpy.float64)
        return cls.of_each(logits - numpy.logaddexp.reduce(logits, axis=-1, keepdims=True), given, wanted)


class Runtime:
    """The base class of the runtimes. The options of the plan are strings; __init__() refuses those that are not known."""

    name = ""
    tokens = "ids"  # or "text": what step() gives
    forced = "none"  # or "logprob", "best", "logits": what score() gives
    max_in_flight = 1  # requests that are worked on at once; add() takes any number
    known_options = {}  # name: default

    def __init__(self, options):
        for name in options:
            if name not in self.known_options:
                known = ", ".join(sorted(self.known_options)) or "none"
                raise Refusal("invalid-input", f"option {name}: expected one of {known}")
        self.options = {**self.known_options, **options}

    def versions(self):
        """Returns the versions of the libraries that decide what is computed, without loading them where that takes time."""
        return {}

    def settings(self):
        """Returns all settings that the runtime works with, defaults included."""
        return self.options

    def load(self, folder):
        """Loads the model in a folder as Hugging Face writes it, and makes the first request as fast as the others."""
        raise NotImplementedError

    def add(self, request):
        """Takes a request. Raises ValueError for one that can never run."""
        raise NotImplementedError

    def step(self):
        """Works until some tokens are known on the host, and returns them as (request's number, id) or (number, id, text)."""
        raise NotImplementedError

    def cancel(self, number):
        """Forgets a request that has not ended."""
        raise NotImplementedError

    def score(self, ids, n_prompt, wanted):
        """Returns a Score for each of ids[n_prompt:], given all ids before it. `wanted` names the ids whose log-probabilities
        Score.wanted has."""
        raise NotImplementedError

    # These return the value of an option, and refuse one that is not allowed.

    def number_option(self, name, least=1):
        try:
            value = int(self.options[name])
        except ValueError:
            value = least - 1
        if value < least:
            raise Refusal("invalid-input", f"option {name}: expected a number from {least}, found {self.options[name]!r}")
        return value

    def choice_option(self, name, *choices):
        if self.options[name] not in choices:
            raise Refusal("invalid-input", f"option {name}: expected {' or '.join(choices)}, found {self.options[name]!r}")
        return self.options[name]


def versions_of(*distributions):
    """Returns the versions of installed distributions. One that is missing makes the runtime unavailable."""
    from importlib import metadata
    try:
        return {name: metadata.version(name) for name in distributions}
    except metadata.PackageNotFoundError as missing:
        raise Refusal("unavailable", f"{sys.executable} has no package {missing.name}") from missing


class Lines:
    """Reads and writes the two pipes. Whatever libraries print, from Python or from C, goes to standard error instead of into
    the protocol."""

    def __init__(self):
        self._out = os.dup(1)
        os.set_inheritable(self._out, False)
        os.dup2(2, 1)
        self._received = b""
        self._is_over = False

    def read(self, wait):
        """Returns the requests that have arrived, and with `wait` at least one; None if there will be no more."""
        while not self._is_over and (wait and b"\n" not in self._received or select.select([0], [], [], 0)[0]):
            chunk = os.read(0, 1 << 20)
            self._received += chunk
            self._is_over = not chunk
        *lines, self._received = self._received.split(b"\n")
        return None if self._is_over and not lines else [json.loads(line) for line in lines]

    def write(self, *answers):
        rest = "".join(json.dumps(answer, allow_nan=False, separators=(",", ":")) + "\n" for answer in answers).encode()
        while rest:
            rest = rest[os.write(self._out, rest):]


def finite(value):
    """Returns the number, or None (null in JSON) for one that is not finite, which JSON cannot express."""
    return float(value) if math.isfinite(value) else None


class Session:
    def __init__(self, make, lines):
        self._make = make
        self._lines = lines
        self._runtime = None
        self._open = {}

    def run(self):
        while True:
            requests = self._lines.read(wait=not self._open)
            if requests is None:
                return
            for request in requests:
                if request["do"] == "stop":
                    return
                getattr(self, "do_" + request["do"])(request)
            if self._open:
                self._step()

    def do_hello(self, request):
        if request["protocol"] != PROTOCOL:
            raise Refusal("unsupported", f"this adapter speaks version {PROTOCOL} of the protocol, "
                                         f"and was asked for {request['protocol']}")
        runtime = self._runtime = self._make(request["options"])
        texts = [{name: str(value) for name, value in facts.items()} for facts in (runtime.versions(), runtime.settings())]
        self._lines.write({"say": "hello", "protocol": PROTOCOL, "runtime": runtime.name, "versions": texts[0],
                           "settings": texts[1], "tokens": runtime.tokens, "forced": runtime.forced,
                           "max_in_flight": runtime.max_in_flight})

    def do_load(self, request):
        self._runtime.load(request["model"])
        self._lines.write({"say": "loaded"})

    def do_generate(self, request):
        one = Request(request["request"], request["ids"], request["n_tokens"])
        try:
            self._runtime.add(one)
        except ValueError as error:
            self._lines.write({"say": "end", "request": one.number, "finish": "error", "message": str(error)})
            return
        self._open[one.number] = one

    def do_score(self, request):
        try:
            scores = self._runtime.score(request["ids"], request["n_prompt"], request["wanted"])
        except ValueError as error:
            self._lines.write({"say": "end", "request": request["request"], "finish": "error", "message": str(error)})
            return
        self._lines.write({"say": "scores", "request": request["request"], "scores": [
            {"logprob": finite(one.logprob), "best": one.best, "wanted": [finite(value) for value in one.wanted]}
            for one in scores]})

    def do_cancel(self, request):
        number = request["request"]
        if self._open.pop(number, None) is None:
            return  # it ended before the request to cancel it arrived
        self._runtime.cancel(number)
        self._lines.write({"say": "end", "request": number, "finish": "cancelled"})

    def _step(self):
        found = self._runtime.step()
        at_ns = time.monotonic_ns()
        tokens, ends = [], []
        for number, token, *text in found:
            request = self._open[number]
            if token is STOP:
                ends.append({"say": "end", "request": number, "finish": "stop"})
                del self._open[number]
                continue
            one = {"request": number, "index": request.n_done}
            if token is not None:
                one["id"] = int(token)
            if text:
                one["text"] = text[0]
            tokens.append(one)
            request.n_done += 1
            if request.n_done == request.n_tokens:
                ends.append({"say": "end", "request": number, "finish": "length"})
                del self._open[number]
        if tokens:
            ends.insert(0, {"say": "step", "at_ns": at_ns, "tokens": tokens})
        self._lines.write(*ends)


def is_out_of_memory(error):
    return isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "out of memory" in str(error).lower()


def serve(make):
    """Serves until the harness ends the session. `make` takes the options and returns a Runtime. Returns an exit status."""
    lines = Lines()
    try:
        Session(make, lines).run()
        return 0
    except Refusal as refusal:
        lines.write({"say": "error", "kind": refusal.kind, "message": str(refusal)})
    except BrokenPipeError:
        pass  # the harness has closed the pipe
    except Exception as error:  # any exception of a runtime ends the adapter with an error of one line
        import traceback
        traceback.print_exc()
        kind = "out-of-memory" if is_out_of_memory(error) else "error"
        lines.write({"say": "error", "kind": kind, "message": f"{type(error).__name__}: {error}".split("\n")[0]})
    return 1
