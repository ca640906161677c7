"""What a Dockerfile says of the images that it makes, as far as it concerns whoever runs them."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """A target, with what it inherits. `health` is the command, None: none was said, (): switched off."""

    name: str
    base: str
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    workdir: str = "/"
    copies: tuple[tuple[str, ...], ...] = ()
    runs: tuple[str, ...] = ()


def images(dockerfile: Path) -> dict[str, Image]:
    """By name. Raises `AssertionError` for an instruction that is not understood."""
    found: dict[str, Image] = {}
    arguments: dict[str, str] = {}
    name = ""
    for word, rest in _instructions(dockerfile.read_text()):
        if word == "ARG":
            variable, _, default = rest.partition("=")
            arguments[variable] = default
        elif word == "FROM":
            parts = rest.split()
            assert len(parts) == 3 and parts[1] == "AS", f"a stage without a name: {rest}"
            base, name = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], parts[0]), parts[2]
            # What was copied and run to make a base is not said again of what is made on it.
            found[name] = replace(found.get(base, Image(name, base)), name=name, base=base, copies=(), runs=())
        else:
            found[name] = _with(found[name], word, rest)
    return found


def _with(image: Image, word: str, rest: str) -> Image:
    match word:
        case "USER":
            return replace(image, user=rest)
        case "ENTRYPOINT":
            return replace(image, entrypoint=tuple(json.loads(rest)), command=())
        case "CMD":
            return replace(image, command=tuple(json.loads(rest)))
        case "HEALTHCHECK":
            return replace(image, health=() if rest == "NONE" else tuple(json.loads(rest.partition("CMD ")[2])))
        case "ENV":
            set_ = dict(each.split("=", 1) for each in shlex.split(rest))
            return replace(image, environment=image.environment | set_)
        case "EXPOSE":
            return replace(image, ports=(*image.ports, *rest.split()))
        case "VOLUME":
            return replace(image, volumes=(*image.volumes, *rest.split()))
        case "WORKDIR":
            return replace(image, workdir=rest)
        case "COPY":
            return replace(image, copies=(*image.copies, tuple(rest.split())))
        case "RUN":
            return replace(image, runs=(*image.runs, rest))
        case "STOPSIGNAL" | "LABEL":
            return image
        case _:
            raise AssertionError(f"{word} is not understood")


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()
