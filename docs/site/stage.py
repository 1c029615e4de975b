"""Copies the repository's Markdown pages and all that they link to into a folder, from which Sphinx builds the site.

    python3 stage.py REPOSITORY FOLDER

Every file keeps its place, so that links stay as they are. The copies differ from the originals in three ways: README.md is index.md,
a link to a folder leads to its README.md or to a list of its files, and the pages in NAVIGATION have a list of those below them. A page
without a place in NAVIGATION is an error; a list of files needs none, since the page that links to the folder leads to it. Needs
nothing but Python.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# The pages below each page, in groups with a title. An entry may be a pattern.
NAVIGATION = {
    "index.md": [
        ("Begin", ["docs/README.md", "docs/packages.md", "docs/building.md", "docs/comparison.md", "docs/glossary.md"]),
        ("A gate on pull requests",
         ["docs/ci.md", "docs/examples/README.md", "docs/gate.md", "docs/operating-characteristic.md", "docs/exit-statuses.md",
          "docs/exports.md"]),
        ("New hardware each quarter",
         ["docs/metrics.md", "docs/scenarios.md", "docs/diagnosis.md", "docs/checks.md", "docs/correctness.md",
          "docs/supported-models.md", "docs/making-bundles.md", "docs/bundle-format.md", "bundles/README.md", "prompts/README.md",
          "docs/systems.md", "docs/adapters.md", "adapters/README.md", "docs/backends.md", "docs/gpu.md", "docs/cpu-results.md",
          "docs/gpu-results.md"]),
        ("The procurement brief",
         ["docs/brief.md", "docs/cost.md", "docs/fit.md", "docs/results-format.md", "reports/README.md"]),
        ("The code",
         ["lib/README.md", "backends/README.md", "apps/*/README.md", "tests/README.md", "docs/site/README.md", "docs/maintainers.md", "CHANGELOG.md"]),
    ],
    "docs/examples/README.md": [("", ["docs/examples/*/README.md"])],
    "docs/ci.md": [("", ["docs/ci/README.md"])],
    "docs/cpu-results.md": [("", ["docs/cpu-results/*.md"])],
    "bundles/README.md": [("", ["bundles/recipes/*.md", "bundles/shapes/README.md"])],
    "reports/README.md": [("", ["reports/*/README.md", "reports/samples/*/*.md"])],
    "lib/README.md": [("", ["lib/*/README.md"])],
    "backends/README.md": [("", ["backends/*/README.md"])],
    "tests/README.md": [("", ["tests/*/README.md"])],
}
LINK = re.compile(r"(?P<open>\[[^\]]*\]\()(?P<path>[^)#\s]+)(?P<rest>#[^)\s]*)?\)")


def parts(text: str):
    """Yields the text in pieces, each with whether its links are to be read: those in code are not."""
    for piece in re.split(r"(^```.*?^```|^    .*?$|`[^`\n]+`)", text, flags=re.M | re.S):
        yield piece, not piece.startswith(("`", "    "))


class Stage:
    def __init__(self, repository: Path, folder: Path):
        self.repository, self.folder = repository, folder
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=repository, capture_output=True, text=True, check=True)
        self.files = {name for name in listed.stdout.splitlines() if (repository / name).is_file()}
        self.pages = {name for name in self.files if name.endswith(".md")}
        self.listed_folders: set[str] = set()

    def place_of(self, page: str, path: str) -> str | None:
        """Returns what a link leads to, relative to the repository; None if that is outside of the repository."""
        place = os.path.normpath(os.path.join(os.path.dirname(page), path))
        return None if re.match(r"[a-z]+:", path) or place.startswith("..") else place

    def link(self, page: str, match: re.Match) -> str:
        place = self.place_of(page, match["path"])
        if place is None:
            return match[0]
        target = place
        if (self.repository / place).is_dir():
            target = f"{place}/README.md"
            if target not in self.pages:
                self.listed_folders.add(place)
        elif place not in self.pages:
            self.copy(place)
        if target == "README.md":
            target = "index.md"
        path = os.path.relpath(target, os.path.dirname(page) or ".") if target != place else match["path"]
        return f"{match['open']}{path}{match['rest'] or ''})"

    def copy(self, name: str):
        if (self.repository / name).is_file():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.repository / name, self.folder / name)

    def write(self, name: str, text: str):
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def list_of_files(self, folder: str) -> str:
        names = sorted(name for name in self.files if name.startswith(folder + "/"))
        for name in names:
            self.copy(name)
        links = "".join(f"- [{name[len(folder) + 1:]}]({name[len(folder) + 1:]})\n" for name in names)
        return f"---\norphan: true\n---\n# Files of {folder}\n\n{links}"

    def navigation(self, page: str) -> str:
        """Returns the navigation of a page, as directives for Sphinx."""
        text = ""
        for title, patterns in NAVIGATION.get(page, []):
            caption = f":caption: {title}\n" if title else ""
            entries = "".join(os.path.relpath(entry, os.path.dirname(page) or ".").removesuffix(".md") + "\n" for entry in patterns)
            text += f"\n```{{toctree}}\n:hidden:\n:glob:\n{caption}\n{entries}```\n"
        return text

    def pages_without_a_place(self) -> list[str]:
        patterns = [pattern for groups in NAVIGATION.values() for _, group in groups for pattern in group]
        placed = {path.relative_to(self.repository).as_posix() for pattern in patterns for path in self.repository.glob(pattern)}
        return sorted(self.pages - placed - {"README.md"})

    def run(self):
        if missing := self.pages_without_a_place():
            sys.exit(f"docs/site/stage.py: NAVIGATION has no place for {', '.join(missing)}; name each below the page that leads to it")
        shutil.rmtree(self.folder, ignore_errors=True)
        texts = {}
        for page in sorted(self.pages):
            text = (self.repository / page).read_text(encoding="utf-8")
            texts["index.md" if page == "README.md" else page] = "".join(
                LINK.sub(lambda match: self.link(page, match), piece) if is_read else piece for piece, is_read in parts(text))
        for folder in sorted(self.listed_folders):
            texts[f"{folder}/README.md"] = self.list_of_files(folder)
        for page, text in texts.items():
            self.write(page, text + self.navigation(page))
        print(f"{len(texts)} pages in {self.folder}")


if __name__ == "__main__":
    Stage(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()).run()
