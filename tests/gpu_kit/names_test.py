"""Tests that every conformance family and every model that the kit's steps name exists, so that no time on a machine with a GPU is lost
to a wrong name.

    python3 names_test.py SOURCE_FOLDER CONFORMANCE SECONDSOURCE
"""

import pathlib
import subprocess
import sys
import unittest

SOURCE, CONFORMANCE, SECONDSOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
sys.path.insert(0, str(SOURCE / "apps/gpu_kit"))
import steps  # noqa: E402


def listed(*command):
    said = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {line.split()[0].split("/")[0] for line in said.splitlines() if line.strip()}


class Names(unittest.TestCase):
    def test_families(self):
        known = listed(CONFORMANCE, "--list")
        for families in (steps.TILE_FAMILIES, steps.STORED_FAMILIES, steps.ATTENTION_FAMILIES, steps.SHARED_MEMORY_FAMILIES,
                         steps.WARPGROUP_FAMILIES, "rms_norm"):
            self.assertEqual(set(families.split(",")) - known, set())

    def test_models(self):
        self.assertEqual({*steps.MODELS, steps.BIG} - listed(SECONDSOURCE, "bundle", "synth", "--list"), set())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
