"""`python -m audit`: the audit alone, from environment settings. `python -m audit fill <projection> <number>`: fill a
generation beside the one that serves; the audit starts that itself."""

import sys

from runtime.filling import run_filling
from runtime.service import run_service

from audit.container import NAME, filling, serve

if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            run_service(NAME, serve)
        case ["fill", projection, number]:
            run_filling(f"{NAME}-fill", filling(projection, int(number)))
        case _:
            sys.exit(__doc__)
