"""`python -m categorizer`: the categorizer alone, from environment settings."""

from runtime.service import run_service

from categorizer.container import NAME, serve

if __name__ == "__main__":
    run_service(NAME, serve)
