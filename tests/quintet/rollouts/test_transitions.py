"""How a route changes during a rollout, and what its state does not allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.kits.rollouts import STEPS, cause, in_memory, started

from quintet.errors import BadInput, Conflict, NotFound
from quintet.rollouts import transitions
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Cause, Change, MemoryRollouts, Stored, fields_of

Step = Callable[[Stored, Cause], Change]


def go(store: MemoryRollouts, step: Step, at: float = 2_000.0, reason: str = "") -> dict[str, Any]:
    """The fields of the route after a step."""
    change = step(store.read("small"), cause(at, reason))
    assert store.write(change)
    after = store.read("small")
    assert (fields_of(after.route), after.rollout) == (change.after, change.rollout)
    return fields_of(after.route)


def promote(stored: Stored, cause: Cause) -> Change:
    return transitions.promote(stored, cause, verdict="ok")


def test_a_rollout_from_shadow_to_its_end() -> None:
    store = in_memory()
    started(store, shadow=True)
    seen = [fields_of(store.read("small").route)]
    for step in (*[transitions.advance] * 3, promote, transitions.finish):
        seen.append(go(store, step))
    run = {"rollout": "r1"}
    assert seen == [
        {"live": 1, "revision": 2, "shadow": 2, **run, "step": -1},
        {"live": 1, "revision": 3, "canary": 2, "canary_share": 0.01, **run, "step": 0},
        {"live": 1, "revision": 4, "canary": 2, "canary_share": 0.1, **run, "step": 1},
        {"live": 1, "revision": 5, "canary": 2, "canary_share": 1.0, **run, "step": 2},
        {"live": 2, "revision": 6, **run, "step": 3},
        {"live": 2, "revision": 7},
    ]
    assert store.read("small").rollout is None


def test_the_state_of_a_rollout_says_who_began_it_and_when_its_step_began() -> None:
    store = in_memory()
    change = transitions.start(
        store.read("small"), 3, cause(5.0, "new data"), id="r7", steps=[0.5], overrides={"a": 3}
    )
    begun = Rollout(
        id="r7",
        model="small",
        live=1,
        candidate=3,
        phase="shadow",
        steps=(0.5,),
        step=-1,
        started=5.0,
        entered=5.0,
        by="ann",
        reason="new data",
    )
    assert change == Change(
        model="small",
        event="started",
        cause=cause(5.0, "new data"),
        before={"live": 1, "revision": 1},
        after={
            "live": 1,
            "revision": 2,
            "shadow": 3,
            "overrides": {"a": 3},
            "rollout": "r7",
            "step": -1,
        },
        rollout=begun,
    )
    assert store.write(change)
    after = transitions.advance(store.read("small"), cause(9.0)).rollout
    assert after is not None
    assert (after.started, after.entered, after.phase, after.step) == (5.0, 9.0, "canary", 0)


def test_overrides_last_until_the_promotion() -> None:
    store = in_memory()
    first = transitions.start(
        store.read("small"),
        2,
        cause(),
        id="r1",
        steps=STEPS,
        shadow=False,
        overrides={"bob": 1, "ann": 2},
    )
    assert store.write(first)
    assert go(store, transitions.pause)["overrides"] == {"bob": 1, "ann": 2}
    assert go(store, transitions.resume)["overrides"] == {"bob": 1, "ann": 2}
    assert go(store, transitions.advance)["overrides"] == {"bob": 1, "ann": 2}
    assert "overrides" not in go(store, promote)


@pytest.mark.parametrize("shadow", [True, False])
def test_a_rollout_may_begin_with_overrides_only(shadow: bool) -> None:
    store = in_memory()
    change = transitions.start(
        store.read("small"),
        2,
        cause(),
        id="r1",
        steps=STEPS,
        shadow=shadow,
        overrides={"ann": 2},
        held=True,
    )
    assert store.write(change)
    held = fields_of(store.read("small").route)
    common = {"live": 1, "overrides": {"ann": 2}, "rollout": "r1"}
    quiet = {"shadow": 2} if shadow else {}
    assert held == {**common, **quiet, "revision": 2, "step": -1}
    with pytest.raises(Conflict, match="with its overrides only; `quintet rollout resume small`"):
        transitions.advance(store.read("small"), cause())
    resumed = go(store, transitions.resume)
    if shadow:
        assert resumed == {**held, "revision": 3}
    else:
        canary = {"canary": 2, "canary_share": 0.01, "step": 0}
        assert resumed == {**common, **canary, "revision": 3}


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_a_rollback_leaves_every_field_as_before(steps: int) -> None:
    store = in_memory()
    before = fields_of(store.read("small").route)
    started(store, shadow=True)
    for step in [*[transitions.advance] * 3, promote][:steps]:
        go(store, step)
    after = go(store, transitions.roll_back)
    assert after == {**before, "revision": 3 + steps}
    assert store.read("small").rollout is None


def test_a_pause_keeps_the_route_and_a_resumed_step_begins_anew() -> None:
    store = in_memory()
    started(store)
    before = fields_of(store.read("small").route)
    assert go(store, transitions.pause, 20.0, "odd scores") == {**before, "revision": 3}
    paused = store.read("small").rollout
    assert paused is not None
    assert (paused.paused, paused.entered) == ("odd scores", 1_000.0)
    assert go(store, transitions.resume, 30.0) == {**before, "revision": 4}
    resumed = store.read("small").rollout
    assert resumed is not None
    assert (resumed.paused, resumed.entered) == ("", 30.0)


def test_a_pause_does_not_stop_a_promotion_or_a_rollback_by_hand() -> None:
    for step, live in ((promote, 2), (transitions.roll_back, 1)):
        store = in_memory()
        started(store)
        go(store, transitions.pause)
        assert go(store, step)["live"] == live
        rollout = store.read("small").rollout
        assert rollout is None or rollout.paused == ""


@pytest.mark.parametrize("verdict", ["bad", "no evidence", "broken", ""])
def test_a_promotion_without_an_ok_verdict_needs_force_and_a_reason(verdict: str) -> None:
    store = in_memory()
    started(store)
    stored = store.read("small")
    for force, reason in ((False, ""), (False, "why"), (True, "")):
        with pytest.raises(Conflict) as caught:
            transitions.promote(stored, cause(reason=reason), verdict=verdict, force=force)
        got = f"{verdict!r} and no reason" if force else f"{verdict!r}"
        assert str(caught.value) == (
            f"verdict: expected 'ok', or force with a reason, got {got}; `quintet rollout status "
            "small` shows the gates, and `quintet rollout promote small --force --reason ...` "
            "overrules them"
        )
    forced = transitions.promote(stored, cause(reason="why"), verdict=verdict, force=True)
    assert forced.after["live"] == 2


NONE = "none in progress; `quintet rollout start small VERSION` begins one"


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (transitions.advance, "advances"),
        (transitions.pause, "can be paused"),
        (transitions.resume, "can be resumed"),
        (promote, "can be promoted"),
        (transitions.roll_back, "can be rolled back"),
        (transitions.finish, "can be finished"),
    ],
)
def test_without_a_rollout_the_message_says_how_to_begin_one(step: Step, what: str) -> None:
    with pytest.raises(Conflict) as caught:
        step(in_memory().read("small"), cause())
    assert str(caught.value) == f"rollout: expected one of small that {what}, got {NONE}"


@pytest.mark.parametrize(
    "step", [transitions.advance, transitions.pause, transitions.resume, promote]
)
def test_after_the_promotion_only_a_rollback_or_the_end_is_left(step: Step) -> None:
    store = in_memory()
    started(store)
    go(store, promote)
    with pytest.raises(Conflict, match=r"got version 2 promoted and watched; it ends by itself"):
        step(store.read("small"), cause())


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            transitions.resume,
            "expected a paused rollout, got version 2 as canary at 100 %, which goes on by itself",
        ),
        (
            transitions.advance,
            "expected a rollout before its last step, got version 2 as canary at 100 %; "
            "`quintet rollout promote small` makes version 2 live",
        ),
        (
            transitions.finish,
            "expected a rollout whose version was promoted, got version 2 as canary at 100 %",
        ),
    ],
)
def test_what_a_canary_at_its_last_step_does_not_allow(step: Step, message: str) -> None:
    store = in_memory()
    started(store, steps=[1.0])
    with pytest.raises(Conflict) as caught:
        step(store.read("small"), cause())
    assert str(caught.value) == f"rollout: {message}"


def test_a_second_rollout_of_a_model_is_refused_with_the_one_in_progress() -> None:
    store = in_memory()
    started(store)
    go(store, transitions.pause, reason="odd scores")
    with pytest.raises(Conflict) as caught:
        transitions.start(store.read("small"), 3, cause(), id="r2", steps=STEPS)
    assert str(caught.value) == (
        "rollout: expected no rollout of small in progress, got version 2 as canary at 1 %, "
        "paused (odd scores); wait for its end, or end it with `quintet rollout rollback small`"
    )
    with pytest.raises(Conflict) as caught:
        transitions.make_live(store.read("small"), 3, cause())
    assert str(caught.value) == (
        "rollout: expected no rollout of small in progress, got version 2 as canary at 1 %, "
        "paused (odd scores); `quintet rollout promote small` or `quintet rollout rollback small` "
        "ends it"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"candidate": 9}, NotFound, "model: 'small' version 9 is not found"),
        (
            {"candidate": 1},
            Conflict,
            "rollout: expected a version that is not live, got 1, which answers every request "
            "already",
        ),
        ({"steps": []}, BadInput, "steps: expected at least one share, got none"),
        (
            {"steps": [0.5, 0.1]},
            BadInput,
            "steps: expected ascending shares from 0.000001 to 1, got 0.1 after 0.5",
        ),
        (
            {"steps": [0.5, 1.5]},
            BadInput,
            "steps: expected ascending shares from 0.000001 to 1, got 1.5 after 0.5",
        ),
        (
            {"steps": [1e-12, 0.5]},
            BadInput,
            "steps: expected ascending shares from 0.000001 to 1, got 1e-12 after 0",
        ),
        (
            {"steps": [float("nan")]},
            BadInput,
            "steps: expected ascending shares from 0.000001 to 1, got nan after 0",
        ),
        (
            {"overrides": {"ann": 3}},
            BadInput,
            "overrides: expected the live version or the candidate for 'ann', got 3",
        ),
        (
            {"overrides": {str(n): 2 for n in range(101)}},
            BadInput,
            "overrides: expected at most 100 entities, got 101",
        ),
        (
            {"overrides": {"": 2}},
            BadInput,
            "overrides: expected entities of at least one character, got ''",
        ),
        (
            {"held": True},
            BadInput,
            "overrides: expected at least one, as the rollout begins with them alone, got none",
        ),
    ],
)
def test_what_does_not_begin_a_rollout(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    asked = {"candidate": 2, "id": "r1", "steps": STEPS, **arguments}
    candidate = asked.pop("candidate")
    with pytest.raises(error) as caught:
        transitions.start(in_memory().read("small"), candidate, cause(), **asked)
    assert str(caught.value).endswith(message)


def test_a_route_with_a_canary_of_no_rollout_is_left_alone() -> None:
    store = in_memory()
    route = store.read("small").route
    by_hand = Stored(type(route)("small", 1, 4, route.versions, canary=2, canary_share=0.5))
    with pytest.raises(Conflict, match="got one that was not written by a rollout"):
        transitions.start(by_hand, 3, cause(), id="r1", steps=STEPS)
