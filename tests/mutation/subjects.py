"""What is mutated: the modules of each subject, and the fast tests that hold them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MODULES", "SUBJECTS", "Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """Modules of the package `quintet`, as paths in it, and tests, as paths in tests/quintet."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]

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
    Subject(
        "gates",
        ("rollouts/gates.py", "rollouts/sequential.py"),
        ("rollouts/test_gates.py", "rollouts/test_sequential.py"),
    ),
    Subject(
        "drift",
        ("monitoring/drift.py", "monitoring/statistics.py"),
        (
            "monitoring/test_drift.py",
            "monitoring/test_statistics.py",
            "monitoring/test_output_drift.py",
        ),
    ),
    Subject(
        "windows",
        ("streaming/windows.py", "streaming/window_state.py"),
        ("streaming/test_windows.py", "streaming/test_aggregates.py"),
    ),
    Subject("leases", ("jobs/job.py",), ("jobs/test_job.py",)),
    Subject(
        "jobs",
        ("jobs/transitions.py", "jobs/sweep.py"),
        ("jobs/test_worker.py", "jobs/test_poison.py", "jobs/test_sweep.py"),
    ),
    Subject(
        "runs",
        ("batch/run_status.py", "batch/plans.py"),
        ("batch/test_executions.py", "batch/test_planning.py"),
    ),
)

MODULES = frozenset(module for subject in SUBJECTS for module in subject.imported)
