"""Serves runtimes that work on a batch until all of its rows have ended, as most libraries do."""
from collections import deque

from .protocol import STOP, Runtime


class StaticBatches(Runtime):
    """Takes the requests that wait, at most max_in_flight, and generates with them until the last has all of its tokens. A
    subclass has generate(prompts, n_tokens), which yields the tokens that were known at one time, as {row: id}; STOP in place of
    an id ends that row."""

    def __init__(self, options):
        super().__init__(options)
        self._waiting = deque()
        self._rows = []
        self._ids = None

    def generate(self, prompts, n_tokens):
        raise NotImplementedError

    def add(self, request):
        self._waiting.append(request)

    def step(self):
        if self._ids is None:
            self._rows = [self._waiting.popleft() for _ in range(min(len(self._waiting), self.max_in_flight))]
            self._ids = self.generate([row.ids for row in self._rows], max(row.n_tokens for row in self._rows))
        tokens = []
        for index, token in next(self._ids).items():
            row = self._rows[index]
            if row is None:
                continue  # it has all of its tokens, or was cancelled
            tokens.append((row.number, token))
            if token is STOP or row.n_done + 1 == row.n_tokens:
                self._rows[index] = None
        self._end_batch_without_rows()
        return tokens

    def cancel(self, number):
        self._waiting = deque(one for one in self._waiting if one.number != number)
        self._rows = [None if row is not None and row.number == number else row for row in self._rows]
        self._end_batch_without_rows()

    def _end_batch_without_rows(self):
        if self._ids is not None and all(row is None for row in self._rows):
            self._ids.close()
            self._ids = None
