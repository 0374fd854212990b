"""`all_capabilities.py COMMAND ...`: run it with every capability, in a user namespace if need be.

Apptainer as root asks for every capability that the kernel knows. Where root lacks one (a
sandbox), a user namespace in which ids 0 to 65535 are themselves gives them all back. A map of
the full range would make Apptainer think that it is in none, and fail on /sys.
"""

import ctypes
import os
import re
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000


def lacks_one() -> bool:
    """Root without one of the kernel's capabilities."""
    held = re.search(r"^CapPrm:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    assert held is not None, "/proc/self/status has no CapPrm"
    return os.geteuid() == 0 and int(held[1], 16) != (1 << (last + 1)) - 1


def enter_namespace() -> None:
    """A new user namespace; a child that stays outside writes this process's id maps."""
    entered_r, entered_w = os.pipe()
    mapped_r, mapped_w = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.read(entered_r, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{parent}/{name}").write_text("0 0 65536")
        os.write(mapped_w, b"1")
        os._exit(0)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    os.write(entered_w, b"1")
    os.read(mapped_r, 1)
    os.waitpid(child, 0)


if __name__ == "__main__":
    if lacks_one():
        enter_namespace()
    os.execv(sys.argv[1], sys.argv[1:])
