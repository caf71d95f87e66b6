"""What a batch run is called, and where its documents and results are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["REPLAY_OF", "RunPaths", "hashed_name", "run_name", "slug"]

#: the object metadata that names the run whose quarantined rows a file holds
REPLAY_OF = "quintet-replay-of"


def slug(text: str, most: int = 80) -> str:
    """`text` in the characters that names of executions and folders may hold."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    return safe[:most].strip("-") or "unnamed"


def run_name(bucket: str, key: str, version: str) -> str:
    """The name of the run that scores one version of one object, whoever starts it."""
    model, _, rest = key.partition("/")
    stem = rest.rpartition("/")[2].partition(".")[0]
    return hashed_name(model, stem, (bucket, key, version))


def hashed_name(model: str, hint: str, parts: Iterable[str]) -> str:
    """A run's name: readable in front, unique by the hash of `parts` behind.

    At most 74 characters, of the 80 that Step Functions allows:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return f"{slug(model, 24)}-{slug(hint, 24)}-{digest[:24]}"


@dataclass(frozen=True, slots=True)
class RunPaths:
    """Where everything of one run lies in the scores bucket."""

    model: str
    run: str

    @property
    def root(self) -> str:
        return f"runs/{slug(self.model)}/{self.run}/"

    @property
    def plan(self) -> str:
        return f"{self.root}plan.json"

    @property
    def inputs(self) -> str:
        return f"{self.root}inputs.json"

    @property
    def history(self) -> str:
        return f"{self.root}history.json"

    @property
    def units(self) -> str:
        return f"{self.root}units.json"

    def redrive(self, execution: str) -> str:
        return f"{self.root}redrives/{execution}.json"

    @property
    def results(self) -> str:
        return f"{self.root}units/"

    def result(self, unit: int) -> str:
        return f"{self.results}{unit:05d}.json"

    @property
    def beats(self) -> str:
        return f"{self.root}beats/"

    def beat(self, unit: int) -> str:
        return f"{self.beats}{unit:05d}.json"

    def scores(self, unit: int, suffix: str, part: int = 0) -> str:
        return f"{self.root}scores/{_part(unit, part)}.{suffix}"

    @property
    def quarantines(self) -> str:
        return f"{self.root}quarantine/"

    def quarantine(self, unit: int, part: int = 0) -> str:
        return f"{self.quarantines}{_part(unit, part)}.jsonl"

    @property
    def replays(self) -> str:
        return f"{self.root}replays/"

    @property
    def report(self) -> str:
        return f"{self.root}report.json"

    @property
    def page(self) -> str:
        return f"{self.root}report.html"

    @property
    def manifest(self) -> str:
        return f"{self.root}manifest.json"


def _part(unit: int, part: int) -> str:
    """The name of a file of a unit; those of one that writes several sort in their order."""
    return f"part-{unit:05d}" + (f"_{part:04d}" if part else "")
