"""The journal of a kit: one line of JSON for each step that began, and one for its verdict, written the moment it is known.

A machine may be taken away at any time. A step that began and has no verdict was killed with the machine or by it, which
counts as often as it happened, so that the next sitting does not spend its first minutes on the same step again.
"""

import dataclasses
import json
import os
import time


@dataclasses.dataclass
class History:
    """What the journal knows of one step of one kit on one device."""
    verdict: str = "not done"
    why: str = ""
    seconds: float = 0.0
    killed: int = 0
    failed: int = 0

    @property
    def setbacks(self):
        return self.killed + self.failed


class Journal:
    def __init__(self, path, identity):
        """`identity`: what a verdict holds for, a kit on a device; verdicts of another one are kept in the file and ignored."""
        self.path = path
        self.identity = identity

    def append(self, event, step, **fields):
        line = json.dumps({"event": event, "step": step, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                           "identity": self.identity, **fields})
        append_line(self.path, line)

    def histories(self):
        """Returns step -> History."""
        return histories_of(read_lines(self.path), self.identity)


def append_line(path, line):
    """Appends a line and waits until it is on the disk. A machine that went away may have left half a line before it."""
    with open(path, "ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else "\n" + line
        file.write((line + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def read_lines(path):
    """Returns the entries of a journal. A line that was cut short, as the last one of a machine that went away, is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    entries = []
    for line in text.splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def histories_of(entries, identity):
    histories, begun = {}, set()
    for entry in entries:
        if entry["identity"] != identity:
            continue
        step = entry["step"]
        history = histories.setdefault(step, History())
        if entry["event"] == "began":
            if step in begun:
                history.killed += 1  # it began twice and ended once
            begun.add(step)
            continue
        begun.discard(step)
        history.verdict, history.why, history.seconds = entry["verdict"], entry.get("why", ""), entry["seconds"]
        history.killed += entry["verdict"] == "killed"
        history.failed += entry["verdict"] == "failed"
    for step in begun:
        histories[step].killed += 1
        histories[step].verdict, histories[step].why = "killed", "it began and nothing says how it ended"
    return histories
