"""The choices of a mixture's routers, and at which positions they are too close to judge a backend.

A router takes the experts with the best scores. Where the last that is taken and the first that is left are
nearly equal, a rounding decides, and the outputs of the two have nothing to do with each other. No envelope
of small changes covers that, so these positions are searched for: E shows how far roundings move the scores,
`close_choices` finds where they could decide, and one more pass of E takes the other expert at each of these
positions, to see what that does to later ones.
"""

import torch


LEFT_OUT = 1000.0  # subtracted from the merits of experts whose group is not chosen: far more than any bias


class Routing:
    """Replaces the choice in the routers' forward passes, and keeps the scores of the rows since `forget`."""

    def __init__(self) -> None:
        self.scores: dict[str, list[torch.Tensor]] = {}  # of each router since `forget`, [rows, experts] a chunk
        self.thresholds: dict[str, float] = {}           # of each router that takes the other expert where it is close
        self.taken: dict[str, int] = {}                  # how many experts each router takes

    def forget(self) -> None:
        self.scores = {}

    def choose(self, name: str, scores: torch.Tensor, taken: int,
               renormalizes: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """The experts of each row, [rows, taken], best first, the lowest of equal ones; and their shares, of sum 1 if
        `renormalizes`, else of all experts' sum 1."""
        chosen = self.best(name, scores, taken)
        shares = scores.gather(1, chosen).softmax(-1) if renormalizes else scores.softmax(-1).gather(1, chosen)
        return chosen, shares

    def best(self, name: str, scores: torch.Tensor, taken: int) -> torch.Tensor:
        """The experts of each row, [rows, taken], best first, the lowest of equal ones."""
        self.scores.setdefault(name, []).append(scores)
        self.taken[name] = taken
        order = scores.sort(dim=-1, descending=True, stable=True).indices
        chosen = order[:, :taken].clone()
        if name in self.thresholds:
            last, other = order[:, taken - 1:taken], order[:, taken:taken + 1]
            is_close = scores.gather(1, last) - scores.gather(1, other) <= self.thresholds[name]
            chosen[:, taken - 1:] = torch.where(is_close, other, last)
        return chosen

    def choose_of_groups(self, name: str, scores: torch.Tensor, config, bias) -> tuple[torch.Tensor, torch.Tensor]:
        """As choose(), for DeepSeek: the experts of the best groups, chosen in V3 by sigmoids to which a bias is added.

        The choice of groups is recorded like that of another router, because it can be close, too.
        """
        is_v3 = config.model_type == "deepseek_v3"
        shares = scores.sigmoid() if is_v3 else scores.softmax(-1)
        merits = shares + bias if is_v3 else shares
        if is_v3 or config.topk_method == "group_limited_greedy":
            of_groups = merits.unflatten(-1, (config.n_group, -1))
            worth = of_groups.topk(2, dim=-1).values.sum(-1) if is_v3 else of_groups.amax(-1)
            if config.topk_group < config.n_group:
                best = self.best(name + ".groups", worth, config.topk_group)
                is_taken = torch.zeros_like(worth, dtype=torch.bool).scatter(1, best, True)
                merits = (of_groups - LEFT_OUT * ~is_taken[..., None]).flatten(-2)
        chosen = self.best(name, merits, config.num_experts_per_tok)
        shares = shares.gather(1, chosen)
        if is_v3 and config.norm_topk_prob:
            shares = shares / shares.sum(-1, keepdim=True)
        return chosen, shares * config.routed_scaling_factor

    def of_last(self, rows: int) -> dict[str, torch.Tensor]:
        """The scores of each router for the last rows, [rows, experts]."""
        return {name: scores[len(scores) - rows:] for name, scores in
                ((name, torch.cat(parts)) for name, parts in self.scores.items())}


def nearest(scores: torch.Tensor, taken: int) -> torch.Tensor:
    """The last expert that is taken and the first that is not, [..., 2]."""
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., taken - 1:taken + 1]


def gaps(scores: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """By how much the first expert of each pair is ahead."""
    ahead = scores.gather(-1, pairs)
    return ahead[..., 0] - ahead[..., 1]


def close_choices(own: list, moved: list) -> tuple[list[list[int]], list[float]]:
    """The positions of each record where a router of R chose closely, and up to which gap that is so in each router.

    own and moved, for each record [routers, positions]: the gaps in R, and those of the same experts in E. The
    threshold is defined like near_tie_tau: four times the 99th percentile of what E's roundings move. Positions at
    which an earlier router chose closely are left out of it: there, E may have taken another expert.
    """
    joined = lambda records: torch.cat([torch.tensor(gaps) for gaps in records], dim=1)
    is_close = torch.zeros(joined(own).shape[1], dtype=torch.bool)
    thresholds = []
    for of_router, of_envelope in zip(joined(own), joined(moved)):
        shifts = (of_router - of_envelope).abs()[~is_close].double()
        thresholds.append(4 * float(shifts.quantile(0.99)) if len(shifts) else 0.0)
        is_close |= of_router <= thresholds[-1]
    by_record = is_close.split([len(gaps[0]) for gaps in own])
    return [part.nonzero()[:, 0].tolist() for part in by_record], thresholds
