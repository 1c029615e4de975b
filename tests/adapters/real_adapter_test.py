#!/usr/bin/env python3
"""Measures a real runtime behind its adapter with the default bundle: real_adapter_test.py PROGRAM SOURCE_FOLDER NAME, with one
of the names of SYSTEMS.

The first run uses the bundle's weights, and its tokens must pass. The second run has a planted error that does not change the speed: this
script then stands between the run and the adapter, and passes on a model folder whose config.json has a wrong RoPE base.

Skipped (77) with the reason when the runtime is not installed in the Python that SECONDSOURCE_SERVERS_PYTHON names (default: this one).
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "serving"))
from real_system import PYTHON, SKIPPED, check_right, check_wrong, measure, missing_packages, write_wrong_base  # noqa: E402

# For each name: the adapter, the packages that it needs, its options, and which outputs the verdict is based on.
SYSTEMS = {
    "transformers": ("transformers", ["torch", "transformers"], {}, "logits"),
    "transformers-static": ("transformers", ["torch", "transformers"], {"cache": "static", "dtype": "float32"}, "logits"),
    "transformers-compile": ("transformers", ["torch", "transformers"], {"cache": "static", "mode": "compile", "batch": "1"},
                             "logits"),
    "ctranslate2": ("ctranslate2", ["ctranslate2", "torch", "transformers"], {}, "logits"),
    "onnxruntime-genai": ("onnxruntime-genai", ["onnxruntime_genai", "onnx_ir", "torch", "transformers"], {}, "logits"),
    "iree": ("iree", ["iree.compiler", "iree.runtime", "iree.turbine", "torch", "transformers"], {}, "logits"),
    "mlx": ("mlx", ["mlx", "mlx_lm"], {}, "logits"),
    "optimum-onnx": ("optimum-onnx", ["optimum.onnxruntime", "onnxruntime", "torch", "transformers"], {}, "logits"),
    "openvino-genai": ("openvino-genai", ["openvino_genai", "optimum.intel", "torch", "transformers"], {}, "logprob"),
}
PROGRAM, SOURCE, NAME = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
BUNDLE = SOURCE / "bundles" / "default"


def pass_on(adapter, folder):
    """Starts the adapter and forwards its input, but replaces the model folder by one whose configuration has a wrong RoPE base."""
    process = subprocess.Popen([PYTHON, "-B", SOURCE / "adapters" / "serve.py", adapter], stdin=subprocess.PIPE)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "load":
            shutil.rmtree(folder)
            folder.mkdir()
            for path in pathlib.Path(request["model"]).iterdir():
                (folder / path.name).symlink_to(path.resolve())
            write_wrong_base(folder / "config.json")
            request["model"] = str(folder)
        process.stdin.write((json.dumps(request) + "\n").encode())
        process.stdin.flush()
    process.stdin.close()
    return process.wait()


def main():
    adapter, packages, options, level = SYSTEMS[NAME]
    missing = missing_packages(*packages)
    if missing:
        print("skipped: " + missing)
        return SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        measured = measure(PROGRAM, BUNDLE, {"adapter": adapter, "python": PYTHON, "options": options}, scratch)
        check_right(measured, level)
        # A KL divergence needs logits; from the log-probability of one token it cannot be computed.
        distance = "kl_mean" if level == "logits" else "nll_difference_mean"
        assert abs(measured[0][distance]) < 1e-3, measured[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "wrong")
        folder.mkdir()
        between = [sys.executable, __file__, PROGRAM, str(SOURCE), NAME, str(folder)]
        measured = measure(PROGRAM, BUNDLE, {"adapter": adapter, "start": between, "options": options}, scratch)
        check_wrong(measured, level)
        assert measured[0]["n_wrong"] > 0, measured[0]
    return 0


if __name__ == "__main__":
    sys.exit(pass_on(SYSTEMS[NAME][0], pathlib.Path(sys.argv[4])) if len(sys.argv) > 4 else main())
