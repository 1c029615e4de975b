"""Runs the commands of every Markdown page in the order of the page, except those for which the page's source gives a reason not to
(pages.py). For all commands, also those within sentences, checks that the program's help has their subcommands and flags, and that the
help of ./dev has its commands.

    python3 commands_test.py SECONDSOURCE SOURCE_FOLDER [PAGE...]

Each page runs in a scratch folder. If it needs files, the script `before/PAGE.sh` creates them. `secondsource` is called through a shim
that shortens measurements: `run` gets a few seconds, one backend if the page names none, and a fixed rate instead of a search for the
highest rate; `ab` gets two pairs. This test only checks that the commands work; tests/cli and tests/unit test figures and verdicts.
examples_test.py runs the pages of docs/examples without such changes.
"""

import collections
import re
import subprocess
import sys
from pathlib import Path

from pages import REASONS, calls_of, command_blocks, names_of_pages, spans_of_commands
from scratch import Scratch

PROGRAM, SOURCE = (Path(argument).resolve() for argument in sys.argv[1:3])
BEFORE = Path(__file__).parent / "before"
SHIM = """#!/usr/bin/env bash
words=("$@")
has() { local word; for word in "${words[@]}"; do [ "$word" != "$1" ] || return 0; done; return 1; }
add() { has "$1" || words+=("$@"); }
case "${1:-}:$*" in
  *--help* | *--resume*) ;;
  run:*)
    words=("${words[@]//server:slo-max/server:8}")  # the search takes minutes
    add --max-time 3s
    has --system || has --config || add --backend cpu
    ;;
  ab:*)
    add --max-pairs 2
    add --timed-bundle "$SOURCE/bundles/tiny-gqa8-hd64"
    add --backend cpu
    add --scenario single-stream@/4
    add --budget 50ms
    words+=(--allow-inconclusive)
    ;;
esac
exec "$PROGRAM" "${words[@]}"
"""


def run_page(name: str, blocks) -> list[str]:
    """Runs the commands of a page. Returns a description of the first failure, if there is one."""
    with Scratch(PROGRAM, SOURCE) as scratch:
        scratch.add_program("secondsource", SHIM)
        before = BEFORE / (name.removesuffix(".md").replace("/", "-") + ".sh")
        steps = [(before.name, before.read_text(), (0,))] if before.exists() else []
        steps += [(f"{name}:{block.line}", block.script, block.statuses) for block in blocks]
        for step in steps:
            if fault := scratch.fault_of(*step):
                return [fault]
    return []


class Manual:
    """The help of this program and of ./dev."""

    def __init__(self):
        self.pages = {}
        listed = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
        self.commands = set(re.findall(r"^  ([a-z]+)", listed, re.M)) | {"help"}
        usage = subprocess.run([SOURCE / "dev", "help"], capture_output=True, text=True, check=True).stdout
        self.dev = set(re.findall(r"^  ([a-z-]+)", usage, re.M)) | {"lint", "help"}

    def help_of(self, words) -> str:
        if words not in self.pages:
            run = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True)
            self.pages[words] = run.stdout if run.returncode == 0 else ""
        return self.pages[words]

    def fault(self, words: list[str]) -> str:
        """Describes what is wrong with a call of the program; empty if nothing is."""
        words = [word.rstrip(",") for word in words]
        if not words or words[0].startswith("-"):
            text = self.help_of(())
        else:
            if words[0] not in self.commands:
                return f"there is no command {words[0]}"
            text = self.help_of((words[0],))
            if len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]) and (deeper := self.help_of((words[0], words[1]))):
                text = deeper
        for word in words:
            flag = word.split("=")[0].strip("[]")
            if re.fullmatch(r"--[a-z][\w-]*", flag) and not re.search(re.escape(flag) + r"(?![\w-])", text):
                return f"the help has no {flag}"
        return ""


def main() -> int:
    chosen = sys.argv[3:]
    manual = Manual()
    assert {"run", "ab", "init"} <= manual.commands and {"test", "docs"} <= manual.dev, (manual.commands, manual.dev)
    faults, left_out, n_run, n_named = [], collections.Counter(), 0, 0
    names = [name for name in names_of_pages(SOURCE) if not chosen or name in chosen]
    for name in names:
        text = (SOURCE / name).read_text(encoding="utf-8")
        try:
            blocks = command_blocks(text)
        except ValueError as error:
            faults.append(f"{name}:{error}")
            continue
        to_run = []
        for block in blocks:
            place = f"{name}:{block.line}"
            for command in block.commands:
                for words in calls_of(command, "secondsource"):
                    n_named += 1
                    if fault := manual.fault(words):
                        faults.append(f"{place}: {command.strip()}: {fault}")
                for words in calls_of(command, "dev"):
                    n_named += 1
                    if words and words[0] not in manual.dev:
                        faults.append(f"{place}: ./dev {words[0]}: there is no such command")
            if name.startswith("reports/samples/"):
                left_out["elsewhere: pages that reports/samples/make.sh writes"] += len(block.commands)
            elif name.startswith("docs/examples/"):
                left_out["elsewhere: examples_test.py"] += len(block.commands)
            elif not block.reason:
                to_run.append(block)
                n_run += len(block.commands)
            elif block.reason not in REASONS:
                faults.append(f"{place}: not run: expected one of {', '.join(REASONS)}, found \"{block.reason}\"")
            else:
                if block.reason == "elsewhere" and not (SOURCE / block.words).is_file():
                    faults.append(f"{place}: not run: elsewhere: expected a file, found \"{block.words}\"")
                left_out[f"{block.reason}: {REASONS[block.reason]}"] += len(block.commands)
        for line, span in spans_of_commands(text):
            n_named += 1
            program, *words = span.split()
            words = [word for word in words if word not in ("…", "|", "...")]
            fault = manual.fault(words) if program == "secondsource" else "" if words[0] in manual.dev else "there is no such command"
            if fault:
                faults.append(f"{name}:{line}: {span}: {fault}")
        if to_run:
            faults += run_page(name, to_run)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(names)} pages: {n_run} commands run; {n_named} looked up in the help; {sum(left_out.values())} not run here:")
    for reason, count in sorted(left_out.items()):
        print(f"  {count:3} {reason}")
    print(f"{len(faults)} faults")
    return 1 if faults or (not chosen and n_run == 0) else 0


if __name__ == "__main__":
    sys.exit(main())
