"""Runs the steps of a kit until the time is over. It knows nothing of GPUs: what the steps are is in steps.py."""

import dataclasses
import os
import pathlib
import shlex
import signal
import subprocess
import time
import typing

LOG_LINES = 40  # of each step that failed; fewer of one that passed
SKIP_STATUS = 77
KILL_GRACE_S = 3


class Skip(Exception):
    """A step that cannot be taken on this machine; the message says why."""


@dataclasses.dataclass(frozen=True)
class Command:
    argv: tuple
    environment: tuple = ()  # pairs that are added to the kit's environment
    accepts: typing.Optional[tuple] = (0,)  # exit statuses after which the step goes on; None: any

    def text(self):
        return " ".join([f"{name}={shlex.quote(value)}" for name, value in self.environment] +
                        [shlex.quote(str(word)) for word in self.argv])


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    sitting: int
    needs_s: int  # it is not begun with less time than this
    deadline_s: int
    answers: str
    # context -> Commands, one after the other. May raise Skip, at once or between two commands.
    commands: typing.Callable
    keeps: tuple = ()  # patterns of the files in the work folder that go into the figures


@dataclasses.dataclass
class Outcome:
    verdict: str
    why: str
    seconds: float


def order(steps, histories):
    """The steps in order of worth, those that were killed or failed least often first: a step that takes a machine down, or
    does not end, must not be what every sitting begins with."""
    return sorted(steps, key=lambda step: histories[step.name].setbacks if step.name in histories else 0)


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def end_group(process):
    """Ends a process with all that it started: first asked to, then killed, also what outlives it."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(KILL_GRACE_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


class Stopped(Exception):
    """The runner itself was told to end."""


def run_step(step, context, seconds, log_path):
    """Runs a step's commands, for at most `seconds`; what they print goes to `log_path`. Returns the Outcome."""
    began = time.monotonic()
    left = lambda: seconds - (time.monotonic() - began)
    outcome = lambda verdict, why: Outcome(verdict, why, round(time.monotonic() - began, 1))
    process = None
    with open(log_path, "w", encoding="utf-8") as log:
        try:
            for command in step.commands(context):
                log.write(f"+ {command.text()}\n")
                log.flush()
                process = subprocess.Popen([str(word) for word in command.argv], cwd=context.work, stdout=log,
                                           stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                                           env={**context.environment, **dict(command.environment)})
                try:
                    status = process.wait(max(left(), 0.1))
                except subprocess.TimeoutExpired:
                    end_group(process)
                    return outcome("killed", f"it did not end within {seconds:.0f} s")
                if status == SKIP_STATUS:
                    return outcome("skipped", last_line(pathlib.Path(log_path).read_text(encoding="utf-8", errors="replace")))
                if command.accepts is not None and status not in command.accepts:
                    said = last_line(pathlib.Path(log_path).read_text(encoding="utf-8", errors="replace"))
                    how = f"status {status}" if status > 0 else f"signal {-status}"
                    return outcome("failed", f"{how}: {said}")
        except Skip as why:
            return outcome("skipped", str(why))
        except OSError as why:
            return outcome("failed", str(why))
        except Stopped:
            if process is not None:
                end_group(process)
            raise
    return outcome("passed", "")


def shortened(text, n_lines):
    lines = text.splitlines()
    if len(lines) <= n_lines:
        return text
    commands = [line for line in lines[:-n_lines] if line.startswith("+ ")]
    return "\n".join(commands + [f"[{len(lines) - n_lines} lines are left out]"] + lines[-n_lines:]) + "\n"
