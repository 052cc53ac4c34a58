"""Opens https URLs and nothing else: no other scheme, also after a redirect, and no headers for other hosts.

Imported by need: http.client and ssl cost a node without https sources nothing.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import IO
from urllib.parse import urlsplit


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Stays within https; declared headers may hold a token and go to the declared host alone."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        target = urlsplit(newurl)
        if target.scheme != "https":
            raise urllib.error.HTTPError(newurl, code, "redirects to another scheme than https", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and target.netloc != urlsplit(req.full_url).netloc:
            request.headers = {}
        return request


_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPSHandler,
    _Redirects,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
)


def get(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    """The response to a GET, read with `timeout` seconds a read; OSError if there is none."""
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - no handler but https is there
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    except http.client.HTTPException as error:
        raise OSError(f"the server does not speak HTTP: {error}") from error
    return response
