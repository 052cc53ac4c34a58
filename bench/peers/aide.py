"""AIDE as a peer: a database of a tree, and the check of the tree against it."""

from __future__ import annotations

import os
import shutil

from bench import measure
from bench.measure import Cost
from bench.peers import Missing

STAT = "p+u+g+s+m+c+i"  # what our fingerprint has
CONTENT = f"{STAT}+sha256"

_CONFIG = """\
database_in=file:{base}/aide.db
database_out=file:{base}/aide.db
gzip_dbout=no
report_url=file:{base}/aide.report
{tree} {attributes}
"""


class Aide:
    """Checks `tree` by `attributes`; its database lies in `base`, which is made for it."""

    def __init__(self, base: str, tree: str, attributes: str) -> None:
        if shutil.which("aide") is None:
            raise Missing("AIDE is not installed: apt-get install aide")
        os.makedirs(base)
        self._config = f"{base}/aide.conf"
        with open(self._config, "w") as config:
            config.write(_CONFIG.format(base=base, tree=tree, attributes=attributes))
        measure.run(["aide", "--config", self._config, "--init"])

    def check(self) -> Cost:
        """Look at everything; there is no difference."""
        return measure.run(["aide", "--config", self._config, "--check"])
