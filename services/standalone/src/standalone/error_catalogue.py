"""The catalogue of errors, docs/errors.md, written from the code: `python -m standalone.error_catalogue [FILE]`.

A test fails when the file is out of date.
"""

import argparse
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from contracts.errors import MemlogError
from gateway.errors import HTTP_PROBLEMS

DEFAULT_PATH = Path("docs/errors.md")
_PACKAGES = ("contracts", "runtime", "memory_writer", "gateway", "indexer", "categorizer", "audit", "standalone")

_INTRO = """\
# Errors

<!-- Written by `python -m standalone.error_catalogue`. Do not edit: change the code and write it anew. -->

Every error has a stable code; the words of its message may change.

- **REST**: a problem document (RFC 9457) with `code`, `status` and `detail`. 503 carries `Retry-After`.
- **MCP**: a tool error (`isError`), with the code in `_meta` under `memlog/code`.
- **`memlog`**: one sentence on stderr; with `--json`, one line `{"code": …, "detail": …}`.

Exit status of `memlog`: 0 done, 1 failed or refused, 2 wrong usage, 3 no Memlog answers at the address. A service that
runs by itself (`python -m gateway` and so on) ends with 78 when it refuses to serve as it is: settings or log are not
to be trusted, and starting it again does not help.
"""


def classes() -> list[type[MemlogError]]:
    """Every error class of Memlog that has a code of its own, by code."""
    for package in _PACKAGES:
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith(".__main__"):
                importlib.import_module(found.name)
    own = [kind for kind in _all(MemlogError) if "code" in vars(kind) and kind.__module__.split(".")[0] in _PACKAGES]
    return sorted(own, key=lambda kind: kind.code)


def _all(kind: type[MemlogError]) -> Iterator[type[MemlogError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _all(below)


def render() -> str:
    """The whole file as Markdown. Raises `LookupError` for an error without cause or remedy of its own, and for a code
    that is used twice."""
    entries: dict[str, tuple[int, str, str]] = {
        code: (problem.status, problem.cause, problem.remedy) for code, problem in HTTP_PROBLEMS.items()
    }
    for kind in classes():
        if kind.code in entries:
            raise LookupError(f"the code {kind.code} is used twice")
        cause = inspect.cleandoc(kind.__doc__ or "")
        if not cause or "remedy" not in vars(kind):
            raise LookupError(f"{kind.__name__} needs a docstring (the cause) and a remedy")
        entries[kind.code] = (kind.status, cause, kind.remedy)
    lines = [_INTRO, "| code | status | cause | what to do |", "|---|---|---|---|"]
    for code, (status, cause, remedy) in sorted(entries.items()):
        lines.append(f"| `{code}` | {status} | {_cell(cause)} | {_cell(remedy)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the file. Exit status 2 when its folder does not exist."""
    parser = argparse.ArgumentParser(
        prog="python -m standalone.error_catalogue", description="Write the catalogue of errors."
    )
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT_PATH, help="default: %(default)s")
    path: Path = parser.parse_args().file
    if not path.parent.is_dir():
        parser.error(f"{path.parent} is no folder: run it at the root of the project, or name a file")
    path.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
