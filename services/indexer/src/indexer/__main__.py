"""`python -m indexer`: the indexer alone, from environment settings. `python -m indexer fill index <number>`: fill a
generation beside the one that serves; the indexer starts that itself. `--from-scratch`: without the cache of vectors,
which is filled anew."""

import sys

from runtime.filling import run_filling
from runtime.service import run_service

from indexer.container import NAME, filling, serve

if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            run_service(NAME, serve)
        case ["fill", projection, number, *rest] if rest in ([], ["--from-scratch"]):
            run_filling(f"{NAME}-fill", filling(projection, int(number), bool(rest)))
        case _:
            sys.exit(__doc__)
