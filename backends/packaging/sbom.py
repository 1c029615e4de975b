"""The bill of materials of an image, SPDX 2.3 as JSON, made from the lock of what goes into it.

    python3 sbom.py --name cpu --version 0.1.0 --lock backends/cpu/packages.run.lock [--commit HASH] [--created TIME]

The program itself is one package, every Debian package of the lock another that it depends on. What a lock does not know
(licences, checksums) is NOASSERTION, not a guess. The same input gives the same document: the time is given, or that of
SOURCE_DATE_EPOCH.
"""

import argparse
import datetime
import hashlib
import json
import os
import re

LOCK_LINE = re.compile(r"^(?P<name>[a-z0-9][a-z0-9+.-]+)=(?P<version>[0-9A-Za-z.+:~-]+)$")


def read_lock(text, name):
    """[(package, version)] of `name=version` lines. Raises ValueError, which says where, for anything else."""
    packages = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        found = LOCK_LINE.match(line)
        if not found:
            raise ValueError(f"{name}:{number}: expected PACKAGE=VERSION, found \"{line}\"")
        packages.append((found["name"], found["version"]))
    return packages


def spdx_id(text):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", text)


def debian_package(name, version):
    purl = f"pkg:deb/debian/{name.replace('+', '%2B')}@{version.replace(':', '%3A').replace('+', '%2B')}?distro=debian-12"
    return {"SPDXID": spdx_id(f"deb-{name}"), "name": name, "versionInfo": version, "supplier": "Organization: Debian",
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]}


def sbom(name, version, packages, commit, created):
    program = {"SPDXID": "SPDXRef-secondsource", "name": "secondsource", "versionInfo": version,
               "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0",
               "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION",
               "sourceInfo": f"commit {commit}" if commit else "commit not given"}
    listed = [debian_package(*package) for package in packages]
    content = json.dumps([program, listed], sort_keys=True)
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", program["SPDXID"])]
    relations += [(program["SPDXID"], "DEPENDS_ON", package["SPDXID"]) for package in listed]
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"secondsource-{name}",
            "documentNamespace": f"urn:secondsource:sbom:{name}:{hashlib.sha256(content.encode()).hexdigest()}",
            "creationInfo": {"created": created, "creators": ["Tool: secondsource-sbom-1"]},
            "packages": [program] + listed,
            "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b}
                              for a, kind, b in relations]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="of the image: cpu, cuda, hip")
    parser.add_argument("--version", required=True, help="of the program")
    parser.add_argument("--lock", required=True, help="name=version lines")
    parser.add_argument("--commit", default="")
    parser.add_argument("--created", help="UTC, 2026-11-20T00:00:00Z")
    arguments = parser.parse_args()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    created = arguments.created or datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    with open(arguments.lock) as file:
        try:
            packages = read_lock(file.read(), arguments.lock)
        except ValueError as error:
            parser.error(str(error))
    print(json.dumps(sbom(arguments.name, arguments.version, packages, arguments.commit, created), indent=1))


if __name__ == "__main__":
    main()
