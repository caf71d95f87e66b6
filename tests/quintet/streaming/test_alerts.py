"""Alerts: what is one, one an entity and cool-down, and none lost whatever breaks off."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from tests.kits.alerts import (
    NOW,
    ROOM,
    SHARD,
    Row,
    alert,
    found_in,
    scored,
    sequence,
    stream_table,
)
from tests.kits.aws import environ, moto_server

from quintet.aws.alerts import AlertTable
from quintet.aws.client import AwsClient
from quintet.contract import AlertRule, Contract, Output
from quintet.errors import Transient
from quintet.streaming.alert import Alert, bounded, content, of_content, sns_message
from quintet.streaming.alerts import (
    AlertCounts,
    AlertNotifier,
    AlertState,
    LastAlert,
    MemoryAlertChannel,
    MemoryAlertState,
)
from quintet.streaming.thresholds import past_threshold

# ---- what is an alert ----------------------------------------------------------------------------


def alerts_of(rows: Sequence[Row], contract: Contract = ROOM) -> list[Alert]:
    """Every alert that there may be of rows."""
    things = found_in(rows, contract)
    assert contract.alert is not None
    return [
        things.alert(contract.alert, entity, position)
        for entity, positions in things.positions.items()
        for position in positions
    ]


def test_a_prediction_past_the_threshold_is_an_alert() -> None:
    rows = [(1, "s1", 8.2, 0.0), (1, "s2", 5.0, 0.0), (2, "s1", 4.9, 1.5), (3, "s2", 5.1, 2.0)]
    assert alerts_of(rows) == [
        alert(1, "s1"),
        alert(3, "s2", at=2.0, value=5.1),
    ]


def test_a_row_is_told_from_the_others_of_its_record() -> None:
    rows = [(1, "s1", 0.0, 0.0), (1, "s1", 8.2, 0.0)]
    assert alerts_of(rows) == [alert(1, row=1, id=f"{SHARD}/{sequence(1)}/1")]


@pytest.mark.parametrize(
    ("rule", "limits"),
    [
        (AlertRule(output="anomaly", below=-1.0), [(-2.0, None, -1.0)]),
        (
            AlertRule(output="anomaly", above=5.0, below=-1.0),
            [(-2.0, None, -1.0), (6.0, 5.0, None)],
        ),
        (AlertRule(output="anomaly", above=1e300), []),
    ],
)
def test_thresholds_above_and_below(
    rule: AlertRule, limits: list[tuple[float, float | None, float | None]]
) -> None:
    rows = [(n, f"s{n}", value, 0.0) for n, value in enumerate((-2.0, -1.0, 0.0, 5.0, 6.0))]
    made = alerts_of(rows, replace(ROOM, alert=rule))
    assert [(one.value, one.above, one.below) for one in made] == limits


def test_a_threshold_is_compared_in_the_precision_of_the_output() -> None:
    # in float64 the float32 0.7 is below 0.7, and the float32 0.1 above 0.1
    for limit in (0.7, 0.1):
        for rule in (
            AlertRule(output="anomaly", above=limit),
            AlertRule(output="anomaly", below=limit),
        ):
            assert alerts_of([(1, "s1", limit, 0.0)], replace(ROOM, alert=rule)) == []


def test_the_last_column_of_an_output_counts() -> None:
    model_rows, scores, shard_batch = scored([(1, "s1", 0.0, 0.0), (2, "s2", 0.0, 0.0)])
    output = Output(name="anomaly", dtype="float64", shape=(-1, 2), meaning="probabilities")
    contract = replace(ROOM, outputs=(output,), alert=AlertRule(output="anomaly", above=0.5))
    scores.outputs["anomaly"] = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert past_threshold(contract, np.full(2, 2), model_rows, scores, shard_batch).positions == {
        "s2": [1]
    }


def test_only_scored_rows_count_and_an_answer_of_the_fallback_says_so() -> None:
    model_rows, scores, shard_batch = scored([(n, f"s{n}", 8.2, 0.0) for n in range(1, 4)])
    scores.index = np.array([0, 2])  # the second row was refused
    scores.outputs["anomaly"] = scores.outputs["anomaly"][[0, 2]]
    scores.fallback = np.array([False, True])
    things = past_threshold(ROOM, np.full(3, 2), model_rows, scores, shard_batch)
    assert things.positions == {"s1": [0], "s3": [1]}
    assert ROOM.alert is not None
    assert things.alert(ROOM.alert, "s3", 1) == alert(3, "s3", fallback=True)


def test_without_an_entity_the_partition_key_stands_for_it() -> None:
    (made,) = alerts_of([(1, "", 8.2, 0.0)], replace(ROOM, entity=None))
    assert (made.entity, made.entity_key) == ("key-1", None)
    (made,) = alerts_of([(1, "", 8.2, 0.0)])
    assert (made.entity, made.entity_key) == ("key-1", "sensor")


def test_where_there_is_no_alert_none_is_found() -> None:
    assert found_in([]).positions == {}
    assert found_in([(1, "s1", 8.2, 0.0)], replace(ROOM, alert=None)).positions == {}
    assert AlertNotifier(MemoryAlertState(), []).raise_all(found_in([])) == AlertCounts()


# ---- the forms in which it is told ---------------------------------------------------------------

CONTENT = {
    "id": f"{SHARD}/{sequence(1)}/0",
    "model": "room",
    "version": 2,
    "entity": "s1",
    "entity_key": "sensor",
    "output": "anomaly",
    "value": 8.2,
    "threshold": {"above": 5.0},
    "fallback": False,
    "cooldown": 300.0,
    "at": "2027-01-15T08:00:00.125000Z",
    "stream": "events",
    "shard": "shardId-000000000000",
    "sequence": sequence(1),
    "row": 0,
}


def test_an_alert_as_json_and_back() -> None:
    assert content(alert(at=0.125)) == CONTENT
    assert of_content(CONTENT) == alert(at=0.125)


def test_the_message_on_sns() -> None:
    subject, message, attributes = sns_message(alert(at=0.125))
    assert subject == "Alert: room, s1"
    assert json.loads(message) == {"type": "alert", **CONTENT}
    assert attributes == {"model": "room", "entity": "s1"}


def test_sns_takes_what_an_entity_may_hold() -> None:
    subject, message, attributes = sns_message(alert(entity="Zür\nich\x00\ufffe"))
    assert (subject, attributes) == ("Alert: room, Zrich", {"model": "room"})
    assert message.isascii()
    assert json.loads(message)["entity"] == "Zür\nich\x00\ufffe"
    assert len(sns_message(alert(entity="x" * 400))[0]) == 99


def test_a_long_entity_is_cut_and_still_its_own() -> None:
    one, other = bounded("x" * 100_000), bounded("x" * 99_999)
    assert len(one) == len(other) < 200
    assert one != other
    assert bounded("x" * 400) == "x" * 400


def test_who_reads_an_alert_loads_no_arrays() -> None:
    # notify reads them, and needs nothing of numpy
    code = "import sys, quintet.webhooks.events; print('numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout == b"False\n"


# ---- one an entity and cool-down -----------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_server() as address:
        yield address


@pytest.fixture(params=["memory", "dynamodb"])
def state(request: pytest.FixtureRequest, url: str) -> AlertState:
    if request.param == "memory":
        return MemoryAlertState()
    return AlertTable(AwsClient("dynamodb", environ=environ(url)), stream_table(url))


def test_the_state_replaces_only_what_was_read(state: AlertState) -> None:
    assert state.last("room", "s1") is None
    first, second = alert(1, at=0.125), alert(2, at=400, entity="s1")
    assert state.put(first, None)
    assert not state.put(second, None)
    assert state.last("room", "s1") == LastAlert(first)
    state.sent(first)
    state.sent(second)  # it is not the last one
    state.sent(alert(3, "s2"))
    assert (state.last("room", "s1") or LastAlert(second)).sent
    assert state.put(second, LastAlert(first))
    assert not state.put(alert(3, at=800), LastAlert(first))
    assert state.last("room", "s1") == LastAlert(second)
    assert state.last("room", "s2") is None
    assert state.last("hall", "s1") is None


def test_an_entity_gives_one_alert_in_a_cool_down(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    notifier = AlertNotifier(state, [channel])
    rows = [(n, "s1", 8.2, at) for n, at in enumerate((0.0, 1.0, 299.0, 300.0, 599.0))]
    assert notifier.raise_all(found_in(rows)) == AlertCounts(raised=2, suppressed=3)
    assert channel.alerts == [alert(0), alert(3, at=300.0)]
    assert state.last("room", "s1") == LastAlert(alert(3, at=300.0), sent=True)
    assert notifier.raise_all(found_in([(5, "s1", 8.2, 600.0)])) == AlertCounts(raised=1)
    # another entity, another model
    assert notifier.raise_all(found_in([(6, "s2", 8.2, 600.0)])) == AlertCounts(raised=1)
    hall = replace(ROOM, name="hall")
    assert notifier.raise_all(found_in([(7, "s1", 8.2, 600.0)], hall)) == AlertCounts(raised=1)


def test_what_a_cool_down_holds_back_starts_none(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    notifier = AlertNotifier(state, [channel])
    notifier.raise_all(found_in([(1, "s1", 8.2, 0.0)]))
    # 299 is held back by 0; it does not hold 301 back in turn
    later = found_in([(2, "s1", 8.2, 299.0), (3, "s1", 8.2, 301.0)])
    assert notifier.raise_all(later) == AlertCounts(raised=1, suppressed=1)
    assert channel.alerts == [alert(1), alert(3, at=301.0)]


def test_a_batch_that_comes_again_sends_nothing_again(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    notifier = AlertNotifier(state, [channel])
    rows = [(n, "s1", 8.2, at) for n, at in enumerate((0.0, 1.0, 300.0, 301.0))]
    assert notifier.raise_all(found_in(rows)) == AlertCounts(raised=2, suppressed=2)
    assert notifier.raise_all(found_in(rows)) == AlertCounts(suppressed=1)  # the last is undecided
    assert notifier.raise_all(found_in(rows[:2])) == AlertCounts()
    assert len(channel.alerts) == 2


def test_a_record_of_another_shard_that_came_earlier_is_held_back(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    notifier = AlertNotifier(state, [channel])
    notifier.raise_all(found_in([(5, "s1", 8.2, 600.0)]))
    other = found_in([(1, "s1", 8.2, 0.0)], shard="events/shardId-000000000001")
    assert notifier.raise_all(other) == AlertCounts(suppressed=1)
    assert channel.alerts == [alert(5, at=600.0)]


def test_no_cool_down_is_an_alert_a_prediction(state: AlertState) -> None:
    assert ROOM.alert is not None
    contract = replace(ROOM, alert=replace(ROOM.alert, cooldown=0.0))
    channel = MemoryAlertChannel()
    rows = [(n, "s1", 8.2, 0.0) for n in range(3)]
    assert AlertNotifier(state, [channel]).raise_all(found_in(rows, contract)) == AlertCounts(
        raised=3
    )
    assert AlertNotifier(state, [channel]).raise_all(found_in(rows, contract)) == AlertCounts()
    assert [one.sequence for one in channel.alerts] == [sequence(n) for n in range(3)]


# ---- what breaks off, and who races --------------------------------------------------------------


class Down:
    """A topic that does not answer."""

    def send(self, alert: Alert) -> None:
        """Fail."""
        raise Transient("sns did not answer")


def test_an_alert_that_was_not_sent_is_sent_by_the_retry(state: AlertState) -> None:
    channel, rows = MemoryAlertChannel(), [(1, "s1", 8.2, 0.0), (2, "s1", 8.2, 1.0)]
    with pytest.raises(Transient, match=r"^sns did not answer$"):
        AlertNotifier(state, [Down()]).raise_all(found_in(rows))
    assert state.last("room", "s1") == LastAlert(alert(1), sent=False)
    assert AlertNotifier(state, [channel]).raise_all(found_in(rows)) == AlertCounts(
        suppressed=1, resent=1
    )
    assert channel.alerts == [alert(1)]
    assert state.last("room", "s1") == LastAlert(alert(1), sent=True)


def test_an_alert_that_is_not_known_to_be_sent_is_sent_again_under_its_id() -> None:
    class Forgetful(MemoryAlertState):
        def sent(self, alert: Alert) -> None:
            raise Transient("the reply was lost")

    state, channel, rows = MemoryAlertState(), MemoryAlertChannel(), [(1, "s1", 8.2, 0.0)]
    forgetful = Forgetful()
    forgetful.stored = state.stored
    with pytest.raises(Transient):
        AlertNotifier(forgetful, [channel]).raise_all(found_in(rows))
    assert AlertNotifier(state, [channel]).raise_all(found_in(rows)) == AlertCounts(resent=1)
    assert channel.alerts == [alert(1), alert(1)]


def test_an_alert_that_nobody_retries_is_sent_by_the_next_of_its_entity(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    with pytest.raises(Transient):
        AlertNotifier(state, [Down()]).raise_all(found_in([(1, "s1", 8.2, 0.0)]))
    later = found_in([(9, "s1", 8.2, 900.0)])
    assert AlertNotifier(state, [channel]).raise_all(later) == AlertCounts(raised=1, resent=1)
    assert channel.alerts == [alert(1), alert(9, at=900.0)]


def test_one_channel_that_fails_leaves_the_alert_unsent(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    with pytest.raises(Transient):
        AlertNotifier(state, [channel, Down()]).raise_all(found_in([(1, "s1", 8.2, 0.0)]))
    assert state.last("room", "s1") == LastAlert(alert(1), sent=False)


class Meeting:
    """Alert state where somebody else is at work between the first read and what follows."""

    def __init__(self, state: AlertState, meanwhile: Callable[[], object]) -> None:
        self._state = state
        self._meanwhile: list[Callable[[], object]] = [meanwhile]
        self.put, self.sent = state.put, state.sent

    def last(self, model: str, entity: str) -> LastAlert | None:
        """See `AlertState.last`."""
        found = self._state.last(model, entity)
        while self._meanwhile:
            self._meanwhile.pop()()
        return found


@pytest.mark.parametrize("second", [(1, "s1", 8.2, 0.0), (2, "s1", 8.2, 1.0)])
def test_of_two_invocations_at_once_one_raises(state: AlertState, second: Row) -> None:
    channel = MemoryAlertChannel()
    rows = [(1, "s1", 8.2, 0.0)]

    def other() -> None:
        counts = AlertNotifier(state, [channel]).raise_all(found_in([second]))
        assert counts == AlertCounts(raised=1)

    counts = AlertNotifier(Meeting(state, other), [channel]).raise_all(found_in(rows))
    assert counts == AlertCounts()  # what the other raised is this one, or a later one of the shard
    assert [one.sequence for one in channel.alerts] == [sequence(second[0])]


def test_one_that_was_overtaken_by_another_shard_is_held_back(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    far = found_in([(7, "s1", 8.2, 0.5)], shard="events/shardId-000000000001")
    meeting = Meeting(state, lambda: AlertNotifier(state, [channel]).raise_all(far))
    counts = AlertNotifier(meeting, [channel]).raise_all(found_in([(1, "s1", 8.2, 0.0)]))
    assert counts == AlertCounts(suppressed=1)
    assert [one.shard for one in channel.alerts] == ["events/shardId-000000000001"]


def test_an_entity_that_never_stands_still_is_left_for_later() -> None:
    class Changing(MemoryAlertState):
        def put(self, alert: Alert, before: LastAlert | None) -> bool:
            return False

    with pytest.raises(Transient, match="changes too fast"):
        AlertNotifier(Changing(), []).raise_all(found_in([(1, "s1", 8.2, 0.0)]))


def test_many_threads_raise_one_alert_an_entity(state: AlertState) -> None:
    channel = MemoryAlertChannel()
    notifier = AlertNotifier(state, [channel], threads=4)
    shards = [f"events/shardId-{number:012}" for number in range(6)]
    with ThreadPoolExecutor(len(shards)) as pool:
        found = [
            found_in([(n, f"s{n}", 8.2, 0.0) for n in range(3)], shard=shard) for shard in shards
        ]
        counts = sum(pool.map(notifier.raise_all, found), AlertCounts())
    assert counts.raised == 3
    assert counts.suppressed == 3 * (len(shards) - 1)
    # who meets one that is being sent sends it, too
    assert len({one.id for one in channel.alerts}) == 3
    assert len(channel.alerts) == 3 + counts.resent


class Faults:
    """Alert state and a channel that fail before or after they do what they are asked."""

    def __init__(self, seed: int) -> None:
        self.state, self.channel = MemoryAlertState(), MemoryAlertChannel()
        self._random = random.Random(seed)

    def __getattr__(self, name: str) -> Callable[..., object]:
        real = getattr(self.channel if name == "send" else self.state, name)

        def faulty(*arguments: object) -> object:
            dice = self._random.random()
            if dice < 0.2:
                raise Transient("before")
            done: object = real(*arguments)
            if dice < 0.4:
                raise Transient("after")
            return done

        return faulty


@pytest.mark.parametrize("seed", range(60))
def test_none_is_lost_whatever_breaks_off(seed: int) -> None:
    dice = random.Random(seed)
    moments = sorted(dice.uniform(0, 2_000) for _ in range(40))
    rows = [
        (n, f"s{dice.randrange(3)}", dice.choice((0.0, 8.2)), at) for n, at in enumerate(moments)
    ]
    wanted, quiet = [], dict.fromkeys(("s0", "s1", "s2"), -1e9)
    for record, entity, value, at in rows:
        if value > 5 and NOW + at >= NOW + quiet[entity] + 300:
            wanted.append(alert(record, entity, at))
            quiet[entity] = at
    faults = Faults(seed)
    notifier = AlertNotifier(faults, [faults])  # type: ignore[arg-type, list-item]
    start = 0
    while start < len(rows):
        end = start + dice.randrange(1, 15)  # a retry may come in another batch
        try:
            notifier.raise_all(found_in(rows[start:end]))
            start = end
        except Transient:
            continue
    first_sent = list(dict.fromkeys(faults.channel.alerts))
    assert sorted(first_sent, key=lambda one: int(one.sequence)) == wanted
    assert all(raised.sent for raised in faults.state.stored.values())
