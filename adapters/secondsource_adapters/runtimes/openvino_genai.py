"""OpenVINO GenAI: optimum-intel makes an OpenVINO model from the weights, and the continuous batching pipeline runs it, with
paged attention. The same pipeline scores given ids: they are its prompt, which it echoes with log-probabilities."""
import subprocess
import sys

from ..converted import converted_model
from ..protocol import Refusal, Runtime, Score, versions_of


class Adapter(Runtime):
    name = "openvino-genai"
    forced = "logprob"
    known_options = {
        "weights": "fp32",  # of the OpenVINO model: fp32, fp16, int8, as optimum-intel's export takes it
        "device": "CPU",  # GPU, NPU: OpenVINO's name
        "inference_precision": "f32",  # of matrix products: f32, bf16, f16
        "kv_cache_precision": "f32",  # f32, bf16, f16, u8: OpenVINO's own default on a CPU is u8
        "max_in_flight": "16",
        "kv_cache_gb": "1",
    }

    def __init__(self, options):
        super().__init__(options)
        self.choice_option("weights", "fp32", "fp16", "int8")
        self.choice_option("inference_precision", "f32", "bf16", "f16")
        self.choice_option("kv_cache_precision", "f32", "bf16", "f16", "u8")
        self.max_in_flight = self.number_option("max_in_flight")
        self._kv_cache_gb = self.number_option("kv_cache_gb")
        self._handles = {}

    def versions(self):
        return versions_of("openvino-genai", "openvino", "optimum-intel", "transformers")

    def load(self, folder):
        import openvino
        import openvino_genai
        self._tensor = openvino.Tensor
        self._library = openvino_genai
        kind = f"openvino-genai {self.versions()} {self.options['weights']}"
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = self._kv_cache_gb
        scheduler.max_num_seqs = self.max_in_flight
        scheduler.enable_prefix_caching = False
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            converted_model(folder, kind, self._export_from(folder)), scheduler, self.options["device"],
            {"INFERENCE_PRECISION_HINT": self.options["inference_precision"],
             "KV_CACHE_PRECISION": self.options["kv_cache_precision"]})
        self._answer([1, 2, 3], 3)

    def _export_from(self, folder):
        def export(target):
            subprocess.run([sys.executable, "-m", "optimum.commands.optimum_cli", "export", "openvino", "-m", folder, "--task",
                            "text-generation-with-past", "--weight-format", self.options["weights"], target], check=True)
        return export

    def _submit(self, number, ids, n_tokens, is_repeated=False):
        import numpy
        config = self._library.GenerationConfig()
        config.max_new_tokens = n_tokens
        config.ignore_eos = True
        config.do_sample = False
        config.echo = is_repeated
        config.logprobs = 1 if is_repeated else 0
        return self._pipeline.add_request(number, self._tensor(numpy.array([ids], dtype=numpy.int64)), config)

    def _answer(self, ids, n_tokens, is_repeated=False):
        """Runs a request by itself, and returns all of its ids and their log-probabilities."""
        handle = self._submit(0, ids, n_tokens, is_repeated)
        found, logprobs = [], []
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            for output in self._read(handle):
                found += output.generated_ids
                logprobs += output.generated_log_probs
        return found, logprobs

    @staticmethod
    def _read(handle):
        while handle.can_read():
            yield from handle.read().values()

    def add(self, request):
        self._handles[request.number] = self._submit(request.number, request.ids, request.n_tokens)

    def step(self):
        self._pipeline.step()
        tokens = []
        for number, handle in list(self._handles.items()):
            for output in self._read(handle):
                tokens += [(number, token) for token in output.generated_ids]
                if output.finish_reason != self._library.GenerationFinishReason.NONE:
                    del self._handles[number]
        return tokens

    def cancel(self, number):
        handle = self._handles.pop(number, None)
        if handle is not None:
            handle.cancel()

    def score(self, ids, n_prompt, wanted):
        found, logprobs = self._answer(ids, 1, is_repeated=True)
        if found[:len(ids)] != list(ids) or len(logprobs) < len(ids):
            raise Refusal("error", f"expected the {len(ids)} ids of the prompt with their log-probabilities, "
                                   f"found {len(found)} ids and {len(logprobs)} log-probabilities")
        return [Score(logprob) for logprob in logprobs[n_prompt:len(ids)]]
