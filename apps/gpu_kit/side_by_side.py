"""Times PyTorch on the shapes that kernel_bench timed, and gives both as shares of the device's read rate.

    python3 side_by_side.py kernels.json limits.json side-by-side

kernels.json is kernel_bench's --benchmark_out; limits.json is what `kernel_bench --machine --backend` saved, with the read
rate of our own kernel. Writes side-by-side.md for people and side-by-side.json for aims.py. PyTorch runs eagerly and as a
replayed CUDA graph; for attention, the fastest kernel of scaled_dot_product_attention that takes the case counts. Times are
medians of device events. PyTorch's own read rate, that of a sum, is the fastest pass over several sizes.
"""

import contextlib
import json
import re
import sys

REPETITIONS = 30
READ_BYTES = (1 << 30, 2 << 30, 4 << 30)
MATMUL = re.compile(r"BM_matmul/(?P<backend>[^/]+)/(?P<variant>[^/]+)/m:(?P<m>\d+)/k:(?P<k>\d+)/n:(?P<n>\d+)")
ATTENTION = re.compile(r"BM_attention/(?P<backend>[^/]+)/(?P<variant>[^/]+)/seqs:(?P<seqs>\d+)/q:(?P<q>\d+)/kv:(?P<kv>\d+)"
                       r"/heads:(?P<heads>\d+)/kv_heads:(?P<kv_heads>\d+)/dim:(?P<dim>\d+)")


def read_cases(document):
    """Returns the cases of kernel_bench's JSON that passed: the parts of their names, GB/s and GFLOP/s."""
    cases = []
    for entry in document["benchmarks"]:
        if entry.get("error_occurred") or entry.get("run_type") == "aggregate":
            continue
        for kind, pattern in (("matmul", MATMUL), ("attention", ATTENTION)):
            found = pattern.match(entry["name"])
            if found:
                parts = {key: int(text) if text.isdigit() else text for key, text in found.groupdict().items()}
                cases.append({"kind": kind, **parts, "gb_s": entry["GB/s"], "gflop_s": entry["GFLOP/s"]})
    return cases


def rows_of(cases, limits, pytorch):
    """Returns the table's rows. `pytorch`: index of a case -> (eager, graph) GFLOP/s; absent if PyTorch has no equivalent."""
    rows = []
    for index, case in enumerate(cases):
        shape = " ".join(f"{key}:{case[key]}" for key in case if key not in ("kind", "backend", "gb_s", "gflop_s"))
        eager, graph = pytorch.get(index, (None, None))
        rows.append([case["kind"], shape, f"{case['gb_s']:.0f}", f"{case['gb_s'] / limits['read_gb_s']:.0%}",
                     f"{case['gflop_s']:.0f}", "-" if eager is None else f"{case['gflop_s'] / eager:.2f}",
                     "-" if graph is None else f"{case['gflop_s'] / graph:.2f}"])
    return rows


def markdown(device, limits, rows):
    head = ["kernel", "case", "GB/s", "of measured HBM read", "GFLOP/s", "x PyTorch eager", "x PyTorch graph"]
    lines = [f"Device: {device}. Measured HBM read: {limits['read_gb_s']:.0f} GB/s by an own kernel, "
             f"{limits['pytorch_read_gb_s']:.0f} GB/s by PyTorch's sum.", "",
             "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def read_rate(document, backend):
    """Returns the GB/s of a backend's device from what kernel_bench saved."""
    return next(one["read_bytes_per_s"] for one in document["devices"] if one["backend"] == backend) / 1e9


def sorted_seconds(torch, run, in_graph):
    """Returns the times of single calls in seconds, by device events, in ascending order."""
    for _ in range(3):
        run()
    call = run
    if in_graph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        call = graph.replay
    times = []
    for _ in range(REPETITIONS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3)
    return sorted(times)


def fastest_seconds(torch, runs, in_graph):
    """Returns the median time of the fastest run that does not fail; not every kernel takes every case. `runs`: pairs of a
    context, which is entered once and not timed, and a call."""
    times, refusals = [], []
    for surroundings, run in runs:
        try:
            with surroundings():
                times.append(sorted_seconds(torch, run, in_graph)[REPETITIONS // 2])
        except RuntimeError as error:
            refusals.append(error)
    if not times:
        raise refusals[0]
    return min(times)


def pytorch_calls(torch, case):
    """Returns PyTorch's calls for a BF16 case and their number of operations, or None if it has no equivalent."""
    def values(*shape):
        return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
    if case["kind"] == "matmul":
        if case["variant"] != "bf16":
            return None
        # Rotate over as many copies as kernel_bench does, so that small weights are read from memory, too.
        n_copies = min(64, -(-(512 << 20) // (2 * case["k"] * case["n"])))
        x, weights = values(case["m"], case["k"]), [values(case["n"], case["k"]) for _ in range(n_copies)]
        products = lambda: [torch.nn.functional.linear(x, w) for w in weights]
        return [(contextlib.nullcontext, products)], 2 * case["m"] * case["k"] * case["n"] * n_copies
    # The queries are the last q of kv tokens.
    q = values(case["seqs"], case["heads"], case["q"], case["dim"])
    k, v = (values(case["seqs"], case["kv_heads"], case["kv"], case["dim"]) for _ in range(2))
    attend = torch.nn.functional.scaled_dot_product_attention
    options = {"enable_gqa": True}
    if case["q"] == case["kv"]:
        options["is_causal"] = True
    elif case["q"] > 1:
        # A mask of numbers would exclude the fast kernels.
        from torch.nn.attention.bias import causal_lower_right
        options["attn_mask"] = causal_lower_right(case["q"], case["kv"])
    seen = case["kv"] - (case["q"] - 1) / 2
    operations = 4 * case["seqs"] * case["heads"] * case["q"] * seen * case["dim"]
    from torch.nn.attention import SDPBackend, sdpa_kernel
    kernels = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)
    # Select the kernel outside of the timed call, because selecting takes the host longer than a short kernel runs.
    return [(lambda kernel=kernel: sdpa_kernel(kernel), lambda: attend(q, k, v, **options)) for kernel in kernels], operations


def pytorch_read_rate(torch):
    """Returns the GB/s of the fastest sum over all sizes."""
    rates = []
    for size in READ_BYTES:
        big = torch.ones(size // 4, device="cuda")
        rates.append(size / sorted_seconds(torch, big.sum, False)[0] / 1e9)
        del big
    return max(rates)


def main(kernels_file, limits_file, out):
    import torch
    with open(kernels_file, encoding="utf-8") as file:
        cases = read_cases(json.load(file))
    with open(limits_file, encoding="utf-8") as file:
        limits = {"read_gb_s": read_rate(json.load(file), cases[0]["backend"]), "pytorch_read_gb_s": pytorch_read_rate(torch)}
    pytorch = {}
    for index, case in enumerate(cases):
        calls = pytorch_calls(torch, case)
        if calls is not None:
            runs, operations = calls
            pytorch[index] = tuple(operations / fastest_seconds(torch, runs, in_graph) / 1e9 for in_graph in (False, True))
    device = f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    with open(out + ".md", "w", encoding="utf-8") as file:
        file.write(markdown(device, limits, rows_of(cases, limits, pytorch)))
    with open(out + ".json", "w", encoding="utf-8") as file:
        json.dump({"limits": limits, "cases": [
            {**case, "pytorch_gflop_s": max(pytorch[index]) if index in pytorch else None} for index, case in enumerate(cases)
        ]}, file, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:4])
