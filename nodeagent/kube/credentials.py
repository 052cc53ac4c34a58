"""Who we are to the API server, and the pool of connections that says so.

Invariant: a request uses what the credentials' files hold when it is made. The official client reads a service
account's token again each minute, and runs an exec plugin again when its token has expired. The certificates, the CA,
the kubeconfig itself and a token file named there it never looks at again, so that is done here: a file that changed
leads to a new pool, and a 401 to reading everything again. Streams that run keep their connection.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes import config
from kubernetes.client import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.client.rest import RESTClientObject
from urllib3.exceptions import HTTPError

from nodeagent.errors import Transient
from nodeagent.kube.errors import Unavailable, words


@dataclass(frozen=True)
class Session:
    """How to make one request: the official client's transport, the server's URL, the headers that identify us."""

    transport: Any
    server: str
    headers: dict[str, str] = field(repr=False)


class Credentials:
    """Loads `kubeconfig`, or the pod's service account where it is ""; keeps up to `idle` connections open.

    A kubeconfig's inline certificates and keys are written by the official client to files (0600) in `scratch`, else
    in the directory for temporary files, until the process ends.
    """

    def __init__(self, kubeconfig: str, idle: int, scratch: str | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._idle = idle
        self._scratch = scratch
        self._lock = threading.Lock()
        self._configuration: Any = None
        self._transport: Any = None
        self._source: object = None
        self._material: object = None

    def session(self) -> Session:
        """What to make the next request with. Raises Transient where the credentials cannot be read."""
        with self._lock:
            source = _stamp(self._kubeconfig)
            if self._configuration is None or source != self._source:
                self._configuration = _load(self._kubeconfig, self._idle, self._scratch)
                self._source, self._material = source, None
            headers = _identity(self._configuration, self._kubeconfig)
            self._renew_transport()
            return Session(self._transport, self._configuration.host, headers)

    def forget(self) -> None:
        """Read everything again for the next request: the server did not know us."""
        with self._lock:
            self._configuration = None

    def close(self) -> None:
        with self._lock:
            if self._transport is not None:
                self._transport.close()

    def _renew_transport(self) -> None:
        used = self._configuration
        material = tuple((path, _stamp(path)) for path in (used.ssl_ca_cert, used.cert_file, used.key_file))
        if material == self._material:
            return
        if self._transport is not None:
            self._transport.close()  # idle connections speak with the old certificate
        self._transport = RESTClientObject(used)
        self._material = material


@contextmanager
def unreachable(request: str) -> Iterator[None]:
    """Turn what the transport raises into Unavailable."""
    try:
        yield
    except (HTTPError, OSError) as error:
        raise Unavailable(f"{request}: {words(str(error)) or type(error).__name__}") from None
    except ApiException as error:  # so the official client reports failures of TLS
        raise Unavailable(f"{request}: {words(str(error.reason))}") from None


def _load(kubeconfig: str, idle: int, scratch: str | None) -> Any:
    """The official client's Configuration."""
    configuration = Configuration(retries=False, connection_pool_maxsize=idle)
    configuration.keep_alive = True
    try:
        if kubeconfig:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, client_configuration=configuration, persist_config=False, temp_file_path=scratch
            )
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 (the client lets through whatever its parsers raise)
        raise _unreadable(kubeconfig, error) from None
    return configuration


def _identity(configuration: Any, kubeconfig: str) -> dict[str, str]:
    """The Authorization header, if any; the client may read a file or run a plugin for it."""
    try:
        settings = configuration.auth_settings()
    except Exception as error:  # noqa: BLE001 (as above; a plugin's output is parsed here)
        raise _unreadable(kubeconfig, error) from None
    token = (settings.get("BearerToken") or {}).get("value")
    return {"Authorization": str(token).strip()} if token else {}


def _unreadable(kubeconfig: str, error: Exception) -> Transient:
    return Transient(f"no credentials for the API server: {_defect(kubeconfig, error)}")


def _defect(kubeconfig: str, error: Exception) -> str:
    if not kubeconfig and "KUBERNETES_SERVICE_HOST" not in os.environ:
        return "this is no pod, and no kubeconfig is named; name one with --cluster-kubeconfig"
    if kubeconfig and not os.path.exists(kubeconfig):
        return f"the kubeconfig {kubeconfig} cannot be used: there is no such file"
    where = f"the kubeconfig {kubeconfig}" if kubeconfig else "the pod's service account"
    detail = str(error) if isinstance(error, OSError) else type(error).__name__  # a parser may quote what it read
    return f"{where} cannot be used: {detail}"


def _stamp(path: str | None) -> tuple[int, ...] | None:
    """Changes with the file that `path` leads to; None where there is none."""
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if found else None
