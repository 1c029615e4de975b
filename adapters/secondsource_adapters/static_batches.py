"""Serves runtimes that work on a batch until all of its rows have ended, as most libraries do."""
from collections import deque

from .protocol import STOP, Runtime


class StaticBatches(Runtime):
    """Takes the waiting requests, at most max_in_flight, as a batch, and generates until every row has all of its tokens. A
    subclass implements generate(prompts, n_tokens), which yields the tokens that become known at the same time, as {row: id};
    STOP in place of an id ends that row. Where the length of a batch is limited, it also implements fits()."""

    def __init__(self, options):
        super().__init__(options)
        self._waiting = deque()
        self._rows = []
        self._ids = None

    def generate(self, prompts, n_tokens):
        raise NotImplementedError

    def fits(self, longest_prompt, n_tokens):
        """Whether a batch whose longest prompt has so many ids can generate n_tokens. A request that does not fit alone is refused
        by add()."""
        return True

    def add(self, request):
        self._waiting.append(request)

    def step(self):
        if self._ids is None:
            self._rows = self._next_batch()
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

    def _next_batch(self):
        """Takes waiting requests in their order, until the next one would make the batch too large or too long: prompts are padded
        to the longest, and every row goes on until the last one ends."""
        rows = [self._waiting.popleft()]
        longest_prompt, n_tokens = len(rows[0].ids), rows[0].n_tokens
        while self._waiting and len(rows) < self.max_in_flight:
            longest_prompt = max(longest_prompt, len(self._waiting[0].ids))
            n_tokens = max(n_tokens, self._waiting[0].n_tokens)
            if not self.fits(longest_prompt, n_tokens):
                break
            rows.append(self._waiting.popleft())
        return rows

    def _end_batch_without_rows(self):
        if self._ids is not None and all(row is None for row in self._rows):
            self._ids.close()
            self._ids = None
