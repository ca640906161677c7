"""`python -m audit`: the audit alone, from environment settings."""

from runtime.service import run_service

from audit.container import NAME, serve

if __name__ == "__main__":
    run_service(NAME, serve)
