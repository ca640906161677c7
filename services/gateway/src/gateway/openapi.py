"""Prints the OpenAPI document, from which the dashboard's types are made: `python -m gateway.openapi FILE`."""

import json
import sys
from pathlib import Path
from typing import cast

from gateway.app import GatewayOptions, create_app
from gateway.service import MemoryService


def document() -> str:
    """The document of this version's routes, without asking any service."""
    app = create_app(cast("MemoryService", None), GatewayOptions(version="0"))
    return json.dumps(app.openapi(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document())
