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
    Subject(
        "gates",
        ("rollouts/gates.py", "rollouts/sequential.py"),
        ("rollouts/test_gates.py", "rollouts/test_sequential.py"),
        without=(
            "test_walks_without_a_difference_cross_no_more_often_than_alpha_says",
            "test_mean_over_all_routes_of_entities_is_one_however_often_they_fail",
        ),
        every=3,
    ),
    Subject(
        "drift",
        ("monitoring/drift.py", "monitoring/statistics.py"),
        (
            "monitoring/test_drift.py",
            "monitoring/test_statistics.py",
            "monitoring/test_output_drift.py",
        ),
        without=(
            "test_the_report_of_a_run_has_its_drift_and_its_cost",
            "test_the_report_of_a_run_tests_its_outputs",
        ),
        every=12,
    ),
    Subject("leases", ("jobs/job.py",), ("jobs/test_job.py",)),
    Subject(
        "jobs",
        ("jobs/transitions.py", "jobs/sweep.py"),
        (
            "jobs/test_worker.py",
            "jobs/test_transitions.py",
            "jobs/test_poison.py",
            "jobs/test_sweep.py",
        ),
        every=4,
    ),
    Subject(
        "windows",
        ("streaming/windows.py", "streaming/window_state.py"),
        ("streaming/test_windows.py",),
        without=("test_state_is_measured_in_bytes_and_stays_under_the_limit",),
        every=12,
    ),
    Subject(
        "runs",
        ("batch/run_status.py", "batch/plans.py"),
        ("batch/test_run_status.py", "batch/test_plans.py"),
    ),
)

MODULES = frozenset(module for subject in SUBJECTS for module in subject.imported)
