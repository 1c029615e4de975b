"""The commit in the program's records is that of its sources when it was built, not when the build was configured.

    python3 build_commit_test.py CMAKE NINJA SCRIPT BUILD_FOLDER
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CMAKE, NINJA, SCRIPT, BUILD = sys.argv[1:5]


class BuildCommit(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.sources = pathlib.Path(self.scratch.name) / "sources"
        self.sources.mkdir()
        self.header = pathlib.Path(self.scratch.name) / "commit.h"

    def git(self, *arguments):
        command = ["git", "-C", self.sources, "-c", "user.name=A Person", "-c", "user.email=person@example.org", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text):
        (self.sources / "file").write_text(text)
        self.git("add", "file")
        self.git("commit", "-q", "-m", text)
        return self.git("rev-parse", "--short=12", "HEAD")

    def written(self):
        """What the header says after the step of the build has run."""
        environment = {**os.environ, "GIT_CEILING_DIRECTORIES": self.scratch.name}
        subprocess.run([CMAKE, "-D", f"SOURCE_FOLDER={self.sources}", "-D", f"HEADER={self.header}", "-P", SCRIPT], check=True,
                       env=environment)
        return self.header.read_text().split('"')[1]

    def test_it_follows_the_checkout(self):
        self.git("init", "-q")
        first = self.commit("first")
        self.assertEqual(self.written(), first)
        second = self.commit("second")
        self.assertEqual(self.written(), second)
        self.assertNotEqual(first, second)
        (self.sources / "file").write_text("not committed")
        self.assertEqual(self.written(), second + "-dirty")

    def test_the_same_commit_compiles_nothing_anew(self):
        self.git("init", "-q")
        self.commit("first")
        self.written()
        os.utime(self.header, (1, 1))
        self.written()
        self.assertEqual(self.header.stat().st_mtime, 1)

    def test_outside_a_checkout_it_is_unknown(self):
        self.assertEqual(self.written(), "unknown")

    def test_building_the_program_runs_the_step(self):
        """The step is a target without a file of its own, which ninja never takes to be up to date."""
        commands = subprocess.run([NINJA, "-C", BUILD, "-t", "commands", "secondsource"], check=True, capture_output=True,
                                  text=True).stdout
        self.assertIn("write_build_commit.cmake", commands)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
