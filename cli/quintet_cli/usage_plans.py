"""The usage plans that give callers' keys their rates: one for each rate of a stage."""

from __future__ import annotations

from typing import Any

from quintet.callers.keys import Key
from quintet_cli.stage import Stage

__all__ = ["UsagePlans"]


class UsagePlans:
    """API Gateway's plans of a stage, and the keys in them, by the names that are given here.

    `gateway` is boto3's client; only `add` needs the id of the stage's API.
    """

    def __init__(self, gateway: Any, stage: str, api: str = "") -> None:
        self._gateway = gateway
        self._api = api
        self._stage = stage
        self._name = f"quintet-{stage}"

    @classmethod
    def of(cls, stage: Stage) -> UsagePlans:
        """Return those of an open stage."""
        return cls(stage.client("apigateway"), stage.name, stage.outputs["ApiId"])

    def add(self, key: Key) -> None:
        """Put a key with a rate into the plan of that rate."""
        made = self._gateway.create_api_key(
            name=self._key_name(key), value=key.plan_key, enabled=True
        )
        plan = self._plan(f"{self._name}-{key.rate}-a-second", float(key.rate or 0))
        self._gateway.create_usage_plan_key(usagePlanId=plan, keyId=made["id"], keyType="API_KEY")

    def remove(self, key: Key) -> None:
        """Take a key out of its plan; nothing if it is in none."""
        name = self._key_name(key)
        for found in self._gateway.get_api_keys(nameQuery=name)["items"]:
            if found["name"] == name:
                self._gateway.delete_api_key(apiKey=found["id"])

    def remove_all(self) -> int:
        """Delete the plans of the stage, which would keep its API from being deleted, and keys."""
        plans = self._plans()
        for plan in plans.values():
            for stage in plan.get("apiStages", []):
                value = f"{stage['apiId']}:{stage['stage']}"
                patch = {"op": "remove", "path": "/apiStages", "value": value}
                self._gateway.update_usage_plan(usagePlanId=plan["id"], patchOperations=[patch])
            self._gateway.delete_usage_plan(usagePlanId=plan["id"])
        pages = self._gateway.get_paginator("get_api_keys").paginate(nameQuery=f"{self._name}/")
        for key in [key for page in pages for key in page["items"]]:
            self._gateway.delete_api_key(apiKey=key["id"])
        return len(plans)

    def _key_name(self, key: Key) -> str:
        return f"{self._name}/{key.name}/{key.id}"

    def _plans(self) -> dict[str, Any]:
        """The plans of the stage by name."""
        pages = self._gateway.get_paginator("get_usage_plans").paginate()
        found = (plan for page in pages for plan in page["items"])
        ours = (p for p in found if p["name"].startswith(f"{self._name}-"))
        return {p["name"]: p for p in ours if p["name"].endswith("-a-second")}

    def _plan(self, name: str, rate: float) -> str:
        """The id of the plan of a rate, which is made for the first key."""
        if (found := self._plans().get(name)) is not None:
            return str(found["id"])
        made = self._gateway.create_usage_plan(
            name=name,
            description="made by quintet keys create --rate",
            apiStages=[{"apiId": self._api, "stage": self._stage}],
            throttle={"rateLimit": rate, "burstLimit": max(1, int(rate))},
        )
        return str(made["id"])
