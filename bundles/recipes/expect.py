"""Expected outputs, near-tie constants and envelopes of a bundle, from transformers in FP32.

    python expect.py --model DIR [--prompts DIR_OR_FILE ...] [--out DIR] [--variants bf16,int8,...]
    python expect.py --model DIR --add --variants int8-g32 [--only chat-001,...]
    python expect.py --model DIR --check [--only chat-001,...]

DIR is a Hugging Face folder of a Llama-family model, or a bundle. Without --out it becomes a bundle
in place; with --out the model's files are copied there. Without --prompts those already in the
bundle are used. Writes OUT/expected/VARIANT.jsonl, OUT/prompts/ and OUT/manifest.yaml; what the
manifest says of name, licence and source is kept. With --resume a stopped run goes on after the
last finished prompt. A model that does not fit into memory is read layer by layer (--stream, on
--device), all prompts together; memory, disk and time are said before it starts, and --resume
goes on at the layer where it stopped. --check computes everything again and compares, and writes nothing. --add leaves
the files of the other variants as they are: it checks them, as --check does, and where they come out
again the manifest's program is this one, though an earlier version wrote them. Those in w8a8 and fp8 are kept
unchecked: there the last bit of a sum, which differs from CPU to CPU, moves an activation by a step.
--only says which prompts are checked.

docs/correctness.md has the definitions, reference.py and acceptance.py the computation.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

import acceptance
import manifest
import published
import quantize
import routing
from checkpoint import fits_into_memory
from documents import sample
from prompt_suites import Encoder, Prompt, encode, read_suites, without_unusable
from reference import Fed, Feed, Reference
from streamed import StreamedReference

# Longer prompts are recorded by their hash alone.
MOST_IDS_WRITTEN = 4096


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Journal:
    """A file of JSON lines that survives a stop: one line per prompt, valid for one computation only."""

    def __init__(self, file: Path, computation: str) -> None:
        self.file, self.computation, self.lines = file, computation, {}
        header = json.dumps({"computation": computation})
        if file.exists():
            written = file.read_text(encoding="utf-8").split("\n")
            if written[0] == header:
                # The text after the last newline is a line that was not finished.
                self.lines = {line["prompt"]: line for line in map(json.loads, written[1:-1])}
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = [header] + [json.dumps(line) for line in self.lines.values()]
        file.write_text("\n".join(kept) + "\n", encoding="utf-8")

    def get(self, prompt: Prompt) -> dict | None:
        line = self.lines.get(prompt.id)
        return line if line and line["sha256"] == prompt.sha256 + f"/{prompt.max_new_tokens}" else None

    def add(self, prompt: Prompt, values: dict) -> None:
        line = {"prompt": prompt.id, "sha256": prompt.sha256 + f"/{prompt.max_new_tokens}", **values}
        self.lines[prompt.id] = line
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def end_ids(folder: Path, config) -> set[int]:
    """The ids that end a generation: those of generation_config.json, as in generate(), else those of config.json."""
    file = folder / "generation_config.json"
    ids = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file.exists() else None
    ids = config.eos_token_id if ids is None else ids
    return set() if ids is None else set(ids) if isinstance(ids, list) else {ids}


@dataclass(frozen=True)
class Sequence:
    """A prompt, and a cache that holds its document already."""
    prompt: Prompt
    cache: object

    @property
    def n_inputs(self) -> int:
        return len(self.prompt.ids) + self.prompt.max_new_tokens - 1  # the last one is never an input


def sequences(reference: Reference, prompts: list[Prompt]) -> Iterator[list[Sequence]]:
    """The prompts in groups that are computed together: each alone, or all where they share the reading of the weights.

    A document is computed once, or with LongRoPE once for each set of factors by which its prompts are rotated.
    """
    limit = reference.long_rope_after
    by_document: dict[tuple[str | None, bool], list[Prompt]] = {}
    for prompt in prompts:
        is_long = limit is not None and Sequence(prompt, None).n_inputs > limit
        by_document.setdefault((prompt.document, is_long), []).append(prompt)
    if reference.computes_together:
        groups = list(by_document.values())
        shared = _documents(reference, groups)
        yield [Sequence(prompt, reference.fork(cache)) for group, cache in zip(groups, shared) for prompt in group]
        return
    for group in by_document.values():
        [cache] = _documents(reference, [group])
        for prompt in group:
            yield [Sequence(prompt, reference.fork(cache))]


def _documents(reference: Reference, groups: list[list[Prompt]]) -> list[object]:
    """The cache of each group's document; an empty one where it has none."""
    caches = [reference.empty_cache() for _ in groups]
    feeds = [Feed(cache, group[0].document_ids, 0, Sequence(group[0], cache).n_inputs)
             for group, cache in zip(groups, caches) if group[0].document is not None]
    if feeds:
        started = time.time()
        reference.feed_all(feeds)
        names = ", ".join(group[0].document for group in groups if group[0].document is not None)
        say(f"  document {names}: {sum(len(feed.ids) for feed in feeds)} ids in {time.time() - started:.0f} s")
    return caches


def greedy(reference: Reference, group: list[Sequence]) -> list[dict]:
    """The record of each prompt: greedy until an end id or max_new_tokens."""
    ends = end_ids(reference.folder, reference.config)
    rows, ids = [[] for _ in group], [[] for _ in group]
    goes_on = list(range(len(group)))
    while goes_on:
        fed = reference.feed_all([Feed(group[n].cache, ids[n][-1:] or group[n].prompt.own_ids, 1, group[n].n_inputs)
                                  for n in goes_on])
        for number, one in zip(goes_on, fed):
            rows[number].append(one.logits[0])
            ids[number].append(int(one.logits[0].argmax()))
        goes_on = [n for n in goes_on if ids[n][-1] not in ends and len(ids[n]) < group[n].prompt.max_new_tokens]
    return [_record(sequence.prompt, ids[n], rows[n], ends) for n, sequence in enumerate(group)]


def _record(prompt: Prompt, ids: list[int], rows: list[torch.Tensor], ends: set[int]) -> dict:
    record = {"prompt": prompt.id}
    if len(prompt.ids) <= MOST_IDS_WRITTEN:
        record["prompt_ids"] = list(prompt.ids)
    return {**record, "n_prompt_ids": len(prompt.ids), "prompt_sha256": prompt.sha256, "ids": ids,
            "finish": "eos" if ids[-1] in ends else "length", **acceptance.describe(torch.stack(rows))}


def forced(reference: Reference, group: list[Sequence], records: list[dict]) -> list[Fed]:
    """Feeds each prompt and the ids of its record, without decoding. The caches cannot be used afterwards."""
    return reference.feed_all([
        Feed(sequence.cache, (*sequence.prompt.own_ids, *record["ids"][:-1]), len(record["ids"]), sequence.n_inputs,
             is_last=True) for sequence, record in zip(group, records)])


def choices(reference: Reference, pairs: list | None, fed: Fed) -> dict[str, list]:
    """By router and row: the last expert taken and the first left out (those of `pairs`, if given), and their gap."""
    if pairs is None:
        pairs = [routing.nearest(scores, reference.routing.taken[name]).tolist() for name, scores in fed.scores.items()]
    gaps = [routing.gaps(scores, torch.tensor(pair)).tolist() for scores, pair in zip(fed.scores.values(), pairs)]
    return {"pairs": pairs, "gaps": gaps}


def compute(reference: Reference, prompts: list[Prompt], journal: Journal, what: str,
            of_group: Callable[[list[Sequence]], list[dict]]) -> list[dict]:
    """of_group(sequences) for the prompts that the journal lacks; the results in the prompts' order."""
    missing = [prompt for prompt in prompts if journal.get(prompt) is None]
    started, done, said = time.time(), 0, 0
    computation = f"{journal.computation}/{[prompt.id for prompt in missing]}"
    with reference.journaled(journal.file.with_suffix(".passes"), computation) if missing else contextlib.nullcontext():
        for group in sequences(reference, missing):
            for sequence, values in zip(group, of_group(group)):
                journal.add(sequence.prompt, values)
            done += len(group)
            if done - said >= 20 or done == len(missing):
                said = done
                say(f"  {what}: {done} of {len(missing)} prompts, {time.time() - started:.0f} s")
    return [journal.lines[prompt.id] for prompt in prompts]


@torch.no_grad()
def perplexity(reference: Reference, encoder: Encoder) -> float:
    """The perplexity of twenty held-back pieces of generated prose, each on its own."""
    pieces = [encoder.encode(sample("prose", seed, "held_back", 12).text)[:reference.config.max_position_embeddings]
              for seed in range(20)]
    fed = reference.feed_all([Feed(reference.empty_cache(), ids[:-1], len(ids) - 1, len(ids) - 1, is_last=True)
                              for ids in pieces])
    losses = [torch.nn.functional.cross_entropy(one.logits, torch.tensor(ids[1:]), reduction="none")
              for one, ids in zip(fed, pieces)]
    return float(torch.cat(losses).mean().exp())


class Run:
    """Everything that expect.py computes for one model folder and one set of prompts."""

    def __init__(self, model: Path, prompts: list[Prompt], encoder: Encoder, work: Path) -> None:
        self.model, self.prompts, self.encoder, self.work = model, prompts, encoder, work
        self.open_reference: Callable[[Path, str], Reference] = Reference
        self.bf16_records: dict[str, dict] = {}
        self.bf16_digest, self.bf16_part = "", {}

    def take_bf16(self, folder: Path) -> None:
        """Takes the bundle's stored bf16 as the one with which the next variants are compared."""
        self.bf16_records = read_records(folder, "bf16")
        self.bf16_digest = self.open_reference(self.model, "bf16").digest()
        self.bf16_part = manifest.variants_with_outputs(folder)["bf16"]

    def variant(self, name: str) -> tuple[list[dict], dict]:
        """The records of a variant and its part of the manifest."""
        started = time.time()
        say(f"{name}:")
        reference = self.open_reference(self.model, name)
        digest = reference.digest()
        if name == "f16" and self._nearly_bf16(reference):
            digest = self.bf16_digest
        made = {"weights": "stored" if name in ("f32", "bf16", "f16") or reference.is_published else "quantized",
                "expected": f"expected/{name}.jsonl"}
        if digest == self.bf16_digest:
            say("  the weights of bf16, so its outputs")
            measured = self.bf16_part.get("quality", {})
            same = {"kl_mean": 0.0, "top1_agreement": 1.0, **measured, "limits": acceptance.LIMITS}
            return list(self.bf16_records.values()), {**self.bf16_part, **made, "quality": same}

        computation = f"{digest}/{manifest.program_hash()}/{torch.__version__}/{transformers.__version__}"
        if isinstance(reference, StreamedReference):
            planned = self.passes(reference, against_bf16=name != "bf16" and bool(self.bf16_records))
            say(reference.project([pass_ for pass_ in planned if pass_]))
        lines = compute(reference, self.prompts, Journal(self.work / f"R-{name}.part", computation), "R",
                        lambda group: self._lines(reference, group))
        records = [line["record"] for line in lines]
        by_id = {record["prompt"]: record for record in records}
        figures = self._measured(reference, records, computation)
        against_bf16 = [line["against_bf16"] for line in lines if "against_bf16" in line]
        if against_bf16:
            figures = acceptance.quality(against_bf16, figures)
        accepted = self._acceptance(reference, lines, computation)
        say(f"  {accepted}\n  margins {acceptance.margins(records, accepted['near_tie_tau'])}"
            f"\n  quality {figures}\n  {time.time() - started:.0f} s in all")
        # Published weights are blessed on their publisher's word. If they were compared with bf16, the limits decide.
        is_plain = name == "bf16" or (reference.is_published and "limits" not in figures)
        tier = "blessed" if is_plain else acceptance.tier(name, figures)
        part = {"tier": tier, **made, "acceptance": accepted, **({"quality": figures} if figures else {})}
        if name == "bf16":
            self.bf16_records, self.bf16_digest, self.bf16_part = by_id, digest, part
        return records, part

    def passes(self, reference: Reference, against_bf16: bool) -> list[list[int]]:
        """How many rows each sequence has in each pass over the weights, if no answer ends before its limit."""
        of_documents = list({prompt.document: len(prompt.document_ids)
                             for prompt in self.prompts if prompt.document is not None}.values())
        own = [len(prompt.own_ids) for prompt in self.prompts]
        longest = max(prompt.max_new_tokens for prompt in self.prompts)
        decode = [[1 for prompt in self.prompts if prompt.max_new_tokens > step] for step in range(1, longest)]
        whole = [len(prompt.own_ids) + prompt.max_new_tokens - 1 for prompt in self.prompts]
        n_ways = 1 + quantize.quantizes_activations(reference.variant) + reference.chooses
        once_more = [whole] * (reference.chooses + against_bf16)
        return [of_documents, own, *decode, *once_more, *[of_documents, whole] * n_ways]

    def _acceptance(self, reference: Reference, lines: list[dict], computation: str) -> dict:
        """The manifest's `acceptance`; notes in the records which positions are not steady enough to be judged."""
        by_id = {line["prompt"]: line for line in lines}

        def comparisons(group: list[Sequence]) -> list[dict]:
            of_group = [by_id[sequence.prompt.id] for sequence in group]
            fed = forced(reference, group, [line["record"] for line in of_group])
            return [acceptance.compare(line["record"], one.logits)
                    | ({"gaps": choices(reference, line["pairs"], one)["gaps"]} if "pairs" in line else {})
                    for line, one in zip(of_group, fed)]

        def strays(way: str) -> list[dict]:
            journal = Journal(self.work / f"E-{reference.variant}-{way}.part", computation)
            return compute(reference, self.prompts, journal, f"E, {way}", comparisons)

        ways = []
        if quantize.quantizes_activations(reference.variant):
            reference.sum_in_f64(True)
            ways.append(strays("f64"))
            reference.sum_in_f64(False)
        reference.become_envelope()
        ways.append(strays("bf16"))
        unsteady = [[] for _ in lines]
        if reference.chooses:
            own, moved = ([line["gaps"] for line in these] for these in (lines, ways[-1]))
            close, thresholds = routing.close_choices(own, moved)
            reference.routing.thresholds = dict(zip(reference.routing.scores, thresholds))
            other = strays("other experts")
            unsteady = acceptance.unsteady(ways, other, close)
            ways.append(other)
        for line, places in zip(lines, unsteady):
            if places:
                line["record"]["unsteady"] = places
        ways = [[acceptance.without(c, places) for c, places in zip(way, unsteady)] for way in ways]
        parts = [part for way in ways for part in [way, *self._by_suite(way)]]
        return {"near_tie_tau": acceptance.rounded(acceptance.near_tie_tau(ways[:-1] if reference.chooses else ways)),
                "envelope": acceptance.envelope(parts)}

    def _by_suite(self, comparisons: list[dict]) -> list[list[dict]]:
        """The comparisons of each suite, which is the prompts with one tag."""
        tags = {tag for prompt in self.prompts for tag in prompt.tags}
        return [[c for p, c in zip(self.prompts, comparisons) if tag in p.tags] for tag in sorted(tags)]

    def _nearly_bf16(self, reference: Reference) -> bool:
        """Whether FP16 holds the BF16 checkpoint exactly, except for what its subnormals round.

        That changes a weight by at most 2^-25, which affects the outputs far less than another order of FP32 sums.
        """
        return bool(self.bf16_records) and reference.checkpoint_is_bf16 and reference.largest_change <= 2.0 ** -25

    def _lines(self, reference: Reference, group: list[Sequence]) -> list[dict]:
        """The record of each prompt, what the routers chose, and how the variant does on the ids that bf16 gave."""
        forks = lambda: [Sequence(one.prompt, reference.fork(one.cache)) for one in group]
        records = greedy(reference, forks())
        lines = [{"record": record} for record in records]
        if reference.chooses:
            for line, fed in zip(lines, forced(reference, forks(), records)):
                line |= choices(reference, None, fed)
        known = [n for n, sequence in enumerate(group) if sequence.prompt.id in self.bf16_records]
        expected = [self.bf16_records[group[n].prompt.id] for n in known]
        if known:
            for n, record, fed in zip(known, expected, forced(reference, [group[n] for n in known], expected)):
                lines[n]["against_bf16"] = acceptance.compare(record, fed.logits)
        return lines

    def _measured(self, reference: Reference, records: list[dict], computation: str) -> dict:
        if self.encoder.tokenizer is None:
            return {}
        texts = [self.encoder.decode(record["ids"]) for record in records]
        with reference.journaled(self.work / f"perplexity-{reference.variant}.passes", computation):
            measured = perplexity(reference, self.encoder)
        return {"perplexity": acceptance.rounded(measured),
                **acceptance.lookups(self.prompts, records, texts)}


def fitting(prompts: list[Prompt], folder: Path) -> list[Prompt]:
    """The prompts that the model can take. Reports how many are left out."""
    config = transformers.AutoConfig.from_pretrained(str(folder)).get_text_config()
    most, vocabulary = config.max_position_embeddings, config.vocab_size
    known = [p for p in prompts if max(p.ids, default=0) < vocabulary]
    if len(known) < len(prompts):
        say(f"{len(prompts) - len(known)} of {len(prompts)} prompts have ids outside the vocabulary of {vocabulary}: left out")
    fits = [p for p in known if len(p.ids) + p.max_new_tokens <= most]
    if len(fits) < len(known):
        say(f"{len(known) - len(fits)} of {len(prompts)} prompts do not fit into {most} positions: left out")
    return fits


def read_records(folder: Path, variant: str) -> dict[str, dict]:
    """The lines of expected/VARIANT.jsonl by their prompts' ids, in the order of the prompts."""
    lines = (folder / f"expected/{variant}.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["prompt"]: record for record in map(json.loads, lines)}


def check(run: Run, folder: Path, variants: list[str], only: set[str]) -> int:
    """Compute again and compare with the files: the ids, and the logits to 1e-3."""
    prompts = [p for p in run.prompts if not only or p.id in only]
    wrong = 0
    for variant in variants:
        stored = read_records(folder, variant)
        reference = run.open_reference(run.model, variant)
        for prompt, found in ((one.prompt, record) for group in sequences(reference, prompts)
                              for one, record in zip(group, greedy(reference, group))):
            expected = stored.get(prompt.id)
            same = expected is not None and all(
                found[key] == expected[key] for key in ("prompt_sha256", "ids", "finish")) and all(
                abs(a - b) < 1e-3 for a, b in zip(found["logsumexp"], expected["logsumexp"])) and all(
                abs(a - b) < 1e-3 for a, b in zip(found["top1_margin"], expected["top1_margin"]))
            wrong += not same
            if not same:
                say(f"{variant} {prompt.id}: differs from expected/{variant}.jsonl")
        say(f"{variant}: {len(prompts)} prompts checked, {wrong} differ so far")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--variants", help="default: the published one of the weights, where there is one, and "
                        + ",".join(quantize.VARIANTS))
    parser.add_argument("--name", help="the bundle's name; default: the folder's")
    parser.add_argument("--license", help="of the weights; default: what the manifest says, else unknown")
    parser.add_argument("--source", help="where the weights come from, in words; default: what the manifest says")
    parser.add_argument("--quality", type=Path, help="quality.json of evaluate.py: better counted lookups")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--stream", choices=("auto", "yes", "no"), default="auto",
                        help="one layer after the other in memory; auto: where the model in FP32 would not fit")
    parser.add_argument("--device", default="cpu", help="of a streamed model: cpu, cuda, cuda:1, ...")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--add", action="store_true", help="keep the other variants of the bundle")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", default="", help="ids of the prompts to check, comma-separated")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    own = published.variant_of(options.model)
    options.variants = options.variants or ",".join(((own,) if own else ()) + quantize.VARIANTS)
    variants, out = options.variants.split(","), options.out or options.model
    known = (*quantize.VARIANTS, "f32", *((own,) if own else ()))
    for variant in variants:
        if variant not in known:
            parser.error(f"--variants: expected some of {', '.join(known)}; found {variant}")
    if options.add and (options.out or options.prompts):
        parser.error("--add works in place, with the prompts that the bundle has")
    sources = options.prompts or [options.model / "prompts"]
    for source in sources:
        if not source.exists():
            parser.error(f"--prompts: expected a folder or a file of prompt suites, found no {source}" if options.prompts else
                         f"{options.model} has no prompts: expected --prompts with a folder or files of prompt suites")
    try:
        suites = read_suites(sources)
    except ValueError as error:
        parser.error(str(error))
    encoder = Encoder(options.model)
    usable, reasons = without_unusable(suites, encoder)
    for reason in reasons:
        say(reason)
    prompts = fitting(encode(usable, encoder), options.model)
    if not prompts:
        raise SystemExit(f"expected prompts that {options.model} can take, found none in the suites")
    work = out / "expected" / "unfinished"
    streams = options.stream == "yes" or (options.stream == "auto" and not fits_into_memory(options.model))
    if options.device != "cpu" and not streams:
        parser.error("--device needs --stream yes: a model that is in memory as a whole is computed on the CPU")
    run = Run(options.model, prompts, encoder, work)
    if streams:
        run.open_reference = lambda folder, variant: StreamedReference(
            folder, variant, run.work / "kv", options.device, say)
        say(f"{options.model}: one layer after the other is in memory (--stream {options.stream})")
    only = set(filter(None, options.only.split(",")))
    if options.check:
        with tempfile.TemporaryDirectory() as scratch:
            run.work = Path(scratch)
            return check(run, out, variants, only)

    if not options.resume:
        manifest.remove_folder(work)
    if out.resolve() != options.model.resolve():
        manifest.copy_model(options.model, out)
    manifest.copy_prompts(usable, out / "prompts")
    parts, repeated = {}, []
    if options.add:
        repeated = [name for name in manifest.variants_with_outputs(out) if name not in variants]
        if check(run, out, [name for name in repeated if not quantize.quantizes_activations(name)], only):
            raise SystemExit("the other variants do not come out again: nothing was added")
        if "bf16" in repeated:
            run.take_bf16(out)
    for variant in sorted(variants, key=lambda name: name != "bf16"):  # the others are compared with it
        records, parts[variant] = run.variant(variant)
        manifest.write_lines(out / f"expected/{variant}.jsonl", records)
    if options.quality:
        manifest.take_lookups(parts, json.loads(options.quality.read_text(encoding="utf-8")))
    named = {"name": options.name, "license": options.license, "source": options.source}
    manifest.write(out, parts, encoder.chat, named, set(repeated))
    manifest.remove_folder(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
