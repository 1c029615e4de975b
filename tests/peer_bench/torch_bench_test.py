"""Tests torch_bench.py on the CPU with a model of two layers: with the static cache, which CUDA graphs need, it must generate the same ids
as transformers' own generate(). Skipped if PyTorch or transformers is missing.

    python3 torch_bench_test.py SOURCE_FOLDER
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(sys.argv[1]).resolve()
BENCH = SOURCE / "apps/peer_bench"
BUNDLE = SOURCE / "bundles/tiny-gqa8-hd64"


class TorchBench(unittest.TestCase):
    def test_both_caches_give_what_generate_gives(self):
        import torch
        import torch_bench

        model = torch_bench.Model(BUNDLE, "cpu", 1)
        prompt = torch.randint(3, 500, (2, 9), generator=torch.Generator().manual_seed(2))
        n_steps = 6
        with torch.inference_mode():
            expected = model.model.generate(prompt, max_new_tokens=1 + torch_bench.WARM_UP_STEPS + n_steps, do_sample=False,
                                            min_new_tokens=1 + torch_bench.WARM_UP_STEPS + n_steps)[:, prompt.shape[1]:].T.tolist()
            for in_graph in (False, True):
                prefill_seconds, seconds, found = model.decode(prompt, n_steps, in_graph)
                self.assertGreater(min(prefill_seconds, seconds), 0)
                self.assertEqual(found, expected[:1 + torch_bench.WARM_UP_STEPS] + expected[-1:])

    def test_sequences_with_one_context_give_what_each_gives_alone(self):
        import torch
        import torch_bench

        model = torch_bench.Model(BUNDLE, "cpu", 1)
        prompt = torch.randint(3, 500, (1, 9), generator=torch.Generator().manual_seed(3))
        with torch.inference_mode():
            *_, alone = model.decode(prompt, 4, False)
            *_, copied = model.decode(prompt, 4, False, copies=3)
        self.assertEqual(copied, [ids * 3 for ids in alone])

    def test_the_program_prints_every_rate(self):
        case = {"backend": "cpu", "batch": 1, "context": 0, "prompt": 8, "generate": 4, "threads": 1}
        for flag, changed, expected in (("--graphs", {}, ["decode", "first token", "prefill"]),
                                        ("--f32", {}, ["decode", "first token", "prefill"]),
                                        ("--f32", {"context": 12}, ["decode", "prefill"]),
                                        ("--f32", {"context": 12, "batch": 2}, ["decode"])):
            out = subprocess.run([sys.executable, BENCH / "torch_bench.py", BUNDLE, json.dumps(case | changed), flag],
                                 stdout=subprocess.PIPE, text=True, check=True).stdout
            rates = json.loads(out.splitlines()[-1])
            self.assertEqual(sorted(rates), expected)
            self.assertGreater(min(rates.values()), 0)


if __name__ == "__main__":
    if any(importlib.util.find_spec(module) is None for module in ("torch", "transformers", "safetensors")):
        print("skipped: PyTorch, transformers or safetensors is not installed")
        sys.exit(77)
    sys.path.insert(0, str(BENCH))
    unittest.main(argv=sys.argv[:1], verbosity=1)
