"""A scratch folder in which the commands of a page run, with a home and a Git identity of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from own_cache import own_cache  # noqa: E402

GIT = {"user.name": "a", "user.email": "a@example.com", "init.defaultBranch": "main", "commit.gpgsign": "false"}


class Scratch:
    def __init__(self, program: Path, source: Path):
        self.handle = tempfile.TemporaryDirectory(prefix="secondsource-docs-")
        self.folder = Path(self.handle.name).resolve()
        self.bin, self.home, self.work = (self.folder / name for name in ("bin", "home", "work"))
        for folder in (self.bin, self.home, self.work):
            folder.mkdir()
        self.environment = {
            **os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "PROGRAM": str(program), "SOURCE": str(source),
            "HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data"), **own_cache(self.home / "cache"),
            # With this limit, other load on the machine does not make runs invalid; verdicts may still be inconclusive.
            "SECONDSOURCE_NOISE_LIMIT": "100",
            "GITHUB_SHA": "0123456789abcdef0123456789abcdef01234567", "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "GIT_CONFIG_COUNT": str(len(GIT)),
        }
        self.environment.pop("SECONDSOURCE_MODULES", None)
        for i, (key, value) in enumerate(GIT.items()):
            self.environment |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.handle.cleanup()

    def add_program(self, name: str, text: str):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def fault_of(self, place: str, script: str, statuses=(0,)) -> str:
        """Runs a script as a reader would type it. Returns a description of what went wrong; empty if nothing did."""
        run = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.work, env=self.environment, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500)
        if run.returncode in statuses:
            return ""
        expected = " or ".join(map(str, statuses))
        return f"{place}: expected exit status {expected}, found {run.returncode}:\n{script}\n{run.stdout[-4000:]}"
