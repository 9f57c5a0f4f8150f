"""Two replicas of loyalty-points on one PostgreSQL and one Redis, replaced and killed while they are called.

Callers know both replicas and the published service config, and nothing else: ghz (gRPC-Go) finds them by name, addresses
as A records and the config as TXT record, as a headless Service gives them; the Python caller (gRPC's C core) has both
from its own settings. Both replicas keep their addresses all the time, which is harder on callers than Kubernetes: there
an address that drains is taken out of the name.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path

from . import ledger, names, seed
from .caller import Caller, connect, service_config
from .ghz import Ghz
from .programs import Program, encryption_keys, free_port
from .suite import QUIET, Suite, create_database, database_url, migrate, running

NAME = "loyalty-points.asterism.test"
HOSTS = ["127.0.0.1", "127.0.0.2"]
# What a caller may try again, as the service config says.
RETRYABLE = {"Unavailable", "ResourceExhausted"}
# A replica that has answered so many calls since its start has its share of the load.
SHARE_CALLS = 50
# Of ghz; so slow that both replicas together have time to spare, also in a debug build.
CALLS_PER_SECOND = 200
IN_FLIGHT = 16
KILLS = 4
# Postings of the Python caller are looked for here, those of ghz everywhere.
CALLER_MEMBERS = 20


def run(programs: Path, folder: Path, ghz: Ghz, seconds: int) -> bool:
    """Returns whether calls were served as they must be and nothing acknowledged was lost."""
    customers, replicas = launch(programs, folder)
    with running([customers, *replicas]):
        addresses = {"customer": customers.api, "loyalty": replicas[0].api}
        suite = Suite("two replicas of loyalty-points", [customers, *replicas], addresses, uses_redis=True)
        seed.import_customers(suite, ghz.members)
        seed.catch_up(suite)
        rolling = under_load(replicas, ghz, seconds, "rolling restart", replace_each, failed_max=0)
        # gRPC tries no call again whose answer had begun to arrive: that one fails, as UNAVAILABLE.
        killed = under_load(replicas, ghz, seconds, "kill -9", kill_each_twice, failed_max=KILLS * IN_FLIGHT)
        postings = ledger.verify(replicas[0].api)
        print(f"the ledger was replayed: {postings:,} postings, no divergence")
    return rolling and killed


def launch(programs: Path, folder: Path) -> tuple[Program, list[Program]]:
    for name in ("restart_customer", "restart_loyalty"):
        create_database(name)
    redis = f"--redis-url={os.environ['TESTKIT_REDIS']}"
    command = [str(programs / "customer-profile"), f"--database-url={database_url('restart_customer')}"]
    migrate(command)
    customers = Program([*command, redis, QUIET, encryption_keys(folder)], folder / "customer-profile.log")
    command = [str(programs / "loyalty-points"), f"--database-url={database_url('restart_loyalty')}"]
    migrate(command)
    command += [redis, f"--peer-customer=http://{customers.api}", QUIET]
    # One port for all, since a name gives addresses only.
    port = free_port("0.0.0.0")
    replicas = [Program(command, folder / f"loyalty-points-{host}.log", host, port) for host in HOSTS]
    return customers, replicas


def under_load(replicas: list[Program], ghz: Ghz, seconds: int, title: str, disturb, failed_max: int) -> bool:
    config = ghz.configuration("earn-points")
    total = seconds * CALLS_PER_SECOND
    for key in ("duration", "skipFirst"):
        del config[key]
    config |= {"name": title.replace(" ", "-"), "total": total, "rps": CALLS_PER_SECOND, "concurrency": IN_FLIGHT}
    target = "ipv4:" + ",".join(replica.api for replica in replicas)
    members = [seed.member(number) for number in range(CALLER_MEMBERS)]
    port = replicas[0].api.rsplit(":", 1)[1]
    before = ledger.promotions(replicas[0].api, all_members(ghz))
    with names.serving(NAME, HOSTS, service_config()) as server, connect(target) as channel:
        caller = Caller(channel, members)
        calls_before = [replica.calls() for replica in replicas]
        load = ghz.start(config, f"dns://{server}/{NAME}:{port}")
        try:
            with caller.calling():
                for replica, calls in zip(replicas, calls_before):
                    wait_for_share(replica, calls)
                disturb(replicas)
                if load.is_done():
                    raise SystemExit("ghz was done before the replicas were: give it more --seconds")
                answer = load.answer()
        finally:
            load.stop()
    posted = ledger.promotions(replicas[0].api, all_members(ghz)) - before
    return report(title, answer, total - failed_max, total, caller, posted)


def replace_each(replicas: list[Program]) -> None:
    """As a Deployment does: the next one goes when the one before has its share of the load again."""
    for replica in replicas:
        code = replica.terminate()
        if code != 0:
            raise SystemExit(f"{replica.name} on {replica.api} ended with {code}")
        replica.start()
        wait_for_share(replica)


def kill_each_twice(replicas: list[Program]) -> None:
    """Each time while the other one answers."""
    for replica in replicas * (KILLS // len(HOSTS)):
        replica.kill()
        replica.start()
        wait_for_share(replica)


def wait_for_share(replica: Program, calls_before: int = 0) -> None:
    """Returns once it has its share of the load, beyond what it had answered before."""
    until = time.monotonic() + 60
    while replica.calls() < calls_before + SHARE_CALLS:
        if time.monotonic() > until:
            raise SystemExit(f"{replica.api} gets no calls")
        time.sleep(0.05)


def all_members(ghz: Ghz) -> list[str]:
    return [seed.member(number) for number in range(ghz.members)]


def report(title: str, answer: dict, served_min: int, total: int, caller: Caller, posted: Counter) -> bool:
    """ghz counts attempts: one that failed and was tried again is there twice."""
    statuses = answer["statusCodeDistribution"]
    served = statuses.get("OK", 0)
    others = {status: count for status, count in statuses.items() if status != "OK"}
    sources = Counter()
    for (source_ref, _), count in posted.items():
        sources[source_ref] += count
    twice = [source for source, count in sources.items() if count != 1]
    lost = [source for source, posting in caller.acknowledged.items() if posted[(source, posting)] != 1]
    of_ghz = sum(not source.startswith("caller-") for source in sources)
    print(
        f"{title}: ghz made {total} calls, {served} served, failed attempts {others or 'none'}; the Python caller "
        f"{len(caller.acknowledged)} served, failed {dict(caller.failures) or 'none'}; the ledger has {of_ghz} of ghz "
        f"and {len(sources) - of_ghz} of the caller, {len(lost)} lost, {len(twice)} twice",
        flush=True,
    )
    well = (
        served_min <= served <= of_ghz <= total
        and set(others) <= RETRYABLE
        and caller.acknowledged
        and (served_min < total or not caller.failures)
        and not lost
        and not twice
    )
    if not well:
        print(f"FAILED: {title}: {answer['errorDistribution']}", file=sys.stderr)
    return bool(well)
