"""`python -m runtime.probe [readyz|livez]`: whether the service in this container is well, by its own word on
MEMLOG_OPS_PORT. Exit status 0 when it is, 1 when it is not, with the reason on stderr: a health check for images that
hold no other program to ask with.
"""

import os
import sys
import urllib.error
import urllib.request

_TIMEOUT_S = 4.0


def trouble(what: str, port: str) -> str | None:
    """Why the service is not well; None when it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}", timeout=_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return error.read(2000).decode(errors="replace")
    except OSError as error:
        return f"nobody answers on port {port}: {error}"


def main() -> None:
    what, port = (sys.argv[1:] or ["readyz"])[0], os.environ.get("MEMLOG_OPS_PORT")
    why = trouble(what, port) if port else "MEMLOG_OPS_PORT is not set: the service answers no probes"
    if why is not None:
        sys.stderr.write(why + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
