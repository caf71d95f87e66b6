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


THREADS = """
import gc, json, threading, time
from quintet_local import hooks

hooks.import_state_machines()
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

started, start = [], threading.Thread.start
def noted(thread):
    started.append(thread.name)
    start(thread)
threading.Thread.start = noted

each = {"StartAt": "One", "States": {"One": {"Type": "Pass", "End": True}}}
state = {"Type": "Map", "End": True, "MaxConcurrency": 40, "Iterator": each}
definition = {"StartAt": "All", "States": {"All": state}}
backend = StepFunctionsParserBackend("us-east-1", "123456789012")
role = "arn:aws:iam::123456789012:role/r"
machine = backend.create_state_machine("m", json.dumps(definition), role)
execution = backend.start_execution(machine.arn, "one", "[1, 2, 3]")
until = time.monotonic() + 60
def dead(one):
    return isinstance(one, threading.Thread) and one.ident and not one.is_alive()
ended = 1
while (execution.status == "RUNNING" or ended) and time.monotonic() < until:
    time.sleep(0.05)
    gc.collect()
    ended = sum(bool(dead(one)) for one in gc.get_objects())  # a list of them would keep them
# a worker for each item, and a thread for each of their programs and for the whole
workers = [name for name in started if name.endswith("(eval)")]
print(execution.status, ended, len(workers), execution.output)
"""


def test_a_map_starts_a_thread_an_item_and_none_is_kept_when_it_has_ended() -> None:
    command = [sys.executable, "-c", THREADS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "SUCCEEDED 0 7 [1, 2, 3]\n", done.stderr
