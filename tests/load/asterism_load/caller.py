"""A caller as platform teams write them: it loads the published service config, and has no retries of its own."""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from asterism.loyalty.v1 import service_pb2 as loyalty_pb
from asterism.loyalty.v1 import service_pb2_grpc as loyalty_rpc

SERVICE_CONFIG = Path(__file__).parents[3] / "proto" / "service-config.json"


def service_config() -> dict:
    return json.loads(SERVICE_CONFIG.read_text())


def connect(target: str, config: Path | None = SERVICE_CONFIG) -> grpc.Channel:
    # A list of addresses makes no authority that HTTP/2 allows; a name does, and needs no such option.
    options = [("grpc.default_authority", "loyalty-points")]
    if config:
        options.append(("grpc.service_config", config.read_text()))
    return grpc.insecure_channel(target, options=options)


class Caller:
    """Earns points for one member after the other, and notes what was acknowledged."""

    def __init__(self, channel: grpc.Channel, members: list[str]):
        self.api = loyalty_rpc.LoyaltyServiceStub(channel)
        self.members = members
        # Source of each acknowledged earning, with the id of its posting.
        self.acknowledged: dict[str, str] = {}
        self.failures: Counter[str] = Counter()
        self.stopped = threading.Event()

    def run(self) -> None:
        calls = 0
        while not self.stopped.is_set():
            self.earn(self.members[calls % len(self.members)])
            calls += 1

    def earn(self, member: str) -> None:
        source_ref = f"caller-{uuid.uuid4()}"
        request = loyalty_pb.EarnPointsRequest(
            # Without it a retry could not be told from a second earning.
            request_id=str(uuid.uuid4()),
            customer_id=member,
            points=1,
            source_type="promotion",
            source_ref=source_ref,
        )
        try:
            self.acknowledged[source_ref] = self.api.EarnPoints(request).transaction.transaction_id
        except grpc.RpcError as error:
            self.failures[f"{error.code().name}: {error.details()}"] += 1

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Calls in the background meanwhile."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            thread.join()
