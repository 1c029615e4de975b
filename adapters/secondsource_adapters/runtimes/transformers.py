"""Hugging Face transformers: a PyTorch model as it is (eager), or compiled by torch.compile with a static cache.

The decode loop is ours, as transformers' own generate() gives no tokens of a batch one by one. It is greedy, pads on the left
where the rows of a batch differ in length, and runs each step of all rows as one call of the model.
"""
from ..protocol import Refusal, Score, versions_of
from ..static_batches import StaticBatches

WARM_UP_IDS = [1, 2, 3, 4]


class Adapter(StaticBatches):
    name = "transformers"
    forced = "logits"
    known_options = {
        "mode": "eager",  # or compile
        "cache": "dynamic",  # or static
        "dtype": "auto",  # the one that the weights are stored in, or float32, bfloat16, float16
        "device": "cpu",  # cuda, cuda:1, xla, hpu: whatever PyTorch has here
        "attention": "sdpa",
        "batch": "8",  # rows at most
        "context": "2048",  # tokens of a static cache
        "threads": "0",  # 0: as many as PyTorch takes
    }

    def __init__(self, options):
        super().__init__(options)
        self._is_compiled = self.choice_option("mode", "eager", "compile") == "compile"
        self._is_static = self.choice_option("cache", "dynamic", "static") == "static"
        if self._is_compiled and not self._is_static:
            raise Refusal("invalid-input", "option mode: compile takes cache: static beside it, so that shapes stay the same")
        self.choice_option("dtype", "auto", "float32", "bfloat16", "float16")
        self.max_in_flight = self.number_option("batch")
        self._context = self.number_option("context")
        self._threads = self.number_option("threads", least=0)

    def versions(self):
        return versions_of("transformers", "torch")

    def load(self, folder):
        import torch
        import transformers
        transformers.logging.set_verbosity_error()
        if self._threads:
            torch.set_num_threads(self._threads)
        self._torch = torch
        self._cache_of = transformers.StaticCache
        dtype = self.options["dtype"]
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype if dtype == "auto" else getattr(torch, dtype), attn_implementation=self.options["attention"],
            local_files_only=True)
        self._device = self.options["device"]
        self._model = self._model.to(self._device).eval()
        # The prefill is not compiled, since the lengths of prompts differ; transformers' own generate() does the same.
        self._decode = torch.compile(self._model.forward) if self._is_compiled else self._model
        for _ in self.generate([WARM_UP_IDS], 3):
            pass
        self.score(WARM_UP_IDS, 2, [[], []])

    def fits(self, longest_prompt, n_tokens):
        return not self._is_static or longest_prompt + n_tokens <= self._context

    def add(self, request):
        if not self.fits(len(request.ids), request.n_tokens):
            raise ValueError(f"{len(request.ids)} + {request.n_tokens} tokens in a static cache of {self._context} "
                             "(option context)")
        super().add(request)

    def generate(self, prompts, n_tokens):
        torch = self._torch
        with torch.inference_mode():
            longest = max(len(ids) for ids in prompts)
            is_padded = any(len(ids) != longest for ids in prompts)
            padding = [longest - len(ids) for ids in prompts]
            ids = torch.tensor([[0] * n + row for n, row in zip(padding, prompts)], device=self._device)
            padding = torch.tensor(padding, device=self._device)[:, None]
            cache = None
            if self._is_static:
                cache = self._cache_of(config=self._model.config, max_cache_len=self._context)
            mask = None
            step = self._model
            begin, end = 0, longest
            for _ in range(n_tokens):
                positions = (torch.arange(begin, end, device=self._device)[None, :] - padding).clamp(min=0)
                if is_padded:
                    mask = (torch.arange(end, device=self._device)[None, :] >= padding).long()
                out = step(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache,
                           use_cache=True, logits_to_keep=1)
                cache = out.past_key_values
                ids = out.logits[:, -1].float().argmax(-1, keepdim=True)
                yield dict(enumerate(ids[:, 0].tolist()))
                step = self._decode
                begin, end = end, end + 1

    def score(self, ids, n_prompt, wanted):
        torch = self._torch
        n_scored = len(ids) - n_prompt
        with torch.inference_mode():
            row = torch.tensor([ids[:-1]], device=self._device)
            logits = self._model(input_ids=row, use_cache=False, logits_to_keep=n_scored).logits[0].float()
            logprobs = logits.log_softmax(-1).cpu().numpy()
        return Score.of_each(logprobs, ids[n_prompt:], wanted)
