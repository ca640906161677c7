"""`python -m gateway`: the gateway alone, from environment settings."""

from runtime.service import run_service

from gateway.container import NAME, serve

if __name__ == "__main__":
    run_service(NAME, serve)
