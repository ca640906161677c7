"""How well the local classifier does on the labelled texts of tests/data: `python -m support.categorized` in tests/.

`expect` are the categories that a text has to get, `may` those that are not wrong either. The first half (every other
line) was used to choose examples and thresholds, the second was held out.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from categorizer.decision import MOST, Candidate, choose, own_phrases, seed_phrases
from indexer.embedding.embedder import Embedder
from indexer.embedding.minilm import MiniLM

_DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, slots=True)
class Labelled:
    text: str
    expect: frozenset[str]
    may: frozenset[str]


@dataclass(frozen=True, slots=True)
class Quality:
    """Precision: of the categories given, those that are expected or may be. Recall: of the expected ones, those given.
    `wrong` names each text with a category that it must not have, or without one that it has to have."""

    precision: float
    recall: float
    wrong: tuple[str, ...]


def seeds(embedder: Embedder) -> list[Candidate]:
    return [Candidate.of(name, False, embedder.embed(said)) for name, said in seed_phrases().items()]


def own(embedder: Embedder, name: str, description: str) -> Candidate:
    return Candidate.of(name, True, embedder.embed(own_phrases(name, description)))


def labelled(held_out: bool) -> list[Labelled]:
    """One half of tests/data/categories.jsonl."""
    lines = [json.loads(line) for line in (_DATA / "categories.jsonl").read_text(encoding="utf-8").splitlines()]
    return [
        Labelled(line["text"], frozenset(line["expect"]), frozenset(line.get("may", ())))
        for line in lines[1 if held_out else 0 :: 2]
    ]


def own_labelled(held_out: bool) -> list[tuple[str, str, list[str]]]:
    """One half of tests/data/own_categories.jsonl: name, description, texts that belong to it."""
    lines = [json.loads(line) for line in (_DATA / "own_categories.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["name"], line["description"], line["texts"]) for line in lines[1 if held_out else 0 :: 2]]


def quality(embedder: Embedder, texts: Sequence[Labelled], candidates: Sequence[Candidate]) -> Quality:
    right = given = found = expected = 0
    wrong: list[str] = []
    for each, vector in zip(texts, embedder.embed([t.text for t in texts]), strict=True):
        chosen = frozenset(choose(vector, candidates))
        assert len(chosen) <= MOST
        given += len(chosen)
        right += len(chosen & (each.expect | each.may))
        found += len(chosen & each.expect)
        expected += len(each.expect)
        if chosen - each.expect - each.may or each.expect - chosen:
            wrong.append(f"{each.text!r}: {sorted(chosen)} instead of {sorted(each.expect)}")
    return Quality(right / max(given, 1), found / expected, tuple(wrong))


def own_quality(embedder: Embedder, held_out: bool) -> Quality:
    """Each category beside those that Memlog brings along, on its own texts and on all that are not its."""
    described = own_labelled(held_out)
    candidates = {name: own(embedder, name, description) for name, description, _ in described}
    texts = [(text, name) for name, _, said in described for text in said]
    texts += [(each.text, "") for each in labelled(held_out)]
    right = given = 0
    wrong: list[str] = []
    for (text, of), vector in zip(texts, embedder.embed([text for text, _ in texts]), strict=True):
        for name, candidate in candidates.items():
            chosen = name in choose(vector, [candidate])
            given += chosen
            right += chosen and name == of
            if chosen != (name == of):
                wrong.append(f"{text!r}: {name} {'given' if chosen else 'missing'}")
    return Quality(right / max(given, 1), right / sum(len(said) for _, _, said in described), tuple(wrong))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        embedder = MiniLM.open(Path(folder))
        for held_out in (False, True):
            for what, found in (
                ("brought along", quality(embedder, labelled(held_out), seeds(embedder))),
                ("own", own_quality(embedder, held_out)),
            ):
                print(
                    f"{'held out' if held_out else 'tuned on'}, {what}: "
                    f"precision {found.precision:.2f}, recall {found.recall:.2f}"
                )
                print(*(f"  {line}" for line in found.wrong), sep="\n")


if __name__ == "__main__":
    main()
