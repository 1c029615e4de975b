"""The steps of a kit as data: in order of worth, with the sitting that they belong to, how long they may take, and the question
that each answers. A sitting is what one has a GPU for: about ten minutes.

`needs_s` is what a step cannot do without, `deadline_s` what it is not worth. On an H100 `limits` took 1 s, `kernels` 11 s, `whole` 15 s
(without tiles on request), `golden` 15 s, `tiles` 38 s (without them, too), `question-streamed` 69 s and `question-dependent-launch`
87 s; a round of `models-1B-beside-pytorch` took about 50 s for one sequence. On an H200 a case of conformance took 70 ms (of 24), or half a
second in each of 14 processes at once. The other times are guesses.
"""

import shutil

from runner import Skip, Step

ROUNDS = 3  # of a comparison with PyTorch
MODELS = ("Llama-3.2-1B", "Llama-3.1-8B")
BIG = "Llama-3.1-8B"
TILE_FAMILIES = ("matmul,matmul_w8a8,matmul_g32_w8a8,matmul_int4_zp,matmul_mxfp4,matmul_nvfp4,matmul_q4_k,matmul_q6_k,matmul_gguf,"
                 "matmul_fp8_g128,"
                 "matmul_gated_bias,matmul_long,matmul_tall,grouped_matmul,grouped_matmul_wide,grouped_matmul_g32_w8a8,grouped_matmul_int4_zp,"
                 "grouped_matmul_mxfp4,grouped_matmul_nvfp4,grouped_matmul_q4_k,grouped_matmul_gguf,grouped_matmul_fp8_g128,layer,model")
STORED_FAMILIES = "matmul,matmul_w8a8,matmul_gated_bias,matmul_long,matmul_tall,matmul_tall_w8a8"  # weights that are multiplied as they are
ATTENTION_FAMILIES = "attention,attention_wide,attention_long,attention_chunks,attention_deep,window,layer,model"
# Those of the bundles' variants that GPUs have: one that a named backend does not have counts as failed.
GOLDEN_VARIANTS = "bf16,f16,int8,int8-g32,int4,int8-w8a8,int8-g32-w8a8,fp8"
# Families under compute-sanitizer: those whose kernels exchange data through shared memory, and those of products by warpgroups.
SHARED_MEMORY_FAMILIES = "matmul,matmul_w8a8,grouped_matmul_wide,attention,attention_wide"
WARPGROUP_FAMILIES = "matmul,matmul_w8a8,matmul_tall,grouped_matmul_wide"


def conformance(c, *arguments, **how):
    return c.own("conformance", "--backend", c.backend, *arguments, **how)


def kernel_bench(c, name, *arguments, **how):
    """Its rows go into NAME.json."""
    return c.own("kernel_bench", "--backend", c.backend, f"--benchmark_out={c.work / name}.json",
                 "--benchmark_out_format=json", *arguments, **how)


def option(c, text):
    return ("--backend-option", f"{c.backend}:{text}")


def own_kernels(c):
    yield conformance(c, "--require-one", "--option", "matmul=own")


def every_tile(c):
    """The planner chooses large tiles for few of the small sizes of the suite, and some never."""
    for tiles, families in ((c.tiles_on_request(), STORED_FAMILIES), (c.tiles(), TILE_FAMILIES)):
        if tiles:
            yield conformance(c, "--require-one", "--option", "matmul=own", "--each", "tiles=" + ",".join(tiles), "--family", families)


def every_attention(c):
    yield conformance(c, "--require-one", "--option", "matmul=own", "--each", "attention=" + ",".join(c.attentions()),
                      "--family", ATTENTION_FAMILIES)


def by_the_library(c):
    yield conformance(c, "--option", "matmul=library")


def golden(c):
    for bundle in sorted((c.kit / "share/secondsource/bundles").iterdir()):
        yield c.own("secondsource", "check", bundle, "--backend", c.backend, "--variant", GOLDEN_VARIANTS, "--suite", "smoke")


def limits(c):
    yield c.own("kernel_bench", "--machine", "--backend", c.backend, "--save-limits", c.work / "limits.json")


def kernels(c):
    yield kernel_bench(c, "kernels", "--model", BIG, "--variant", "bf16", "--rows", "1,16,512", *option(c, "matmul=own"))


def quantized_kernels(c):
    yield kernel_bench(c, "kernels-quantized", "--model", BIG, "--variant",
                       "int8,int4,int4-zp,mxfp4,nvfp4-w4a16,nvfp4,q4_k,q6_k,fp8,fp8-g128,int8-w8a8",
                       "--rows", "1,16,64,512", *option(c, "matmul=own"), "--benchmark_filter=BM_matmul")


def need_library(c):
    """Skips the step where the vendor's library is not there; the suite's smallest family finds out."""
    yield conformance(c, "--option", "matmul=library", "--family", "rms_norm")


def library_kernels(c):
    yield from need_library(c)
    yield kernel_bench(c, "kernels-library", "--model", BIG, "--variant", "bf16,int8-w8a8", "--rows", "64,512",
                       *option(c, "matmul=library"), "--benchmark_filter=BM_matmul")


def whole_products(c):
    yield from need_library(c)
    ways = {"whole": ()} | {f"whole-{tiles}": option(c, f"tiles={tiles}") for tiles in c.tiles_on_request()}
    for name, way in ways.items():
        yield c.own("kernel_bench", "--backend", c.backend, "--model", BIG, "--variant", "bf16,int8-w8a8", "--rows", "64,512",
                    *option(c, "matmul=own"), *way, "--whole", f"{c.backend}:matmul=library", "--whole-out", c.work / f"{name}.json")


def tiles(c):
    for shape in c.tiles() + c.tiles_on_request():
        yield kernel_bench(c, f"tiles-{shape}", "--model", BIG, "--variant", "bf16", "--rows", "32,64,128,512",
                           *option(c, f"tiles={shape}"), *option(c, "matmul=own"), "--benchmark_filter=BM_matmul")


def attentions(c):
    for way in c.attentions():
        yield kernel_bench(c, f"attention-{way}", "--model", ",".join(MODELS), *option(c, f"attention={way}"),
                           "--benchmark_filter=BM_attention")


def need_variant(c, name):
    if not c.has_variant(name):
        raise Skip(f"this kit has no variant {name} of the module (SECONDSOURCE_CUDA_VARIANTS)")


def in_turn(c, prefix, choices, *arguments):
    """Times each choice twice, in turn, so that a drift of clocks falls on all. `choices`: name -> (variant of the module, or None;
    options of the program)."""
    for turn in (1, 2):
        for name, (modules, options) in choices.items():
            yield kernel_bench(c, f"{prefix}-{name}-{turn}", "--model", BIG, *option(c, "matmul=own"), *options, *arguments,
                               modules=modules)


def streamed(c):
    need_variant(c, "staged-tiles")
    yield from in_turn(c, "streamed", {"staged": ("staged-tiles", ()), "streamed": (None, ())}, "--variant", "bf16,fp8",
                       "--rows", "8,16,64,128", "--benchmark_filter=BM_matmul")


def dependent_launch(c):
    """Times kernels that follow one another and that overlap; checks the tokens of the three small bundles; times decode of a model of
    1B, whose tokens nothing checks."""
    if not c.is_sm_90():
        raise Skip("this kit asks it on sm_90 alone")
    overlapping = option(c, "dependent_launch=1")
    yield from in_turn(c, "dependent", {"one-by-one": (None, ()), "overlapping": (None, overlapping)}, "--variant", "bf16",
                       "--rows", "1,16")
    for bundle in sorted((c.kit / "share/secondsource/bundles").iterdir()):
        yield c.own("secondsource", "check", bundle, "--backend", c.backend, *overlapping, "--variant", GOLDEN_VARIANTS)
    yield from synthesize(c, MODELS[0])
    for name, options in (("one-by-one", ()), ("overlapping", overlapping)):
        yield c.own("secondsource", "run", c.work / MODELS[0], "--backend", c.backend, *options, "--variant", "bf16", "--scenario",
                    "single-stream@128/128", "--out", new_folder(c.work / f"dependent-run-{name}"))


def synthesize(c, shape):
    if not (c.work / shape / "manifest.yaml").exists():
        yield c.own("secondsource", "bundle", "synth", "--like", shape, "--out", c.work / shape)


def new_folder(path):
    """A folder for a run. What an earlier attempt left there, or an earlier sitting brought, would keep the run from starting."""
    shutil.rmtree(path, ignore_errors=True)
    return path


def run_model(shape, folder):
    def commands(c):
        yield from synthesize(c, shape)
        yield c.own("secondsource", "run", c.work / shape, "--backend", c.backend, "--require", c.backend, "--variant",
                    "bf16,int8,int4", "--scenario", "single-stream@512/128,offline:16@512/128", "--out", new_folder(c.work / folder))
    return commands


def need_python(c, *modules):
    python = c.python(*modules)
    if python is None:
        raise Skip(f"no Python here has {', '.join(modules)}" + (" and sees this GPU" if "torch" in modules else "") +
                   "; SECONDSOURCE_KIT_PYTHON names another one")
    return python


def need_figures(c, *names):
    for name, step in names:
        if not (c.work / name).exists():
            raise Skip(f"it needs the figures of the step {step}")


def pytorch_kernels(c):
    need_figures(c, ("kernels.json", "kernels"), ("limits.json", "limits"))
    yield c.plain(need_python(c, "torch"), c.kit / "scripts/side_by_side.py", c.work / "kernels.json",
                  c.work / "limits.json", c.work / "side-by-side")


def beside_pytorch(shape):
    def commands(c):
        python = need_python(c, "torch", "transformers", "safetensors")
        yield from synthesize(c, shape)
        yield c.plain(python, c.kit / "scripts/peer_bench/peer_bench.py", "--program", c.kit / "secondsource", "--backend",
                      c.backend, "--shape", shape, "--precision", "bf16", "--batch", "1,16", "--context", "0", "--rounds", ROUNDS,
                      "--work", c.work, "--out", c.work / f"peers-{shape}.json", "--resume")
    return commands


def vllm(c):
    python = need_python(c, "torch", "vllm")
    for shape in MODELS:
        yield from synthesize(c, shape)
        for batch in (1, 16):
            yield c.plain(python, "-m", "vllm.entrypoints.cli.main", "bench", "latency", "--model", c.work / shape,
                          "--skip-tokenizer-init", "--input-len", "512", "--output-len", "128", "--batch-size", batch,
                          "--num-iters-warmup", "2", "--num-iters", "5", "--output-json",
                          c.work / f"vllm-{shape}-{batch}.json")


# Name, the kernel's name in the module, and the rows of kernel_bench in which it takes most of the time.
HOTTEST = (
    ("matvec", "matvec_kernel", "BM_matmul/.*/m:1/k:4096/n:28672", ("--variant", "bf16", "--rows", "1")),
    ("matvec-int4", "matvec_kernel", "BM_matmul/.*/m:1/k:4096/n:28672", ("--variant", "int4", "--rows", "1")),
    ("decode-attention", "split_attention_kernel", "BM_attention/.*/seqs:1/q:1/kv:32768", ()),
    ("products", "tiled_matmul_kernel", "BM_matmul/.*/m:512/k:4096/n:28672", ("--variant", "bf16", "--rows", "512")),
    ("small-products", "tiled_matmul_kernel", "BM_matmul/.*/m:16/k:4096/n:28672", ("--variant", "bf16", "--rows", "16")),
    ("prefill-attention", "attention_kernel", "BM_attention/.*/q:512/kv:4096", ()))


def profiles(c):
    tool = c.tool("ncu")
    if c.backend != "cuda" or tool is None:
        raise Skip("NVIDIA's profiler ncu was not found")
    sections = [part for name in ("SpeedOfLight", "Occupancy", "LaunchStats", "MemoryWorkloadAnalysis", "WarpStateStats")
                for part in ("--section", name)]
    for name, kernel, rows, selection in HOTTEST:
        # The clocks stay as they are; a row runs its kernel many times, of which two are looked at. Without graphs each
        # launch is one of its own.
        yield c.own("kernel_bench", "--backend", c.backend, "--model", BIG, *selection, *option(c, "matmul=own"),
                    *option(c, "graphs=0"), f"--benchmark_filter={rows}", accepts=None,
                    under=(tool, "--clock-control", "none", "--csv", "--page", "details", *sections, "--kernel-name",
                           f"regex:{kernel}", "--launch-skip", "3", "--launch-count", "2", "--log-file",
                           c.work / f"profile-{name}.csv"))


def sanitizer(name, *more):
    """Sanitizers make everything tens of times slower, so only families whose kernels exchange data through shared memory run."""
    def commands(c):
        tool = c.tool("compute-sanitizer")
        if c.backend != "cuda" or tool is None:
            raise Skip("NVIDIA's compute-sanitizer was not found")
        under = (tool, "--tool", name, "--error-exitcode", "9")
        base = ("--require-one", "--option", "matmul=own", "--family", SHARED_MEMORY_FAMILIES, *more)
        yield conformance(c, *base, under=under)
        if c.is_sm_90():
            yield conformance(c, "--require-one", "--option", "matmul=own", "--each", "tiles=wgmma128x256,streamk128x256,cluster128x256",
                              "--family", WARPGROUP_FAMILIES, under=under)
    return commands


STEPS = (
    Step("conformance", 1, 15, 180, "Do the own kernels compute the right values on this hardware?", own_kernels),
    Step("limits", 1, 10, 60, "At what rate can a kernel read this memory?", limits, ("limits.json",)),
    Step("kernels", 1, 20, 120, "How near its limits is each kernel of decode and prefill, in BF16?", kernels,
         ("kernels.json",)),
    Step("golden", 1, 10, 60, "Are the tokens of small models with heads of 64 and 128, and of a mixture, those of PyTorch?",
         golden),
    Step("tiles", 1, 20, 180, "Which tiles are the fastest for which product, and does the planner choose them?", tiles,
         ("tiles-*.json",)),
    Step("whole", 1, 40, 150, "Is a product right in every element at real sizes, each time?", whole_products,
         ("whole*.json",)),
    Step("kernels-library", 1, 15, 90, "How fast are cuBLASLt or hipBLASLt on the same products?", library_kernels,
         ("kernels-library.json",)),
    Step("question-streamed", 1, 30, 120, "How much faster are tiles that stream their weights?", streamed,
         ("streamed-*.json",)),
    Step("question-dependent-launch", 1, 30, 150, "How much time do overlapping kernels save, and do tokens stay right?",
         dependent_launch, ("dependent-*.json", "dependent-run-*/samples.jsonl")),
    Step("conformance-tiles", 1, 15, 300, "Does each shape of tiles compute the right values, also where the planner would not choose it?",
         every_tile),
    Step("conformance-attention", 1, 15, 120, "Does each kernel of attention compute the right values?", every_attention),
    Step("conformance-library", 1, 15, 120, "Are products by the library right?", by_the_library),
    Step("attention", 1, 15, 90, "Which kernel of attention is the fastest for which shape?", attentions,
         ("attention-*.json",)),
    Step("kernels-quantized", 1, 20, 210, "How near its limits is each product of INT8, INT4, FP8 and blocks of GGUF?", quantized_kernels,
         ("kernels-quantized.json",)),
    Step("models-1B-beside-pytorch", 2, 40, 240, "How fast is a model of 1B beside PyTorch with fused attention and CUDA graphs?",
         beside_pytorch(MODELS[0]), (f"peers-{MODELS[0]}.json",)),
    Step("run-8B", 2, 60, 240, "How much of the read rate does decode of 8B reach?", run_model(BIG, "run-8B"),
         ("run-8B/samples.jsonl",)),
    Step("models-8B-beside-pytorch", 2, 60, 300, "How fast is a model of 8B beside PyTorch?", beside_pytorch(BIG),
         (f"peers-{BIG}.json",)),
    Step("pytorch", 2, 20, 120, "How fast are PyTorch's products and attention on the shapes of the step kernels?",
         pytorch_kernels, ("side-by-side.json", "side-by-side.md")),
    Step("run-1B", 2, 30, 120, "How fast is a model of 1B in each variant?", run_model(MODELS[0], "run-1B"),
         ("run-1B/samples.jsonl",)),
    Step("vllm", 2, 60, 400, "How fast is vLLM with the same models, where it is installed?", vllm, ("vllm-*.json",)),
    Step("profiles", 3, 30, 240, "What do the six hottest kernels wait for?", profiles, ("profile-*.csv",)),
    Step("memcheck", 3, 30, 240, "Does a kernel touch memory that is not its own?", sanitizer("memcheck")),
    Step("racecheck", 3, 30, 240, "Does a kernel use shared memory without a barrier?", sanitizer("racecheck")),
    Step("synccheck", 3, 30, 180, "Do all threads reach each barrier?", sanitizer("synccheck")),
    Step("initcheck", 3, 30, 180, "Does a kernel read memory that was never written?", sanitizer("initcheck")))
