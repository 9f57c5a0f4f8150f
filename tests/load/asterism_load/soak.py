"""Mixed calls for a while, by callers who behave badly: the servers must stay as large as they are.

ghz makes steady load. Beside it callers connect anew for every few calls, give calls up in the middle, bring deadlines
that are too short, and read streams slowly. Memory and file descriptors of each server are sampled once a second.
"""

import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import grpc
from asterism.customer.v1 import service_pb2 as customers_pb
from asterism.customer.v1 import service_pb2_grpc as customers_rpc
from asterism.feed.v1 import feed_pb2 as feed_pb
from asterism.feed.v1 import feed_pb2_grpc as feed_rpc
from asterism.loyalty.v1 import service_pb2 as loyalty_pb
from asterism.loyalty.v1 import service_pb2_grpc as loyalty_rpc

from .ghz import Ghz
from .programs import Program
from .seed import member, seed
from .suite import Suite

# Calls per second of ghz.
STEADY = {"get-tier-hot": 100, "get-balance": 50, "get-customer": 50, "earn-points": 20, "record-transactions": 10}
# The first part of the time fills caches and pools; then the next quarter is compared with the last one.
WARM_UP, EARLY, LATE = 0.25, 0.5, 0.75
# How much more the median of the last quarter may be than that of the second.
MEMORY_GROWTH_MAX = 0.10
MEMORY_GROWTH_KIB = 16 * 1024
DESCRIPTORS_GROWTH = 16
# Connections are closed when their caller says so; the server notices a moment later.
GOODBYE_SECONDS = 30


@dataclass(frozen=True)
class Sample:
    at: float
    memory_kib: int
    descriptors: int


class Callers:
    """Threads of callers of several kinds, each with the statuses that it causes itself."""

    def __init__(self, suite: Suite, members: int):
        self.suite = suite
        self.members = members
        self.stopped = threading.Event()
        self.statuses: dict[str, Counter[str]] = {}
        self.threads: list[threading.Thread] = []

    # What each kind does again and again, how many there are, and which statuses besides OK are of its own making.
    def kinds(self) -> dict[str, tuple[Callable[[random.Random], str], int, set[str]]]:
        return {
            "new connections": (self.connect_anew, 2, set()),
            "given up": (self.give_up, 2, {"CANCELLED"}),
            "short deadlines": (self.hurry, 1, {"DEADLINE_EXCEEDED"}),
            "slow readers": (self.read_slowly, 3, {"CANCELLED", "ABORTED"}),
        }

    def start(self) -> None:
        for kind, (work, callers, _) in self.kinds().items():
            self.statuses[kind] = Counter()
            for caller in range(callers):
                thread = threading.Thread(target=self.repeat, args=(kind, work, random.Random(caller)))
                thread.start()
                self.threads.append(thread)

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, kind: str, work: Callable[[random.Random], str], rng: random.Random) -> None:
        while not self.stopped.is_set():
            try:
                status = work(rng)
            except grpc.RpcError as error:
                status = error.code().name
            self.statuses[kind][status] += 1

    def connect_anew(self, rng: random.Random) -> str:
        with self.channel("loyalty") as channel:
            api = loyalty_rpc.LoyaltyServiceStub(channel)
            api.GetTier(loyalty_pb.GetTierRequest(customer_id=self.someone(rng)))
            api.GetBalance(loyalty_pb.GetBalanceRequest(customer_id=self.someone(rng)))
        return "OK"

    def give_up(self, rng: random.Random) -> str:
        """Of a write it is unknown then whether it happened: both are right."""
        with self.channel("loyalty") as channel:
            api = loyalty_rpc.LoyaltyServiceStub(channel)
            number = rng.getrandbits(63)
            earn = loyalty_pb.EarnPointsRequest(
                request_id=f"soak-{number}",
                customer_id=self.someone(rng),
                points=1,
                source_type="promotion",
                source_ref=f"soak-{number}",
            )
            calls = [api.EarnPoints.future(earn), api.ListMembers.future(loyalty_pb.ListMembersRequest(page_size=1000))]
            self.stopped.wait(rng.uniform(0, 0.02))
            for call in calls:
                call.cancel()
            codes = {call.code().name for call in calls}
        return "CANCELLED" if "CANCELLED" in codes else "OK"

    def hurry(self, rng: random.Random) -> str:
        with self.channel("customer") as channel:
            api = customers_rpc.CustomerProfileServiceStub(channel)
            grpc.channel_ready_future(channel).result(10)
            api.ListCustomers(customers_pb.ListCustomersRequest(page_size=1000), timeout=rng.uniform(0.0005, 0.05))
        return "OK"

    def read_slowly(self, rng: random.Random) -> str:
        """Follows the change feed from its beginning, far slower than the server could tell it."""
        with self.channel("customer") as channel:
            until = time.monotonic() + rng.uniform(5, 15)
            for _ in feed_rpc.ChangeFeedServiceStub(channel).Watch(feed_pb.WatchRequest(source="customer")):
                if self.stopped.wait(0.5) or time.monotonic() > until:
                    return "CANCELLED"
        return "OK"

    def someone(self, rng: random.Random) -> str:
        return member(rng.randrange(self.members))

    def channel(self, source: str) -> grpc.Channel:
        # Else grpc shares one connection between all channels to an address.
        return grpc.insecure_channel(self.suite.addresses[source], options=[("grpc.use_local_subchannel_pool", 1)])


def run(suite: Suite, ghz: Ghz, seconds: int) -> bool:
    """Returns whether callers got what they caused themselves, and the servers stayed as they were."""
    print(f"{suite.description}: seeding {ghz.members} members", flush=True)
    seed(suite, ghz.members)
    callers = Callers(suite, ghz.members)
    with ExitStack() as stack:
        loads = [steady(suite, ghz, name, rps, seconds) for name, rps in STEADY.items()]
        for load in loads:
            stack.callback(load.stop)
        stack.callback(callers.stop)
        callers.start()
        print(f"soaking for {seconds} s", flush=True)
        samples = watch(suite.programs, seconds)
        answers = [load.answer() for load in loads]
    well = [judge_ghz(answer) for answer in answers]
    well += [judge_caller(kind, callers.statuses[kind], own) for kind, (_, _, own) in callers.kinds().items()]
    well += [judge_server(program, samples[program.api], seconds) for program in suite.programs]
    return all(well)


def steady(suite: Suite, ghz: Ghz, name: str, rps: int, seconds: int):
    config = ghz.configuration(name)
    config |= {"name": f"soak-{name}", "rps": rps, "concurrency": 8, "connections": 2, "duration": f"{seconds}s"}
    return ghz.start(config, suite.address_of(config["call"]))


def watch(programs: list[Program], seconds: int) -> dict[str, list[Sample]]:
    """Samples each server once a second."""
    began = time.monotonic()
    samples = {program.api: [] for program in programs}
    while (at := time.monotonic() - began) < seconds:
        for program in programs:
            samples[program.api].append(Sample(at, program.memory_kib(), program.descriptors()))
        time.sleep(1)
    return samples


def judge_ghz(answer: dict) -> bool:
    statuses = answer["statusCodeDistribution"]
    return verdict(statuses.keys() == {"OK"}, f"ghz {answer['name']}: {statuses}")


def judge_caller(kind: str, statuses: Counter[str], own: set[str]) -> bool:
    return verdict(bool(statuses) and statuses.keys() <= own | {"OK"}, f"{kind}: {dict(statuses)}")


def judge_server(program: Program, samples: list[Sample], seconds: int) -> bool:
    early = [sample for sample in samples if WARM_UP <= sample.at / seconds < EARLY]
    late = [sample for sample in samples if sample.at / seconds >= LATE]
    memory, memory_late = (statistics.median(sample.memory_kib for sample in part) for part in (early, late))
    files, files_late = (statistics.median(sample.descriptors for sample in part) for part in (early, late))
    at_rest = descriptors_at_rest(program, files)
    well = (
        memory_late <= memory * (1 + MEMORY_GROWTH_MAX) + MEMORY_GROWTH_KIB
        and files_late <= files + DESCRIPTORS_GROWTH
        and at_rest <= files
    )
    return verdict(
        well,
        f"{program.name}: {memory / 1024:.0f} MiB, then {memory_late / 1024:.0f} MiB; {files:.0f} descriptors, then "
        f"{files_late:.0f}, without callers {at_rest}",
    )


def descriptors_at_rest(program: Program, expected: float) -> int:
    """Once its callers have gone."""
    until = time.monotonic() + GOODBYE_SECONDS
    while (count := program.descriptors()) > expected and time.monotonic() < until:
        time.sleep(0.2)
    return count


def verdict(well: bool, text: str) -> bool:
    print(("  ok: " if well else "  FAILED: ") + text, file=sys.stdout if well else sys.stderr, flush=True)
    return well
