"""Checks that every link between the repository's Markdown pages leads to a file and a heading that are there, and that every
page of docs/ can be reached from README.md.

    python links_test.py REPOSITORY
"""

import re
import sys
from pathlib import Path

FENCE = re.compile(r"^(```|~~~)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")


def prose_lines(text: str):
    """The lines outside code blocks, with their numbers."""
    is_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line.lstrip()):
            is_code = not is_code
        elif not is_code:
            yield number, line


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    seen: dict[str, int] = {}
    found = set()
    for _, line in prose_lines(text):
        if not (match := HEADING.match(line)):
            continue
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match.group(1))
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    pages = {page: page.read_text(encoding="utf-8") for page in root.rglob("*.md") if root / "build" not in page.parents}
    assert root / "README.md" in pages, "README.md was not found"
    faults = []
    leads_to: dict[Path, set[Path]] = {}
    n_links = 0
    for page, text in pages.items():
        for number, line in prose_lines(text):
            for target in LINK.findall(re.sub(r"`[^`]*`", "", line)) + IMAGE.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                n_links += 1
                path, _, anchor = target.partition("#")
                file = (page.parent / path).resolve() if path else page
                leads_to.setdefault(page, set()).add(file)
                place = f"{page.relative_to(root)}:{number}: {target}"
                if not file.exists():
                    faults.append(f"{place}: there is no such file")
                elif anchor and file in pages and anchor not in anchors(pages[file]):
                    faults.append(f"{place}: there is no such heading")
    reached, ahead = set(), [root / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            ahead += leads_to.get(page, set())
    for page in pages:
        if page.parent == root / "docs" and page not in reached:
            faults.append(f"{page.relative_to(root)}: no link from README.md leads here")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{n_links} links in {len(pages)} pages, {len(faults)} faults")
    return 1 if faults or n_links == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
