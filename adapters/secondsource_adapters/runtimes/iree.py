"""IREE: transformers' model, exported by torch.export, imported into MLIR by iree-turbine, and compiled ahead of time.

The compiled program computes the logits of a whole text of any length. It keeps no cache of keys and values, so that each token costs
as much as the text in front of it: what is measured is IREE's code for the model, and not a serving system made of it.
"""
import contextlib
import pathlib
from unittest import mock

from ..converted import converted_model
from ..protocol import Score, versions_of
from ..static_batches import StaticBatches

WARM_UP_IDS = [1, 2, 3, 4]


class Adapter(StaticBatches):
    name = "iree"
    forced = "logits"
    max_in_flight = 1
    known_options = {
        "dtype": "float32",  # or bfloat16, float16
        "target": "llvm-cpu",  # cuda, rocm, vulkan-spirv: what iree-compile takes
        "driver": "local-task",  # cuda, hip, vulkan: the runtime's, for the same device
        "context": "2048",  # the longest text
    }

    def __init__(self, options):
        super().__init__(options)
        self.choice_option("dtype", "float32", "bfloat16", "float16")
        self._context = self.number_option("context", least=2)

    def versions(self):
        return versions_of("iree-base-compiler", "iree-base-runtime", "iree-turbine", "transformers", "torch")

    def settings(self):
        return {**self.options, "kv_cache": "none"}

    def load(self, folder):
        import iree.runtime
        kind = f"iree {self.versions()} {self.options}"
        program = pathlib.Path(converted_model(folder, kind, self._compile_from(folder)), "model.vmfb")
        config = iree.runtime.Config(self.options["driver"])
        system = iree.runtime.SystemContext(config=config)
        module = iree.runtime.VmModule.mmap(config.vm_instance, str(program))
        system.add_vm_module(module)
        self._forward = system.modules[module.name].main
        self._logits(WARM_UP_IDS)

    def _compile_from(self, folder):
        def compile_to(target):
            import iree.compiler
            import iree.turbine.aot
            import torch
            import transformers
            torch.set_grad_enabled(False)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, self.options["dtype"]), attn_implementation="eager", local_files_only=True).eval()

            class Logits(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.model = model

                def forward(self, ids):
                    # The causal mask is an argument, because IREE cannot import the operations with which transformers makes one.
                    places = torch.arange(ids.shape[1])
                    mask = torch.where(places[:, None] >= places[None, :], 0.0, torch.finfo(model.dtype).min).to(model.dtype)
                    return self.model(input_ids=ids, attention_mask=mask[None, None], position_ids=places[None],
                                      use_cache=False).logits.float()

            length = torch.export.Dim("length", min=2, max=self._context)
            # transformers computes the rotary embedding with autocast off, a region that IREE cannot import. Autocast is off
            # here anyway, so that nothing is lost by leaving the region out.
            with mock.patch.object(torch, "autocast", lambda *_, **__: contextlib.nullcontext()):
                exported = torch.export.export(Logits(), (torch.zeros((1, 16), dtype=torch.long),),
                                               dynamic_shapes={"ids": {1: length}}, strict=False)
            source = pathlib.Path(target, "model.mlir")
            iree.turbine.aot.export(exported).save_mlir(source)
            cpu = ["--iree-llvmcpu-target-cpu=host"] if self.options["target"] == "llvm-cpu" else []
            iree.compiler.compile_file(str(source), target_backends=[self.options["target"]], extra_args=cpu,
                                       output_file=str(pathlib.Path(target, "model.vmfb")))
            source.unlink()
        return compile_to

    def _logits(self, ids):
        """Returns the logits after each of the ids, in float64."""
        import numpy
        return self._forward(numpy.array([ids], dtype=numpy.int64)).to_host()[0].astype(numpy.float64)

    def add(self, request):
        if len(request.ids) + request.n_tokens > self._context:
            raise ValueError(f"{len(request.ids)} + {request.n_tokens} tokens in a context of {self._context} (option context)")
        super().add(request)

    def generate(self, prompts, n_tokens):
        ids = list(prompts[0])
        for _ in range(n_tokens):
            # The program takes at least two ids. A single one is given twice; its first copy does not see the second.
            logits = self._logits(ids if len(ids) > 1 else ids + ids)
            ids.append(int(logits[-1 if len(ids) > 1 else 0].argmax()))
            yield {0: ids[-1]}

    def score(self, ids, n_prompt, wanted):
        if len(ids) > self._context:
            raise ValueError(f"{len(ids)} tokens in a context of {self._context} (option context)")
        return Score.of_logits(self._logits(ids)[n_prompt - 1:-1], ids[n_prompt:], wanted)
