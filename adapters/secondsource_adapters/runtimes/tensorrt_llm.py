"""NVIDIA's TensorRT-LLM by its LLM API, with its own batching: ids in, ids out as a stream, logits of a prompt.

Written from the API reference of version 1.2 and tested against a stand-in (tests/adapters/stand_ins); not run on a GPU.
"""
import asyncio

from ..protocol import Refusal, Runtime, Score, versions_of

NO_END = -1  # an id that no token has


class Adapter(Runtime):
    name = "tensorrt-llm"
    forced = "logits"
    known_options = {
        "dtype": "auto",  # the one that the weights are stored in, or float32, bfloat16, float16
        "tensor_parallel": "1",  # GPUs
        "batch": "64",  # requests that are worked on at once
        "kv_cache_share": "0.8",  # of the memory that is free once the weights are loaded
    }

    def __init__(self, options):
        super().__init__(options)
        self.choice_option("dtype", "auto", "float32", "bfloat16", "float16")
        self._n_devices = self.number_option("tensor_parallel")
        self.max_in_flight = self.number_option("batch")
        self._kv_cache_share = self._share_option("kv_cache_share")
        self._tasks = {}
        self._outputs = {}
        self._found = []

    def _share_option(self, name):
        try:
            share = float(self.options[name])
        except ValueError:
            share = 0
        if not 0 < share <= 1:
            raise Refusal("invalid-input", f"option {name}: expected a number above 0 and up to 1, found {self.options[name]!r}")
        return share

    def versions(self):
        return versions_of("tensorrt-llm")

    def settings(self):
        return {**self.options, "enable_block_reuse": "False"}

    def load(self, folder):
        from tensorrt_llm import LLM, SamplingParams
        from tensorrt_llm.llmapi import KvCacheConfig
        self._params_of = SamplingParams
        # Prefix reuse is off, since it would skip the prefill of a prompt that was sent before, and with it the logits of
        # its prefix, which score() needs.
        cache = KvCacheConfig(enable_block_reuse=False, free_gpu_memory_fraction=self._kv_cache_share)
        self._llm = LLM(model=folder, skip_tokenizer_init=True, dtype=self.options["dtype"], tensor_parallel_size=self._n_devices,
                        max_batch_size=self.max_in_flight, kv_cache_config=cache)
        self._loop = asyncio.new_event_loop()
        self._arrived = asyncio.Event()
        self._loop.run_until_complete(self._answer([1, 2, 3], 3))

    def _params(self, n_tokens, **more):
        return self._params_of(max_tokens=n_tokens, top_k=1, end_id=NO_END, ignore_eos=True, detokenize=False, **more)

    async def _answer(self, ids, n_tokens, **more):
        """Runs a request by itself, and returns its whole output."""
        output = self._llm.generate_async(ids, self._params(n_tokens, **more), streaming=True)
        async for _ in output:
            pass
        return output

    async def _follow(self, request):
        output = self._outputs[request.number] = self._llm.generate_async(
            request.ids, self._params(request.n_tokens), streaming=True)
        async for so_far in output:
            self._found += [(request.number, token) for token in so_far.outputs[0].token_ids_diff]
            self._arrived.set()

    def add(self, request):
        self._tasks[request.number] = self._loop.create_task(self._follow(request))

    def step(self):
        return self._loop.run_until_complete(self._next_tokens())

    async def _next_tokens(self):
        arrival = asyncio.ensure_future(self._arrived.wait())
        await asyncio.wait({arrival, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        arrival.cancel()
        for number, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[number], self._outputs[number]
                task.result()  # raises the exception, if one ended the task
        self._arrived.clear()
        found, self._found = self._found, []
        return found

    def cancel(self, number):
        if number in self._outputs:
            self._outputs.pop(number).abort()
        if number in self._tasks:
            self._tasks.pop(number).cancel()
        self._found = [one for one in self._found if one[0] != number]

    def score(self, ids, n_prompt, wanted):
        output = self._loop.run_until_complete(self._answer(ids[:-1], 1, return_context_logits=True))
        logits = output.context_logits.float().cpu().numpy()
        if len(logits) != len(ids) - 1:
            raise Refusal("error", f"expected logits of {len(ids) - 1} ids, found those of {len(logits)}")
        return Score.of_logits(logits[n_prompt - 1:], ids[n_prompt:], wanted)
