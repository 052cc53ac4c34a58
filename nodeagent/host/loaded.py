"""The files that this process runs from: its interpreter, its modules and the shared libraries that they brought along.

A package counts with all modules that lie in it, also those that it imports by need or hides once they are imported.
Libraries are named as the loader looked for them (dl_iterate_phdr(3)): a copy of these paths, each with the links that
lead to it, is found by the same loader.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES

_CACHE = "/etc/ld.so.cache"  # where libraries lie that are in none of the loader's own directories: ldconfig(8)


class _Object(ctypes.Structure):
    """The beginning of struct dl_phdr_info."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


_Visitor = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Object), ctypes.c_size_t, ctypes.c_void_p)


def libraries() -> frozenset[str]:
    """Paths of all shared objects that are mapped now, the loader among them."""
    found: set[str] = set()

    def visit(each: ctypes._Pointer[_Object], _size: int, _data: object) -> int:
        found.add(os.fsdecode(each.contents.name or b""))
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(_Visitor(visit), None)
    return frozenset(name for name in found if name.startswith("/"))


def modules() -> frozenset[str]:
    """Paths of all modules that were imported, and of those beside them in their packages."""
    found: set[str] = set()
    for module in tuple(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and os.path.isfile(path):  # what was read from elsewhere names a file that is none
            found.add(os.path.abspath(path))
        for directory in getattr(module, "__path__", ()):
            found.update(_modules_in(directory))
    return frozenset(found)


def _modules_in(directory: str) -> Iterator[str]:
    if not os.path.isdir(directory):  # a hook's name for itself
        return
    suffixes = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
    with os.scandir(directory) as entries:
        yield from (os.path.abspath(each.path) for each in entries if each.name.endswith(suffixes) and each.is_file())


def files() -> tuple[str, ...]:
    """All of them, sorted: absolute paths, of which the last component and any other may be a symbolic link."""
    settings = (_CACHE, os.path.join(sys.prefix, "pyvenv.cfg"))
    return tuple(sorted({sys.executable, *libraries(), *modules(), *filter(os.path.exists, settings)}))
