"""The code blocks that tests/local/test_*page*.py leave out, each with its reason.

A key is a block by its page and first line, or a page or folder for all of its blocks. A value is
the test that runs it instead, or one of `REASONS`. Any other block is run: a new one too.
"""

from __future__ import annotations

from tests.kits.pages import Block

__all__ = ["NOT_RUN", "REASONS", "reason"]

AWS = "needs a stage on AWS"
OWN = "names files, ids or versions of the reader's own"
DOCKER = "needs Docker"
REPOSITORY = "builds, measures or tests this repository, for minutes"
SERVES = "serves until it is stopped"

REASONS = frozenset({AWS, DOCKER, OWN, REPOSITORY, SERVES})

NOT_RUN: dict[str, str] = {
    "CONTRIBUTING.md": REPOSITORY,
    "README.md": "tests/local/test_readme.py",
    "docs/alerts.md": AWS,
    "docs/async-callbacks.md: from standardwebhooks import Webhook": OWN,
    "docs/batch-many-files.md: quintet backfill fraud --from 2026-01 --to 2026-06 --features "
    "_features/fraud/": OWN,
    "docs/batch-runs.md": OWN,
    "docs/batch-schedule.md": AWS,
    "docs/building.md": REPOSITORY,
    "docs/captures.md: quintet captures query ranker --sql \"SELECT impression->>'step' AS step, "
    "count(*) FROM captures": OWN,
    "docs/console.md": SERVES,
    "docs/cookbook/": "tests/local/test_cookbook.py",
    "docs/deploy.md": "tests/clients/test_deploy_docs.py",
    "docs/exporters.md": "tests/docs/test_bring_your_model.py",
    "docs/init.md: quintet init churn.onnx customers.csv --label churned": OWN,
    "docs/local-aws.md: quintet up                 # in the foreground; Ctrl-C stops it and every "
    "function": SERVES,
    "docs/local-aws.md: sam build": DOCKER,
    "docs/local-aws.md: def test_something(local_aws):": OWN,
    "docs/localstack.md": "tests/localstack/kit.py",
    "docs/proxy.md": "tests/clients/test_proxy_clients.py",
    "docs/monitoring.md": OWN,
    "docs/recommend-feedback.md": "tests/clients/test_feedback_docs.py",
    "docs/recommend-rank.md": "tests/quintet/recommend/test_recommendations.py",
    "docs/runbooks.md": AWS,
    "docs/sam-local.md": "tests/sam_local/conftest.py",
    "docs/size.md": REPOSITORY,
    "docs/upgrade.md": "tests/local/test_upgrade.py",
    "docs/streaming.md: python -m benchmarks.stream_faults --records 100000": REPOSITORY,
}


def reason(block: Block) -> str | None:
    """Why a block is not run; None if it is."""
    folder = f"{block.page.rpartition('/')[0]}/"
    found = (NOT_RUN.get(key) for key in (block.name, block.page, folder))
    return next((why for why in found if why is not None), None)
