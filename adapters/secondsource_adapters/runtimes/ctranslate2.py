"""CTranslate2: its own converter converts the weights, and its Generator generates with them.

The rows of a batch run together if their prompts have the same length, and otherwise one after the other: that is how the
library streams tokens.
"""
import json
import pathlib

from ..converted import converted_model
from ..protocol import Refusal, Score, versions_of
from ..static_batches import StaticBatches


class Adapter(StaticBatches):
    name = "ctranslate2"
    forced = "logits"
    known_options = {
        "compute_type": "default",  # that of the stored weights where the device has it, otherwise float32; int8, ...
        "device": "cpu",
        "batch": "8",  # rows at most
        "threads": "0",  # 0: as many as the library takes
    }

    def __init__(self, options):
        super().__init__(options)
        self.max_in_flight = self.number_option("batch")
        self._threads = self.number_option("threads", least=0)

    def versions(self):
        return versions_of("ctranslate2", "transformers")

    def load(self, folder):
        import ctranslate2
        path = converted_model(folder, f"ctranslate2 {self.versions()}", self._convert_from(folder))
        self._tokens = json.loads(pathlib.Path(path, "vocabulary.json").read_text())
        if len(set(self._tokens)) != len(self._tokens):
            raise Refusal("unsupported", "two ids of this vocabulary have the same text, and the library takes texts alone")
        self._library = ctranslate2
        self._generator = ctranslate2.Generator(path, device=self.options["device"], intra_threads=self._threads,
                                                compute_type=self.options["compute_type"])
        for _ in self.generate([[1, 2, 3]], 3):
            pass

    @staticmethod
    def _convert_from(folder):
        def convert(target):
            import ctranslate2.converters
            ctranslate2.converters.TransformersConverter(folder).convert(target, force=True)
            # The converter writes null for a token that the model does not have, and the library cannot read null.
            path = pathlib.Path(target, "config.json")
            config = json.loads(path.read_text())
            for name in ("bos_token", "eos_token", "unk_token"):
                if config.get(name, "") is None:
                    config[name] = ""
            path.write_text(json.dumps(config))
        return convert

    def generate(self, prompts, n_tokens):
        rows = [[self._tokens[one] for one in ids] for ids in prompts]
        # Without an end_token the end of text is a token like any other.
        for one in self._generator.generate_tokens(rows, max_length=n_tokens, sampling_topk=1, end_token=[]):
            yield {one.batch_id: one.token_id}

    def score(self, ids, n_prompt, wanted):
        import numpy
        out = self._generator.forward_batch([ids[:-1]], return_log_probs=True)
        if self.options["device"] != "cpu":
            out = out.to_device(self._library.Device.cpu)
        logprobs = numpy.asarray(out.to(self._library.DataType.float32))[0, n_prompt - 1:]
        return Score.of_each(logprobs, ids[n_prompt:], wanted)
