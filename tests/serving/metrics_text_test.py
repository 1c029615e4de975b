"""Compares the parser of metrics pages with that of the Python package prometheus_client, on the pages of the fuzzer's corpus and on
generated ones.

    python3 metrics_text_test.py METRICS_DUMP SOURCE_FOLDER
"""
import json
import math
import pathlib
import random
import subprocess
import sys

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

DUMP, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
ALPHABET = ["a", "Z", "_", " ", "{", "}", ",", "=", "#", "\u00e9", "\u6c49", "\\\\", '\\"', "\\n", "0", ":"]


def ours(page):
    run = subprocess.run([DUMP], input=page.encode(), capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    samples = [json.loads(line) for line in run.stdout.decode().splitlines()]
    return [(one["name"], one["labels"], float(one["value"])) for one in samples]


def theirs(page):
    """Parses the page with prometheus_client. TYPE lines are removed, because with them it renames counters whose names do not end in
    _total."""
    page = "".join(line + "\n" for line in page.split("\n") if not line.startswith("# TYPE"))
    return [(one.name, dict(one.labels), one.value) for family in text_string_to_metric_families(page) for one in family.samples]


def same(a, b):
    return a[0] == b[0] and a[1] == b[1] and (a[2] == b[2] or (math.isnan(a[2]) and math.isnan(b[2])))


def check(page, what):
    mine, expected = ours(page), theirs(page)
    assert len(mine) == len(expected) > 0, f"{what}: {len(mine)} samples, expected {len(expected)}"
    for found, wanted in zip(mine, expected):
        assert same(found, wanted), f"{what}: found {found}, expected {wanted}"


def generated(chance):
    """Generates a page with names, labels, escapes, numbers and comments in all forms that the format allows."""
    lines = []
    for _ in range(chance.randint(1, 30)):
        if chance.random() < 0.2:
            lines.append(chance.choice(["", "# a comment", "#", "  "]))
        name = chance.choice("abc_:") + "".join(chance.choice("xyz019_:") for _ in range(chance.randint(0, 8)))
        labels = ",".join(
            "%s=\"%s\"" % ("l%d" % i, "".join(chance.choice(ALPHABET) for _ in range(chance.randint(0, 10))))
            for i in range(chance.randint(0, 4)))
        value = chance.choice(["0", "1", "-1.5", "1e9", "2.5e-7", "+Inf", "-Inf", "NaN", "0.1", "123456789.123", "1.7976931348623157e308"])
        time = chance.choice(["", "", " 1395066363000", " -1"])
        blank = chance.choice([" ", "  "])
        lines.append(name + ("{%s}" % labels if labels or chance.random() < 0.2 else "") + blank + value + time)
    return "\n".join(lines) + "\n"


def main():
    pages = sorted((SOURCE / "tests/fuzz/corpus/metrics_text").iterdir())
    assert len(pages) >= 6, pages
    for page in pages:
        check(page.read_text(), page.name)
    chance = random.Random(17)
    for number in range(200):
        check(generated(chance), f"generated page {number}")
    print(f"{len(pages)} stored and 200 generated pages agree")


if __name__ == "__main__":
    main()
