#!/usr/bin/env python3
"""Tests that the stand-in answers like the public hub, whose own client, huggingface_hub, pulls from it: hub_client_test.py.
Skipped (77) if that package is missing."""
import hashlib
import os
import sys
import tempfile
import unittest

from stand_in import Hub

try:
    import huggingface_hub
except ImportError:
    print("skipped: Python's huggingface_hub is missing")
    sys.exit(77)

FILES = {"config.json": b"{}", "model.safetensors": os.urandom(50_000), "additional_chat_templates/tool use.jinja": b"{{ 1 }}"}


class HubClient(unittest.TestCase):
    def test_the_list_of_files(self):
        with Hub(FILES) as hub:
            api = huggingface_hub.HfApi(endpoint=hub.endpoint, token=False)
            info = api.model_info("org/model", revision="refs/pr/1", files_metadata=True)
            self.assertEqual(info.sha, hub.commit)
            of_name = {sibling.rfilename: sibling for sibling in info.siblings}
            self.assertEqual(set(of_name), set(FILES))
            self.assertEqual(of_name["model.safetensors"].lfs.sha256, hashlib.sha256(FILES["model.safetensors"]).hexdigest())
            self.assertEqual(of_name["config.json"].blob_id, hub.git_hash("config.json"))
            self.assertEqual(of_name["config.json"].size, 2)

    def test_the_files(self):
        with Hub(FILES, token="hf_secret") as hub, tempfile.TemporaryDirectory() as folder:
            for name, content in FILES.items():
                path = huggingface_hub.hf_hub_download("org/model", name, revision=hub.commit, endpoint=hub.endpoint,
                                                       token="hf_secret", cache_dir=folder)
                with open(path, "rb") as file:
                    self.assertEqual(file.read(), content)
            self.assertTrue(all(request.token is None for request in hub.requests if request.server == "store"))

    def test_what_it_refuses(self):
        with Hub(FILES, token="hf_secret") as hub:
            api = huggingface_hub.HfApi(endpoint=hub.endpoint, token="hf_other")
            with self.assertRaises(huggingface_hub.errors.RepositoryNotFoundError):
                api.model_info("org/model")
            hub.token = None
            with self.assertRaises(huggingface_hub.errors.RevisionNotFoundError):
                api.model_info("org/model", revision="v9")
            hub.faults["config.json"] = [("gated",)]
            with self.assertRaises(huggingface_hub.errors.GatedRepoError):
                # The planted refusal concerns GET requests, and hf_hub_download() would send a HEAD request first.
                huggingface_hub.utils.hf_raise_for_status(
                    huggingface_hub.utils.get_session().get(f"{hub.endpoint}/org/model/resolve/main/config.json"))


if __name__ == "__main__":
    unittest.main()
