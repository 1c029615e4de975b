"""Tests the locks, bills of materials and Containerfiles of backends/*, and which backends the packages have, without a container
engine; nothing is built.

The requirements of SPDX 2.3 are written down here independently, from its specification (clauses 6, 7 and 11). If spdx-tools is
installed, its validator checks the documents as well.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SCRIPT = os.path.join(ROOT, "backends", "packaging", "sbom.py")
IMAGES = ("cpu", "cuda", "hip")


def path_of(image, name):
    return os.path.join(ROOT, "backends", image, name)


def lines_of(path):
    with open(path) as file:
        return [line for line in file.read().splitlines() if line and not line.startswith("#")]


def make_sbom(lock, image="cpu"):
    return subprocess.run([sys.executable, "-B", SCRIPT, "--name", image, "--version", "0.1.0", "--lock", lock, "--commit", "abc",
                           "--created", "2026-11-20T00:00:00Z"], capture_output=True, text=True)


class Locks(unittest.TestCase):
    def test_a_lock_has_every_package_of_its_list_and_each_once(self):
        for image in IMAGES:
            for kind in ("build", "run"):
                lines = lines_of(path_of(image, f"packages.{kind}.lock"))
                names = [line.split("=")[0] for line in lines]
                with self.subTest(image=image, kind=kind):
                    self.assertEqual(len(names), len(set(names)))
                    self.assertEqual(lines, sorted(lines))
                    self.assertEqual(set(lines_of(path_of(image, f"packages.{kind}"))) - set(names), set())

    def test_a_containerfile_installs_locks_and_nothing_else(self):
        for image in IMAGES:
            with open(path_of(image, "Containerfile")) as file:
                text = file.read()
            with self.subTest(image=image):
                self.assertEqual(re.findall(r"apt-get install ([^&]*)&&", text),
                                 ["-y --no-install-recommends $(cat /tmp/lock) "] * 2)
                self.assertEqual(re.findall(r"COPY (backends/\S+)", text),
                                 [f"backends/{image}/packages.build.lock", f"backends/{image}/packages.run.lock"])
                self.assertIn("ARG DIGEST", text)
                self.assertEqual("Never built" in text, image != "cpu")  # the test packaging_image builds the image of cpu

    def test_the_wheels_of_the_cuda_image_are_those_of_dev_setup(self):
        pattern = re.compile(r"nvidia-[a-z-]+==[0-9.]+")
        with open(path_of("cuda", "Containerfile")) as image, open(os.path.join(ROOT, "dev")) as dev:
            of_setup = re.search(r"cuda_wheels=\(([^)]*)\)", dev.read()).group(1)
            self.assertEqual(sorted(pattern.findall(image.read())), sorted(pattern.findall(of_setup)))


class Packages(unittest.TestCase):
    def test_no_package_contains_a_backend_for_gpus(self):
        optional = set()
        for name in os.listdir(os.path.join(ROOT, "backends")):
            path = path_of(name, "CMakeLists.txt")
            if os.path.exists(path):
                with open(path) as file:
                    optional.update(re.findall(r"(?m)^ss_backend_option\((\w+)", file.read()))
        expected = {(name.upper(), "ON" if name == "onednn" else "OFF") for name in optional}
        self.assertGreater(len(expected), 3)
        for path, pattern in (("pyproject.toml", r'(?m)^SECONDSOURCE_WITH_(\w+) = "(\w+)"$'),
                              ("backends/packaging/release.sh", r"-DSECONDSOURCE_WITH_(\w+)=(\w+)")):
            with self.subTest(path=path), open(os.path.join(ROOT, path)) as file:
                self.assertEqual(set(re.findall(pattern, file.read())), expected)


class Sbom(unittest.TestCase):
    def document(self, image="cpu"):
        made = make_sbom(path_of(image, "packages.run.lock"), image)
        self.assertEqual(made.returncode, 0, made.stderr)
        return json.loads(made.stdout)

    def test_it_has_what_spdx_asks_for(self):
        for image in IMAGES:
            document = self.document(image)
            with self.subTest(image=image):
                self.assertEqual((document["spdxVersion"], document["dataLicense"], document["SPDXID"]),
                                 ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"))
                self.assertRegex(document["documentNamespace"], r"^urn:[^#]+$")
                self.assertRegex(document["creationInfo"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
                self.assertTrue(all(re.match(r"^(Tool|Person|Organization): ", creator)
                                    for creator in document["creationInfo"]["creators"]))
                ids = [package["SPDXID"] for package in document["packages"]]
                self.assertEqual(len(ids), len(set(ids)))
                for package in document["packages"]:
                    self.assertRegex(package["SPDXID"], r"^SPDXRef-[A-Za-z0-9.-]+$")
                    self.assertTrue(package["name"] and package["downloadLocation"])
                for relation in document["relationships"]:
                    self.assertIn(relation["spdxElementId"], ids + ["SPDXRef-DOCUMENT"])
                    self.assertIn(relation["relatedSpdxElement"], ids)
                self.assertIn(("SPDXRef-DOCUMENT", "DESCRIBES"),
                              [(one["spdxElementId"], one["relationshipType"]) for one in document["relationships"]])

    def test_it_lists_the_program_and_the_whole_lock(self):
        packages = {package["name"]: package["versionInfo"] for package in self.document()["packages"]}
        locked = dict(line.split("=") for line in lines_of(path_of("cpu", "packages.run.lock")))
        self.assertEqual(packages, {"secondsource": "0.1.0", **locked})

    def test_the_same_lock_gives_the_same_document_and_another_another_namespace(self):
        self.assertEqual(self.document(), self.document())
        self.assertNotEqual(self.document("cuda")["documentNamespace"], self.document("cpu")["documentNamespace"])

    def test_a_lock_that_is_none_is_refused_with_its_line(self):
        with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
            lock.write("libc6=2.36\nnot a lock\n")
            lock.flush()
            made = make_sbom(lock.name)
        self.assertEqual(made.returncode, 2)
        self.assertIn(f"{lock.name}:2: expected PACKAGE=VERSION, found \"not a lock\"", made.stderr)

    def test_spdx_tools_finds_nothing_wrong(self):
        try:
            from spdx_tools.spdx.parser.parse_anything import parse_file
            from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
        except ImportError:
            self.skipTest("spdx-tools is not installed")
        for image in IMAGES:
            with tempfile.NamedTemporaryFile("w", suffix=".spdx.json") as file:
                file.write(make_sbom(path_of(image, "packages.run.lock"), image).stdout)
                file.flush()
                problems = validate_full_spdx_document(parse_file(file.name))
            self.assertEqual([problem.validation_message for problem in problems], [], image)


if __name__ == "__main__":
    unittest.main()
