"""Computes from the records how far E is from R (reference.py), near_tie_tau, and the quality of a variant.

A record is a line of expected/VARIANT.jsonl (docs/bundle-format.md). All comparisons use only what
the record holds, the top 20 and a rest bucket, because other programs have no more than that.
"""

import math
from collections.abc import Iterable

import torch

TOP = 20

# A rest bucket below this is only the rounding error of the 20 log-probabilities.
REST_FLOOR = 1e-6

# The figures that a comparison has for each position.
FIELDS = ("delta", "kl", "nll", "agrees")

MOST_UNSTEADY = 0.5

# A variant outside these limits is opportunistic. Lookups have no limit here, since few prompts count for them.
LIMITS = {"kl_mean": 0.05, "top1_agreement": 0.95}

# Opportunistic by definition, however good the figures are.
NEVER_BLESSED = ("int4", "int4-w8a8")

# Lookup accuracy is reported for contexts up to each of these lengths (and above the one before).
LENGTHS = (1024, 2048, 8192, 16384, 32768)


def significant(value: float) -> float:
    """Rounds to eight digits; an FP32 logit has seven."""
    return float(f"{value:.8g}")


def describe(logits: torch.Tensor) -> dict[str, list]:
    """Returns `top`, `top1_margin` and `logsumexp` of each row of logits [positions, vocabulary]."""
    logits = logits.double()
    total = logits.logsumexp(-1)
    # Stable, so that of equal logits the lowest id comes first, as in every greedy choice.
    values, ids = (part[:, :TOP] for part in logits.sort(dim=-1, descending=True, stable=True))
    pairs = [[[int(i), significant(float(v - t))] for i, v in zip(row_ids, row)]
             for row_ids, row, t in zip(ids, values, total)]
    return {
        "top": pairs,
        "top1_margin": [significant(float(row[0] - row[1])) for row in values],
        "logsumexp": [significant(float(t)) for t in total],
    }


def _kl(top: list, other: torch.Tensor) -> float:
    """KL of the record's distribution to log-probabilities `other` over the top 20 and the rest."""
    kl, rest, other_rest = 0.0, 1.0, 1.0
    for token, log_p in top:
        log_q, p = float(other[token]), math.exp(log_p)
        kl += p * (log_p - log_q)
        rest -= p
        other_rest -= math.exp(log_q)
    rest, other_rest = max(rest, REST_FLOOR), max(other_rest, REST_FLOOR)
    return kl + rest * math.log(rest / other_rest)


def compare(record: dict, logits: torch.Tensor) -> dict[str, list]:
    """Compares the candidate's logits [positions, vocabulary] after the same ids with a record.

    `delta` is by how much the gap between the record's best two ids differs; `nll` by how many nats the
    candidate's log-probability of the record's id is lower; `agrees` whether its best id is the record's.
    """
    logits = logits.double()
    log_q = logits.log_softmax(-1)
    result: dict[str, list] = {field: [] for field in FIELDS}
    for place, (token, top) in enumerate(zip(record["ids"], record["top"])):
        (first, _), (second, _) = top[:2]
        gap = float(logits[place, first] - logits[place, second])
        result["delta"].append(significant(abs(record["top1_margin"][place] - gap)))
        result["kl"].append(significant(_kl(top, log_q[place])))
        result["nll"].append(significant(top[0][1] - float(log_q[place, token])))
        result["agrees"].append(int(logits[place].argmax()) == token)
    return result


def _joined(comparisons: Iterable[dict], field: str) -> torch.Tensor:
    return torch.tensor([value for c in comparisons for value in c[field]], dtype=torch.float64)


def unsteady(ways: list[list[dict]], other: list[dict], close: list[list[int]]) -> list[list[int]]:
    """Returns the positions of each record at which no backend is judged, because a mixture's choices are too close.

    `close` are the positions with a close choice of their own, and `other` the comparisons with E when it takes the
    other expert at every close choice. Another position is unsteady if its delta there is above near_tie_tau, or its
    KL above the worst of E. If more than MOST_UNSTEADY of all positions would be unsteady, as in a deep model, none is:
    E's own figures then come from such positions.
    """
    steady = [[without(c, places) for c, places in zip(way, close)] for way in ways]
    tau, worst = near_tie_tau(steady), max(float(_joined(way, "kl").max()) for way in steady)
    found = [[i for i in range(len(c["kl"])) if i in places or c["delta"][i] > tau or c["kl"][i] > worst]
             for c, places in zip(other, close)]
    share = sum(map(len, found)) / sum(len(c["delta"]) for c in other)
    return found if share <= MOST_UNSTEADY else [[] for _ in other]


def without(comparison: dict, places: list[int]) -> dict:
    """A comparison without some of its positions."""
    left_out = set(places)
    kept = lambda values: [value for place, value in enumerate(values) if place not in left_out]
    return {field: kept(comparison[field]) for field in FIELDS}


def near_tie_tau(ways: list[list[dict]]) -> float:
    """Returns near_tie_tau for the comparisons of R's records with E, one list for each way in which E is made."""
    return 4 * max(float(_joined(way, "delta").quantile(0.99)) for way in ways)


def envelope(parts: list[list[dict]]) -> dict[str, float]:
    """The largest figures over the parts: all prompts and each suite, in each way that E is made.

    A backend is judged by suites, and a short one may happen to have a larger mean than the whole.
    """
    found = [_envelope(part) for part in parts if len(_joined(part, "kl"))]
    return {key: rounded(max(figures[key] for figures in found)) for key in found[0]}


def _envelope(comparisons: list[dict]) -> dict[str, float]:
    kl, nll = _joined(comparisons, "kl"), _joined(comparisons, "nll")
    # A backend may have up to three times E's mean difference, which may be near zero by chance; then every
    # backend would be refused. So two standard errors of the mean are added.
    chance = 2 * float(nll.std()) / math.sqrt(len(nll)) if len(nll) > 1 else 0.0
    # A divergence is never negative, but its rounding errors may be, where both distributions have nearly all of it on one token.
    return {"kl_mean": max(0.0, float(kl.mean())), "kl_worst": max(0.0, float(kl.max())),
            "nll_difference_mean": abs(float(nll.mean())) + chance}


def rounded(value: float) -> float:
    """Four digits, for people who read the manifest."""
    return float(f"{value:.4g}")


def margins(records: list[dict], tau: float) -> dict[str, float]:
    """Shares of the golden positions by R's own margin: large is over 10 tau."""
    all_margins = torch.tensor([m for r in records for m in r["top1_margin"]])
    return {
        "positions": len(all_margins),
        "within_tau": rounded(float((all_margins <= tau).double().mean())),
        "large": rounded(float((all_margins > 10 * tau).double().mean())),
        "over_one": rounded(float((all_margins > 1).double().mean())),
    }


def _bucket(length: int) -> str | None:
    return next((str(limit) for limit in LENGTHS if length <= limit), None)


def lookups(prompts: list, records: list[dict], texts: list[str | None]) -> dict:
    """Share of right answers by context length, and of invented ones where nothing was to be found."""
    right: dict[str, list[bool]] = {}
    invented: list[bool] = []
    for prompt, record, text in zip(prompts, records, texts):
        bucket = _bucket(record["n_prompt_ids"])
        if prompt.answer is None or text is None or bucket is None:
            continue
        hit = text.strip().startswith(prompt.answer)
        if prompt.kind == "unanswerable":
            invented.append(not hit)
        else:
            right.setdefault(bucket, []).append(hit)
    share = lambda hits: rounded(sum(hits) / len(hits))
    result: dict = {}
    if right:
        result["lookup_accuracy"] = {str(n): share(right[str(n)]) for n in LENGTHS if str(n) in right}
    if invented:
        result["invented_answers"] = share(invented)
    return result


def quality(against_bf16: list[dict], measured: dict) -> dict:
    """The manifest's `quality`: the comparisons of bf16's records with this variant, and `measured`."""
    agrees = _joined(against_bf16, "agrees")
    return {
        "kl_mean": rounded(max(0.0, float(_joined(against_bf16, "kl").mean()))),
        "top1_agreement": rounded(float(agrees.mean())),
        **measured,
        "limits": dict(LIMITS),
    }


def tier(variant: str, figures: dict) -> str:
    """blessed within the limits, else opportunistic."""
    limits = figures.get("limits")
    if limits is None:  # bf16 was not computed, so nothing is known of this variant's quality
        return "opportunistic"
    within = figures["kl_mean"] <= limits["kl_mean"] and figures["top1_agreement"] >= limits["top1_agreement"]
    return "blessed" if within and variant not in NEVER_BLESSED else "opportunistic"
