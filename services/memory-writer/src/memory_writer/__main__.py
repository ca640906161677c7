"""`python -m memory_writer`: the memory-writer alone, from environment settings."""

from runtime.service import run_service

from memory_writer.container import NAME, serve

if __name__ == "__main__":
    run_service(NAME, serve)
