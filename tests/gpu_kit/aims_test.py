"""Tests aims.py on results written by hand."""

import json
import pathlib
import tempfile
import unittest

import aims


def product(rate, k, variant="bf16", m=512):
    return {"name": f"BM_matmul/cuda/{variant}/m:{m}/k:{k}/n:4096/manual_time", "run_type": "iteration", "GFLOP/s": rate}


def repetition(seconds, cell="Llama-3.1-8B/cuda/bf16/single-stream@512/128"):
    return {"type": "repetition", "cell": cell,
            "decode": {"ns": int(1e9 * seconds), "weight_bytes": 1.5e12, "kv_bytes": 0.5e12}}


class Aims(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-aims-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def write(self, name, document):
        (self.folder / name).write_text(json.dumps(document))

    def verdicts(self):
        return [line.split(" | ") for line in aims.table(self.folder).splitlines()[2:]]

    def test_what_was_not_measured_names_its_step(self):
        self.assertEqual([row[3] for row in self.verdicts()], [
            f"not measured: step {step} |" for step in ("limits", "pytorch", "kernels", "models-8B-beside-pytorch")])

    def test_decode_is_bytes_by_time_by_the_read_rate_the_median_of_the_repetitions(self):
        self.write("limits.json", {"devices": [{"backend": "cuda", "read_bytes_per_s": 4e12}]})
        (self.folder / "run-8B").mkdir()
        others = [{"type": "request"}, repetition(0.1, "Llama-3.1-8B/cuda/int8/single-stream@512/128"),
                  repetition(0.1, "Llama-3.1-8B/cuda/bf16/offline:16@512/128")]
        lines = others + [repetition(0.5), repetition(0.55), repetition(1.0)]
        (self.folder / "run-8B/samples.jsonl").write_text("\n".join(map(json.dumps, lines)))
        self.assertEqual(self.verdicts()[0][1:], ["90%", "90.9% (3636 of 4000 GB/s)", "met |"])
        self.write("limits.json", {"devices": [{"backend": "cuda", "read_bytes_per_s": 5e12}]})
        self.assertEqual(self.verdicts()[0][2:], ["72.7% (3636 of 5000 GB/s)", "not met |"])

    def test_the_worst_prefill_attention_counts_and_decode_attention_does_not(self):
        case = {"kind": "attention", "seqs": 1, "kv": 512}
        self.write("side-by-side.json", {"cases": [
            {**case, "q": 512, "gflop_s": 71.0, "pytorch_gflop_s": 100.0},
            {**case, "q": 256, "gflop_s": 99.0, "pytorch_gflop_s": 100.0},
            {**case, "q": 1, "gflop_s": 1.0, "pytorch_gflop_s": 100.0},
            {**case, "q": 64, "gflop_s": 1.0, "pytorch_gflop_s": None}]})
        self.assertEqual(self.verdicts()[1][2:], ["71.0% (the worst of 2: q:512 kv:512 seqs:1)", "met |"])

    def test_the_worst_product_of_prefill_counts(self):
        self.write("kernels.json", {"benchmarks": [product(96.0, 4096), product(94.0, 14336), product(1.0, 4096, m=64),
                                                   product(1.0, 4096, "int8"), {**product(1.0, 1), "error_occurred": True}]})
        self.assertEqual(self.verdicts()[2][3], "not measured: step kernels-library |")
        self.write("kernels-library.json", {"benchmarks": [product(100.0, 4096), product(100.0, 14336)]})
        self.assertEqual(self.verdicts()[2][2:], ["94.0% (the worst of 2: k:14336 n:4096)", "not met |"])

    def test_the_library_is_the_faster_of_ours_and_pytorchs(self):
        self.write("kernels.json", {"benchmarks": [product(96.0, 4096)]})
        self.write("kernels-library.json", {"benchmarks": [product(100.0, 4096)]})
        case = {"kind": "matmul", "variant": "bf16", "m": 512, "k": 4096, "n": 4096}
        others = [{"kind": "attention", "q": 1, "kv": 9, "seqs": 1, "gflop_s": 1.0, "pytorch_gflop_s": 900.0},
                  {**case, "m": 64, "pytorch_gflop_s": 900.0}, {**case, "k": 1, "pytorch_gflop_s": 900.0},
                  {**case, "variant": "int8", "pytorch_gflop_s": None}]
        for pytorch, found in ((120.0, "80.0%"), (90.0, "96.0%"), (None, "96.0%")):
            self.write("side-by-side.json", {"cases": [*others, {**case, "pytorch_gflop_s": pytorch}]})
            self.assertEqual(self.verdicts()[2][2], f"{found} (the worst of 1: k:4096 n:4096)")

    def test_a_file_that_is_cut_short_takes_no_more_than_its_own_row(self):
        self.write("limits.json", {"devices": [{"backend": "cuda", "read_bytes_per_s": 4e12}]})
        (self.folder / "run-8B").mkdir()
        (self.folder / "run-8B/samples.jsonl").write_text(json.dumps(repetition(0.5)) + '\n{"type": "repet')
        (self.folder / "kernels.json").write_text('{"benchmarks": [{"name')
        self.write("peers.json", {"versions": {}})
        case = {"kind": "attention", "seqs": 1, "kv": 512, "q": 512, "gflop_s": 71.0, "pytorch_gflop_s": 100.0}
        self.write("side-by-side.json", {"cases": [case]})
        self.assertEqual([row[3] for row in self.verdicts()],
                         ["not measured: run-8B/samples.jsonl is cut short (step run-8B) |", "met |",
                          "not measured: kernels.json is cut short (step kernels) |",
                          "not measured: a file is not as expected (KeyError: 'cases') |"])

    def test_the_first_token_has_to_be_ahead_of_the_faster_pytorch(self):
        rates = {"secondsource": [{"first token": 51200.0, "decode": 1.0}] * 3, "PyTorch": [{"first token": 25600.0}] * 3,
                 "PyTorch, CUDA graphs": [{"first token": 51200.0}] * 3, "llama.cpp": []}
        case = {"shape": "Llama-3.1-8B", "precision": "bf16", "batch": 1, "context": 0, "prompt": 512}
        document = {"cases": [{"case": {**case, "batch": 16}, "rates": {}}, {"case": case, "rates": rates}]}
        self.write("peers.json", document)
        self.assertEqual(self.verdicts()[3][2:], ["100.0% (10.0 ms, PyTorch, CUDA graphs: 10.0 ms)", "not met |"])
        rates["secondsource"] = [{"first token": 102400.0}] * 3
        self.write("peers.json", document)
        self.assertEqual(self.verdicts()[3][2:], ["200.0% (5.0 ms, PyTorch, CUDA graphs: 10.0 ms)", "met |"])

    def test_an_unfinished_comparison_with_pytorch_gets_no_verdict(self):
        rates = {"secondsource": [{"first token": 102400.0}] * 2, "PyTorch": [{"first token": 25600.0}] * 2}
        case = {"shape": "Llama-3.1-8B", "precision": "bf16", "batch": 1, "context": 0, "prompt": 512}
        self.write("peers.json", {"cases": [{"case": case, "rates": rates}]})
        self.assertEqual(self.verdicts()[3][3], "not measured: 2 of 3 rounds (step models-8B-beside-pytorch) |")


if __name__ == "__main__":
    unittest.main()
