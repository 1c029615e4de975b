"""Tests compare_choices.py on results written by hand."""

import unittest

import compare_choices


def results(rate):
    return {"benchmarks": [
        {"name": "BM_matmul/cuda/bf16/m:16/k:4096/n:4096", "run_type": "iteration", "GFLOP/s": rate},
        {"name": "BM_matmul/cuda/int8/m:16/k:4096/n:4096", "error_occurred": True},
        {"name": "BM_attention/cuda/bf16/seqs:1", "run_type": "iteration", "GFLOP/s": 1.0}]}


class CompareChoices(unittest.TestCase):
    def test_products_stand_beside_each_other_and_the_choice_beside_the_best(self):
        choices = {name: compare_choices.rates_of(results(rate), "BM_matmul")
                   for name, rate in (("auto", 80.0), ("64x64", 100.0))}
        lines = compare_choices.table(choices).splitlines()
        self.assertEqual(lines[0], "| case | auto | 64x64 | auto of the best |")
        self.assertEqual(lines[2:], ["| BM_matmul/cuda/bf16/m:16/k:4096/n:4096 | 80 | 100 | 80% |"])

    def test_a_choice_that_failed_is_no_number(self):
        choices = {"auto": compare_choices.rates_of(results(80.0), "BM_matmul"), "64x64": {}}
        self.assertIn("| 80 | - | 100% |", compare_choices.table(choices))

    def test_attention_is_compared_alone(self):
        choices = {"auto": compare_choices.rates_of(results(80.0), "BM_attention")}
        self.assertEqual(compare_choices.table(choices).splitlines()[2:],
                         ["| BM_attention/cuda/bf16/seqs:1 | 1 | 100% |"])


if __name__ == "__main__":
    unittest.main()
