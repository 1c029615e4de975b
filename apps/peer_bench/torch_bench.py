"""Measures PyTorch on one case: torch_bench.py BUNDLE CASE_JSON. Prints {"prefill": tokens/s, "decode": tokens/s}.

The model is transformers' own for the bundle's config.json, with the bundle's weights. One warm-up of each kind, untimed.
"""

import json
import sys
import time


def main():
    import torch
    import transformers

    folder, case = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(case["threads"])
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager")
    model.eval()
    random = torch.Generator().manual_seed(1)

    def tokens(batch, length):
        return torch.randint(3, model.config.vocab_size, (batch, length), generator=random)

    def step(ids, cache):
        # The head on the last row alone, as everybody else does it.
        return model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)

    rates = {}
    with torch.inference_mode():
        if case["batch"] == 1 and case["context"] == 0:
            step(tokens(1, case["prompt"]), None)
            begin = time.perf_counter()
            step(tokens(1, case["prompt"]), None)
            rates["prefill"] = case["prompt"] / (time.perf_counter() - begin)
        out = step(tokens(case["batch"], max(case["context"], 1)), None)
        out = step(tokens(case["batch"], 1), out.past_key_values)
        begin = time.perf_counter()
        for _ in range(case["generate"]):
            ids = out.logits[:, -1].argmax(-1, keepdim=True)
            out = step(ids, out.past_key_values)
        rates["decode"] = case["batch"] * case["generate"] / (time.perf_counter() - begin)
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
