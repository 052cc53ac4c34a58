"""How long traffic stays away when an egress gateway dies, on a real OVN with BFD at 100 ms, three times.

python -m bench.egressfailover [ROUNDS]
"""

from __future__ import annotations

import math
import statistics
import sys
import time

from tests.fabric.network import until
from tests.fabric.ovnfabric import fabric, order

_BACK = 60.0  # seconds


def main(rounds: int) -> None:
    gaps = []
    with fabric() as site:
        site.apply(order(100))
        for number in range(rounds):
            name = sorted(site.parts)[number % len(site.parts)]
            with site.probing(3.0) as told:
                time.sleep(1.0)
                site.kill(site.parts[name])
            gaps.append(told["gap"])
            gone = f"{told['lost']:4} of {told['sent']} probes lost"
            print(f"{name} killed: {gone}, {told['gap'] * 1000:4.0f} ms without an answer")
            site.build(name)
            until(lambda: site.up() == 4, "all sessions are up again", _BACK)
    most = sorted(gaps)[math.ceil(0.95 * len(gaps)) - 1]
    print(f"median {statistics.median(gaps) * 1000:.0f} ms, 95 % {most * 1000:.0f} ms, worst {max(gaps) * 1000:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
