"""What an ELF file needs of the machine that it runs on: shared libraries, and versions of their symbols. Read with readelf."""

import re
import subprocess

FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI", "GCC")


def readelf(option, file):
    return subprocess.run(["readelf", "-W", option, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=True).stdout


def numbers(version):
    return tuple(int(part) for part in version.split("."))


def needed_versions(text):
    """Returns family -> highest version of `readelf --version-info`'s section of needs; "GLIBC" -> "2.34"."""
    highest = {}
    needs = text.partition("Version needs section")[2]
    for family, version in re.findall(r"Name: ([A-Z]+)_([0-9.]*[0-9])\b", needs):
        if family in FAMILIES and numbers(version) > numbers(highest.get(family, "0")):
            highest[family] = version
    return highest


def versions_of(file):
    return needed_versions(readelf("--version-info", file))


def needed_libraries(file):
    """The names in DT_NEEDED."""
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.*?)\]", readelf("--dynamic", file))


def is_elf(file):
    with open(file, "rb") as opened:
        return opened.read(4) == b"\x7fELF"


def beyond(highest, allowed):
    """Returns the families of `highest` that are newer than `allowed` has; one that it does not name is not limited."""
    return {family: version for family, version in highest.items()
            if family in allowed and numbers(version) > numbers(allowed[family])}
