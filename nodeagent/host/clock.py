"""What the kernel thinks of its clock (adjtimex(2)); nothing is ever set."""

from __future__ import annotations

import ctypes
import errno
import os

from nodeagent.observed.vitals import KernelClock

_TIME_ERROR = 5
_STA_UNSYNC = 0x40
_MICROSECOND = 1e-6


class _Timex(ctypes.Structure):
    """struct timex; what follows `status` is room that the kernel fills."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.adjtimex.argtypes = (ctypes.POINTER(_Timex),)


def kernel_clock() -> KernelClock | None:
    """None where this process may not ask (a filter of system calls)."""
    found = _Timex(modes=0)
    state: int = _libc.adjtimex(ctypes.byref(found))
    if state < 0:
        number = ctypes.get_errno()
        if number in (errno.EPERM, errno.ENOSYS):
            return None
        raise OSError(number, os.strerror(number), "adjtimex")
    return KernelClock(state != _TIME_ERROR and not found.status & _STA_UNSYNC, found.maxerror * _MICROSECOND)
