"""The registry table: the versions of every model, and its route.

The keys are model and item: "version#00000001" holds a version, "route" the versions that serve.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import Item, Table, attributes
from quintet.serving.routes import NAME, Route, UnknownModel, Version

__all__ = ["Registry"]


class Registry:
    """Reads the registry table."""

    def __init__(self, client: AwsClient, table: str) -> None:
        self._table = Table(client, table)

    def route(self, model: str) -> Route:
        """Read the route of a model, with all of its versions, in one query.

        Raises:
            NotFound: the model does not exist.
            Transient: the table could not be read.
        """
        if not NAME.fullmatch(model):  # a name from a URL may not be a valid key
            raise UnknownModel(model)
        query: Item = {
            "KeyConditionExpression": "#model = :model",
            "ExpressionAttributeNames": {"#model": "model"},
            "ExpressionAttributeValues": attributes({":model": model}),
            "ConsistentRead": True,
        }
        items = {item["item"]["S"]: item for item in self._table.pages("Query", **query)}
        route = items.pop("route", None)
        if route is None:
            raise UnknownModel(model)
        versions = [_version(item) for item in items.values() if _answers(item)]
        return Route(
            model=model,
            live=int(route["live"]["N"]),
            revision=int(route["revision"]["N"]),
            versions={version.number: version for version in versions},
            canary=int(route["canary"]["N"]) if "canary" in route else None,
            canary_share=float(route["canary_share"]["N"]) if "canary_share" in route else 0.0,
            shadow=int(route["shadow"]["N"]) if "shadow" in route else None,
            withdrawn={
                int(item["version"]["N"]): item["withdrawn"]["S"]
                for item in items.values()
                if "withdrawn" in item
            },
        )

    def versions(self, model: str) -> list[int]:
        """Return the numbers of a model's versions, ascending.

        Raises:
            NotFound: the model does not exist.
            Transient: the table could not be read.
        """
        return sorted(self.route(model).versions)

    def models(self) -> dict[str, list[int]]:
        """Return the models with a live version, sorted, each with its versions, ascending.

        Raises:
            Transient: the table could not be read.
        """
        scan: Item = {
            "ProjectionExpression": "#model, #item, #version, seal, withdrawn",
            "ExpressionAttributeNames": {
                "#item": "item",
                "#model": "model",
                "#version": "version",
            },
        }
        live, versions = set(), defaultdict(list)
        for item in self._table.pages("Scan", **scan):
            if item["item"]["S"] == "route":
                live.add(item["model"]["S"])
            elif _answers(item):
                versions[item["model"]["S"]].append(int(item["version"]["N"]))
        return {model: sorted(versions[model]) for model in sorted(live)}


def _answers(item: dict[str, Any]) -> bool:
    """Whether a version is completely published and was not withdrawn."""
    return "seal" in item and "withdrawn" not in item


def _version(item: dict[str, Any]) -> Version:
    return Version(
        number=int(item["version"]["N"]),
        digest=item["digest"]["S"],
        seal=item["seal"]["S"],
        size=int(item["size"]["N"]),
        created=item["created"]["S"],
    )
