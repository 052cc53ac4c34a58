"""How long traffic stays away when an egress gateway dies, on a real OVN with BFD at 100 ms, three times.

python -m bench.egressfailover [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time

from tests.fabric.network import until
from tests.fabric.ovnfabric import OUTSIDE, OUTSIDE6, fabric
from tests.unit.egress.site import ours

_BACK = 60.0  # seconds


def main(rounds: int) -> None:
    document = ours(
        internalIPs=["10.20.0.11,fd00:20::11", "10.20.0.12,fd00:20::12"],
        externalIPs=[",".join(each) for each in zip(OUTSIDE, OUTSIDE6, strict=True)],
        bfd={"enabled": True, "minRX": 100, "minTX": 100, "multiplier": 3},
        policies=[{"ipBlocks": ["10.10.0.0/24", "fd00:10::/64"], "snat": True}],
        selectors=None,
    )
    gaps = []
    with fabric() as site:
        site.apply(document)
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
    print(f"median {statistics.median(gaps) * 1000:.0f} ms, worst {max(gaps) * 1000:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
