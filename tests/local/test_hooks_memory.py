"""The local AWS keeps nothing of what a call has read or deleted."""

from __future__ import annotations

import subprocess
import sys

#: in a process of its own, since hooks change moto for good
SCRIPT = """
import gc, weakref
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.sqs.models import Message
from quintet_local import hooks

hooks.install(lambda name, event: None)
key = DynamoType({"S": "one"})
made = [Item(key, None, {"id": {"S": "one"}}), Message("id", "body", {})]
assert made[0].attrs["id"].value == "one"
gone = [weakref.ref(one) for one in made]
made.clear()
gc.collect()
print([one() for one in gone])
"""


def test_items_and_messages_that_nothing_needs_are_freed() -> None:
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[None, None]\n", done.stderr
