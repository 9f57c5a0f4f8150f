"""Fills the suite through its public API: customers, who become members, with a purchase each, and invitations."""

import json
import random
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from asterism.customer.v1 import resources_pb2 as customer
from asterism.customer.v1 import service_pb2 as customers_pb
from asterism.customer.v1 import service_pb2_grpc as customers_rpc
from asterism.feed.v1 import feed_pb2 as feed_pb
from asterism.feed.v1 import feed_pb2_grpc as feed_rpc
from asterism.feedback.v1 import resources_pb2 as feedback
from asterism.feedback.v1 import survey_service_pb2 as surveys_pb
from asterism.feedback.v1 import survey_service_pb2_grpc as surveys_rpc
from asterism.segmentation.v1 import service_pb2 as segments_pb
from asterism.segmentation.v1 import service_pb2_grpc as segments_rpc
from asterism.type.v1.money_pb2 import Money

from .suite import Suite

# Rows in one message, at most what the API takes: one database transaction at the other end.
CHUNK = 1000
CATCH_UP_SECONDS = 600
NAMES = ["Ada", "Bela", "Chidi", "Dana", "Emil", "Fatima", "Goran", "Hana", "Ivo", "Jun"]
CATEGORIES = ["books", "music", "garden", "toys", "food"]


def member(number: int) -> str:
    return f"member-{number}"


def seed(suite: Suite, members: int) -> dict[str, float]:
    """Returns how long each part took, in seconds."""
    took = {}
    began = time.monotonic()
    import_customers(suite, members)
    took["customers"] = time.monotonic() - began
    with grpc.insecure_channel(suite.addresses["customer"]) as channel:
        api = customers_rpc.CustomerProfileServiceStub(channel)
        for answer in api.ImportTransactions(purchase_chunks(members)):
            for row in answer.outcomes:
                expect(row.outcome.status == customers_pb.RECORD_STATUS_RECORDED, row)
        took["purchases"] = time.monotonic() - began - took["customers"]
    catch_up(suite)
    took["members, points, features"] = time.monotonic() - began - sum(took.values())
    with grpc.insecure_channel(suite.addresses["segmentation"]) as channel:
        api = segments_rpc.SegmentationServiceStub(channel)
        api.BuildReference(segments_pb.BuildReferenceRequest(request_id=str(uuid.uuid4())), timeout=CATCH_UP_SECONDS)
    took["ratings"] = time.monotonic() - began - sum(took.values())
    return took


def import_customers(suite: Suite, members: int) -> None:
    with grpc.insecure_channel(suite.addresses["customer"]) as channel:
        api = customers_rpc.CustomerProfileServiceStub(channel)
        for answer in api.ImportCustomers(customer_chunks(members)):
            for outcome in answer.outcomes:
                expect(outcome.status == customers_pb.IMPORT_STATUS_CREATED, outcome)


def catch_up(suite: Suite) -> None:
    """Returns once the other services have applied everything that customer-profile has recorded."""
    with grpc.insecure_channel(suite.addresses["customer"]) as channel:
        head = feed_rpc.ChangeFeedServiceStub(channel).GetHead(feed_pb.GetHeadRequest(source="customer"))
    for service in suite.addresses.keys() - {"customer"}:
        with grpc.insecure_channel(suite.addresses[service]) as channel:
            request = feed_pb.AwaitPositionRequest(consumer=f"{service}.customer", position=head.position)
            feed_rpc.ConsumerServiceStub(channel).AwaitPosition(request, timeout=CATCH_UP_SECONDS)


def invite(suite: Suite, members: int, file: Path) -> int:
    """Writes a response to each of new invitations, as ghz takes requests, and returns how many there are."""
    rng = random.Random(7)
    responses = []
    with grpc.insecure_channel(suite.addresses["feedback"]) as channel:
        api = surveys_rpc.SurveyServiceStub(channel)
        created = api.CreateSurvey(
            surveys_pb.CreateSurveyRequest(
                request_id=str(uuid.uuid4()),
                type=feedback.SURVEY_TYPE_NPS,
                title="Load test",
                question="How likely are you to recommend us to a friend?",
            )
        )
        expires_at = datetime.now(UTC) + timedelta(days=30)
        for first in range(0, members, CHUNK):
            invited = api.CreateInvitations(
                surveys_pb.CreateInvitationsRequest(
                    request_id=str(uuid.uuid4()),
                    survey_id=created.survey.survey_id,
                    customer_ids=[member(number) for number in range(first, min(first + CHUNK, members))],
                    channel=feedback.INVITATION_CHANNEL_EMAIL,
                    expires_at=expires_at,
                )
            )
            for outcome in invited.outcomes:
                expect(outcome.HasField("issued"), outcome)
                comment = rng.choice(["", "Friendly staff.", "Delivery took too long, the rest was fine."])
                responses.append(
                    {
                        "request_id": str(uuid.uuid4()),
                        "token": outcome.issued.token,
                        "score": rng.randint(0, 10),
                        "comment": comment,
                    }
                )
    file.write_text(json.dumps(responses))
    return len(responses)


def customer_chunks(members: int) -> Iterator[customers_pb.ImportCustomersRequest]:
    for first in range(0, members, CHUNK):
        numbers = range(first, min(first + CHUNK, members))
        rows = [customers_pb.CustomerRow(row=number + 1, customer=a_customer(number)) for number in numbers]
        yield customers_pb.ImportCustomersRequest(rows=rows)


def a_customer(number: int) -> customer.Customer:
    given = NAMES[number % len(NAMES)]
    email = customer.Contact(type=customer.CONTACT_TYPE_EMAIL, value=f"{given.lower()}.{number}@example.com")
    return customer.Customer(
        customer_id=member(number),
        name=customer.PersonName(display_name=f"{given} {number}", given_name=given, family_name=str(number)),
        contacts=[email],
        industry="retail",
        source="webshop",
        tags=["newsletter"] if number % 3 == 0 else [],
        external_ids={"crm": f"crm-{number}"},
    )


def purchase_chunks(members: int) -> Iterator[customers_pb.ImportTransactionsRequest]:
    rng = random.Random(7)
    now = datetime.now(UTC)
    for first in range(0, members, CHUNK):
        numbers = range(first, min(first + CHUNK, members))
        rows = [
            customers_pb.TransactionRow(row=number + 1, transaction=a_purchase(number, now, rng)) for number in numbers
        ]
        yield customers_pb.ImportTransactionsRequest(rows=rows)


def a_purchase(number: int, now: datetime, rng: random.Random) -> customer.Transaction:
    """Worth at least some hundred points, so that everybody has some to spend."""
    lines = [
        customer.TransactionLine(
            sku=f"sku-{rng.randrange(5000)}",
            category=rng.choice(CATEGORIES),
            quantity=rng.randint(1, 3),
            amount=Money(currency_code="USD", micros=rng.randint(300, 900) * 1_000_000 + 990_000),
        )
        for _ in range(rng.randint(1, 3))
    ]
    return customer.Transaction(
        customer_id=member(number),
        source="seed",
        external_id=str(number),
        occurred_at=now - timedelta(minutes=rng.randrange(300 * 24 * 60)),
        lines=lines,
    )


def expect(holds: bool, answer: object) -> None:
    if not holds:
        raise SystemExit(f"the suite refused to be seeded: {answer}")
