"""Tests apps/schedule_model on loops whose times follow from arithmetic, and on a profile of the program.

    python3 schedule_model_test.py SECONDSOURCE SOURCE_FOLDER
"""

import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
MODEL = SOURCE / "apps/schedule_model/schedule_model.py"
spec = importlib.util.spec_from_file_location("schedule_model", MODEL)
model = importlib.util.module_from_spec(spec)
sys.modules["schedule_model"] = model
spec.loader.exec_module(model)

FREE = model.Machine(line_ns=0, bytes_per_ns=math.inf)


class Loops(unittest.TestCase):
    def test_one_thread_takes_what_was_measured(self):
        self.assertEqual(model.simulate(model.Loop(100, 1000, 5000), 1, FREE), 5000)

    def test_threads_that_cost_nothing_divide_the_work(self):
        loop = model.Loop(64, 1 << 20, 6400)
        for n_threads in (2, 4, 16, 64):
            self.assertAlmostEqual(model.simulate(loop, n_threads, FREE), 6400 / n_threads)

    def test_an_item_is_not_divided(self):
        self.assertAlmostEqual(model.simulate(model.Loop(10, 1 << 20, 1000), 64, FREE), 100)
        self.assertAlmostEqual(model.simulate(model.Loop(5, 1 << 20, 500), 4, FREE), 200)  # one thread has two items

    def test_a_loop_of_one_slice_stays_with_the_caller(self):
        loop = model.Loop(8, 1024, 800)
        self.assertEqual(model.simulate(loop, 2, model.Machine(100, math.inf)), 800)

    def test_memory_is_shared(self):
        # 64 MiB at 8 bytes/ns are 8388608 ns, however many threads could read faster.
        loop = model.Loop(64, 1 << 20, 64e3)
        self.assertAlmostEqual(model.simulate(loop, 16, model.Machine(0, 8)), 64 * (1 << 20) / 8)

    def test_announcements_cost_lines_by_their_design(self):
        # The work itself takes no time. 63 ranges are stored, then 63 threads read the announcement one after the other.
        loop, machine = model.Loop(64, 1 << 20, 0), model.Machine(10, math.inf)
        one_counter = model.simulate(loop, 64, machine, model.ONE_COUNTER)
        self.assertGreaterEqual(one_counter, (63 + 63) * 10)
        self.assertLess(model.simulate(loop, 64, machine, model.GROUPS), one_counter / 2)
        self.assertLess(model.simulate(loop, 64, machine, model.TREE), one_counter / 2)
        self.assertEqual(model.starts(3, machine, model.ONE_COUNTER), [20, 30, 40])
        # 18 threads form three groups. Each group is described, 7 + 2 ranges are stored, and then the groups are announced in turn.
        groups = model.starts(18, machine, model.GROUPS)
        self.assertEqual(groups[0:3], [120, 130, 140])
        self.assertEqual(groups[8:10], [130, 140])
        self.assertEqual(groups[16], 140)
        # Threads 1 to 8 read the caller's line in turn, 9 to 16 that of thread 1, and so on.
        self.assertEqual(model.starts(18, machine, model.TREE)[0:10], [0, 10, 20, 30, 40, 50, 60, 70, 80, 20])
        self.assertEqual(model.starts(18, machine, model.TREE)[17], 20 + 10)
        # Both children arrive at 100 and are counted at 110 and 120. A caller that finishes later does not wait.
        self.assertEqual(model.joined([0, 100, 100], machine, 2), 120)
        self.assertEqual(model.joined([500, 100, 100], machine, 2), 500)

    def test_the_first_thread_of_another_group_gets_the_range_of_all(self):
        ranges = model.first_ranges(100, 18, model.GROUPS)
        self.assertEqual(ranges[:3], [[0, 6], [6, 12], [12, 18]])
        self.assertEqual(ranges[8], [48, 90])  # 10 threads have 6 items and 8 have 5
        self.assertTrue(all(first == end for first, end in ranges[9:16]))
        self.assertEqual(ranges[16], [90, 100])
        self.assertEqual(model.first_ranges(100, 18, model.ONE_COUNTER)[8], [48, 54])

    def test_a_short_loop_takes_few_of_many_threads(self):
        loop = model.Loop(128, 1 << 16, 4000)
        machine = model.Machine(100, math.inf)
        self.assertLess(model.fastest(loop, 128, machine, model.ONE_COUNTER), model.simulate(loop, 128, machine, model.ONE_COUNTER))
        self.assertLessEqual(model.fastest(loop, 128, machine), 4000)
        short = model.Loop(128, 1 << 13, 4000)  # 16 slices of 64 KiB: two groups
        self.assertEqual(model.simulate(short, 128, machine), model.simulate(short, 16, machine))

    def test_slices_are_those_of_the_backend(self):
        # For 16 MiB in tiles of 16 KiB, an eighth of a thread's range is 1 MiB, but a slice has at most 256 KiB. For 1 MiB, it would be
        # 64 KiB, which is the smallest slice.
        self.assertEqual(model.Loop(1024, 16384, 1).slice_items(2), 16)
        self.assertEqual(model.Loop(64, 16384, 1).slice_items(2), 4)


class Profiles(unittest.TestCase):
    def test_a_profile_of_the_program_is_modelled(self):
        with tempfile.TemporaryDirectory(prefix="secondsource-schedule-") as folder:
            files = [pathlib.Path(folder) / f"{n}.json" for n in (1, 2)]
            for n_threads, file in enumerate(files, 1):
                run = subprocess.run([PROGRAM, "profile", SOURCE / "bundles/tiny-gqa8-hd64", "--backend", "cpu", "--variant",
                                      "bf16", "--scenario", "single-stream@8/4", "--budget", "0.01s", "--threads", str(n_threads),
                                      "--json"], stdout=subprocess.PIPE, check=True)
                file.write_bytes(run.stdout)
            profile = json.loads(files[0].read_text())
            step = model.step_of(profile)
            # Two layers with the loops qkv, out, gate and up, down, and attention, and then the head and sampling.
            self.assertEqual(sum(calls for _, calls in step.loops), 2 * 5 + 2)
            self.assertAlmostEqual(model.step_ns(step, 1, FREE), step.measured_ns)
            if model.read_rate(profile) is None:
                self.skipTest("the read rate was not measured")
            run = subprocess.run([sys.executable, MODEL, *files, "--threads", "16", "--bandwidth", "100", "--line-ns", "50"],
                                 stdout=subprocess.PIPE, text=True, check=True)
            self.assertIn("one thread:", run.stdout)
            self.assertIn("| 16 | 100 | 50 | ", run.stdout)

    def test_bad_input_is_one_line_and_status_2(self):
        for arguments, message in ((["absent", "absent"], "expected what secondsource profile --json prints"),
                                   (["a", "b", "--threads", "16,64"], "expected 2 rates, one for each of --threads"),
                                   (["a", "b", "--line-ns", "0"], "expected positive times")):
            run = subprocess.run([sys.executable, MODEL, *arguments], stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(run.returncode, 2)
            self.assertIn(message, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
