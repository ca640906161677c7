"""`python -m indexer`: the indexer alone, from environment settings."""

from runtime.service import run_service

from indexer.container import NAME, serve

if __name__ == "__main__":
    run_service(NAME, serve)
