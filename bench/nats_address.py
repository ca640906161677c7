"""Where the nats-server listens that the benchmark itself has started on a home."""

import json
from pathlib import Path
from urllib.parse import urlsplit


def nats_address(home: Path) -> str | None:
    """Its address with the login of this start; None while it is not up."""
    ports_file = next((home / "run").glob("nats-server_*.ports"), None)
    if ports_file is None:
        return None
    try:
        ports = json.loads(ports_file.read_text())
    except (FileNotFoundError, ValueError):  # gone, or half written
        return None
    login = json.loads((home / "run" / "nats.conf").read_text())["authorization"]
    address = urlsplit(str(ports["nats"][0]))
    return f"nats://{login['user']}:{login['password']}@{address.hostname}:{address.port}"
