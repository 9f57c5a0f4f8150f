"""A caller without any code for retries, against a suite that is stopped and started in the middle.

With the published service config it notices nothing. Without it, which is tried too, calls fail: the config is what
makes the difference.
"""

import sys
import time
from pathlib import Path

from . import ledger, seed
from .caller import SERVICE_CONFIG, Caller, connect
from .programs import Program
from .suite import Suite

MEMBERS = 20
# Calls answered before the server is stopped, and after it is back.
CALLS = 100


def run(suite: Suite) -> bool:
    """Returns whether the caller was served all the time, and would not have been without the config."""
    seed.import_customers(suite, MEMBERS)
    seed.catch_up(suite)
    server = suite.programs[0]
    served = through_a_restart(server, SERVICE_CONFIG)
    unserved = through_a_restart(server, None)
    posted = ledger.promotions(server.api, members())
    lost = [source for source, posting in served.acknowledged.items() if posted[(source, posting)] != 1]
    print(f"with the service config: {len(served.acknowledged)} served, failed {dict(served.failures) or 'none'}, {len(lost)} lost")
    print(f"without it: {len(unserved.acknowledged)} served, failed {dict(unserved.failures) or 'none'}")
    well = not served.failures and not lost and len(unserved.failures) > 0
    if not well:
        print("FAILED: a caller with the service config has to be served, one without it has not", file=sys.stderr)
    return well


def through_a_restart(server: Program, config: Path | None) -> Caller:
    with connect(server.api, config) as channel:
        caller = Caller(channel, members())
        with caller.calling():
            wait_for(caller, CALLS)
            server.terminate()
            # So long that a caller without patience must notice.
            time.sleep(1)
            server.start()
            wait_for(caller, len(caller.acknowledged) + CALLS)
    return caller


def wait_for(caller: Caller, calls: int) -> None:
    until = time.monotonic() + 120
    while len(caller.acknowledged) < calls:
        if time.monotonic() > until:
            raise SystemExit(f"the caller is not served: {dict(caller.failures)}")
        time.sleep(0.01)


def members() -> list[str]:
    return [seed.member(number) for number in range(MEMBERS)]
