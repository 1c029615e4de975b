"""A stand-in for NVIDIA's package tensorrt_llm: the part of its LLM API that the adapter uses, written from the API reference of
version 1.2 and from its result.py and sampling_params.py. Names that the reference does not have raise, as they would there.

In place of a model: the best id behind some ids is (their sum + 7 * their number) mod 64, and logits fall by one for each step
away from it, in a vocabulary of 64 ids. All requests advance together, a token at a time, as in a batch.
"""
import asyncio
from dataclasses import dataclass, field

from .llmapi import KvCacheConfig

VOCABULARY = 64
END = 9  # the end of text, which ends an answer unless ignore_eos is set


def logits_behind(ids):
    best = (sum(ids) + 7 * len(ids)) % VOCABULARY
    return [-float((one - best) % VOCABULARY) for one in range(VOCABULARY)]


@dataclass(kw_only=True)
class SamplingParams:
    end_id: int = None
    max_tokens: int = 32
    top_k: int = None
    ignore_eos: bool = False
    detokenize: bool = True
    return_context_logits: bool = False


class Tensor:
    """The part of torch.Tensor's interface that the adapter uses."""

    def __init__(self, rows):
        self._rows = rows

    def float(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        import numpy
        return numpy.array(self._rows, dtype=numpy.float32)


@dataclass
class CompletionOutput:
    token_ids: list = field(default_factory=list)
    token_ids_diff: list = field(default_factory=list)
    finish_reason: str = None


class RequestOutput:
    """An asynchronous iterator, which yields itself for each new token."""

    def __init__(self, ids, params):
        self._ids = list(ids)
        self._params = params
        self._is_aborted = False
        self.outputs = [CompletionOutput()]
        self.context_logits = None
        if params.return_context_logits:
            self.context_logits = Tensor([logits_behind(ids[:end]) for end in range(1, len(ids) + 1)])

    def abort(self):
        self._is_aborted = True

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0.001)
        output = self.outputs[0]
        if output.finish_reason or self._is_aborted:
            raise StopAsyncIteration
        logits = logits_behind(self._ids)
        best = logits.index(max(logits))
        self._ids.append(best)
        output.token_ids.append(best)
        output.token_ids_diff = [best]
        if best == self._params.end_id and not self._params.ignore_eos:
            output.finish_reason = "stop"
        elif len(output.token_ids) == self._params.max_tokens:
            output.finish_reason = "length"
        return self


class LLM:
    def __init__(self, model, tokenizer=None, skip_tokenizer_init=False, dtype="auto", tensor_parallel_size=1, max_batch_size=None,
                 kv_cache_config=None):
        assert skip_tokenizer_init and isinstance(kv_cache_config, KvCacheConfig) and max_batch_size > 0, "as the adapter calls it"
        assert not kv_cache_config.enable_block_reuse, "context logits of a reused prefix would be missing"

    def generate_async(self, inputs, sampling_params=None, streaming=False):
        asyncio.get_running_loop()  # an output can only be iterated over in the loop in which the request was made
        if sampling_params.end_id is None:
            raise ValueError("tokenizer is required to reset end_id if it is None")
        if not all(isinstance(one, int) for one in inputs):
            raise TypeError("expected token ids")
        return RequestOutput(inputs, sampling_params)

    def shutdown(self):
        pass
