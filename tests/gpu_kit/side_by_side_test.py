"""Tests the part of side_by_side.py that needs no GPU: from kernel_bench's JSON to the table."""

import contextlib
import unittest

import side_by_side


class FakeTorch:
    """A stand-in for torch.cuda's events. Any two consecutive ones are 2 ms apart."""

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            pass

        def elapsed_time(self, other):
            return 2.0

    class cuda:
        @staticmethod
        def synchronize():
            pass


FakeTorch.cuda.Event = FakeTorch.Event

DOCUMENT = {"benchmarks": [
    {"name": "BM_matmul/cuda/bf16/m:1/k:4096/n:14336/manual_time", "run_type": "iteration", "GB/s": 900.0, "GFLOP/s": 900.0},
    {"name": "BM_matmul/cuda/int8/m:1/k:4096/n:14336", "error_occurred": True},
    {"name": "BM_matmul/cuda/bf16/m:1/k:4096/n:14336_median", "run_type": "aggregate", "GB/s": 1.0, "GFLOP/s": 1.0},
    {"name": "BM_attention/cuda/bf16/seqs:1/q:1/kv:4096/heads:32/kv_heads:8/dim:128", "GB/s": 500.0, "GFLOP/s": 2000.0}]}


class SideBySide(unittest.TestCase):
    def test_cases_are_read_with_their_shape_and_failed_ones_left_out(self):
        cases = side_by_side.read_cases(DOCUMENT)
        self.assertEqual([case["kind"] for case in cases], ["matmul", "attention"])
        self.assertEqual((cases[0]["m"], cases[0]["k"], cases[0]["n"], cases[0]["variant"]), (1, 4096, 14336, "bf16"))
        self.assertEqual((cases[1]["kv"], cases[1]["kv_heads"], cases[1]["dim"]), (4096, 8, 128))

    def test_fractions_are_of_the_measured_limit_and_of_pytorch(self):
        cases = side_by_side.read_cases(DOCUMENT)
        rows = side_by_side.rows_of(cases, {"read_gb_s": 1000.0}, {0: (450.0, 750.0)})
        self.assertEqual(rows[0][2:], ["900", "90%", "900", "2.00", "1.20"])
        self.assertEqual(rows[1][2:], ["500", "50%", "2000", "-", "-"])
        table = side_by_side.markdown("a stand-in", {"read_gb_s": 1000.0, "pytorch_read_gb_s": 900.0}, rows)
        self.assertIn("Measured HBM read: 1000 GB/s by an own kernel, 900 GB/s by PyTorch's sum.", table)
        self.assertEqual(table.count("\n"), 6)

    def test_the_read_rate_is_that_of_the_backend(self):
        saved = {"devices": [{"backend": "hip", "read_bytes_per_s": 1e12}, {"backend": "cuda", "read_bytes_per_s": 4e12}]}
        self.assertEqual(side_by_side.read_rate(saved, "cuda"), 4000.0)

    def test_what_a_call_is_made_under_is_entered_once_and_not_by_the_call(self):
        entered, called = [], []

        @contextlib.contextmanager
        def surroundings():
            entered.append(True)
            yield

        def refuses():
            raise RuntimeError("no such kernel")

        seconds = side_by_side.fastest_seconds(
            FakeTorch(), [(contextlib.nullcontext, refuses), (surroundings, lambda: called.append(True))], in_graph=False)
        self.assertEqual(len(entered), 1)
        self.assertEqual(len(called), 3 + side_by_side.REPETITIONS)
        self.assertAlmostEqual(seconds, 2e-3)
        with self.assertRaisesRegex(RuntimeError, "no such kernel"):
            side_by_side.fastest_seconds(FakeTorch(), [(contextlib.nullcontext, refuses)], in_graph=False)


if __name__ == "__main__":
    unittest.main()
