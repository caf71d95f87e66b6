"""Jobs in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from quintet.jobs.job import SETTLED, Content, Job
from quintet.jobs.store import JobSummary
from quintet.protocols.media import is_text
from quintet_cli.shapes import JobLine, JobView
from quintet_cli.terminal import Console
from quintet_cli.views.times import shown_time

__all__ = ["job_line", "job_view", "print_job", "print_jobs"]

console = Console(highlight=False)


def print_jobs(jobs: Iterable[JobSummary]) -> None:
    """Print a table of jobs."""
    table = Table("job", "state", "model", "created", "took")
    for job in jobs:
        took = f"{job.updated - job.created:.1f} s" if job.state in SETTLED else ""
        table.add_row(
            job.id, job.state, f"{job.model} v{job.version}", shown_time(job.created), took
        )
    console.print(table)


def print_job(job: Job) -> None:
    """Print a job, with its result if that is text."""
    rows = {
        "job": job.id,
        "state": job.state,
        "model": f"{job.model} v{job.version}",
        "owner": job.owner,
        "created": shown_time(job.created),
        "updated": shown_time(job.updated),
        "deadline": shown_time(job.deadline),
        "attempts": str(job.attempts),
        "request": _shown(job.request),
    }
    if job.inference_id:
        rows["inference id"] = job.inference_id
    if job.endpoint is not None:
        rows["callback"] = job.endpoint
    for name, text in rows.items():
        console.print(f"{name:>12}  {text}", markup=False, soft_wrap=True)
    if job.problem is not None:
        text = f"{job.problem.get('title', '')}: {job.problem.get('detail', '')}"
        console.print(f"{'error':>12}  {text}", markup=False, soft_wrap=True)
    if job.result is not None:
        console.print(f"{'result':>12}  {_shown(job.result)}", markup=False, soft_wrap=True)
        if job.result.body is not None and is_text(job.result.content_type):
            console.print(job.result.body.decode(), markup=False, soft_wrap=True)


def job_view(job: Job) -> JobView:
    """Return a job as JSON."""
    result, text = job.result, None
    if result is not None and result.body is not None and is_text(result.content_type):
        text = result.body.decode()
    return {
        **job_line(job),
        "owner": job.owner,
        "attempts": job.attempts,
        "problem": None if job.problem is None else dict(job.problem),
        "result": text,
    }


def job_line(job: Job | JobSummary) -> JobLine:
    """Return a job in a list as JSON."""
    return {
        "id": job.id,
        "model": job.model,
        "version": job.version,
        "state": job.state,
        "created": job.created,
        "updated": job.updated,
    }


def _shown(content: Content) -> str:
    """Describe a content without showing it."""
    kind = content.content_type or "no content type"
    return f"{content.size} bytes of {kind}" + (f" at {content.place}" if content.place else "")
