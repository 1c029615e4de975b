"""Train the default bundle's model and export it in the Hugging Face layout.

    python train.py --out DIR --tokenizer DIR/tokenizer.json [--seed 1] [--text FILE] [--resume]

DIR receives checkpoint.pt while training runs, and config.json and model.safetensors (BF16) at
every accuracy check, so that an interrupted run has left a usable model.

The curriculum is the table PHASES. Dense lookups in short windows come first: the copying circuit
forms there within a few million tokens and does not form at all from prose. Random jumps in the
positions, log-uniform up to 32K and placed at ends of lines, teach the whole range of distances
meanwhile. Longer windows follow to make attention sharp among many distractors. A phase ends when
its tokens are spent, or earlier when held-back lookups reach its goal.
"""

import argparse
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer

import documents
import evaluate
from model import Config, Model, config_json

END_OF_TEXT, PAD = 0, 3


@dataclass(frozen=True)
class Phase:
    name: str
    tokens: float            # at most, in millions
    window: int
    batch: int               # tokens of one step
    families: dict           # name -> share; "long" is documents.long_document, "text" the given file
    records: tuple           # least and most records of a document, log-uniform
    goal: float = 1.1        # held-back lookup accuracy that ends the phase early
    other_weight: float = 0.2  # loss weight of a token that is no answer; answers weigh 1
    rate: tuple = (1.0, 1.0)   # learning rate at start and end of the phase, as a share of the full


SHORT = dict(mixed=5, records=5, confusable=2, unanswerable=1, table=2, code=2, paraphrase=2, two_hop=2,
             chat=3, sequence=1.5, scripts=1.5, echo=0.5, prose=0.3, text=1.0)
MIDDLE = dict(SHORT, long=6)
LONG = dict(SHORT, long=30)
ONLY_LONG = dict(long=1)
HARD = dict(SHORT, long=6, mixed=6, unanswerable=4, two_hop=5, chat=5, sequence=2)

PHASES = [
    Phase("lookups", 6, 96, 4096, dict(records=1, echo=1), (3, 6), goal=0.9, other_weight=0.02),
    Phase("many records", 0.5, 256, 4096, dict(records=4, confusable=1, mixed=2, echo=1), (6, 20), goal=0.97,
          other_weight=0.05),
    Phase("window 512", 2, 512, 4096, MIDDLE, (4, 32), other_weight=0.1, rate=(1.0, 0.7)),
    Phase("window 2K", 1.2, 2048, 4096, LONG, (8, 64), other_weight=0.1, rate=(0.7, 0.5)),
    Phase("window 8K", 0.16, 8192, 8192, ONLY_LONG, (32, 64), other_weight=0.02, rate=(0.4, 0.4)),
    Phase("settle", 1.6, 512, 4096, HARD, (4, 24), other_weight=0.1, rate=(0.7, 0.01)),
]
CHECK_EVERY = 0.25           # million tokens
WARMUP_STEPS = 60


class Corpus:
    """Rows of token ids with loss weights and positions. Each batch is drawn from a random stream of its own."""

    def __init__(self, tokenizer, text_file, seed):
        self.tokenizer, self.seed = tokenizer, seed
        self.text = Path(text_file).read_text(encoding="utf-8") if text_file else None

    def count(self, text):
        return len(self.tokenizer.encode(text).ids)

    def document(self, source, phase, family):
        least, most = phase.records
        records = round(math.exp(source.uniform(math.log(least), math.log(most))))
        seed = source.getrandbits(48)
        if family == "text":
            start = source.randrange(len(self.text) - 6 * phase.window)
            return self.text[start:start + 6 * phase.window], []
        if family == "long":
            questions = min(records, max(1, phase.window // 40))
            room = phase.window - 14 * (questions - 1)
            absent = source.choice((0, 0, max(1, questions // 4))) if questions > 1 else 0
            return documents.training_text(
                documents.long_document(seed, "train", room, self.count, records, questions, absent))
        least = records if family in ("records", "mixed", "confusable") else 1
        questions = source.randint(least, 2 * records)
        return documents.training_text(documents.sample(family, seed, "train", records, questions))

    def row(self, source, phase):
        """One window: documents until it is full. Returns ids, weights and positions."""
        families = [f for f in phase.families if f != "text" or self.text]
        ids, weights, breaks = [], [], []
        while len(ids) < phase.window + 1:
            if ids and phase.window + 1 - len(ids) < phase.window // 10:
                weights += [0.0] * phase.window
                ids += [PAD] * phase.window
                break
            if ids:
                weights.append(phase.other_weight)
                ids.append(END_OF_TEXT)
            family = source.choices(families, [phase.families[f] for f in families])[0]
            text, spans = self.document(source, phase, family)
            encoding = self.tokenizer.encode(text)
            spans = iter(spans)
            start, end = next(spans, (1 << 60, 1 << 60))
            base = phase.other_weight if family != "text" else 0.2
            for token, (left, right) in zip(encoding.ids, encoding.offsets):
                while left >= end:
                    start, end = next(spans, (1 << 60, 1 << 60))
                weights.append(1.0 if start <= left < end else base)
                ids.append(token)
                if text[right - 1] == "\n":
                    breaks.append(len(ids))
        ids, weights = ids[:phase.window + 1], weights[:phase.window + 1]
        breaks = [b for b in breaks if b < phase.window]
        return ids, weights, self.positions(source, phase, breaks)

    def positions(self, source, phase, breaks):
        """Consecutive positions, except for up to three jumps at ends of lines; all stay within 32K."""
        positions = list(range(phase.window))
        room = Config.max_position_embeddings - phase.window
        for place in sorted(source.sample(breaks, min(len(breaks), source.randint(0, 3)))):
            jump = int(math.exp(source.uniform(0, math.log(room)))) if room > 1 else 0
            room -= jump
            for i in range(place, phase.window):
                positions[i] += jump
        return positions

    def batch(self, phase, step):
        source = random.Random(f"{self.seed}/{phase.name}/{step}")
        rows = [self.row(source, phase) for _ in range(max(1, phase.batch // phase.window))]
        ids, weights, positions = (torch.tensor(part) for part in zip(*rows))
        return ids[:, :-1], ids[:, 1:], weights[:, 1:], positions


def loss_of(model, ids, targets, weights, positions):
    """Weighted cross-entropy, and the plain one of the answers alone."""
    chosen = weights > 0
    # BF16 matmuls are a third faster on CPUs with BF16 instructions; the weights stay FP32.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden, _ = model(ids, positions)
        logits = model.logits(hidden[chosen])
    losses = F.cross_entropy(logits.float(), targets[chosen], reduction="none")
    weights = weights[chosen]
    return (losses * weights).sum() / weights.sum(), losses[weights == 1.0].mean().item()


@torch.no_grad()
def lookup_accuracy(model, corpus, tokens, questions=64):
    """Exact answers to held-back lookups, with the weights rounded to BF16 as they are exported."""
    kept = {name: weight.clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.copy_(weight.bfloat16().float())
    if tokens <= 128:
        made = [documents.sample("records", seed, "held_back", 5, 5) for seed in range(questions // 5)]
    else:
        made = evaluate.lookup_documents(corpus.tokenizer, tokens, questions)
    reached = evaluate.accuracy(model, corpus.tokenizer, made)
    for name, weight in model.named_parameters():
        weight.copy_(kept[name])
    return reached


def export(model, config, folder):
    tensors = {name: weight.detach().bfloat16().contiguous() for name, weight in model.named_parameters()}
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(config_json(config))


class Optimizers:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""

    def __init__(self, model, rate, matrix_rate):
        matrices = [w for name, w in model.named_parameters() if w.dim() == 2 and "embed" not in name]
        others = [w for name, w in model.named_parameters() if w.dim() != 2 or "embed" in name]
        self.parts = [
            torch.optim.Muon(matrices, lr=matrix_rate, momentum=0.95, weight_decay=0.01,
                             adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.rates = [matrix_rate, rate]

    def step(self, factor):
        for part, rate in zip(self.parts, self.rates):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self):
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states):
        for part, state in zip(self.parts, states):
            part.load_state_dict(state)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="public-domain text mixed in, at most 15 %% of the tokens")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--matrix-rate", type=float, default=8e-4)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    config = Config()
    model = Model(config)
    optimizers = Optimizers(model, options.rate, options.matrix_rate)
    corpus = Corpus(Tokenizer.from_file(str(options.tokenizer)), options.text, options.seed)
    done = {"phase": 0, "step": 0, "total_steps": 0, "tokens": 0.0, "seconds": 0.0}
    checkpoint = options.out / "checkpoint.pt"
    if options.resume:
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizers.load_state_dict(saved["optimizers"])
        done = saved["done"]

    started = time.time() - done["seconds"]
    next_check = done["tokens"] + CHECK_EVERY
    for number in range(done["phase"], len(PHASES)):
        phase = PHASES[number]
        if number != done["phase"]:
            done.update(phase=number, step=0)
        steps = int(phase.tokens * 1e6 / phase.batch)
        while done["step"] < steps:
            loss, answer_loss = loss_of(model, *corpus.batch(phase, done["step"]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            progress = done["step"] / steps
            factor = min(1.0, (done["total_steps"] + 1) / WARMUP_STEPS)
            factor *= phase.rate[0] + (phase.rate[1] - phase.rate[0]) * progress
            optimizers.step(factor)
            done["step"] += 1
            done["total_steps"] += 1
            done["tokens"] += phase.batch / 1e6
            done["seconds"] = time.time() - started
            if done["step"] % 20 == 0:
                print(f"{phase.name} {done['tokens']:.2f} M tokens {done['seconds']:.0f} s"
                      f" loss {loss.item():.3f} answers {answer_loss:.3f}", flush=True)
            if done["tokens"] >= next_check or done["step"] == steps:
                next_check = done["tokens"] + CHECK_EVERY
                lengths = sorted({128, *((min(phase.window, 8192), 2048) if phase.window > 128 else ())})
                reached = {length: lookup_accuracy(model, corpus, length) for length in lengths}
                print(f"check {phase.name} {done['tokens']:.2f} M tokens {done['seconds']:.0f} s"
                      f" lookups {reached}", flush=True)
                export(model, config, options.out)
                torch.save({"model": model.state_dict(), "optimizers": optimizers.state_dict(), "done": done},
                           checkpoint.with_suffix(".new"))
                checkpoint.with_suffix(".new").replace(checkpoint)
                if min(reached.values()) >= phase.goal:
                    break
    print(f"finished: {done}")


if __name__ == "__main__":
    main()
