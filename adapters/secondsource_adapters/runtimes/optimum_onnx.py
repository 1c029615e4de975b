"""ONNX models that Optimum exports, run by ONNX Runtime through optimum's ORTModelForCausalLM.

The decode loop is ours, as generate() gives no tokens one by one: greedy, one request after the other, with the cache of keys and
values that the exported model has as inputs and outputs.
"""
from ..converted import converted_model
from ..protocol import Score, versions_of
from ..static_batches import StaticBatches

WARM_UP_IDS = [1, 2, 3, 4]


class Adapter(StaticBatches):
    name = "optimum-onnx"
    forced = "logits"
    max_in_flight = 1
    known_options = {
        "dtype": "fp32",  # of the export: fp32, fp16, bf16, as ONNX Runtime's provider can compute it
        "provider": "CPUExecutionProvider",  # CUDAExecutionProvider, DmlExecutionProvider, ROCMExecutionProvider
    }

    def __init__(self, options):
        super().__init__(options)
        self.choice_option("dtype", "fp32", "fp16", "bf16")

    def versions(self):
        return versions_of("optimum-onnx", "optimum", "onnxruntime", "onnx", "transformers", "torch")

    def load(self, folder):
        import torch
        from optimum.onnxruntime import ORTModelForCausalLM
        self._torch = torch
        kind = f"optimum-onnx {self.versions()} {self.options['dtype']}"
        exported = converted_model(folder, kind, self._export_from(folder))
        self._model = ORTModelForCausalLM.from_pretrained(exported, provider=self.options["provider"], local_files_only=True)
        for _ in self.generate([WARM_UP_IDS], 3):
            pass
        self.score(WARM_UP_IDS, 2, [[], []])

    def _export_from(self, folder):
        def export(target):
            from optimum.exporters.onnx import main_export
            main_export(folder, target, task="text-generation-with-past", dtype=self.options["dtype"], do_validation=False,
                        no_post_process=False, local_files_only=True)
        return export

    def _step(self, ids, n_before, cache):
        torch = self._torch
        with torch.inference_mode():
            n_all = n_before + len(ids)
            return self._model(input_ids=torch.tensor([ids]), attention_mask=torch.ones((1, n_all), dtype=torch.long),
                               position_ids=torch.arange(n_before, n_all)[None, :], past_key_values=cache, use_cache=True)

    def generate(self, prompts, n_tokens):
        ids, = prompts
        n_before, cache = 0, None
        for _ in range(n_tokens):
            out = self._step(ids, n_before, cache)
            n_before, cache = n_before + len(ids), out.past_key_values
            ids = [int(out.logits[0, -1].float().argmax())]
            yield {0: ids[0]}

    def score(self, ids, n_prompt, wanted):
        logits = self._step(ids[:-1], 0, None).logits[0, n_prompt - 1:]
        return Score.of_logits(logits.float().numpy(), ids[n_prompt:], wanted)
