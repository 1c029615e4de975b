"""Commands in the repository's Markdown pages.

A code block is a block of commands if one of its lines begins with a known program. An HTML comment above the block, which readers do
not see, tells the test what to do with this one block:

    <!-- ends with: 1 -->              the block ends with this exit status, or with one of several: 1 or 5
    <!-- not run: REASON, WORDS -->    no test can run it, or another test does; REASON is a key of REASONS

Installed pages contain these comments too, but browsers do not show them.
"""

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

REASONS = {
    "minutes": "builds or measures for minutes",
    "hours": "measures for hours",
    "gpu": "needs a GPU",
    "network": "fetches something",
    "installs": "installs packages on the machine",
    "server": "needs a server of another project",
    "pytorch": "needs PyTorch",
    "weights": "needs weights that the repository does not have",
    "elsewhere": "another test runs it, whose file is named",
}
PROGRAMS = {"secondsource", "./dev", "cmake", "ctest", "python", "python3", "pip", "apt-get", "git", "podman", "docker", "cd", "cp",
            "printf", "sed", "head", "rm", "curl", "promtool", "nvcc", "hipcc", "g++", "clang++-19"}
ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
FENCE = re.compile(r"^\s*(```|~~~)\s*([\w+-]*)")
MARK = re.compile(r"^\s*<!-- (ends with|not run): (.*?) -->\s*$")
SPAN = re.compile(r"`([^`\n]+)`")


@dataclasses.dataclass
class Block:
    """A code block with commands; `line` is the number of its first line."""

    line: int
    script: str
    statuses: tuple[int, ...] = (0,)
    reason: str = ""  # a key of REASONS if the block is not run
    words: str = ""  # the page's explanation after the reason

    @property
    def commands(self) -> list[str]:
        """The commands, each joined to one line."""
        return [line for line in self.script.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def names_of_pages(root: Path) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=root, capture_output=True, text=True)
    if listed.returncode == 0:
        return sorted(name for name in listed.stdout.splitlines() if (root / name).exists())
    return sorted(str(page.relative_to(root)) for page in root.rglob("*.md") if root / "build" not in page.parents)


def is_command(line: str) -> bool:
    words = line.split()
    while words and ASSIGNMENT.match(words[0]) and len(words) > 1:
        words = words[1:]
    return bool(words) and (words[0] in PROGRAMS or words[0].endswith("/secondsource") or re.match(r"^\w+=\"?[^\"]*\$\(", line) is not None or
                            re.match(r"^[\w./-]+\.(sh|py)$", words[0]) is not None)


def code_blocks(text: str):
    """(number of the first line, its lines without the indentation, the language of a fence) of every code block."""
    lines = text.splitlines()
    at, in_list = 0, False
    while at < len(lines):
        if fence := FENCE.match(lines[at]):
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == fence[1]), len(lines))
            indent = len(lines[at]) - len(lines[at].lstrip())
            yield at + 2, [line[indent:] for line in lines[at + 1:end]], fence[2]
            at = end + 1
            continue
        is_indented = lines[at].startswith("    ")
        if is_indented and not in_list and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield at + 1, [line[4:] for line in lines[at:end]], ""
            at = end
            continue
        if lines[at].strip() and not lines[at].startswith(" "):  # within a list four spaces continue a paragraph
            in_list = re.match(r"^([-*+]|\d+\.)\s", lines[at]) is not None
        at += 1


def mark_above(lines: list[str], line: int):
    """The mark of the block whose first line has this number, counted from one."""
    at = line - 2
    while at >= 0 and (not lines[at].strip() or FENCE.match(lines[at])):
        at -= 1
    return MARK.match(lines[at]) if at >= 0 else None


def command_blocks(text: str) -> list[Block]:
    blocks, lines, used, in_code = [], text.splitlines(), 0, 0
    for line, content, language in code_blocks(text):
        in_code += sum(MARK.match(one) is not None for one in content)
        if language not in ("", "sh", "bash", "console") or not any(map(is_command, content)):
            continue
        block = Block(line, "\n".join(content).rstrip())
        for command in block.commands:
            if not is_command(command):
                raise ValueError(f"{line}: expected commands alone in a block of commands, found \"{command}\"")
        if mark := mark_above(lines, line):
            used += 1
            if mark[1] == "ends with":
                block.statuses = tuple(int(status) for status in mark[2].split(" or "))
            else:
                block.reason, _, block.words = (part.strip() for part in mark[2].partition(","))
        blocks.append(block)
    n_marks = sum(MARK.match(line) is not None for line in lines) - in_code
    if n_marks != used:
        raise ValueError(f"{n_marks - used} marks stand above no block of commands")
    return blocks


def spans_of_commands(text: str) -> list[tuple[int, str]]:
    """Calls of secondsource and of ./dev within sentences, such as `secondsource gate BASE CAND`, with the numbers of their lines."""
    return [(number, span) for number, line in enumerate(text.splitlines(), 1) if not line.startswith("    ")
            for span in SPAN.findall(line) if re.match(r"(secondsource|\./dev) [\w-]", span)]


def calls_of(command: str, program: str) -> list[list[str]]:
    """The arguments of each call of `program` in a shell command, up to the next operator."""
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        words = command.split()
    calls, current = [], None
    for word in words:
        if word and set(word) <= set("|&;()<>"):
            current = None
        elif current is not None:
            current.append(word)
        elif word == program or word.endswith("/" + program):
            calls.append(current := [])
    return calls
