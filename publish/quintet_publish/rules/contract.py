"""The rules of a contract as a whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from quintet.contract import Capture, Contract, DriftRule, Slo
from quintet.serving.routes import NAME
from quintet_publish.rules.candidates import check_candidates
from quintet_publish.rules.fallback import check_alert, check_fallback
from quintet_publish.rules.features import check_feature
from quintet_publish.rules.recommend import check_recommend
from quintet_publish.rules.rollout import check_rollout
from quintet_publish.rules.stream import check_stream
from quintet_publish.rules.tensors import check_constant, check_input, check_output
from quintet_publish.rules.terms import FIELD, Found, under

__all__ = ["check_contract"]

MAX_VERSION = 99_999_999
MAX_ROWS = 1_000_000
#: the part of Lambda's 6 MB payload left for a body, which arrives as base64 with its headers
MAX_BODY = 4_700_000
MAX_CACHE_SECONDS = 86_400
#: 13 months, to compare a month with the same one a year before; template.yaml deletes after it
MAX_CAPTURE_DAYS = 400
MAX_FALSE_ALARMS = 0.5


def check_contract(contract: Contract) -> Found:
    """List where the contract contradicts itself, and what was expected."""
    yield from _header(contract)
    for kind in ("features", "inputs", "outputs"):
        yield from _unique(kind, [item.name for item in getattr(contract, kind)])
    for position, feature in enumerate(contract.features):
        yield from under(("features", position), check_feature(contract, feature))
    for position, graph_input in enumerate(contract.inputs):
        yield from under(("inputs", position), check_input(contract, graph_input))
    for name in contract.constants:
        yield from under(("constants", name), check_constant(contract, name))
    for position, output in enumerate(contract.outputs):
        yield from under(("outputs", position), check_output(output))
    yield from _unused(contract)
    if contract.fallback:
        yield from under(("fallback",), check_fallback(contract, contract.fallback))
    if contract.alert:
        yield from under(("alert",), check_alert(contract, contract.alert))
    if contract.candidates:
        yield from under(("candidates",), check_candidates(contract, contract.candidates))
    if contract.recommend:
        yield from under(("recommend",), check_recommend(contract, contract.recommend))
    if contract.stream:
        yield from under(("stream",), check_stream(contract, contract.stream))


def _header(contract: Contract) -> Found:
    if not NAME.fullmatch(contract.name):
        yield (
            ("name",),
            "expected a lower-case letter, then at most 62 lower-case letters, digits, _ or -",
        )
    if not 1 <= contract.version <= MAX_VERSION:
        yield ("version",), f"expected a number from 1 to {MAX_VERSION}, got {contract.version}"
    if contract.entity is not None:
        if not FIELD.fullmatch(contract.entity):
            yield ("entity",), "expected a letter or _, then letters, digits, _ . or -"
        if any(feature.name == contract.entity for feature in contract.stored):
            yield ("entity",), "is also the name of a stored feature, which it cannot be"
    if contract.id is not None:
        yield from under(("id",), _id(contract, contract.id))
    for name, value, maximum in (
        ("rows", contract.limits.rows, MAX_ROWS),
        ("bytes", contract.limits.bytes, MAX_BODY),
    ):
        if not 1 <= value <= maximum:
            yield ("limits", name), f"expected a number from 1 to {maximum}, got {value}"
    if not 0 <= contract.limits.max_refused <= 1:
        got = f"{contract.limits.max_refused:g}"
        yield ("limits", "max_refused"), f"expected a share from 0 to 1, got {got}"
    if contract.training_target is not None and contract.training_data is None:
        yield ("training_target",), "needs `training_data`, whose column it names"
    yield from under(("slo",), _slo(contract.slo))
    if contract.capture:
        yield from under(("capture",), _capture(contract.capture))
    yield from under(("drift",), _drift(contract.drift))
    yield from under(("rollout",), check_rollout(contract.rollout))
    if not 0 <= contract.cache_ttl <= MAX_CACHE_SECONDS:
        yield (
            ("cache_ttl",),
            f"expected seconds from 0 to {MAX_CACHE_SECONDS}, got {contract.cache_ttl:g}",
        )


def _id(contract: Contract, name: str) -> Found:
    if not FIELD.fullmatch(name):
        yield (), "expected a letter or _, then at most 62 letters, digits, _ . or -"
    elif name == contract.entity:
        yield (), "is also the name of the entity key, of which many rows have the same one"
    elif any(name in (feature.name, feature.key) for feature in contract.features):
        yield (), f"expected a field that is not a feature, got {name!r}"
    elif contract.stream is not None and name == contract.stream.time:
        yield (), "is also the time of the stream's rows, which it cannot be"


def _slo(slo: Slo) -> Found:
    if slo.p95_ms <= 0:
        yield ("p95_ms",), f"expected more than 0, got {slo.p95_ms:g}"
    if not 0 < slo.availability < 1:
        yield ("availability",), f"expected a share between 0 and 1, got {slo.availability:g}"


def _capture(capture: Capture) -> Found:
    if not 0 <= capture.rate <= 1:
        yield ("rate",), f"expected a share from 0 to 1, got {capture.rate:g}"
    if not 1 <= capture.days <= MAX_CAPTURE_DAYS:
        yield ("days",), f"expected a number from 1 to {MAX_CAPTURE_DAYS}, got {capture.days}"


def _drift(rule: DriftRule) -> Found:
    if not 0 < rule.false_alarms <= MAX_FALSE_ALARMS:
        text = f"expected more than 0, and at most {MAX_FALSE_ALARMS}, got {rule.false_alarms:g}"
        yield ("false_alarms",), text
    if not 0 <= rule.floor < 1:
        yield ("floor",), f"expected from 0 to less than 1, got {rule.floor:g}"


def _unique(kind: str, names: Sequence[str]) -> Found:
    if not names:
        yield (kind,), "expected at least one"
    for position, name in enumerate(names):
        if name in names[:position]:
            yield (kind, position, "name"), f"{name} is listed twice"


def _unused(contract: Contract) -> Found:
    used = {name for i in contract.inputs for name in i.names}
    used |= {rule.feature for rule in (contract.fallback.rules if contract.fallback else ())}
    if contract.candidates and contract.candidates.segment:
        used.add(contract.candidates.segment)
    for position, feature in enumerate(contract.features):
        if feature.name not in used:
            yield ("features", position, "name"), f"{feature.name} feeds no input"
