"""Registered endpoints: what may be registered, rotation, and the store in memory and on AWS."""

from __future__ import annotations

import dataclasses
import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.kits.aws import moto_server
from tests.kits.registries import RegistryServer

from quintet.aws.client import AwsClient
from quintet.aws.endpoints import EndpointTable
from quintet.errors import BadInput, Conflict, Transient
from quintet.webhooks.channel import signed_headers
from quintet.webhooks.endpoints import (
    Endpoint,
    Endpoints,
    MemoryEndpoints,
    Secret,
    UnknownEndpoint,
    register,
    rotate,
)

URL = "https://hooks.example.com/jobs"
NOW = 1_800_000_000.0
_numbers = itertools.count(1)


def random(count: int) -> bytes:
    return bytes([next(_numbers) % 256]) * count


def made(name: str = "crm", url: str = URL, callers: Sequence[str] = ()) -> Endpoint:
    created = "2026-01-01T00:00:00Z"
    return register(name, url, scope="public", created=created, random=random, callers=callers)


# ---- registering and rotating ------------------------------------------------------------------


def test_a_new_endpoint_has_one_secret_of_the_standards_form() -> None:
    endpoint = made()
    (secret,) = endpoint.secrets
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret.text)
    assert endpoint == Endpoint(
        id="crm", url=URL, created="2026-01-01T00:00:00Z", secrets=(secret,), disabled=""
    )


def test_secrets_and_urls_are_not_in_what_is_printed_of_an_endpoint() -> None:
    text = repr(made())
    assert "whsec" not in text
    assert "hooks" not in text


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a#b", "a" * 64])
def test_an_id_is_of_a_few_characters(name: str) -> None:
    with pytest.raises(BadInput, match="lower-case letters, digits and hyphens"):
        made(name)


@pytest.mark.parametrize(
    "caller",
    [
        "",
        "x" * 2049,
        "arn:aws:sts::123456789012:assumed-role/shop/session",
        "arn:aws:iam::123456789012:role/shop",
    ],
)
def test_a_caller_that_no_job_can_have_is_not_registered(caller: str) -> None:
    with pytest.raises(BadInput, match=r"^caller: expected an ARN as jobs have it"):
        made(callers=[caller])


def test_an_address_that_callbacks_may_not_go_to_is_not_registered() -> None:
    with pytest.raises(BadInput, match=r"^url: expected a public address"):
        made(url="https://169.254.169.254/")


def signed(endpoint: Endpoint, now: float) -> dict[str, str]:
    return signed_headers("job_1", b'{"a":1}', endpoint.signing(now), now)


def verifies(secret: Secret, sent: dict[str, str]) -> bool:
    try:
        Webhook(secret.text).verify(b'{"a":1}', sent)
    except WebhookVerificationError:
        return False
    return True


def test_both_secrets_sign_while_a_rotation_overlaps() -> None:
    before, now = made(), time.time()  # the library takes what was signed a few minutes from now
    after = rotate(before, now=now, overlap=60, random=random)
    new, old = after.secrets
    assert (new.expires, old) == (None, Secret(before.secrets[0].text, now + 60))
    during = signed(after, now + 59)
    assert [verifies(s, during) for s in (new, old)] == [True, True]
    later = signed(after, now + 60)
    assert [verifies(s, later) for s in (new, old)] == [True, False]
    assert verifies(made().secrets[0], during) is False


def test_a_rotation_without_overlap_forgets_what_was_before() -> None:
    after = rotate(made(), now=NOW, overlap=0, random=random)
    assert [secret.expires for secret in after.secrets] == [None]


def test_rotating_again_does_not_make_a_secret_valid_for_longer() -> None:
    once = rotate(made(), now=NOW, overlap=100, random=random)
    twice = rotate(once, now=NOW + 50, overlap=1_000, random=random)
    assert [s.expires for s in twice.secrets] == [None, NOW + 1_050, NOW + 100]
    thrice = rotate(twice, now=NOW + 200, overlap=10, random=random)
    assert [s.expires for s in thrice.secrets] == [None, NOW + 210, NOW + 210]


def test_rotations_do_not_pile_up() -> None:
    endpoint = made()
    for _ in range(4):
        endpoint = rotate(endpoint, now=NOW, overlap=100, random=random)
    with pytest.raises(Conflict, match=r"less than 5 secrets that are still valid, got 5$"):
        rotate(endpoint, now=NOW, overlap=100, random=random)
    with pytest.raises(BadInput, match="0 to 30 days"):
        rotate(made(), now=NOW, overlap=31 * 86_400, random=random)


# ---- the store ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


def table(url: str, name: str) -> EndpointTable:
    server = RegistryServer(url, "none", "none")
    tables = (name, f"{name}-secrets")
    for one in () if name.startswith("no-") else tables:
        server.client("dynamodb").create_table(
            TableName=one,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "endpoint", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "endpoint", "KeyType": "HASH"}],
        )
    return EndpointTable(AwsClient("dynamodb", environ=server.environ), *tables)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest, url: str) -> Endpoints:
    makes: dict[str, Callable[[], Endpoints]] = {
        "memory": MemoryEndpoints,
        "dynamodb": lambda: table(url, f"endpoints-{next(_numbers)}"),
    }
    return makes[request.param]()


def test_what_is_put_is_got(store: Endpoints) -> None:
    role = "arn:aws:sts::123456789012:assumed-role/shop"
    first, second = (
        made("a", callers=[role, "ann"]),
        rotate(made("b"), now=NOW + 0.25, overlap=10, random=random),
    )
    store.put(first, None)
    store.put(second, None)
    assert [store.get("a"), store.get("b")] == [first, second]


def test_an_endpoint_that_is_not_there_is_told(store: Endpoints) -> None:
    with pytest.raises(UnknownEndpoint, match=r"^endpoint: expected a registered endpoint, got x$"):
        store.get("x")


def test_an_id_is_taken_once(store: Endpoints) -> None:
    first = made()
    store.put(first, None)
    with pytest.raises(Conflict, match=r"^endpoint: expected an id that is not taken, got crm$"):
        store.put(made(), None)
    assert store.get("crm") == first


def test_of_two_rotations_at_once_one_wins(store: Endpoints) -> None:
    before = made()
    store.put(before, None)
    one, other = (rotate(before, now=NOW, overlap=10, random=random) for _ in range(2))
    store.put(one, before)
    with pytest.raises(Conflict, match="crm as it was read"):
        store.put(other, before)
    assert store.get("crm") == one


def test_disabling_changes_nothing_else_and_creates_nothing(store: Endpoints) -> None:
    endpoint = made()
    store.put(endpoint, None)
    store.disable("crm", "it answered 410 Gone")
    assert store.get("crm") == dataclasses.replace(endpoint, disabled="it answered 410 Gone")
    store.disable("other", "it answered 410 Gone")
    with pytest.raises(UnknownEndpoint):
        store.get("other")
    with pytest.raises(Conflict):  # a rotation that read it before
        store.put(rotate(endpoint, now=NOW, overlap=10, random=random), endpoint)


def test_the_table_lists_and_removes(url: str) -> None:
    endpoints = table(url, f"endpoints-{next(_numbers)}")
    for name in ("b", "a"):
        endpoints.put(made(name), None)
    assert [endpoint.id for endpoint in endpoints.all()] == ["a", "b"]
    endpoints.remove("a")
    assert [endpoint.id for endpoint in endpoints.all()] == ["b"]
    with pytest.raises(UnknownEndpoint):
        endpoints.remove("a")


def test_a_table_that_cannot_be_read_is_transient(url: str) -> None:
    text = r"^dynamodb refused GetItem \(ResourceNotFoundException\)$"
    with pytest.raises(Transient, match=text):
        table(url, "no-table").get("crm")
