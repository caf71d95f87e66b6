"""Names that callers can use, and what names and values say of a column. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "alike",
    "is_index",
    "is_key",
    "is_target",
    "model_name",
    "sensitive",
    "usable",
    "without_repeats",
]

_TARGETS = frozenset({"target", "label", "labels", "class", "outcome", "y", "truth", "response"})
#: what pandas calls a table's own row numbers in a file
_INDEXES = frozenset({"", "index", "level_0", "unnamed: 0", "__index_level_0__"})
_SENSITIVE = {
    "an e-mail address": r"e_?mail",
    "a phone number": r"phone|mobile|telephone|msisdn",
    "a person's name": r"(first|last|full|middle|given|family|sur|user|customer)_?name|^name$",
    "a postal address": r"address|street|postcode|zip_?code",
    "an identity number": r"ssn|passport|iban|national_id|tax_id|card_number",
    "a date of birth": r"birth|dob",
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{7,18}[0-9]")
#: the share of a column's values that must look like it
MOSTLY = 0.5


def usable(name: str) -> str:
    """A name that callers can write anywhere: `serving_default_x:0` is `x`."""
    short = re.sub(r"[^A-Za-z0-9_]+", "_", _own(name)).strip("_")[:60]
    return short if short and not short[0].isdigit() else f"x_{short}".rstrip("_")


def _own(name: str) -> str:
    """A name without what exporters put around it."""
    return re.sub(r":[0-9]+$", "", name.removeprefix("serving_default_"))


def without_repeats(names: Sequence[str]) -> list[str]:
    """The names, with a number at the end of those that are taken."""
    found: list[str] = []
    for name in names:
        fresh, number = name, 2
        while fresh in found:
            fresh, number = f"{name}_{number}", number + 1
        found.append(fresh)
    return found


def model_name(text: str) -> str:
    """A model's name made of a file's: a lower-case letter, then letters, digits, _ and -."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return (plain if plain[:1].isalpha() else f"model-{plain}".rstrip("-"))[:63]


def alike(one: str, other: str) -> bool:
    """Whether two names differ in case and signs alone; nothing is like a name of signs alone."""
    first, second = (re.sub(r"[\W_]", "", _own(name)).casefold() for name in (one, other))
    return first == second != ""


def is_key(name: str) -> bool:
    """Whether a column's name is that of a key: `id`, `customer_id`, `CustomerID`, `User ID`."""
    return bool(re.search(r"(^|[\W_])(?i:id|uuid|guid|key)$|[a-z]I[dD]$", name))


def is_index(name: str) -> bool:
    """Whether a column has the row numbers that pandas writes: `df.to_csv` gives them no name."""
    return name.strip().lower() in _INDEXES


def is_target(name: str) -> bool:
    """Whether a column's name is that of the right answers."""
    return name.lower() in _TARGETS


def sensitive(name: str, values: Sequence[Any]) -> str:
    """Why a column is personal, by its name or values; empty if it does not look so."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    for what, pattern in _SENSITIVE.items():
        if re.search(pattern, plain):
            return f"its name is that of {what}"
    texts = [value for value in values if isinstance(value, str)]
    for what, form in (("e-mail addresses", _EMAIL), ("phone numbers", _PHONE)):
        fitting = sum(form.fullmatch(text.strip()) is not None for text in texts)
        if texts and fitting > MOSTLY * len(texts):
            return f"{fitting:,} of {len(texts):,} values look like {what}"
    return ""
