"""Runs on the node: asks the API server every 20 ms over a new connection, as the administrator, until told to stop."""

import base64
import json
import os
import re
import ssl
import sys
import tempfile
import time
from http.client import HTTPSConnection

STOP = "/root/load.stop"


def credentials() -> ssl.SSLContext:
    with open("/etc/kubernetes/admin.conf") as file:
        text = file.read()
    context = ssl.create_default_context(cafile="/etc/kubernetes/pki/ca.crt")
    with tempfile.NamedTemporaryFile() as pair:
        for name in ("client-certificate-data", "client-key-data"):
            found = re.search(rf"{name}: (\S+)", text)
            pair.write(base64.b64decode(found[1] if found else ""))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


def main() -> None:
    context, asked, failed = credentials(), 0, []
    answered, longest = time.monotonic(), 0.0
    with open("/etc/kubernetes/admin.conf") as file:
        server = re.search(r"server: https://([^:]+):(\d+)", file.read())
    if server is None:
        sys.exit("admin.conf names no server")
    while not os.path.exists(STOP):
        asked += 1
        try:
            connection = HTTPSConnection(server[1], int(server[2]), timeout=10, context=context)
            connection.request("GET", "/api/v1/namespaces/kube-system")
            answer = connection.getresponse()
            if answer.status != 200:
                failed.append(str(answer.status))
            else:
                answered, longest = time.monotonic(), max(longest, time.monotonic() - answered)
            connection.close()
        except OSError as error:
            failed.append(f"{type(error).__name__}: {error}")
        time.sleep(0.02)
    sys.stdout.write(json.dumps({"asked": asked, "failed": failed[:20], "failures": len(failed), "longest": longest}))


if __name__ == "__main__":
    main()
