"""Starts the program and creates made-up runs for the tests in this folder: python3 TEST.py SECONDSOURCE MAKE_RUNS SOURCE_FOLDER"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, MAKE_RUNS = sys.argv[1:3]
SOURCE = pathlib.Path(sys.argv[3]).resolve()
N_NIGHTS = 6


def program(*arguments, statuses=(0,)):
    run = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.returncode in statuses, (arguments, run.returncode, run.stderr.decode())
    return run.stdout.decode()


def report_cells(*folders):
    """The cells of `report --format json`, with the record of their run."""
    return [(entry["run"], cell) for entry in json.loads(program("report", *folders, "--format", "json"))
            for cell in entry["summary"]["cells"]]


def has_credit(cell):
    return cell["golden"] != "failed" and cell["status"] != "invalid"


class WithRuns(unittest.TestCase):
    """Made-up runs: `varied` has every kind of cell, `hostile` has malicious names, and `nights` are N_NIGHTS runs in a history."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="secondsource-exports-")
        cls.addClassCleanup(scratch.cleanup)
        folder = cls.folder = pathlib.Path(scratch.name)
        for kind in ("varied", "hostile"):
            subprocess.run([MAKE_RUNS, kind, folder / kind], check=True)
        subprocess.run([MAKE_RUNS, "nights", folder / "nights", str(N_NIGHTS)], check=True)
        cls.varied, cls.hostile = folder / "varied", folder / "hostile"
        cls.nights = sorted((folder / "nights").iterdir())
        cls.history = folder / "history.db"
        program("history", "add", *cls.nights, "--db", cls.history)
        program("history", "add", cls.varied, cls.hostile, "--branch", 'a "branch", =1+2', "--label", "=cmd|x", "--db", cls.history)
