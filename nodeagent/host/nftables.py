"""libnftables (libnftables-json(5)): commands and listings in JSON, without a process.

Invariant: a call is about the network namespace of the thread that makes it, and ends with everything closed.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from nodeagent.errors import Broken

_LIBRARY: Final = "libnftables.so.1"
_JSON: Final = 1 << 4  # NFT_CTX_OUTPUT_JSON
_ABSENT: Final = "No such file or directory"

Object = dict[str, Any]


@cache
def _library() -> Any:
    try:
        found = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise Broken(f"{_LIBRARY} is not there: install libnftables (Debian: libnftables1, RHEL: nftables)") from None
    found.nft_ctx_new.restype = ctypes.c_void_p
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(found, name).restype = ctypes.c_char_p
        getattr(found, name).argtypes = [ctypes.c_void_p]
    found.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    found.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(found, name).argtypes = [ctypes.c_void_p]
    return found


def run(commands: Sequence[Object]) -> list[Object]:
    """Carry the commands out, all or none; what they list. FileNotFoundError for what is not there; Broken else."""
    library = _library()
    context = library.nft_ctx_new(0)
    if not context:
        raise Broken("libnftables cannot be used here: is this root?")
    try:
        library.nft_ctx_output_set_flags(context, _JSON)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        failed = library.nft_run_cmd_from_buffer(context, json.dumps({"nftables": list(commands)}).encode())
        if failed:
            raise _refused(library.nft_ctx_get_error_buffer(context) or b"")
        output = library.nft_ctx_get_output_buffer(context) or b""
        found: list[Object] = json.loads(output)["nftables"] if output.strip() else []
        return found
    finally:
        library.nft_ctx_free(context)


def _refused(said: bytes) -> Exception:
    text = said.decode(errors="replace").strip().partition("\n")[0]
    return FileNotFoundError(text) if _ABSENT in text else Broken(f"nftables: {text}")
