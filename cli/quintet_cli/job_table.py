"""The jobs of a stage, as the replay of their dead letters needs them."""

from __future__ import annotations

from quintet_cli.dead_letters import Jobs, NoJobs
from quintet_cli.stage import Stage

__all__ = ["jobs_of"]


def jobs_of(stage: Stage) -> Jobs:
    """The jobs of a stage."""
    return NoJobs()
