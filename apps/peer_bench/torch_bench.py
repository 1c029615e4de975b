"""Measures PyTorch on one case: torch_bench.py BUNDLE CASE_JSON [--graphs | --f32]. Prints {"prefill", "first token", "decode": tokens/s}.

The model is transformers' own for the bundle's config.json, with the bundle's weights. One warm-up of each kind, untimed.
--graphs: a decode step over a static cache, captured once as a CUDA graph and replayed. --f32: the weights widened, for CPUs
that cannot multiply BF16.
"""

import json
import sys
import time

WARM_UP_STEPS = 3  # before a capture, as PyTorch's documentation has it


class Model:
    def __init__(self, folder, device, threads, in_f32=False):
        import torch
        import transformers

        torch.set_num_threads(threads)
        # On CPUs the fused attention is the slow one in BF16.
        attention = "eager" if device == "cpu" else "sdpa"
        self.torch, self.device = torch, device
        dtype = torch.float32 if in_f32 else torch.bfloat16
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
        self.model.eval().to(device)

    def now(self):
        if self.device != "cpu":
            self.torch.cuda.synchronize()
        return time.perf_counter()

    def step(self, ids, cache):
        # The head on the last row alone, as everybody else does it.
        return self.model(input_ids=ids.to(self.device), past_key_values=cache, use_cache=True, logits_to_keep=1)

    def empty_cache(self, n_prompt, n_steps, in_graph):
        """A new cache for decode() of a prompt of so many tokens; None, with which the model makes one of its own, without a graph."""
        if not in_graph:
            return None
        import transformers
        return transformers.StaticCache(config=self.model.config, max_cache_len=n_prompt + WARM_UP_STEPS + n_steps)

    def decode(self, prompt, n_steps, in_graph, copies=1):
        """Seconds of the prompt, seconds of n_steps decode steps after it, and the ids that they and the warm-up gave, [n, batch].
        `copies`: sequences made of each one of the prompt, whose context is computed once; not of a static cache."""
        torch = self.torch
        cache = self.empty_cache(prompt.shape[1], n_steps, in_graph)
        begin = self.now()
        out = self.step(prompt, cache)
        prefill_seconds = self.now() - begin
        cache = out.past_key_values
        ids = out.logits[:, -1].argmax(-1, keepdim=True)
        if copies > 1:
            cache.batch_repeat_interleave(copies)
            ids = ids.repeat_interleave(copies, 0)
        found = [ids.flatten().tolist()]

        def advance():
            ids.copy_(self.step(ids, cache).logits[:, -1].argmax(-1, keepdim=True))

        for _ in range(WARM_UP_STEPS):
            advance()
            found.append(ids.flatten().tolist())
        replay = advance
        if in_graph and self.device != "cpu":
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                advance()
            replay = graph.replay
        begin = self.now()
        for _ in range(n_steps):
            replay()
        seconds = self.now() - begin
        found.append(ids.flatten().tolist())
        return prefill_seconds, seconds, found


def main():
    folder, case, in_graph = sys.argv[1], json.loads(sys.argv[2]), "--graphs" in sys.argv[3:]
    model = Model(folder, "cpu" if case["backend"] == "cpu" else "cuda", case["threads"], "--f32" in sys.argv[3:])
    random = model.torch.Generator().manual_seed(1)

    def tokens(batch, length):
        return model.torch.randint(3, model.model.config.vocab_size, (batch, length), generator=random)

    rates = {}
    with model.torch.inference_mode():
        if case["batch"] == 1 and case["context"] == 0:
            model.step(tokens(1, case["prompt"]), None)
            prompt = tokens(1, case["prompt"])
            begin = model.now()
            out = model.step(prompt, None)
            rates["prefill"] = case["prompt"] / (model.now() - begin)
            begin = model.now()
            out = model.step(prompt, None)
            out.logits[:, -1].argmax(-1).item()
            rates["first token"] = case["prompt"] / (model.now() - begin)
        # A long context for each of many sequences would take a CPU an hour.
        copies = case["batch"] if case["backend"] == "cpu" and case["context"] > 0 else 1
        prompt = tokens(case["batch"] // copies, max(case["context"], 1))
        if case["context"] > 0:
            # A warm-up keeps one-time costs out of the prompt's time. On a GPU they include choosing kernels for the prompt's length and
            # allocating its memory, so that the warm-up is as long as the prompt.
            warm_up = tokens(1, 16 if case["backend"] == "cpu" else case["context"])
            model.step(warm_up, model.empty_cache(warm_up.shape[1], case["generate"], in_graph))
        prefill_seconds, seconds, _ = model.decode(prompt, case["generate"], in_graph, copies)
        if case["batch"] == 1 and case["context"] > 0:
            rates["prefill"] = case["context"] / prefill_seconds
        rates["decode"] = case["batch"] * case["generate"] / seconds
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
