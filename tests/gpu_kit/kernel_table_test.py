"""Tests kernel_table.py on results written by hand."""

import unittest

import kernel_table


class KernelTable(unittest.TestCase):
    def test_a_row_a_case(self):
        case = {"name": "BM_matmul/cuda/bf16/m:1/k:4096/n:4096/manual_time", "run_type": "iteration", "label": "matvec_bf16",
                "real_time": 900.0, "us": 12.5, "GB/s": 3000.0, "of_read": 0.75}
        rows = kernel_table.table({"benchmarks": [
            case, {**case, "run_type": "aggregate"}, {**case, "error_occurred": True, "error_message": "worst at 3"},
            {key: value for key, value in case.items() if key != "of_read"}]}).splitlines()[2:]
        name = "BM_matmul/cuda/bf16/m:1/k:4096/n:4096"
        self.assertEqual(rows, [f"| {name} | matvec_bf16 | 12.5 | 3000 | 75% |", f"| {name} | worst at 3 | - | - | - |",
                                f"| {name} | matvec_bf16 | 12.5 | 3000 | - |"])


if __name__ == "__main__":
    unittest.main()
