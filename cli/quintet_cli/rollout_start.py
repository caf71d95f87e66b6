"""How a rollout begins: what is checked, which gates are lost, what the others need. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quintet.contract import Contract, RolloutRule
from quintet.errors import BadInput, Conflict, NotFound
from quintet.rollouts.compatible import check_captured, check_compatible, unpaired
from quintet.rollouts.gates import PAIRED, UNPAIRED, rule_for
from quintet.rollouts.power import needed
from quintet.rollouts.state import Rollout
from quintet.rollouts.store import Cause, Change, Stored
from quintet.rollouts.transitions import LEAST_SHARE, start
from quintet.serving.routes import Route

#: why encrypted features cannot be opened on a stage without the key
UNSEALED = "the stage captures none; deploy it with SealedCaptures=on"

__all__ = ["Asked", "begin", "check_version", "gates_needed", "lost_gates", "shares_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the caller asks for: `steps` are shares of 0 to 1, by default the contract's.

    `entities` are answered by the candidate from the start, with `only` by nothing else until the
    rollout is resumed.
    """

    version: int
    steps: tuple[float, ...] | None = None
    skip_shadow: bool = False
    entities: Sequence[str] = ()
    only: bool = False


def shares_of(text: str) -> tuple[float, ...]:
    """Shares from a list such as "1%,10%,100%" or "0.01,0.1,1".

    Raises:
        BadInput: a part is neither a number nor a percentage, is below `LEAST_SHARE` or above 1,
            or "1" comes first, which many write for 1 %.
    """
    if text.split(",", maxsplit=1)[0].strip() == "1":
        raise BadInput.of("--steps", "1% or 100% at the first step", "'1', which may mean either")
    return tuple(_share(part.strip()) for part in text.split(","))


def check_version(route: Route, version: int) -> None:
    """Check that a version is published and answers.

    Raises:
        NotFound: it is not, or it was withdrawn.
    """
    if version not in route.versions:
        withdrawn = route.withdrawn.get(version)
        got = f"{version}, which was withdrawn at {withdrawn}" if withdrawn else str(version)
        known = ", ".join(map(str, sorted(route.versions)))
        raise NotFound.of("version", f"a published version of {route.model} ({known})", got)


def begin(
    stored: Stored,
    live: Contract,
    candidate: Contract,
    asked: Asked,
    cause: Cause,
    *,
    id: str,
    sealed: bool = False,
) -> Change:
    """The change that begins a rollout; `sealed` is whether the stage encrypts sensitive captures.

    Raises:
        Conflict: the contracts differ, captures are off, captures do not allow a shadow and
            `skip_shadow` was not asked for, or the route does not allow it.
        BadInput: the steps or the entities are invalid.
    """
    check_compatible(live, candidate)
    check_captured(live, candidate)
    blind = unpaired(live, candidate, "" if sealed else UNSEALED)
    if blind.shadow and not asked.skip_shadow:
        raise _no_shadow(blind.shadow, lost=bool(blind.canary))
    return start(
        stored,
        asked.version,
        cause,
        id=id,
        steps=asked.steps or candidate.rollout.steps,
        shadow=not asked.skip_shadow,
        paired=not (asked.skip_shadow and blind.canary),
        overrides=dict.fromkeys(asked.entities, asked.version),
        held=asked.only,
    )


def lost_gates(rollout: Rollout, rule: RolloutRule) -> list[str]:
    """The gates of a contract that a rollout goes without."""
    return [gate for gate in PAIRED if not rollout.paired and rule.gates.modes[gate] != "off"]


def gates_needed(rollout: Rollout, rule: RolloutRule) -> dict[str, int]:
    """How many rows, or entities of the candidate, each gate needs at the first step before it may
    say ok; empty if all are off. A step of 100 % has no gates of entities."""
    rule, share = rule_for(rollout, rule), rollout.steps[0]
    gates = (*PAIRED, *UNPAIRED) if share < 1 else PAIRED
    counts = needed(rule, share if share < 1 else 0.5)  # those of pairs do not depend on it
    return {gate: counts[gate] for gate in gates if rule.gates.modes[gate] != "off"}


def _no_shadow(why: str, *, lost: bool) -> BadInput:
    hint = "`--skip-shadow` begins with a canary"
    if lost:
        hint += f", without the gates {', '.join(PAIRED)}; {', '.join(UNPAIRED)} are left"
    return Conflict.of("shadow", "captures that the candidate can score", f"none: {why}; {hint}")


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%").rstrip()) / (100 if text.endswith("%") else 1)
    except ValueError:
        expected = "shares such as 1%,10%,100% or 0.01,0.1,1"
        raise BadInput.of("--steps", expected, repr(text)) from None
    if not LEAST_SHARE <= share <= 1:
        raise BadInput.of("--steps", f"shares from {100 * LEAST_SHARE:.4f}% to 100%", repr(text))
    return share
