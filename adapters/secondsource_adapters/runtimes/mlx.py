"""MLX, Apple's array library, with the models of mlx-lm: on the GPU of Apple silicon, on a CPU, or on CUDA.

The decode loop is ours, over mlx-lm's model and its prompt cache: greedy, one request after the other. A prompt is processed in pieces,
as in mlx-lm's own generate_step().
"""
import pathlib

from ..protocol import Score, versions_of
from ..static_batches import StaticBatches

WARM_UP_IDS = [1, 2, 3, 4]


class Adapter(StaticBatches):
    name = "mlx"
    forced = "logits"
    max_in_flight = 1
    known_options = {
        "dtype": "auto",  # the one that the weights are stored in, or float32, bfloat16, float16
        "device": "auto",  # the one that MLX takes by itself, or cpu, gpu
        "prefill_step": "2048",  # tokens of a prompt that are worked on at once
    }

    def __init__(self, options):
        super().__init__(options)
        self.choice_option("dtype", "auto", "float32", "bfloat16", "float16")
        self.choice_option("device", "auto", "cpu", "gpu")
        self._prefill_step = self.number_option("prefill_step")

    def versions(self):
        return versions_of("mlx", "mlx-lm")

    def load(self, folder):
        import mlx.core
        from mlx_lm.models.cache import make_prompt_cache
        from mlx_lm.utils import load_model
        self._mx = mlx.core
        self._make_cache = make_prompt_cache
        if self.options["device"] != "auto":
            mlx.core.set_default_device(getattr(mlx.core, self.options["device"]))
        self._model, _ = load_model(pathlib.Path(folder))
        if self.options["dtype"] != "auto":
            self._model.set_dtype(getattr(mlx.core, self.options["dtype"]))
        for _ in self.generate([WARM_UP_IDS], 3):
            pass
        self.score(WARM_UP_IDS, 2, [[], []])

    def _prefill(self, ids, cache):
        """Returns the logits after the last id."""
        while len(ids) > self._prefill_step:
            self._model(self._mx.array([ids[:self._prefill_step]]), cache=cache)
            self._mx.eval([one.state for one in cache])
            ids = ids[self._prefill_step:]
        return self._model(self._mx.array([ids]), cache=cache)[0, -1]

    def generate(self, prompts, n_tokens):
        ids, = prompts
        cache = self._make_cache(self._model)
        logits = self._prefill(ids, cache)
        for _ in range(n_tokens):
            best = int(self._mx.argmax(logits.astype(self._mx.float32)))
            yield {0: best}
            logits = self._model(self._mx.array([[best]]), cache=cache)[0, -1]

    def score(self, ids, n_prompt, wanted):
        import numpy
        logits = self._model(self._mx.array([ids[:-1]]))[0, n_prompt - 1:].astype(self._mx.float32)
        return Score.of_logits(numpy.array(logits), ids[n_prompt:], wanted)
