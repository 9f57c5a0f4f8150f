"""What the points ledger holds, for those who must know that nothing is lost and nothing is there twice."""

from collections import Counter
from collections.abc import Iterable

import grpc
from asterism.loyalty.v1 import audit_service_pb2 as audit_pb
from asterism.loyalty.v1 import audit_service_pb2_grpc as audit_rpc
from asterism.loyalty.v1 import service_pb2 as loyalty_pb
from asterism.loyalty.v1 import service_pb2_grpc as loyalty_rpc


def promotions(address: str, members: Iterable[str]) -> Counter[tuple[str, str]]:
    """How often each promotion was posted: by its source and the id of the posting."""
    found = Counter()
    with grpc.insecure_channel(address) as channel:
        api = loyalty_rpc.LoyaltyServiceStub(channel)
        for member in members:
            request = loyalty_pb.ListTransactionsRequest(customer_id=member, page_size=1000)
            while True:
                page = api.ListTransactions(request)
                for posting in page.transactions:
                    if posting.source_type == "promotion":
                        found[(posting.source_ref, posting.transaction_id)] += 1
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
    return found


def verify(address: str) -> int:
    """Has the ledger replayed from its first posting, and returns how many there are."""
    with grpc.insecure_channel(address) as channel:
        api = audit_rpc.AuditServiceStub(channel)
        api.SealNow(audit_pb.SealNowRequest())
        for answer in api.VerifyLedger(audit_pb.VerifyLedgerRequest()):
            last = answer
    if not last.HasField("success"):
        raise SystemExit(f"the ledger has diverged: {last}")
    return last.success.verified.postings
