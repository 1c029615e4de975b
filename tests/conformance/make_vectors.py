#!/usr/bin/env python3
"""Writes tests/data/conformance/vectors.json: results of the boundary's operations, computed by PyTorch in float64.

Every other backend is compared with the reference backend, and the reference backend is compared with these vectors.
They share no code with the project. The formulas are those of Hugging Face transformers' Llama (rotate_half, repeat_kv)
and Mixtral (softmax, top-k, renormalize). Inputs are multiples of 1/64, so that the file stays readable.

    python tests/conformance/make_vectors.py          (PyTorch 2 or later; no other package)
"""

import json
import math
import pathlib

import torch

torch.manual_seed(20261120)
torch.set_default_dtype(torch.float64)


def draw(*shape, scale=1.0):
    return torch.round(torch.randn(*shape) * 64 * scale) / 64


def listed(tensor):
    return [float(f"{x:.9g}") for x in tensor.flatten().tolist()]


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rms_norm_case(rows, cols, eps, with_add, with_residual=False):
    x, add, weight = draw(rows, cols), draw(rows, cols), 1 + draw(cols, scale=0.25)
    total = x + add if with_add else x
    case = {"kind": "rms_norm", "rows": rows, "cols": cols, "eps": eps, "x": listed(x), "weight": listed(weight),
            "sum": listed(total), "out": listed(rms_norm(total, weight, eps))}
    if with_add:
        case["add"] = listed(add)
    if with_residual:
        residual = draw(rows, cols)
        case["residual"] = listed(residual)
        case["out"] = listed(residual + rms_norm(total, weight, eps))
    return case


def layer_norm_case(rows, cols, eps, with_add, with_bias):
    x, add, weight, bias = draw(rows, cols) + 2, draw(rows, cols), 1 + draw(cols, scale=0.25), draw(cols)
    total = x + add if with_add else x
    out = torch.nn.functional.layer_norm(total, (cols,), weight, bias if with_bias else None, eps)
    case = {"kind": "rms_norm", "centers": True, "rows": rows, "cols": cols, "eps": eps, "x": listed(x),
            "weight": listed(weight), "sum": listed(total), "out": listed(out)}
    if with_add:
        case["add"] = listed(add)
    if with_bias:
        case["bias"] = listed(bias)
    return case


def quantized(x):
    scale = x.abs().amax(-1, keepdim=True) / 127
    return torch.where(scale > 0, torch.clamp(torch.round(x / scale), -127, 127) * scale, torch.zeros_like(x))


def matmul_case(rows, k, n, epilogue, softcap=0.0, act="none", gated_bias=False):
    gated = epilogue.startswith("gated")
    x, weight = draw(rows, k), draw(2 * n if gated else n, k, scale=0.5)
    case = {"kind": "matmul", "rows": rows, "k": k, "n": n, "epilogue": epilogue, "softcap": softcap, "act": act,
            "x": listed(x), "weight": listed(weight)}
    if act == "int8":
        x = quantized(x)
    if gated:
        bias = draw(2 * n) if gated_bias else torch.zeros(2 * n)
        if gated_bias:
            case["other"] = listed(bias)
        gate, up = x @ weight[:n].T + bias[:n], x @ weight[n:].T + bias[n:]
        activation = torch.nn.functional.silu if epilogue == "gated_silu" else (
            lambda a: torch.nn.functional.gelu(a, approximate="tanh"))
        out = clamped_swiglu(gate, up) if epilogue == "gated_clamped" else activation(gate) * up
    else:
        out = x @ weight.T
    if epilogue == "bias":
        bias = draw(n)
        case["other"] = listed(bias)
        out = out + bias
    if epilogue == "add_residual":
        aux = draw(rows, n)
        case["other"] = listed(aux)
        out = out + aux
    if epilogue == "gelu":
        bias = draw(n)
        case["other"] = listed(bias)
        out = torch.nn.functional.gelu(out + bias, approximate="tanh")
    if softcap > 0:
        out = softcap * torch.tanh(out / softcap)
    case["out"] = listed(out)
    return case


def rotate_half(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def attention_case(tokens, n_heads, n_kv_heads, head_dim, window=0, softcap=0.0, norms=False, factor=1.0, still=0,
                   all_heads=False, with_sinks=False, growth=None, centered=False):
    """`all_heads`: q and k are each normalized over all heads, as in OLMo 2. `centered`: norms are LayerNorms of each head, whose weights
    are its own, as in Command R+. `still`: how many pairs at the end of a head have no frequency; as in models that rotate only a part of
    a head, these are unchanged, also by the factor. `with_sinks`: each head has one more score, which is dropped after the softmax, as in
    gpt-oss. `growth`: beta and period of queries that grow with their position, as in Ministral 3."""
    qkv = draw(tokens, (n_heads + 2 * n_kv_heads) * head_dim)
    inv_freq = torch.tensor([10000.0 ** (-2 * i / head_dim) for i in range(head_dim // 2)]).float()
    inv_freq[len(inv_freq) - still:] = 0
    case = {"kind": "attention", "tokens": tokens, "n_heads": n_heads, "n_kv_heads": n_kv_heads, "head_dim": head_dim,
            "window": window, "softcap": softcap, "attention_factor": factor, "qkv": listed(qkv),
            "inv_freq": [float(f) for f in inv_freq.tolist()]}
    q, k, v = qkv.split([n_heads * head_dim, n_kv_heads * head_dim, n_kv_heads * head_dim], dim=-1)
    q = q.view(tokens, n_heads, head_dim)
    k = k.view(tokens, n_kv_heads, head_dim)
    v = v.view(tokens, n_kv_heads, head_dim)
    if norms:
        q_width, k_width = (n_heads * head_dim, n_kv_heads * head_dim) if all_heads else (head_dim, head_dim)
        q_norm, k_norm = 1 + draw(q_width, scale=0.25), 1 + draw(k_width, scale=0.25)
        case["q_norm"], case["k_norm"], case["norm_eps"] = listed(q_norm), listed(k_norm), 1e-6
        q = rms_norm(q.reshape(tokens, -1, q_width), q_norm, 1e-6).view(q.shape)
        k = rms_norm(k.reshape(tokens, -1, k_width), k_norm, 1e-6).view(k.shape)
    if centered:
        q_norm, k_norm = 1 + draw(n_heads, head_dim, scale=0.25), 1 + draw(n_kv_heads, head_dim, scale=0.25)
        case["q_norm"], case["k_norm"], case["norm_eps"] = listed(q_norm), listed(k_norm), 1e-5
        case["centers_heads"] = True
        q = torch.nn.functional.layer_norm(q, (head_dim,), eps=1e-5) * q_norm
        k = torch.nn.functional.layer_norm(k, (head_dim,), eps=1e-5) * k_norm
    # The angles are computed in f32, as in transformers; everything after that is in float64.
    angles = (torch.arange(tokens).float()[:, None] * inv_freq[None, :]).double()
    angles = torch.cat((angles, angles), dim=-1)[:, None, :]
    size = torch.where(torch.cat((inv_freq, inv_freq)) == 0, 1.0, factor)
    cos, sin = angles.cos() * size, angles.sin() * size
    q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
    if growth is not None:
        case["query_beta"], case["query_period"] = growth
        q = q * query_scales(tokens, *growth)[:, None, None]
    case["q_out"], case["keys"], case["values"] = listed(q), listed(k), listed(v)
    keys = k.repeat_interleave(n_heads // n_kv_heads, dim=1).transpose(0, 1)
    values = v.repeat_interleave(n_heads // n_kv_heads, dim=1).transpose(0, 1)
    scores = q.transpose(0, 1) @ keys.transpose(1, 2) / math.sqrt(head_dim)
    if softcap > 0:
        scores = softcap * torch.tanh(scores / softcap)
    i, j = torch.arange(tokens)[:, None], torch.arange(tokens)[None, :]
    hidden = j > i
    if window > 0:
        hidden = hidden | (j <= i - window)
    scores = scores.masked_fill(hidden, float("-inf"))
    if with_sinks:
        sinks = draw(n_heads, scale=2.0)
        case["sinks"] = listed(sinks)
        scores = torch.cat((scores, sinks[:, None, None].expand(-1, tokens, 1)), dim=-1)
    weights = torch.softmax(scores, dim=-1)[..., :tokens]
    case["out"] = listed((weights @ values).transpose(0, 1).reshape(tokens, -1))
    return case


def query_scales(tokens, beta, period):
    """Computes the same as get_llama_4_attn_scale in transformers' modeling_ministral3.py."""
    beta = float(torch.tensor(beta).float())  # backends get beta in f32
    return 1 + beta * torch.log(1 + torch.floor(torch.arange(tokens).double() / period))


def clamped_swiglu(gate, up):
    """Computes the same as GptOssExperts._apply_gate in transformers."""
    gate, up = gate.clamp(max=7.0), up.clamp(min=-7.0, max=7.0)
    return (up + 1) * (gate * torch.sigmoid(gate * 1.702))


def mixture_case(rows, dim, ffn, n_experts, n_top, renormalize, score="softmax", is_gpt_oss=False):
    """`is_gpt_oss`: the router and the experts have biases, and the epilogue is that of gpt-oss."""
    x, gate, aux = draw(rows, dim), draw(n_experts, dim), draw(rows, dim)
    gate_up, down = draw(n_experts, 2 * ffn, dim, scale=0.5), draw(n_experts, dim, ffn, scale=0.5)
    biases = {}
    if is_gpt_oss:
        biases = {"gate_bias": draw(n_experts), "up_bias": draw(n_experts, 2 * ffn, scale=5.0),
                  "down_bias": draw(n_experts, dim)}
    scores = x @ gate.T + biases.get("gate_bias", 0)
    probabilities = torch.softmax(scores, dim=-1) if score == "softmax" else torch.sigmoid(scores)
    weight, expert = torch.topk(probabilities, n_top, dim=-1)
    if renormalize:
        weight = weight / weight.sum(-1, keepdim=True)
    hidden, out = torch.zeros(rows, n_top, ffn), aux.clone()
    for t in range(rows):
        for j in range(n_top):
            e = int(expert[t, j])
            g, u = gate_up[e, :ffn] @ x[t], gate_up[e, ffn:] @ x[t]
            if is_gpt_oss:
                hidden[t, j] = clamped_swiglu(g + biases["up_bias"][e, :ffn], u + biases["up_bias"][e, ffn:])
                out[t] += weight[t, j] * (down[e] @ hidden[t, j] + biases["down_bias"][e])
                continue
            hidden[t, j] = torch.nn.functional.silu(g) * u
            out[t] += weight[t, j] * (down[e] @ hidden[t, j])
    return {**{name: listed(bias) for name, bias in biases.items()},
            "kind": "mixture", "rows": rows, "dim": dim, "ffn": ffn, "n_experts": n_experts, "n_top": n_top,
            "renormalize": renormalize, "score": score, "x": listed(x), "gate": listed(gate), "gate_up": listed(gate_up),
            "down": listed(down), "aux": listed(aux), "expert": expert.flatten().tolist(), "weight": listed(weight),
            "hidden": listed(hidden), "out": listed(out)}


def latent_case(tokens, n_heads, rank, plain, rotated, width):
    """Multi-head latent attention as DeepseekV3Attention computes it, with the keys and values of every head projected from the latents."""
    q, latent = draw(tokens, n_heads, plain + rotated), draw(tokens, rank + rotated)
    norm, up = 1 + draw(rank, scale=0.25), draw(n_heads, plain + width, rank, scale=0.5)
    inv_freq = torch.tensor([10000.0 ** (-2 * i / rotated) for i in range(rotated // 2)]).float()
    angles = (torch.arange(tokens).float()[:, None] * inv_freq[None, :]).double()
    angles = torch.cat((angles, angles), dim=-1)
    turn = lambda x, angle: x * angle.cos() + rotate_half(x) * angle.sin()
    normed, tail = rms_norm(latent[:, :rank], norm, 1e-6), turn(latent[:, rank:], angles)
    made = torch.einsum("hor,tr->tho", up, normed)
    keys = torch.cat((made[..., :plain], tail[:, None].expand(-1, n_heads, -1)), dim=-1)
    queries = torch.cat((q[..., :plain], turn(q[..., plain:], angles[:, None])), dim=-1)
    scores = torch.einsum("thd,jhd->htj", queries, keys) * (plain + rotated) ** -0.5
    hidden = torch.arange(tokens)[None, :] > torch.arange(tokens)[:, None]
    weights = torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1)
    out = torch.einsum("htj,jhd->thd", weights, made[..., plain:])
    return {"kind": "latent", "tokens": tokens, "n_heads": n_heads, "rank": rank, "plain": plain, "rotated": rotated,
            "width": width, "inv_freq": [float(f) for f in inv_freq.tolist()], "q": listed(q), "latent": listed(latent),
            "norm": listed(norm), "query_heads": listed(up[:, :plain].transpose(1, 2)),
            "value_heads": listed(up[:, plain:]), "keys": listed(torch.cat((normed, tail), dim=-1)), "out": listed(out)}


def groups_case(rows, dim, n_groups, group_size, n_top_groups, n_top, is_v3, renormalize, scale):
    """The router of DeepseekV3ForCausalLM or, with `is_v3` false, that of DeepseekV2ForCausalLM, which uses a softmax."""
    x, gate, bias = draw(rows, dim), draw(n_groups * group_size, dim), draw(n_groups * group_size, scale=0.4)
    scores = x @ gate.T
    shares = scores.sigmoid() if is_v3 else scores.softmax(-1)
    merits = (shares + bias if is_v3 else shares).view(rows, n_groups, group_size)
    worth = merits.topk(2, dim=-1).values.sum(-1) if is_v3 else merits.amax(-1)
    taken = torch.zeros_like(worth).scatter(1, worth.topk(n_top_groups, dim=-1).indices, 1).bool()
    merits = merits.masked_fill(~taken[..., None], float("-inf")).view(rows, -1)
    expert = merits.topk(n_top, dim=-1).indices
    weight = shares.gather(1, expert)
    if renormalize:
        weight = weight / weight.sum(-1, keepdim=True)
    return {"kind": "groups", "rows": rows, "dim": dim, "n_groups": n_groups, "n_experts": n_groups * group_size,
            "n_top_groups": n_top_groups, "n_top": n_top, "is_v3": is_v3, "renormalize": renormalize, "scale": scale,
            "x": listed(x), "gate": listed(gate), "bias": listed(bias), "expert": expert.flatten().tolist(),
            "weight": listed(weight * scale)}


def columns_case(rows, cols, columns):
    """Selects columns with torch.index_select: a permutation, or some columns, which may repeat."""
    x = draw(rows, cols)
    return {"kind": "select_columns", "rows": rows, "cols": cols, "x": listed(x), "columns": columns,
            "out": listed(torch.index_select(x, 1, torch.tensor(columns)))}


def expert_columns_case(rows, cols, orders, n_top, x_per_expert):
    """For each of a token's experts, selects the expert's list of columns with torch.index_select, from the token's row or from the row of
    that expert."""
    x, gate = draw(rows, n_top if x_per_expert else 1, cols), draw(len(orders), cols)
    expert = torch.topk(x[:, 0] @ gate.T, n_top, dim=-1).indices
    out = [torch.index_select(x[t, j if x_per_expert else 0], 0, torch.tensor(orders[int(expert[t, j])]))
           for t in range(rows) for j in range(n_top)]
    return {"kind": "expert_columns", "rows": rows, "cols": cols, "n_experts": len(orders), "n_top": n_top,
            "x_per_expert": x_per_expert, "columns": [column for order in orders for column in order], "x": listed(x),
            "router_x": listed(x[:, 0]), "gate": listed(gate), "expert": expert.flatten().tolist(), "out": listed(torch.stack(out))}


MASK = (1 << 64) - 1


def mix(z):
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def random_unit(seed, counter):
    return (mix(mix(seed) ^ mix((counter * 0xD1342543DE82EF95 + 1) & MASK)) >> 11) * 2.0**-53


def sample_case(n, temperature, top_k, top_p, seed, position, forbidden, ties):
    logits = draw(n, scale=3.0)
    if ties:
        logits = torch.round(logits)
    logprobs = torch.log_softmax(logits, dim=-1)
    kept = [i for i in range(n) if i != forbidden]
    kept.sort(key=lambda i: (-float(logits[i]), i))
    if temperature == 0:
        chosen = kept[0]
    else:
        if top_k > 0:
            kept = kept[:top_k]
        p = torch.softmax(torch.tensor([float(logits[i]) for i in kept]) / temperature, dim=-1).tolist()
        if top_p < 1:
            running, cut = 0.0, len(kept)
            for rank, share in enumerate(p):
                running += share
                if running >= top_p:
                    cut = rank + 1
                    break
            kept, p = kept[:cut], p[:cut]
        total = sum(p)
        target, running, chosen = random_unit(seed, position), 0.0, kept[-1]
        for token, share in zip(kept, p):
            running += share / total
            if running > target:
                chosen = token
                break
    order = sorted(range(n), key=lambda i: (-float(logits[i]), i))[:5]
    return {"kind": "sample", "logits": listed(logits), "temperature": temperature, "top_k": top_k, "top_p": top_p,
            "seed": seed, "position": position, "forbidden_id": forbidden, "id": chosen,
            "logprob": float(logprobs[chosen]), "top": [[i, float(logprobs[i])] for i in order]}


def main():
    cases = [rms_norm_case(3, 7, 1e-5, False), rms_norm_case(2, 16, 1e-6, True)]
    for epilogue in ("none", "bias", "add_residual", "gated_silu", "gated_gelu"):
        cases.append(matmul_case(3, 9, 5, epilogue))
    cases += [matmul_case(2, 8, 4, "none", softcap=1.5), matmul_case(4, 16, 6, "add_residual", act="int8")]
    cases += [attention_case(5, 2, 1, 8), attention_case(7, 6, 2, 4, window=3),
              attention_case(4, 4, 4, 8, softcap=2.0, norms=True), attention_case(6, 3, 1, 6, factor=1.25, norms=True)]
    cases += [mixture_case(4, 6, 5, 4, 2, True), mixture_case(3, 5, 4, 3, 1, False)]
    for index in range(24):
        cases.append(sample_case(40, [0, 0.7, 1.0, 1.8][index % 4], [0, 5, 12][index % 3], [1.0, 0.9, 0.5][index % 5 % 3],
                                 index, 100 + index, index if index % 2 else -1, index % 6 == 0))
    cases += [matmul_case(3, 9, 5, "gated_silu", gated_bias=True), matmul_case(2, 8, 4, "gated_gelu", gated_bias=True)]
    cases += [attention_case(6, 2, 1, 8, factor=1.25, still=1), attention_case(4, 2, 2, 4, factor=1.5, still=2)]
    cases += [mixture_case(4, 6, 5, 1, 1, False, "sigmoid"), mixture_case(3, 5, 4, 3, 2, True, "sigmoid"),
              mixture_case(3, 5, 4, 3, 2, False, "sigmoid")]
    cases += [rms_norm_case(3, 9, 1e-5, False, with_residual=True),
              attention_case(5, 4, 2, 8, norms=True, all_heads=True)]
    cases += [attention_case(5, 4, 2, 8, with_sinks=True), attention_case(7, 3, 1, 4, window=3, with_sinks=True),
              mixture_case(4, 6, 5, 4, 2, True, is_gpt_oss=True), mixture_case(3, 5, 4, 3, 3, True, is_gpt_oss=True),
              matmul_case(3, 9, 5, "gated_clamped", gated_bias=True)]
    cases += [layer_norm_case(3, 9, 1e-5, False, False), layer_norm_case(2, 16, 1e-5, True, True),
              matmul_case(3, 9, 5, "gelu")]
    cases += [latent_case(6, 3, 8, 5, 4, 7), latent_case(4, 2, 6, 4, 6, 3),
              groups_case(4, 6, 4, 3, 2, 3, True, True, 2.5), groups_case(3, 5, 2, 4, 1, 4, True, False, 1.0),
              groups_case(4, 6, 4, 2, 2, 3, False, False, 16.0)]
    cases += [attention_case(7, 2, 1, 8, growth=(0.25, 2)), attention_case(6, 4, 2, 4, window=4, norms=True, growth=(1.0, 3))]
    cases += [columns_case(3, 9, [3, 8, 0, 2, 7, 5, 1, 6, 4]), columns_case(2, 7, [6, 0, 6, 3, 1])]
    cases += [expert_columns_case(4, 5, [[3, 0, 2, 4, 1], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]], 2, False),
              expert_columns_case(4, 6, [[5, 0], [1, 1], [4, 2], [0, 3]], 3, True)]
    cases += [attention_case(5, 4, 2, 8, centered=True), attention_case(4, 3, 1, 6, window=3, centered=True)]
    path = pathlib.Path(__file__).parent.parent / "data" / "conformance" / "vectors.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    path.write_text(f'{{"made_by":"tests/conformance/make_vectors.py","torch":"{torch.__version__}","cases":[\n{lines}\n]}}\n')


main()
