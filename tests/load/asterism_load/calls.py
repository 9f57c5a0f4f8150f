"""Measures every hot call beside an echo, and judges it by the thresholds in its configuration."""

import os
import socket
import sys
from urllib.parse import urlsplit

import grpc
from asterism.loyalty.v1 import audit_service_pb2 as audit_pb
from asterism.loyalty.v1 import audit_service_pb2_grpc as audit_rpc

from . import report
from .ghz import Ghz
from .measured import Measured, Verdict, judge
from .seed import catch_up, invite, seed
from .suite import Suite

# Reads first: what is written keeps the services busy for a while.
ORDER = [
    "get-tier-cold",
    "get-tier-hot",
    "batch-get-tiers",
    "get-balance",
    "get-customer",
    "get-rating",
    "earn-points",
    "redeem-points",
    "submit-response",
    "record-transactions",
]
# A call that misses its threshold is measured once more: others may have been using the machine.
ATTEMPTS = 2


def run(suite: Suite, ghz: Ghz, seconds: int) -> bool:
    """Returns whether all is well. Reports are in ghz's folder."""
    print(f"{suite.description}: seeding {ghz.members} members", flush=True)
    took = seed(suite, ghz.members)
    print("  " + ", ".join(f"{part} {spent:.1f} s" for part, spent in took.items()), flush=True)
    outcomes = []
    for name in ORDER:
        attempts = measure(suite, ghz, name, seconds)
        outcomes.append(attempts)
        print(report.line(attempts), flush=True)
    facts = report.Facts(suite.description, ghz.members, seconds, took)
    report.write(ghz.folder, facts, outcomes)
    failed = [attempts[-1] for attempts in outcomes if attempts[-1].failures]
    for verdict in failed:
        print(f"FAILED: {verdict.measured.name}: " + "; ".join(verdict.failures), file=sys.stderr)
    print(f"report: {ghz.folder}/report.md and report.html")
    return not failed


def measure(suite: Suite, ghz: Ghz, name: str, seconds: int) -> list[Verdict]:
    attempts = []
    while len(attempts) < ATTEMPTS:
        host = suite.address_of(ghz.configuration(name)["call"])
        prepare(suite, ghz, name, host, seconds)
        before = echo(ghz, host, seconds)
        measured = ghz.run(name, host, seconds)
        settle(suite)
        after = echo(ghz, host, seconds)
        attempts.append(judge(measured, before, after))
        if not attempts[-1].noise:
            break
    return attempts


def echo(ghz: Ghz, host: str, seconds: int) -> Measured:
    return ghz.run("echo", host, shorter(seconds))


def shorter(seconds: int) -> int:
    return max(1, seconds // 4)


def prepare(suite: Suite, ghz: Ghz, name: str, host: str, seconds: int) -> None:
    """Before each attempt: warms up, except for the calls that use something up, which get that anew."""
    match name:
        case "get-tier-cold":
            forget(suite)
        case "submit-response":
            invite(suite, ghz.configuration(name)["total"], ghz.folder / "responses.json")
        case _:
            ghz.run(name, host, shorter(seconds))


def forget(suite: Suite) -> None:
    """Empties the caches: in the processes by starting them anew, and Redis."""
    for program in suite.programs:
        code = program.terminate()
        if code != 0:
            raise SystemExit(f"{program.name} ended with {code}")
        program.start()
    if suite.uses_redis:
        redis = urlsplit(os.environ["TESTKIT_REDIS"])
        with socket.create_connection((redis.hostname, redis.port)) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            if connection.recv(5) != b"+OK\r\n":
                raise SystemExit("Redis did not forget")


def settle(suite: Suite) -> None:
    """Returns once nothing works any more on what was written: the next call is not measured on top of it."""
    catch_up(suite)
    with grpc.insecure_channel(suite.addresses["loyalty"]) as channel:
        audit_rpc.AuditServiceStub(channel).SealNow(audit_pb.SealNowRequest(), timeout=120)
