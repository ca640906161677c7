"""The benchmark: Memlog as a client meets it, over real HTTP and MCP. `python -m bench --help`."""
