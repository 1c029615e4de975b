"""ONNX Runtime GenAI: its model builder makes an ONNX model from the weights, and its Generator runs it, one request after the
other."""
import json
import pathlib
import subprocess
import sys
import tempfile

from ..converted import converted_model
from ..protocol import Score, versions_of
from ..static_batches import StaticBatches


class Adapter(StaticBatches):
    name = "onnxruntime-genai"
    forced = "logits"
    max_in_flight = 1
    known_options = {
        "precision": "fp32",  # of the ONNX model: fp32, fp16, bf16, int4, as the builder takes it
        "device": "cpu",  # cuda, dml, webgpu: the builder's execution provider
    }

    def __init__(self, options):
        super().__init__(options)
        self.choice_option("precision", "fp32", "fp16", "bf16", "int4")

    def versions(self):
        return versions_of("onnxruntime-genai", "onnxruntime", "onnx-ir", "transformers")

    def load(self, folder):
        import onnxruntime_genai
        self._library = onnxruntime_genai
        kind = f"onnxruntime-genai {self.versions()} {self.options}"
        self._model = onnxruntime_genai.Model(converted_model(folder, kind, self._build_from(folder)))
        for _ in self.generate([[1, 2, 3]], 3):
            pass

    def _build_from(self, folder):
        def build(target):
            with tempfile.TemporaryDirectory() as cache:
                subprocess.run([sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", folder, "-o", target, "-p",
                                self.options["precision"], "-e", self.options["device"], "-c", cache], check=True)
            # Without an end-of-text token, no token ends an answer.
            path = pathlib.Path(target, "genai_config.json")
            config = json.loads(path.read_text())
            config["model"]["eos_token_id"] = []
            path.write_text(json.dumps(config))
        return build

    def _generator(self, n_tokens):
        params = self._library.GeneratorParams(self._model)
        params.set_search_options(max_length=n_tokens, do_sample=False)
        return self._library.Generator(self._model, params)

    def generate(self, prompts, n_tokens):
        ids, = prompts
        generator = self._generator(len(ids) + n_tokens)
        generator.append_tokens(ids)
        for _ in range(n_tokens):
            generator.generate_next_token()
            yield {0: int(generator.get_next_tokens()[0])}

    def score(self, ids, n_prompt, wanted):
        generator = self._generator(len(ids) + 1)
        generator.append_tokens(ids[:-1])
        logits = generator.get_output("logits")[0, n_prompt - 1:]
        return Score.of_logits(logits, ids[n_prompt:], wanted)
