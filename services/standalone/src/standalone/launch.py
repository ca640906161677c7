"""Runs in a child between fork and exec: ties the child to its parent, drops root, then becomes the server.

Started by path with `python -I -S`, so it may import the standard library only. A file of its own instead of
`preexec_fn`, which runs Python in a forked copy of a process with threads and can deadlock there.
"""

import ctypes
import json
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityWord(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main() -> None:
    """`launch.py {"parent": pid, "death_signal": n, "uid": n|null, "gid": n|null} program arguments...`"""
    options = json.loads(sys.argv[1])
    arguments = sys.argv[2:]
    linux = sys.platform.startswith("linux")
    libc = ctypes.CDLL(None, use_errno=True) if linux else None
    try:
        if options["uid"] is not None:
            _become(libc, int(options["uid"]), int(options["gid"]))
        if libc is not None:
            # Changing the user clears the death signal, so it is set last.
            _check(libc.prctl(_PR_SET_PDEATHSIG, int(options["death_signal"]), 0, 0, 0))
        if os.getppid() != int(options["parent"]):
            sys.exit("The parent died while this process was starting.")
        os.execv(arguments[0], arguments)
    except OSError as error:
        sys.exit(f"Cannot start {arguments[0]}: {error}")


def _become(libc: ctypes.CDLL | None, uid: int, gid: int) -> None:
    """Give up root for good, keeping at most the right to pass through folders such as /root."""
    capability = _traversal_capability() if libc is not None else None
    if libc is not None and capability is not None:
        _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(gid, gid, gid) if hasattr(os, "setresgid") else os.setgid(gid)
    os.setresuid(uid, uid, uid) if hasattr(os, "setresuid") else os.setuid(uid)
    if libc is None:
        return
    if capability is not None:
        mask = 1 << capability
        header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
        words = (_CapabilityWord * 2)(_CapabilityWord(mask, mask, mask), _CapabilityWord(0, 0, 0))
        _check(libc.capset(ctypes.byref(header), ctypes.byref(words)))
        _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _traversal_capability() -> int | None:
    """DAC_READ_SEARCH (read only) where root has it; a default container has DAC_OVERRIDE alone."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:  # noqa: PTH123
        permitted = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if permitted >> capability & 1:
            return capability
    return None


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
