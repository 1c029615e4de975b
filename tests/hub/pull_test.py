#!/usr/bin/env python3
"""Tests `secondsource bundle pull` with a hub that misbehaves: pull_test.py SECONDSOURCE SOURCE_FOLDER. Hashes are computed with
Python's hashlib. hub_client_test.py tests the stand-in for the hub with huggingface_hub."""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from stand_in import Hub

PROGRAM, SOURCE = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
TINY = SOURCE / "bundles/tiny-gqa8-hd64"
MODEL_FILES = ("config.json", "tokenizer.json", "model.safetensors")
TOKEN = "hf_KeepThisToYourself123"
STORIES = pathlib.Path(os.environ.get("SECONDSOURCE_ASSETS", "/nowhere")) / "models/stories260K/stories260K.gguf"
BIG = "model.safetensors"


def tiny_model():
    """The files of a committed model as a repository, with other files that a bundle does not need."""
    files = {name: (TINY / name).read_bytes() for name in MODEL_FILES}
    files["README.md"] = b"# a model"
    files["pytorch_model.bin"] = b"\x80\x04" + b"pickle" * 3000
    return files


def split(files):
    """The same repository with the tensors in two files and an index."""
    whole = files.pop(BIG)
    n_header = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:8 + n_header])
    header.pop("__metadata__", None)
    names = sorted(header)
    index = {"metadata": {}, "weight_map": {}}
    for number, part in enumerate((names[:len(names) // 2], names[len(names) // 2:]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        table, data = {}, b""
        for name in part:
            first, last = header[name]["data_offsets"]
            table[name] = {**header[name], "data_offsets": [len(data), len(data) + last - first]}
            data += whole[8 + n_header + first:8 + n_header + last]
            index["weight_map"][name] = file
        text = json.dumps(table).encode()
        text += b" " * (-len(text) % 8)
        files[file] = struct.pack("<Q", len(text)) + text + data
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    return files


class Pull(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="secondsource-pull-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "out"

    def command(self, *arguments, model="hf:org/model"):
        return [PROGRAM, "bundle", "pull", model, "--out", self.out, *arguments]

    def environment(self, hub, **more):
        names = ("HF_", "HTTP", "HTTPS", "ALL_", "NO_", "http", "https", "all_", "no_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
        return {**kept, "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:1", **more}

    def pull(self, hub, *arguments, model="hf:org/model", **environment):
        run = subprocess.run(self.command(*arguments, model=model), env=self.environment(hub, **environment),
                             capture_output=True, text=True, timeout=120, check=False)
        for text in (run.stdout, run.stderr):
            self.assertNotIn(TOKEN, text)
            self.assertNotIn("secret-", text, "an address with a signature was shown")
        for file in self.folder.rglob("*"):
            if file.is_file():
                self.assertNotIn(TOKEN.encode(), file.read_bytes(), file)
        self.assertEqual(run.stdout, "")
        return run

    def good(self, hub, *arguments, **more):
        run = self.pull(hub, *arguments, **more)
        self.assertEqual(run.returncode, 0, run.stderr)
        checked = subprocess.run([PROGRAM, "bundle", "verify", self.out], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        self.assertFalse(pathlib.Path(f"{self.out}.pull").exists())
        for name in MODEL_FILES:
            if name in hub.files and (self.out / name).exists():
                self.assertEqual((self.out / name).read_bytes(), hub.files[name])
        return run

    def refused(self, hub, says, *arguments, status=2, **more):
        """Checks that a pull fails with this status, that its last line contains `says`, and that nothing is left. Returns the lines."""
        run = self.pull(hub, *arguments, **more)
        self.assertEqual(run.returncode, status, run.stderr)
        lines = run.stderr.splitlines()
        self.assertTrue(lines and says in lines[-1], run.stderr)
        self.assertFalse(self.out.exists())
        return lines

    # -- what comes

    def test_a_bundle_is_the_one_that_create_makes_of_the_same_files(self):
        with Hub(tiny_model(), card={"license": "apache-2.0"}) as hub:
            self.good(hub, "--name", "tiny")
            self.assertFalse(hub.asked("pytorch_model.bin") or hub.asked("README.md"))
            commit, url = hub.commit, hub.endpoint
        folder = self.folder / "tiny"
        folder.mkdir()
        for name in MODEL_FILES:
            shutil.copy(TINY / name, folder)
        created = self.folder / "created"
        subprocess.run([PROGRAM, "bundle", "create", "--from-hf", folder, "--out", created, "--license", "apache-2.0"],
                       check=True, capture_output=True)
        pulled, made = ((path / "manifest.yaml").read_text() for path in (self.out, created))
        self.assertIn(f"org/model of the hub, revision main, commit {commit}", pulled)
        self.assertIn(f"{url}/org/model/tree/{commit}", pulled)
        without_source = [[line for line in text.splitlines() if "description:" not in line and "url:" not in line]
                          for text in (pulled, made)]
        self.assertEqual(*without_source)

    def test_quantized_weights_become_a_bundle(self):
        checkpoint = SOURCE / "tests/data/quantized/awq"
        with Hub({name: (checkpoint / name).read_bytes() for name in ("config.json", BIG)}) as hub:
            run = self.pull(hub)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn('quantization: "AWQ, 4 bits, groups of 16 (7 tensors), BF16 (5)"', (self.out / "manifest.yaml").read_text())
        self.assertNotIn("quantization_config", (self.out / "config.json").read_text())

    def test_shards_are_those_of_the_index(self):
        files = split(tiny_model())
        files["model-00009-of-00009.safetensors"] = b"of another model" * 1000
        with Hub(files) as hub:
            self.good(hub, model="hf:org/model@refs/pr/1")
            self.assertFalse(hub.asked("model-00009-of-00009.safetensors"))
            self.assertEqual(len(hub.asked("model-00002-of-00002.safetensors", "store")), 1)
            self.assertIn("revision refs/pr/1, commit " + hub.commit, (self.out / "manifest.yaml").read_text())
            self.assertTrue(all(f"/resolve/{hub.commit}/" in r.path for r in hub.requests if "/resolve/" in r.path))

    def test_chat_templates_come_with_the_model(self):
        files = {**tiny_model(), "chat_template.jinja": b"{{ messages[0].content }}",
                 "additional_chat_templates/tool_use.jinja": b"{{ 1 }}"}
        with Hub(files) as hub:
            self.good(hub)
        self.assertEqual((self.out / "chat_template.jinja").read_bytes(), files["chat_template.jinja"])
        self.assertTrue((self.out / "additional_chat_templates/tool_use.jinja").exists())

    def test_the_model_of_a_tokenizer_comes_where_there_is_no_tokenizer_json(self):
        names = ("tokenizer.model", "spiece.model", "qwen.tiktoken", "cl100k_base.tiktoken", "o200k_base.tiktoken")
        with Hub({**tiny_model(), **dict.fromkeys(names, b"no model")}) as hub:
            self.good(hub)
            self.assertFalse(any(hub.asked(name) for name in names))
        shutil.rmtree(self.out)
        for first, name in enumerate(names):
            files = {**tiny_model(), **dict.fromkeys(names[first:], b"no model")}
            del files["tokenizer.json"]
            with self.subTest(name), Hub(files) as hub:
                self.assertIn(name, self.pull(hub).stderr)
                self.assertEqual([other for other in names if hub.asked(other)], [name])
                self.assertFalse(self.out.exists())
            shutil.rmtree(f"{self.out}.pull")

    @unittest.skipUnless(STORIES.exists(), "without SECONDSOURCE_ASSETS")
    def test_a_gguf_file_by_its_name(self):
        with Hub({"README.md": b"-", "q/stories260K.gguf": STORIES.read_bytes(), "q/other.gguf": b"GGUF"}) as hub:
            self.good(hub, model="hf:org/model/q/stories260K.gguf@v1.0")
            self.assertFalse(hub.asked("other.gguf"))
        self.assertIn("q/stories260K.gguf in org/model of the hub, revision v1.0", (self.out / "manifest.yaml").read_text())

    def test_a_mirror_below_a_path_and_a_renamed_repository(self):
        with Hub(tiny_model(), prefix="/mirrors/hf") as hub:
            hub.faults["listing"] = [("renamed",)]
            self.good(hub, "--endpoint", hub.endpoint, HF_ENDPOINT="http://127.0.0.1:1")

    def test_a_proxy_from_the_environment(self):
        with Hub(tiny_model(), lfs_bytes=10**9) as hub:
            proxy = hub.address("proxy")
            self.good(hub, HF_ENDPOINT="http://hub.invalid", http_proxy=proxy)
            self.assertEqual(len([r for r in hub.requests if r.server == "proxy"]), 4)

    # -- the token

    def test_the_token_goes_to_the_hub_and_nowhere_else(self):
        with Hub(tiny_model(), token=TOKEN) as hub:
            self.good(hub, HF_TOKEN=TOKEN)
            self.assertEqual({r.token for r in hub.requests if r.server == "hub"}, {"Bearer " + TOKEN})
            self.assertEqual({r.token for r in hub.requests if r.server == "store"}, {None})
            self.assertNotIn(TOKEN, "".join(r.path for r in hub.requests))

    def test_who_may_not_read_a_model_is_told_what_to_do(self):
        with Hub(tiny_model(), token=TOKEN) as hub:
            self.refused(hub, "then set HF_TOKEN to an access token")
            # The stand-in's answer repeats the token that it was sent.
            other = TOKEN + "x"
            self.refused(hub, "or the token in HF_TOKEN may not read it", HF_TOKEN=other)
            hub.token = None
            hub.faults["config.json"] = [("gated",)]
            self.refused(hub, "answers 403: Access to model is restricted; the model is gated: accept its conditions on its page, "
                              "then set HF_TOKEN")
            hub.faults["config.json"] = [("gated",)]
            self.refused(hub, "accept its conditions on its page, with the account of HF_TOKEN", HF_TOKEN=TOKEN)

    def test_the_token_is_not_repeated_by_any_message(self):
        with Hub(tiny_model()) as hub:
            hub.token = "hf_another"
            self.refused(hub, "answers 401: Invalid username or password: Bearer [key]", HF_TOKEN=TOKEN)
            hub.token = None
            hub.faults["listing"] = [("status", 500, {}, f"you sent {TOKEN}".encode())]
            self.refused(hub, "you sent [key]", "--retries", "0", HF_TOKEN=TOKEN, status=70)

    # -- connections that fail

    def test_a_download_that_is_cut_goes_on_at_the_same_byte(self):
        with Hub(tiny_model()) as hub:
            hub.faults[BIG] = [("cut", 30_000), ("quiet-cut", 5000), ("cut", 0), ("cut", 70_000)]
            self.good(hub)
            asked = hub.asked(BIG, "store")
            self.assertEqual([r.range for r in asked],
                             [None, "bytes=30000-", "bytes=35000-", "bytes=35000-", "bytes=105000-"])
            self.assertEqual({r.if_range for r in asked[1:]}, {f'"{hub.sha256(BIG)[:32]}"'})

    def test_an_interrupted_pull_goes_on_when_the_command_is_given_again(self):
        with Hub(tiny_model()) as hub:
            hub.faults[BIG] = [("slow", 20_000, 0.3)]
            process = subprocess.Popen(self.command(), env=self.environment(hub), stderr=subprocess.PIPE, text=True)
            partial = pathlib.Path(f"{self.out}.pull/partials/{hub.sha256(BIG)}.partial")
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not (partial.exists() and partial.stat().st_size >= 40_000):
                time.sleep(0.05)
            second = self.pull(hub)
            self.assertEqual(second.returncode, 2)
            self.assertIn("another process is pulling into this folder", second.stderr)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            self.assertEqual(process.returncode, 130)
            self.assertFalse(self.out.exists())
            there = partial.stat().st_size
            hub.requests.clear()
            self.good(hub)
            self.assertEqual([r.range for r in hub.asked(BIG, "store")], [f"bytes={there}-"])
            self.assertFalse(hub.asked("tokenizer.json"), "what was whole was pulled again")

    def test_what_an_earlier_pull_left_is_not_believed(self):
        with Hub(tiny_model()) as hub:
            left = pathlib.Path(f"{self.out}.pull")
            (left / "partials").mkdir(parents=True)
            (left / "files").mkdir()
            (left / "lock").touch()
            (left / f"partials/{hub.sha256(BIG)}.partial").write_bytes(b"x" * 1000)
            (left / "files/tokenizer.json").write_bytes(b"x" * len(hub.files["tokenizer.json"]))
            (left / "files/old.safetensors").write_bytes(b"x")
            run = self.good(hub)
            self.assertIn("the part that an earlier attempt left is of another file, so it is pulled anew", run.stderr)
            self.assertEqual([r.range for r in hub.asked(BIG, "store")], ["bytes=1000-", None])

    def test_a_server_without_ranges_and_one_whose_file_changed_give_the_whole_again(self):
        for kind in ("no-ranges", "changed"):
            with self.subTest(kind), Hub(tiny_model()) as hub:
                hub.faults[BIG] = [("cut", 30_000), (kind,)]
                self.good(hub)
                shutil.rmtree(self.out)

    def test_limits_of_the_hub_are_waited_for(self):
        with Hub(tiny_model()) as hub:
            hub.faults["listing"] = [("status", 429, {"Retry-After": "1"})]
            hub.faults["config.json"] = [("status", 503, {})]
            hub.faults[BIG] = [("status", 500, {})]  # the store answers with this error
            began = time.monotonic()
            run = self.good(hub)
            self.assertGreater(time.monotonic() - began, 1.9)
            self.assertIn("answers 429; again in 1 s", run.stderr)
            self.assertIn("answers 503; again in 0.5 s", run.stderr)
            shutil.rmtree(self.out)
            hub.faults["config.json"] = [("status", 429, {"Retry-After": "3600"})]
            self.refused(hub, "the hub asks to wait 3600 s: give the same command again after that", status=70)
            hub.faults["config.json"] = [("status", 503, {})] * 9
            lines = self.refused(hub, "(attempt 3 of 3); give the same command again to go on from here", "--retries", "2", status=70)
            self.assertEqual(len([line for line in lines if "again in" in line]), 2)

    def test_a_silent_server_counts_as_lost(self):
        with Hub(tiny_model()) as hub:
            hub.faults[BIG] = [("stall", 10_000, 20)]
            self.refused(hub, "nothing came for 1 s", "--retries", "0", status=70, HF_HUB_DOWNLOAD_TIMEOUT="1")
            hub.faults[BIG] = []
            self.good(hub)
            self.assertEqual(hub.asked(BIG, "store")[-1].range, "bytes=10000-")

    def test_an_address_whose_signature_is_too_old_is_asked_for_again(self):
        with Hub(tiny_model()) as hub:
            hub.faults[BIG] = [("expired",)]
            self.good(hub)

    def test_redirects(self):
        with Hub(tiny_model()) as hub:
            hub.faults[BIG] = [("no-location",)]
            self.refused(hub, "answers 302, a redirect without an address", "--retries", "0", status=70)
            hub.faults[BIG] = [("loop",)] * 20
            self.refused(hub, "expected at most 5 redirects, found more", status=70)

    def test_no_redirect_leaves_encryption(self):
        certificate = self.folder / "certificate.pem"
        made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                               "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", self.folder / "public.pem"],
                              capture_output=True, check=False)
        if made.returncode != 0:
            self.skipTest("the program openssl is missing")
        with open(certificate, "a", encoding="ascii") as file:
            file.write((self.folder / "public.pem").read_text())
        with Hub(tiny_model(), certificate=certificate, token=TOKEN) as hub:
            lines = self.refused(hub, "expected https, as before it", status=70, HF_TOKEN=TOKEN,
                                 SSL_CERT_FILE=str(self.folder / "public.pem"))
            self.assertIn(f"a redirect to {hub.address('store')}:", lines[-1])
            self.assertFalse(hub.asked(BIG, "store"))
            lines = self.refused(hub, "certificate", status=70, HF_TOKEN=TOKEN)
            self.assertEqual(len(lines), 1)

    def test_nobody_there(self):
        with Hub(tiny_model()) as hub:
            address = hub.endpoint
        lines = self.refused(None, address, HF_ENDPOINT=address, status=70)
        self.assertEqual(len(lines), 1)

    # -- content that is not what it should be

    def test_wrong_hashes_and_lengths(self):
        with Hub(tiny_model()) as hub:
            for name in ("config.json", BIG):
                hub.faults[name] = [("wrong",)]
                self.refused(hub, f"hf:org/model: {name}: expected the hash", status=70)
                self.assertFalse(list(pathlib.Path(f"{self.out}.pull/partials").iterdir()))
            hub.faults[BIG] = [("longer",)]
            self.refused(hub, f"{BIG}: expected {len(hub.files[BIG])} bytes, found more", status=70)
            hub.faults[BIG] = [("shorter",)]
            self.good(hub)
            self.assertEqual(hub.asked(BIG, "store")[-1].range, f"bytes={len(hub.files[BIG]) - 1}-")

    def test_heads_that_contradict_the_list(self):
        with Hub(tiny_model()) as hub:
            for name in ("config.json", BIG):
                hub.faults[name] = [("other-etag",)]
                self.refused(hub, f"{name}: the hub's list of files gives it the hash", status=70)
            hub.faults[BIG] = [("other-commit",)]
            self.refused(hub, f"expected the file of commit {hub.commit}, found that of 000", status=70)
            hub.faults[BIG] = [("cut", 9000), ("wrong-range",)]
            self.refused(hub, "found the range \"bytes 9001-", status=70)

    def test_lists_of_files_that_cannot_be_believed(self):
        def with_file(**changes):
            def change(listing):
                entry = next(e for e in listing["siblings"] if e["rfilename"] == "config.json")
                entry.update(changes)
                return listing
            return change

        def set_sizes(listing):
            for entry in listing["siblings"]:
                entry["size"] = 2**63 - 1
                entry.pop("lfs", None)
            return listing

        def twice(listing):
            listing["siblings"].append(listing["siblings"][0])
            return listing

        changes = [
            (with_file(size=-1), "size: expected"), (with_file(size=1.5), "size: expected"),
            (with_file(size=2**64), "size: expected"), (with_file(size=None), "config.json: expected its size in the hub's answer"),
            (with_file(blobId=None), "config.json: expected its hash in the hub's answer"),
            (with_file(blobId="../../x"), "40 lower-case hexadecimal digits"),
            (with_file(size=2**40), "config.json: expected at most 64 MiB"), (twice, "twice"),
            (lambda listing: {**listing, "sha": "main"}, "sha: expected 40 lower-case hexadecimal digits"),
            (lambda listing: {**listing, "siblings": {}}, "siblings: expected a list"), (lambda listing: [], "expected"),
        ]
        with Hub(tiny_model()) as hub:
            for change, says in changes:
                with self.subTest(says):
                    hub.change_listing = change
                    lines = self.refused(hub, says)
                    self.assertLessEqual(len(lines), 2)
            hub.change_listing = lambda listing: listing
            for body, kind, says in ((b"<html>", "text/html", "is this a hub?"), (b"{", "application/json", "the hub's answer")):
                hub.faults["listing"] = [("body", body, kind)]
                self.refused(hub, says)

    def test_no_room_on_the_disk_and_sizes_beyond_all_numbers(self):
        files = split(tiny_model())
        with Hub(files) as hub:
            def sizes(of_each):
                def change(listing):
                    for entry in listing["siblings"]:
                        if entry["rfilename"].startswith("model-"):
                            entry["size"] = entry["lfs"]["size"] = of_each
                    return listing
                return change
            hub.change_listing = sizes(2**61)
            self.refused(hub, "expected room for")
            hub.change_listing = sizes(2**63 - 1)
            self.refused(hub, "more than 2^63 bytes in all")
            self.assertFalse(hub.asked("model-00001-of-00002.safetensors"))

    def test_no_path_of_a_server_leaves_the_folder(self):
        with Hub(tiny_model()) as hub:
            def add(*names):
                def change(listing):
                    for name in names:
                        listing["siblings"].append({**listing["siblings"][0], "rfilename": name})
                    return listing
                return change
            hub.change_listing = add("../evil.safetensors", "/etc/evil", "additional_chat_templates/../../x.jinja", "a\\b",
                                     "c:d", "x" * 300)
            self.assertIn("6 files left out", self.good(hub).stderr)
            self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["out"])
            shutil.rmtree(self.out)
        files = split(tiny_model())
        index = json.loads(files["model.safetensors.index.json"])
        for shard, says in (("../../model-00002-of-00002.safetensors", "expected a path inside the bundle"),
                            ("model-00003-of-00003.safetensors", "which is not in the repository"), ("weights.bin", ".safetensors")):
            index["weight_map"][next(iter(index["weight_map"]))] = shard
            files["model.safetensors.index.json"] = json.dumps(index).encode()
            with Hub(files) as hub:
                self.refused(hub, says)

    # -- models that are refused

    def test_pickles_and_other_formats_are_refused_by_name(self):
        config = tiny_model()["config.json"]
        for files, says in (({"pytorch_model.bin": b"\x80"}, "pytorch_model.bin: weights as pickled Python objects"),
                            ({"model.pt": b"\x80"}, "model.pt: pickled Python objects"),
                            ({"tf_model.h5": b"-"}, "weights for TensorFlow"),
                            ({"a.Q4_0.gguf": b"-", "b-00001-of-00002.gguf": b"-", "b-00002-of-00002.gguf": b"-"},
                             "name one, as hf:org/model/a.Q4_0.gguf; there are a.Q4_0.gguf, b-00001-of-00002.gguf"),
                            ({}, "expected model.safetensors, found none")):
            with self.subTest(says), Hub({"config.json": config, **files}) as hub:
                self.refused(hub, says)
                self.assertFalse(any("/resolve/" in request.path for request in hub.requests))
        with Hub({"b-00001-of-00003.gguf": b"-", "b-00002-of-00003.gguf": b"-"}) as hub:
            self.refused(hub, "\"b-00003-of-00003.gguf\", a part of the model, is not in the repository", model="hf:org/model/b-00001-of-00003.gguf")
            self.refused(hub, "its GGUF files are b-00001-of-00003.gguf", model="hf:org/model/c.gguf")

    def test_an_architecture_that_is_not_ours_is_refused_before_its_weights_come(self):
        files = tiny_model()
        files["config.json"] = json.dumps({**json.loads(files["config.json"]), "architectures": ["BertModel"]}).encode()
        with Hub(files) as hub:
            self.refused(hub, "BertModel")
            self.assertFalse(hub.asked(BIG))
        files["config.json"] = json.dumps({**json.loads((TINY / "config.json").read_text()),
                                           "quantization_config": {"quant_method": "hqq"}}).encode()
        with Hub(files) as hub:
            self.refused(hub, "quant_method: expected one of fp8")
            self.assertFalse(hub.asked(BIG))

    def test_a_checkpoint_with_quantized_weights(self):
        folder = SOURCE / "tests/data/quantized/fp8-blocks"
        with Hub({name: (folder / name).read_bytes() for name in ("config.json", BIG)}) as hub:
            run = self.pull(hub)
        self.assertEqual(run.returncode, 0, run.stderr)
        manifest = (self.out / "manifest.yaml").read_text()
        self.assertRegex(manifest, "quantization: .*FP8")
        self.assertIn("org/model of the hub, revision main", manifest)

    def test_names_that_are_none(self):
        for model in ("org/model", "hf:model", "hf:/model", "hf:org/", "hf:org/model@", "hf:org/../x", "hf:org/mo del", "hf:org--x/model",
                      "hf:org/model.git", "hf:org/model/model.bin", "hf:org/model/../x.gguf", "hf:org/model@a b", "hf:-org/model"):
            with self.subTest(model):
                self.refused(None, "expected", model=model)
        with Hub(tiny_model()) as hub:
            self.refused(hub, "there is no such branch, tag or commit", model="hf:org/model@v9")
            self.refused(hub, "the name is wrong, or the model is private", model="hf:org/other")
            self.assertTrue(any(r.path == "/api/models/org/model/revision/v9?blobs=true" for r in hub.requests))

    def test_settings_that_are_none(self):
        self.refused(None, "HF_HUB_OFFLINE is \"1\"", HF_HUB_OFFLINE="1")
        self.refused(None, "HF_ENDPOINT", HF_ENDPOINT="hub.example.org")
        self.refused(None, "no user, password, query or fragment in it", HF_ENDPOINT=f"https://me:{TOKEN}@hub.invalid")
        self.refused(None, "--endpoint \"ftp://hub.invalid\": expected http or https", "--endpoint", "ftp://hub.invalid")
        self.refused(None, "HF_HUB_DOWNLOAD_TIMEOUT: expected seconds", HF_HUB_DOWNLOAD_TIMEOUT="soon")
        self.refused(None, "would be readable on the way", HF_ENDPOINT="http://hub.invalid", HF_TOKEN=TOKEN)
        self.refused(None, "would be readable on the way", HF_ENDPOINT="http://127.hub.invalid", HF_TOKEN=TOKEN)
        self.refused(None, "expected an API key of printable characters", HF_TOKEN="a b")

    def test_a_name_that_is_taken_and_a_folder_that_is_not_ours(self):
        with Hub(tiny_model()) as hub:
            foreign = pathlib.Path(f"{self.out}.pull")
            foreign.mkdir()
            (foreign / "thesis.txt").write_text("precious")
            self.refused(hub, "found one with thesis.txt, which no pull wrote")
            self.assertEqual((foreign / "thesis.txt").read_text(), "precious")
            hub.requests.clear()
            self.out.mkdir()
            (self.out / "notes").touch()
            run = self.pull(hub)
            self.assertEqual(run.returncode, 2)
            self.assertIn("expected a new or an empty folder", run.stderr)
            self.assertFalse(hub.requests)

    def test_files_stay_where_the_bundle_could_not_be_made(self):
        with Hub(tiny_model()) as hub:
            self.refused(hub, "nowhere", "--chat-template", str(self.folder / "nowhere"))
            hub.requests.clear()
            self.good(hub)
            self.assertEqual(len(hub.requests), 1, "more than the list was asked for")

    def test_a_name_and_prompts_that_no_bundle_can_have_are_refused_before_the_hub_is_asked(self):
        with Hub(tiny_model()) as hub:
            self.refused(hub, "expected a folder of golden prompt suites", "--prompts", str(self.folder / "nowhere"))
            self.refused(hub, "--name: expected a word", "--name", "my model")
            self.assertFalse(hub.requests)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
