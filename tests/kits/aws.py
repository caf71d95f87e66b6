"""moto's services in this process, clients and tables of them, and functions over them."""

from __future__ import annotations

import importlib.util
import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

from quintet_local.front import Front, MotoServices
from quintet_local.tables import one_call_at_a_time

__all__ = [
    "ROOT",
    "client",
    "create_table",
    "environ",
    "forget_built",
    "load_app",
    "moto_server",
    "reached_by",
]

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"


@contextmanager
def moto_server() -> Iterator[str]:
    """The address of a moto server in this process; all of them share one state.

    The local AWS's front serves it: moto's own server takes a thread and a connection a call, and
    longer than most calls.
    """
    _serialise()
    front = Front(socket.create_server(("127.0.0.1", 0)), MotoServices())
    front.start()
    try:
        yield f"http://127.0.0.1:{front.port}"
    finally:
        front.stop()


@cache
def _serialise() -> None:
    """Let moto answer one call to DynamoDB at a time, as the local AWS does.

    Its transactions are not atomic otherwise: of two at once both may find their conditions hold.
    """
    from moto.dynamodb.responses import DynamoHandler

    serial = one_call_at_a_time(DynamoHandler.call_action)
    DynamoHandler.call_action = serial  # type: ignore[method-assign]


@cache
def client(service: str, url: str) -> Any:
    """A boto3 client."""
    make: Any = boto3.client  # its stubs know services by literals only
    return make(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def environ(url: str) -> dict[str, str]:
    """What a function needs to reach it."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
    }


def reached_by(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let boto3 find it, in this process and its children."""
    for name, value in environ(url).items():
        monkeypatch.setenv(name, value)


def create_table(url: str, name: str, *keys: str) -> None:
    """Make a table with a partition key of text and perhaps a sort key."""
    client("dynamodb", url).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        KeySchema=[
            {"AttributeName": key, "KeyType": kind}
            for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
    )


def forget_built(function: str) -> None:
    """Drop what the wiring, and Powertools, keep between a function's invocations."""
    # Powertools keeps one logger a service, bound to the stdout of its first use
    logging.root.manager.loggerDict.pop(function, None)
    for name, module in list(sys.modules.items()):
        if name.startswith("quintet.wiring."):
            for builder in vars(module).values():
                if hasattr(builder, "cache_clear"):
                    builder.cache_clear()


def load_app(function: str) -> Any:
    """A function's module, executed anew."""
    path = ROOT / "functions" / function / "app.py"
    spec = importlib.util.spec_from_file_location(f"{function}_app", path)
    assert spec is not None and spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app
