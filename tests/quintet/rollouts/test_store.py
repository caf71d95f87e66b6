"""The store of rollouts: one contract, in memory and on AWS; every race by interleaving."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from tests.kits.aws import moto_server
from tests.kits.registries import RegistryServer, registry_on
from tests.kits.rollouts import STEPS, cause, in_memory, on_server, started

from quintet.aws.client import AwsClient
from quintet.aws.rollouts import Rollouts
from quintet.errors import Conflict, NotFound, Transient
from quintet.rollouts import transitions
from quintet.rollouts.store import Cause, Change, RolloutStore, Stored, fields_of, named

Step = Callable[[Stored, Cause], Change]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def server(url: str) -> RegistryServer:
    return registry_on(url)


@pytest.fixture(params=["memory", "aws"])
def store(request: pytest.FixtureRequest) -> RolloutStore:
    if request.param == "memory":
        return in_memory()
    return on_server(request.getfixturevalue("server"))


def promote(stored: Stored, cause: Cause) -> Change:
    return transitions.promote(stored, cause, verdict="ok")


def start(candidate: int) -> Step:
    def begin(stored: Stored, cause: Cause) -> Change:
        return transitions.start(stored, candidate, cause, id=f"r{candidate}", steps=STEPS)

    return begin


def make_live(version: int) -> Step:
    return lambda stored, cause: transitions.make_live(stored, version, cause)


def items(server: RegistryServer) -> dict[str, dict[str, Any]]:
    """Everything in the table, by sort key."""
    found = server.client("dynamodb").scan(TableName=server.table)["Items"]
    return {item["item"]["S"]: item for item in found}


def test_a_model_without_a_rollout(store: RolloutStore) -> None:
    stored = store.read("small")
    assert (fields_of(stored.route), stored.rollout) == ({"live": 1, "revision": 1}, None)
    assert sorted(stored.route.versions) == [1, 2, 3]
    assert (store.history("small"), store.active()) == ([], [])


def test_an_unknown_model(store: RolloutStore) -> None:
    with pytest.raises(NotFound, match="'other' is not found"):
        store.read("other")
    assert store.history("other") == []


def test_what_was_written_is_read(store: RolloutStore) -> None:
    overrides = {"ann é": 2, "N": 1}
    change = transitions.start(
        store.read("small"),
        2,
        cause(1_234.5, "new data", {"verdict": "ok", "rows": [{"n": 3, "e": 1e-9}]}),
        id="r1",
        steps=[1e-05, 1 / 3, 1.0],
        shadow=False,
        overrides=overrides,
    )
    assert store.write(change)
    stored = store.read("small")
    assert (fields_of(stored.route), stored.rollout) == (change.after, change.rollout)
    assert stored.route.overrides == overrides
    assert stored.route.canary_share == 1e-05
    assert (store.history("small"), store.active()) == ([change], ["small"])


def test_the_history_has_every_change_in_order(store: RolloutStore) -> None:
    written = [started(store)]
    for at, step in enumerate(
        [transitions.pause, transitions.resume, *[transitions.advance] * 2, promote]
    ):
        written.append(step(store.read("small"), cause(2_000.0 + at)))
        assert store.write(written[-1])
    written.append(transitions.roll_back(store.read("small"), cause(3_000.0)))
    assert store.write(written[-1])
    assert store.history("small") == written
    assert [change.before for change in written[1:]] == [change.after for change in written[:-1]]
    assert store.active() == []


def test_a_notice_is_due_until_it_was_sent_or_another_change_came(store: RolloutStore) -> None:
    def change(step: Step, at: float, *, notice: bool) -> Change:
        made = replace(step(store.read("small"), cause(at)), notice=notice)
        assert store.write(made)
        assert store.write(made)  # as after a lost response
        return made

    change(start(2), 1.0, notice=False)
    assert store.read("small").unsent == 0
    paused = change(transitions.pause, 2.0, notice=True)
    assert store.read("small").unsent == paused.revision == 3
    store.sent("small", 2)
    assert store.read("small").unsent == 3
    store.sent("small", 3)
    store.sent("small", 3)
    assert store.read("small").unsent == 0
    change(transitions.resume, 3.0, notice=True)
    change(transitions.roll_back, 4.0, notice=False)
    assert store.read("small").unsent == 0
    assert store.history("small")[1] == replace(paused, notice=False)


def test_a_change_that_is_sent_twice_is_stored_once(store: RolloutStore) -> None:
    change = started(store)
    assert store.write(change)
    assert store.history("small") == [change]


CHANGES: dict[str, Step] = {
    "advance": transitions.advance,
    "pause": transitions.pause,
    "promote": promote,
    "roll back": transitions.roll_back,
}


@pytest.mark.parametrize("names", [*itertools.permutations(CHANGES, 2)], ids=" then ".join)
def test_of_two_changes_from_one_reading_the_second_is_refused(
    store: RolloutStore, names: tuple[str, str]
) -> None:
    begun = started(store)
    read = store.read("small")
    first, second = (CHANGES[name](read, cause(at)) for name, at in zip(names, (5, 6), strict=True))
    assert store.write(first)
    assert not store.write(second)
    stored = store.read("small")
    assert (fields_of(stored.route), stored.rollout) == (first.after, first.rollout)
    assert store.history("small") == [begun, first]


def test_two_rollouts_of_one_model_refuse_each_other(store: RolloutStore) -> None:
    read = store.read("small")
    first, second = start(2)(read, cause()), start(3)(read, cause())
    assert (store.write(first), store.write(second)) == (True, False)
    with pytest.raises(Conflict, match="got version 2 in shadow"):
        start(3)(store.read("small"), cause())


def test_a_promotion_during_a_rollback_loses(store: RolloutStore) -> None:
    started(store)
    promotion = promote(store.read("small"), cause(5.0))
    assert store.write(transitions.roll_back(store.read("small"), cause(4.0)))
    assert not store.write(promotion)
    assert fields_of(store.read("small").route) == {"live": 1, "revision": 3}
    with pytest.raises(Conflict, match="none in progress"):
        promote(store.read("small"), cause())


def test_the_same_candidate_again_is_another_rollout(store: RolloutStore) -> None:
    started(store)
    late = transitions.advance(store.read("small"), cause(9.0))
    assert store.write(transitions.roll_back(store.read("small"), cause(5.0)))
    started(store, id="r2")
    assert not store.write(late)
    rollout = store.read("small").rollout
    assert rollout is not None
    assert (rollout.id, rollout.step) == ("r2", 0)


def test_a_version_is_made_live_with_its_record(store: RolloutStore) -> None:
    change = make_live(3)(store.read("small"), cause(7.0, "hot fix"))
    assert store.write(change)
    assert fields_of(store.read("small").route) == {"live": 3, "revision": 2}
    assert store.history("small") == [change]
    assert (change.event, change.before) == ("made live", {"live": 1, "revision": 1})


ACTS = {
    **CHANGES,
    "start": start(2),
    "start another": start(3),
    "make live": make_live(3),
    "resume": transitions.resume,
    "finish": transitions.finish,
}


@pytest.mark.parametrize("seed", range(20))
def test_actors_at_any_moment_leave_one_history_and_a_route_that_somebody_decided(
    seed: int,
) -> None:
    """Three actors read, decide and write in any order, on readings of any age."""
    random, store = Random(seed), in_memory()
    read, written = [store.read("small")] * 3, []
    for at in range(1_000):
        actor = random.randrange(3)
        if random.random() < 0.5:
            read[actor] = store.read("small")
            continue
        try:
            change = ACTS[random.choice(list(ACTS))](read[actor], cause(float(at)))
        except Conflict:
            continue
        now = store.read("small")
        assert store.write(change) == (read[actor] == now)
        written += [change] if read[actor] == now else []
    assert store.history("small") == written
    fields: dict[str, Any] | None = {"live": 1, "revision": 1}
    live = 1
    for change in written:
        assert change.before == fields
        fields = dict(change.after)
        running = change.rollout
        names = {fields["live"]} if running is None else {running.live, running.candidate}
        assert named(fields) <= names
        if change.event == "rolled back":
            assert fields == {"live": live, "revision": fields["revision"]}
        if running is None:
            live = fields["live"]
    assert fields_of(store.read("small").route) == fields
    assert {change.event for change in written} >= {"started", "rolled back", "promoted"}


def test_models_are_independent(server: RegistryServer) -> None:
    store = on_server(server, "ant")
    on_server(server, "bee")
    started(store, model="bee")
    assert store.active() == ["bee"]
    started(store, model="ant")
    assert store.active() == ["ant", "bee"]
    assert store.write(transitions.roll_back(store.read("bee"), cause()))
    assert store.active() == ["ant"]
    assert [change.event for change in store.history("bee")] == ["started", "rolled back"]


# ---- on AWS --------------------------------------------------------------------------------------


def test_the_first_version_of_a_model(server: RegistryServer) -> None:
    store = on_server(server)
    server.client("dynamodb").delete_item(
        TableName=server.table, Key={"model": {"S": "small"}, "item": {"S": "route"}}
    )
    first, other = (transitions.publish_first("small", n, cause(float(n))) for n in (2, 3))
    assert (store.write(first), store.write(other), store.write(first)) == (True, False, True)
    assert fields_of(store.read("small").route) == {"live": 2, "revision": 1}
    assert store.history("small") == [first]


@pytest.mark.parametrize("end", ["REMOVE seal", "SET withdrawn = :now"])
def test_a_version_that_ended_meanwhile_is_not_named(server: RegistryServer, end: str) -> None:
    store = on_server(server)
    change = start(2)(store.read("small"), cause())
    before = items(server)
    server.client("dynamodb").update_item(
        TableName=server.table,
        Key={"model": {"S": "small"}, "item": {"S": "version#00000002"}},
        UpdateExpression=end,
        **({"ExpressionAttributeValues": {":now": {"S": "now"}}} if ":now" in end else {}),
    )
    assert not store.write(change)
    assert {key: before[key] for key in before if "00000002" not in key} == {
        key: item for key, item in items(server).items() if "00000002" not in key
    }
    with pytest.raises(NotFound):
        start(2)(store.read("small"), cause())


def test_a_rollback_leaves_the_item_of_the_route_as_it_was(server: RegistryServer) -> None:
    store = on_server(server)
    before = items(server)["route"]
    for step in (start(2), *[transitions.advance] * 2, promote, transitions.roll_back):
        assert store.write(step(store.read("small"), cause()))
    assert items(server)["route"] == {**before, "revision": {"N": "6"}}


def test_changes_are_stored_as_items_of_their_own(server: RegistryServer) -> None:
    store = on_server(server)
    started(store, at=1_000.5)
    found = items(server)
    route, change = found["route"], found["change#00000002"]
    state = json.loads(route["state"]["S"])
    fields = {
        "live": {"N": "1"},
        "revision": {"N": "2"},
        "canary": {"N": "2"},
        "canary_share": {"N": "0.01"},
        "rollout": {"S": "r1"},
        "step": {"N": "0"},
    }
    assert route == {
        "model": {"S": "small"},
        "item": {"S": "route"},
        **fields,
        "state": route["state"],
    }
    assert (state["id"], state["phase"], state["live"], state["candidate"]) == (
        "r1",
        "canary",
        1,
        2,
    )
    assert change == {
        "model": {"S": "small"},
        "item": {"S": "change#00000002"},
        "event": {"S": "started"},
        "revision": {"N": "2"},
        "at": {"N": "1000.5"},
        "by": {"S": "ann"},
        "reason": {"S": ""},
        "evidence": {"S": "null"},
        "before": {"M": {"live": {"N": "1"}, "revision": {"N": "1"}}},
        "after": {"M": fields},
        "state": route["state"],
    }


def test_functions_read_the_route_and_not_its_history(server: RegistryServer) -> None:
    store = on_server(server)
    change = transitions.start(
        store.read("small"), 2, cause(), id="r1", steps=STEPS, shadow=False, overrides={"ann": 2}
    )
    assert store.write(change)
    route = server.registry.route("small")
    assert route == store.read("small").route
    assert fields_of(route) == change.after
    assert server.registry.models() == {"small": [1, 2, 3]}
    assert [found.version for found in server.publisher.versions("small")] == [1, 2, 3]


class LosesResponses(AwsClient):
    """A client whose first write takes effect, and whose response is lost."""

    lost = 0

    def _send(self, request: Any, *rest: Any) -> Any:
        answer = super()._send(request, *rest)
        if b"TransactItems" in request.body and not self.lost:
            self.lost += 1
            raise ConnectionResetError
        return answer


def test_a_write_whose_response_is_lost_is_known_as_its_own(server: RegistryServer) -> None:
    on_server(server)
    client = LosesResponses("dynamodb", environ=server.environ, sleep=lambda seconds: None)
    store = Rollouts(client, server.table)
    change = started(store)
    assert client.lost == 1
    assert store.history("small") == [change]


def test_a_table_that_cannot_be_read_is_transient(url: str) -> None:
    server = RegistryServer(url, "none", "no-such-table")
    store = Rollouts(AwsClient("dynamodb", environ=server.environ), server.table)
    for call in (lambda: store.read("small"), store.active, lambda: store.history("small")):
        with pytest.raises(Transient, match="ResourceNotFoundException"):
            call()
