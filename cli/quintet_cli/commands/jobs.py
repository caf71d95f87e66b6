"""`quintet jobs`: list, show and cancel asynchronous jobs."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from quintet.api.gateway import owner_of
from quintet.aws.queues import JobEventQueue
from quintet.errors import BadInput
from quintet.jobs.job import OPEN, SETTLED
from quintet.jobs.messages import OutboxPublisher
from quintet.protocols.http import ANONYMOUS
from quintet_cli.job_store import jobs_of
from quintet_cli.options import StageName, State
from quintet_cli.results import prints
from quintet_cli.shapes import Jobs, JobView
from quintet_cli.stage import DEFAULT_STATE, Stage
from quintet_cli.terminal import Console
from quintet_cli.views.jobs import job_line, job_view, print_job, print_jobs

__all__ = ["register"]

STATES = (*OPEN, *SETTLED)

jobs = typer.Typer(no_args_is_help=True, help="See and cancel asynchronous jobs.")
console = Console(highlight=False)

Identity = Annotated[str, typer.Argument(help="The job.", metavar="JOB")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the `quintet` command."""
    app.add_typer(jobs, name="jobs")


@jobs.command("ls")
@prints(Jobs)
def ls(
    *,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner", help="The caller whose jobs to list: a user's or a role's ARN, or its name."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only jobs of this model.")] = None,
    only: Annotated[
        str | None, typer.Option("--only", help=f"Only jobs in this state: {', '.join(STATES)}.")
    ] = None,
    count: Annotated[
        int, typer.Option("--most", min=1, max=1000, help="How many jobs to list.")
    ] = 20,
    stage: StageName = "local",
    state: State = DEFAULT_STATE,
) -> Jobs:
    """List a caller's jobs, the newest first; the local AWS has a single caller."""
    wanted = next((known for known in STATES if known == (only or "").upper()), None)
    if only is not None and wanted is None:
        raise BadInput.of("--only", f"one of {', '.join(STATES)}", only)
    opened = Stage.open(stage, state)
    if owner is None and opened.endpoint_url is None:
        raise BadInput.of("--owner", "the caller whose jobs to list", "nothing")
    caller = ANONYMOUS if owner is None else owner_of(owner)
    page = jobs_of(opened).page(caller, model=model, state=wanted, most=count)
    print_jobs(page.jobs)
    if page.next is not None:
        console.print(f"there are more: --most {count * 2}")
    return {
        "jobs": [job_line(job) for job in page.jobs],
        "more": page.next is not None,
    }


@jobs.command("show")
@prints(JobView)
def show(job: Identity, stage: StageName = "local", state: State = DEFAULT_STATE) -> JobView:
    """Show a job: its state, and its result or error."""
    found = jobs_of(Stage.open(stage, state)).get(job)
    print_job(found)
    return job_view(found)


@jobs.command("cancel")
@prints(JobView)
def cancel(job: Identity, stage: StageName = "local", state: State = DEFAULT_STATE) -> JobView:
    """Cancel a job that has not ended; its owner is notified."""
    opened = Stage.open(stage, state)
    store = jobs_of(opened)
    found, notice = store.cancel(job, None, time.time())
    if notice is not None:
        sqs = opened.signed("sqs")
        work, notify = (
            JobEventQueue(sqs, opened.outputs[name]) for name in ("WorkQueueUrl", "NotifyQueueUrl")
        )
        OutboxPublisher(store, work=work, notify=notify).publish(notice)
    print_job(found)
    return job_view(found)
