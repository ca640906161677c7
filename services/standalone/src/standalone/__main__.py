"""`python -m standalone`: the `memlog` command."""

from standalone.cli import main

if __name__ == "__main__":
    main()
