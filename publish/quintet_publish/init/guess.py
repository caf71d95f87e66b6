"""A guess about a model, with its reason, and how it is changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from quintet.errors import BadInput

__all__ = ["Guess", "Path", "changed", "field_of"]

#: a field of model.yaml: an item of a list is named by its `name`: ("features", "age", "range")
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """What is guessed, and why; `path` is its field of model.yaml, empty for what is done."""

    what: str
    value: Any
    reason: str
    path: Path = ()

    @classmethod
    def of(cls, path: Path, value: Any, reason: str) -> Guess:
        """A guess of a field of model.yaml."""
        return cls(".".join(path), value, reason, path)


def field_of(contract: dict[str, Any], path: Path) -> tuple[Any, str]:
    """The mapping that has a field, and its key there.

    Raises:
        BadInput: the contract has no such field.
    """
    place: Any = contract
    for step in path[:-1]:
        if isinstance(place, list):
            place = next((item for item in place if item["name"] == step), None)
        else:
            place = place.setdefault(step, {})
        if place is None:
            raise BadInput.of(".".join(path), "a field of model.yaml", step)
    return place, path[-1]


def changed(contract: dict[str, Any], path: Path, value: Any) -> None:
    """Set a field of a contract; None removes it."""
    place, key = field_of(contract, path)
    if value is None:
        place.pop(key, None)
    else:
        place[key] = value
