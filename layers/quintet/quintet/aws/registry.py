"""The registry table: the versions of every model, and its route.

The keys are model and item: "version#00000001" holds a version, "route" the versions that serve,
"change#00000001" a past change of the route, which sorts before both and is not read here.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from quintet.aws.client import AwsClient
from quintet.aws.dynamodb import Item, Table, attributes, plain
from quintet.serving.routes import NAME, Route, UnknownModel, Version

__all__ = ["ROUTE", "Registry", "route_of", "version_key"]

#: the key of a route; those of versions sort after it
ROUTE = "route"
#: the attributes of a route that are fields of `Route`
_FIELDS = (
    "live",
    "revision",
    "canary",
    "canary_share",
    "shadow",
    "overrides",
    "rollout",
    "step",
)


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
        return route_of(model, self.items(model))

    def items(self, model: str) -> dict[str, Item]:
        """Read the items of a model's route and versions, by their key.

        Raises:
            NotFound: the name is not one of a model.
            Transient: the table could not be read.
        """
        if not NAME.fullmatch(model):  # a name from a URL may not be a valid key
            raise UnknownModel(model)
        query: Item = {
            "KeyConditionExpression": "#model = :model AND #item >= :route",
            "ExpressionAttributeNames": {"#model": "model", "#item": "item"},
            "ExpressionAttributeValues": attributes({":model": model, ":route": ROUTE}),
            "ConsistentRead": True,
        }
        return {item["item"]["S"]: item for item in self._table.pages("Query", **query)}

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
            "FilterExpression": "#item >= :route",
            "ExpressionAttributeNames": {
                "#item": "item",
                "#model": "model",
                "#version": "version",
            },
            "ExpressionAttributeValues": attributes({":route": ROUTE}),
        }
        live, versions = set(), defaultdict(list)
        for item in self._table.pages("Scan", **scan):
            if item["item"]["S"] == ROUTE:
                live.add(item["model"]["S"])
            elif _answers(item):
                versions[item["model"]["S"]].append(int(item["version"]["N"]))
        return {model: sorted(versions[model]) for model in sorted(live)}


def route_of(model: str, items: dict[str, Item]) -> Route:
    """The route that a model's items hold.

    Raises:
        UnknownModel: there is no route among them.
    """
    if ROUTE not in items:
        raise UnknownModel(model)
    route = items[ROUTE]
    versions = [item for key, item in items.items() if key != ROUTE]
    return Route(
        model=model,
        versions={int(item["version"]["N"]): _version(item) for item in versions if _answers(item)},
        withdrawn={
            int(item["version"]["N"]): item["withdrawn"]["S"]
            for item in versions
            if "withdrawn" in item
        },
        **{name: plain(route[name]) for name in _FIELDS if name in route},
    )


def version_key(number: int) -> str:
    """The key of a version's item."""
    return f"version#{number:08d}"


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
