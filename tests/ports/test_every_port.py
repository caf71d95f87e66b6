"""Every port: its version in memory and its adapter do the same, also where a call fails.

What a port refuses by its own rules is held by the tests beside it; here is what the network does
to any call: it is refused, its reply is lost and the client sends it again, or the caller does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.kits.aws import ROOT, moto_server
from tests.ports.pair import Aws, Pair, outcome
from tests.ports.pairs import CALLS, PAIRS
from tests.simulation.campaign import SCENARIOS, one_source
from tests.simulation.faults import Faults
from tests.simulation.kernel import Port, Simulation
from tests.simulation.scenario import START


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def aws(url: str) -> Aws:
    return Aws(url)


def in_memory(pair: Pair) -> Any:
    port = pair.memory()
    pair.before(port)
    return port


def on(pair: Pair, aws: Aws) -> Any:
    port = pair.adapter(aws)
    pair.before(port)
    return port


def done(pair: Pair, port: Any, call: str) -> Any:
    """What a call returns or raises."""
    return outcome(partial(pair.calls[call], port))


def test_every_version_in_memory_is_paired_with_an_adapter() -> None:
    forms = set()
    for path in (ROOT / "layers/quintet/quintet").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "layers/quintet").with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Memory"):
                forms.add((module, node.name))
    paired = {type(pair.memory()) for pair in PAIRS.values()}
    assert {(kind.__module__, kind.__name__) for kind in paired} == forms


@pytest.mark.parametrize("name", PAIRS)
def test_every_operation_of_a_port_is_called(name: str) -> None:
    pair = PAIRS[name]
    operations = {
        operation
        for port in pair.ports
        for operation in dir(port)
        if not operation.startswith("_") and callable(getattr(port, operation))
    }
    assert pair.calls.keys() == operations


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_call_does_the_same_in_memory_and_on_aws(name: str, call: str, aws: Aws) -> None:
    pair = PAIRS[name]
    memory, adapter = in_memory(pair), on(pair, aws)
    for _ in range(2):  # the second as by a caller that lost the reply
        assert done(pair, adapter, call) == done(pair, memory, call)
    assert pair.state(adapter, aws) == pair.state(memory, None)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_call_that_is_throttled_says_so_and_does_nothing(name: str, call: str, aws: Aws) -> None:
    pair = PAIRS[name]
    port = on(pair, aws)
    aws.fault = "throttled"
    if call in pair.quiet:
        assert pair.calls[call](port) == pair.quiet[call]
    else:
        with pytest.raises(pair.refused):
            pair.calls[call](port)
    aws.fault = ""
    assert pair.state(port, aws) == pair.state(in_memory(pair), None)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_reply_that_is_lost_once_is_not_noticed(name: str, call: str, aws: Aws) -> None:
    """The client sends the write again, which recognises its own first effect."""
    pair = PAIRS[name]
    memory, twice, adapter = in_memory(pair), in_memory(pair), on(pair, aws)
    expected = done(pair, memory, call)
    if call in pair.again:
        expected = [done(pair, twice, call) for _ in range(2)][-1]
    aws.fault = "lost once"
    if call in pair.once:
        with pytest.raises(pair.refused):
            pair.calls[call](adapter)
    else:
        assert done(pair, adapter, call) == expected
    aws.fault = ""
    assert pair.state(adapter, aws) == pair.state(memory, None)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_call_whose_replies_are_lost_is_done(name: str, call: str, aws: Aws) -> None:
    """The simulation's "reply lost": the call raises, what it did stands, its caller repeats it."""
    pair = PAIRS[name]
    memory, adapter = in_memory(pair), on(pair, aws)
    pair.calls[call](memory)
    aws.fault = "lost"
    lost = outcome(partial(pair.calls[call], adapter))
    aws.fault = ""
    assert done(pair, adapter, call) == done(pair, memory, call), lost
    assert pair.state(adapter, aws) == pair.state(memory, None)


def simulated() -> Iterator[Port]:
    """The ports of one seed of each scenario."""
    for number, scenario in enumerate(SCENARIOS):
        faults = Faults(number, START, only=())
        with one_source(number):
            world = scenario(Simulation(number, faults, START), [0])
            world.play()
            world.simulation.close()
        yield from world.ports.values()


def test_the_simulation_refuses_calls_as_the_adapters_do() -> None:
    """A call at best effort is silent; any other raises, and its caller goes on from there."""
    seen = set()
    for port in simulated():
        for name, pair in PAIRS.items():
            if isinstance(port.real, type(pair.memory())):
                seen.add(name)
                for call in pair.calls:
                    silent = call in pair.quiet and pair.quiet[call] is None
                    refusal = outcome(partial(port.refuse, f"{port.name}.{call}"))
                    assert refusal == (None if silent else "Transient"), (name, call)
    assert seen >= {"jobs", "blobs", "endpoints", "slots", "sink", "runs", "captures", "rollouts"}
