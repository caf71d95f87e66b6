"""What is mutated: the modules of each subject, and the fast tests that hold them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MODULES", "SUBJECTS", "Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Modules, as paths in the package `quintet`, and files of tests, as paths in tests/quintet.

    `without` names slow tests in these. Of modules with many mutants, only every `every`th of each
    function runs.
    """

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()
    every: int = 1

    @property
    def imported(self) -> tuple[str, ...]:
        """The modules by the names that they are imported by."""
        return tuple(
            f"quintet.{module.removesuffix('.py').replace('/', '.')}" for module in self.modules
        )


SUBJECTS = (
    Subject(
        "routing",
        ("serving/routing.py", "jobs/routing.py"),
        ("serving/test_routing.py", "jobs/test_routing.py"),
    ),
    Subject("gates", ("rollouts/gates.py",), ("rollouts/test_gates.py",), every=3),
    Subject("leases", ("jobs/job.py",), ("jobs/test_job.py",)),
    Subject(
        "runs",
        ("batch/run_status.py", "batch/plans.py"),
        ("batch/test_run_status.py", "batch/test_plans.py"),
    ),
)

MODULES = frozenset(module for subject in SUBJECTS for module in subject.imported)
