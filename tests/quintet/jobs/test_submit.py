"""Submitting under an idempotency key: the key comes first, and says what the same request is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.kits.models import LOG, SHOP, Clock, online, renamed

from quintet.errors import NotFound, QuintetError
from quintet.jobs.memory import MemoryBlobs, MemoryJobs
from quintet.jobs.store import KeyReused
from quintet.jobs.submit import JobOptions, Submitter, idempotency_key
from quintet.protocols.http import Request
from quintet.protocols.registry import RECORDS
from quintet.serving import RequestContext

TARGET = ("log", None)


class AllEndpoints:
    """Every endpoint may be named, until it is removed."""

    removed = False

    def check(self, endpoint: str, caller: str) -> None:
        if self.removed:
            raise NotFound.of("X-Quintet-Callback", "a registered endpoint", repr(endpoint))


def request(body: Any = None, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = json.dumps(body or {"records": [{"x": 3.0}]})
    return Request("POST", "", headers={"idempotency-key": "k", **named}, raw=raw)


def digest(asked: Request) -> str:
    key = idempotency_key(asked, "records", TARGET, JobOptions())
    assert key is not None
    return key.payload


def test_what_changed_since_does_not_matter() -> None:
    numbers = iter(range(9))
    endpoints = AllEndpoints()
    submitter = Submitter(
        MemoryJobs(),
        MemoryBlobs(),
        endpoints,
        lambda event: None,
        Clock(),
        lambda: f"j{next(numbers)}",
    )

    def submit(service: Any, **headers: str) -> str:
        asked = request(x_quintet_callback="crm", **headers)
        context = RequestContext("r")
        return submitter.submit(service, asked, context, RECORDS, target=TARGET).id

    before = online(LOG)
    narrower = online(renamed(LOG, version=2, limits=replace(LOG.limits, bytes=1)))
    assert submit(before) == "j0"
    endpoints.removed = True
    assert submit(before) == "j0"
    assert submit(narrower) == "j0"
    assert submit(online(SHOP)) == "j0"  # the model is gone
    with pytest.raises(QuintetError):
        submit(before, idempotency_key="another")


@pytest.mark.parametrize(
    "same",
    [
        request({"records": [{"x": 3.0}]}, accept="text/csv"),
        Request("POST", "", headers={"idempotency-key": "k"}, raw='{ "records":\n[{"x":3.0 }]}'),
    ],
)
def test_the_same_request_is_the_same(same: Request) -> None:
    assert digest(same) == digest(request())


@pytest.mark.parametrize(
    "other",
    [
        request({"records": [{"x": 3.5}]}),
        request({"records": [{"x": "3.0"}]}),
        request({"records": [{"x": 9007199254740993}]}),
        request(x_quintet_callback="crm"),
        request(content_type="text/csv"),
        request(x_amzn_sagemaker_custom_attributes="trace=1"),
    ],
)
def test_another_request_is_another(other: Request) -> None:
    assert digest(other) != digest(request())


def test_another_request_under_the_key_is_refused() -> None:
    store = MemoryJobs()
    ids = iter("ab")
    submitter = Submitter(
        store, MemoryBlobs(), AllEndpoints(), lambda event: None, Clock(), lambda: next(ids)
    )
    context = RequestContext("r")
    submitter.submit(online(LOG), request(), context, RECORDS, target=TARGET)
    other = request({"records": [{"x": 4.0}]})
    with pytest.raises(KeyReused):
        submitter.submit(online(LOG), other, context, RECORDS, target=TARGET)
