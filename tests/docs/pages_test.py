"""Tests which lines pages.py recognizes as commands, and that commands_test.py finds mistakes in a page.

    python3 pages_test.py SECONDSOURCE SOURCE_FOLDER
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from pages import calls_of, command_blocks, spans_of_commands

PROGRAM, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
PAGE = """# A page

Text.

    secondsource backends
    secondsource check installed:default \\
      --backend cpu

- a list, whose paragraphs are no blocks:

    secondsource in a list

<!-- ends with: 1 or 5 -->

```sh
A=b secondsource ab
```

<!-- not run: gpu, a word -->

    ./dev gpu    # a comment

Output:

    bundle    backend
    --------  -------

```yaml
secondsource: no command
```
"""


class Pages(unittest.TestCase):
    def test_blocks_of_commands_are_found_with_their_marks(self):
        blocks = command_blocks(PAGE)
        self.assertEqual([(block.line, len(block.commands), block.statuses, block.reason, block.words) for block in blocks],
                         [(5, 2, (0,), "", ""), (16, 1, (1, 5), "", ""), (21, 1, (0,), "gpu", "a word")])
        self.assertEqual(blocks[0].commands[1].split(), ["secondsource", "check", "installed:default", "--backend", "cpu"])

    def test_output_among_commands_and_a_mark_without_a_block_are_errors(self):
        with self.assertRaisesRegex(ValueError, "3: expected commands alone in a block of commands, found \"passed\""):
            command_blocks("Text\n\n    secondsource check a\n    passed\n")
        with self.assertRaisesRegex(ValueError, "1 marks stand above no block of commands"):
            command_blocks("<!-- not run: hours -->\n\nText.\n")

    def test_calls_end_at_an_operator_and_spans_are_found_in_sentences(self):
        self.assertEqual(calls_of("A=b x/secondsource run --a 'b c' | jq && secondsource gate a b", "secondsource"),
                         [["run", "--a", "b c"], ["gate", "a", "b"]])
        self.assertEqual(spans_of_commands("Use `secondsource gate A B`, not `secondsource`.\n"), [(1, "secondsource gate A B")])


class Commands(unittest.TestCase):
    def faults_of(self, page):
        """What commands_test.py prints of a repository with this page alone, beside the real ./dev."""
        with tempfile.TemporaryDirectory(prefix="secondsource-docs-") as scratch:
            folder = pathlib.Path(scratch)
            (folder / "dev").symlink_to(SOURCE / "dev")
            (folder / "page.md").write_text(page)
            run = subprocess.run([sys.executable, pathlib.Path(__file__).parent / "commands_test.py", PROGRAM, folder], text=True,
                                 capture_output=True, env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)})
            return run.returncode, run.stderr

    def test_a_page_in_order_passes(self):
        self.assertEqual(self.faults_of("    secondsource --version\n"), (0, ""))

    def test_each_kind_of_fault_is_named_with_its_line(self):
        for page, fault in [
                ("    secondsource backends --no-such-flag\n", "page.md:1: .*: the help has no --no-such-flag"),
                ("A\n\n    secondsource inspect nothing-here\n", "page.md:3: expected exit status 0, found 2"),
                ("<!-- not run: gpu -->\n\n    secondsource run --tarce a\n", "page.md:3: .*: the help has no --tarce"),
                ("<!-- not run: laziness -->\n\n    secondsource run\n", "page.md:3: not run: expected one of minutes, .*found \"laziness\""),
                ("<!-- not run: elsewhere, tests/none.py -->\n\n    ./dev test\n", "elsewhere: expected a file, found \"tests/none.py\""),
                ("<!-- not run: hours -->\n\n    ./dev tset\n", "page.md:3: ./dev tset: there is no such command"),
                ("It is `secondsource gates A B`.\n", "page.md:1: secondsource gates A B: there is no command gates")]:
            with self.subTest(fault):
                status, said = self.faults_of(page + "\n    secondsource --version\n" if page.startswith("It") else page)
                self.assertEqual(status, 1)
                self.assertRegex(said, fault)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
