"""Usage plans of the API: who is in one, at which rate, and that they outlive a restart.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quintet_local.names import ACCOUNT, REGION

__all__ = ["Bucket", "Throttle", "UsagePlans", "put_back", "snapshot"]


@dataclass(frozen=True)
class Throttle:
    """Requests a second, and how many may come at once."""

    rate: float
    burst: float


class Bucket:
    """A token bucket of one key in a plan; `now` is seconds of any clock."""

    def __init__(self, throttle: Throttle, now: float) -> None:
        self.throttle = throttle
        self._tokens, self._since = throttle.burst, now

    def take(self, now: float) -> bool:
        """Take a token; false if there is none."""
        gained = (now - self._since) * self.throttle.rate
        self._tokens = min(self.throttle.burst, self._tokens + gained)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class UsagePlans:
    """The plans of one API: those of the template by their keys' values, and moto's."""

    def __init__(
        self,
        api_id: str,
        ours: Mapping[str, Throttle | None],
        clock: Callable[[], float],
    ) -> None:
        self._api_id = api_id
        self._ours = ours
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def admits(self, key: str) -> bool | None:
        """Whether the key's plan lets one more request pass; None if it is in no plan."""
        if key in self._ours:
            throttle = self._ours[key]
        else:
            found = _made(self._api_id, key)
            if found is None:
                return None
            throttle = _throttle(found.throttle)
        if throttle is None:
            return True
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None or bucket.throttle != throttle:
            bucket = self._buckets[key] = Bucket(throttle, now)
        return bucket.take(now)


def _backend() -> Any:
    from moto.apigateway.models import apigateway_backends

    return apigateway_backends[ACCOUNT][REGION]


def _made(api_id: str, value: str) -> Any:
    """moto's plan of an API that has an enabled key of that value."""
    if "moto.apigateway.models" not in sys.modules:  # nobody made one
        return None
    backend = _backend()
    enabled = {key.id for key in list(backend.keys.values()) if key.value == value and key.enabled}
    for plan in list(backend.usage_plans.values()):
        members = backend.usage_plan_keys.get(plan.id) or {}
        if enabled & set(members) and any(s["apiId"] == api_id for s in plan.api_stages or []):
            return plan
    return None


def _throttle(found: Mapping[str, Any] | None) -> Throttle | None:
    if not found or "rateLimit" not in found:
        return None
    return Throttle(float(found["rateLimit"]), float(found.get("burstLimit") or 1))


def snapshot() -> dict[str, Any] | None:
    """All that moto has of plans and keys, as JSON; None if nobody made one."""
    if "moto.apigateway.models" not in sys.modules:
        return None
    backend = _backend()
    return {
        "plans": [
            {"name": p.name, "apiStages": p.api_stages, "throttle": p.throttle, "keys": keys}
            for p in list(backend.usage_plans.values())
            if (keys := [k.value for k in list(backend.usage_plan_keys.get(p.id, {}).values())])
        ],
        "keys": [
            {"name": key.name, "value": key.value, "enabled": key.enabled}
            for key in list(backend.keys.values())
        ],
    }


def put_back(kept: Mapping[str, Any]) -> None:
    """Make plans and keys in moto as a snapshot has them; their ids are new."""
    backend = _backend()
    ids = {key["value"]: backend.create_api_key(key).id for key in kept["keys"]}
    for plan in kept["plans"]:
        made = backend.create_usage_plan({name: plan[name] for name in plan if name != "keys"})
        for value in plan["keys"]:
            member = {"keyId": ids[value], "keyType": "API_KEY"}
            backend.create_usage_plan_key(made.id, member)
