"""Costs of a deployed stage, idle and per million, and its limits: python -m benchmarks.costs

Reads the expanded template at its default parameters and the list prices of
quintet/batch/prices.toml, and fills docs/costs.md with the results.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.costs_million import (
    CALL_MS,
    Line,
    assumptions,
    gigabytes,
    invocations,
    jobs_by_size,
    million,
)
from benchmarks.limits import limits
from docs.generate import fill

from quintet.batch.costs import prices
from quintet_local.plan import Plan, plan
from quintet_local.template import load

__all__ = ["MONTH_HOURS", "PAGE", "beside", "filled", "idle", "stage"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/costs.md"
MONTH_HOURS = 730
#: calls of `monitor` in a month
WATCHES = MONTH_HOURS * 12
#: Lambda runs five pollers for each queue, each waiting up to 20 s
POLLS_A_MINUTE = 15
#: types of the expanded template that cost nothing while idle
FREE = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::Glue::Database",
    "AWS::IAM::Role",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
    "AWS::Logs::SubscriptionFilter",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::StepFunctions::StateMachine",
}
#: and those that `idle` counts
BILLED = {
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventSourceMapping",
}


def stage(**overrides: str) -> Plan:
    """Return the template with its parameters filled in."""
    return plan(load(ROOT / "template.yaml", overrides), "http://127.0.0.1:4566")


def idle(of: Plan) -> list[Line]:
    """Return the cost of a month without requests.

    Raises:
        ValueError: a type of resource is in neither FREE nor BILLED.
    """
    kinds = Counter(resource["Type"] for resource in of.resources.values())
    if unknown := set(kinds) - FREE - BILLED:
        raise ValueError(f"costs of {', '.join(sorted(unknown))}: add it to FREE or to BILLED")
    return [
        line
        for line in (*_standing(of), _polls(of), _sweep(of), _compact(of), _ages(of), _monitor(of))
        if line.usd
    ]


def _standing(of: Plan) -> Iterable[Line]:
    table = prices()
    shards = sum(s.get("ShardCount", 0) for s in of.of_type("AWS::Kinesis::Stream").values())
    hour = table["kinesis"]["shard_hour"]
    yield Line("Kinesis shards", shards * MONTH_HOURS * hour, f"{shards} (`StreamShards`)")
    alarms = of.of_type("AWS::CloudWatch::Alarm").values()
    watched = sum(sum("MetricStat" in m for m in a.get("Metrics", ())) or 1 for a in alarms)
    usd = watched * table["cloudwatch"]["alarm_month"]
    yield Line("alarms", usd, f"{len(alarms)}, of {watched} metrics")
    joined = len(of.of_type("AWS::CloudWatch::CompositeAlarm"))
    usd = joined * table["cloudwatch"]["composite_month"]
    yield Line("composite alarms", usd, f"{joined}, one for each severity")
    boards = len(of.of_type("AWS::CloudWatch::Dashboard"))
    usd = boards * table["cloudwatch"]["dashboard_month"]
    yield Line("the dashboard", usd, "free while the account has at most three")
    keys = len(of.of_type("AWS::KMS::Key"))
    how = f"{keys} (`SealedCaptures`); each of its first two yearly rotations adds as much"
    yield Line("the key of captures", keys * table["kms"]["key_month"], how)
    warm = sum(
        alias.get("ProvisionedConcurrencyConfig", {}).get("ProvisionedConcurrentExecutions", 0)
        for alias in of.of_type("AWS::Lambda::Alias").values()
    )
    each = gigabytes(of, "Predict") * table["lambda"]["provisioned_gb_second"] * 3600
    how = f"{warm} environments of `predict` (`PredictProvisionedConcurrency`)"
    yield Line("provisioned concurrency", warm * each * MONTH_HOURS, how)


def _polls(of: Plan) -> Line:
    sources = of.of_type("AWS::Lambda::EventSourceMapping").values()
    queues = sum(":sqs:" in source["EventSourceArn"] for source in sources)
    polls = queues * POLLS_A_MINUTE * 60 * MONTH_HOURS
    how = f"Lambda polls {queues} queues {POLLS_A_MINUTE} times a minute"
    return Line("SQS, polls of empty queues", polls * prices()["sqs"]["request"], how)


def _sweep(of: Plan) -> Line:
    """Return the cost of one sweep a minute: a call, some reads, its traces and log lines."""
    table, calls = prices(), 60 * MONTH_HOURS
    usd = invocations(of, "Sweep", calls, 10 * CALL_MS)
    usd += calls * (8 * table["dynamodb"]["read_unit"] + table["sqs"]["request"])
    usd += calls * table["xray"]["trace"] + calls * 500 / 1e9 * table["cloudwatch"]["log_gb"]
    return Line("`sweep`, once a minute", usd, "calls, reads, traces and logs")


def _compact(of: Plan) -> Line:
    """Return the cost of one compaction an hour that finds nothing: three listings."""
    usd = invocations(of, "Compact", MONTH_HOURS, 10 * CALL_MS)
    usd += MONTH_HOURS * 3 * prices()["s3"]["write"]
    return Line("`compact`, once an hour", usd, "calls and listings")


def _ages(of: Plan) -> Line:
    """Return the cost of looking at no captured model once an hour: a scan of the registry."""
    usd = invocations(of, "WatchAges", MONTH_HOURS, 10 * CALL_MS)
    usd += MONTH_HOURS * prices()["dynamodb"]["read_unit"]
    return Line("`watch_ages`, once an hour", usd, "calls and reads")


def _monitor(of: Plan) -> Line:
    """Return the cost of watching no models: a scan of the registry."""
    usd = invocations(of, "Monitor", WATCHES, 10 * CALL_MS)
    usd += WATCHES * prices()["dynamodb"]["read_unit"]
    return Line("`monitor`, every five minutes", usd, "calls and reads")


def beside(of: Plan) -> list[Line]:
    """Return what a month costs in addition, by kind and count of resource."""
    table, warm = prices(), stage(PredictProvisionedConcurrency="1")
    more = sum(line.usd for line in idle(warm)) - sum(line.usd for line in idle(of))
    metric = table["cloudwatch"]["metric_month"]
    (body,) = (api["Body"] for api in of.of_type("AWS::ApiGateway::RestApi").values())
    methods = sum(len(methods) for methods in body["paths"].values())
    kept = table["dynamodb"]["gb_month"] + table["dynamodb"]["recovery_gb_month"]
    return [
        Line("a pre-started environment", more, "`PredictProvisionedConcurrency`"),
        Line(
            "sensitive features in captures", table["kms"]["key_month"], "`SealedCaptures`: a key"
        ),
        Line("a GB in tables", kept, "with point-in-time recovery"),
        Line("a GB in buckets", table["s3"]["gb_month"], "old versions count"),
        Line("a GB of logs", table["cloudwatch"]["log_gb_month"], "for `LogRetentionDays`"),
        Line("a model with traffic", 7 * metric, "7 metrics of `predict`, whatever its versions"),
        Line(
            "the error budget of a model with traffic",
            5 * metric + WATCHES * 8 * table["cloudwatch"]["metric_read"],
            "5 metrics of `monitor`, and its reads of 8 of `predict`",
        ),
        Line("a rollout", 7 * metric, "7 metrics of the route canary or shadow, while it runs"),
        Line(
            "the API's own metrics",
            methods * 5 * metric,
            f"5 for each of {methods} methods, once called",
        ),
    ]


def sections() -> dict[str, list[str]]:
    """Return the page's generated content, by mark."""
    of, table = stage(), prices()
    patterns = (
        line for title, lines in million(of).items() for line in ("", f"### {title}", *_bill(lines))
    )
    known = f"US dollars at the list prices of {table['region']} of {table['year']}."
    return {
        "prices": [known],
        "idle": _bill(idle(of)),
        "beside": _table(beside(of)),
        "million": [*patterns],
        "requests": _table(jobs_by_size((1, 10, 100))),
        "assumptions": assumptions(),
        "template": [*limits(of)],
    }


def _table(lines: list[Line]) -> list[str]:
    rows = (f"| {line.what} | {_usd(line.usd)} | {line.how} |" for line in lines)
    return ["", "| | $ | |", "|---|---|---|", *rows]


def _bill(lines: list[Line]) -> list[str]:
    total = sum(line.usd for line in lines)
    return [*_table(lines), f"| **together** | **{_usd(total)}** | |"]


def _usd(usd: float) -> str:
    return f"{usd:,.2f}" if usd >= 0.1 else f"{usd:.6f}".rstrip("0")


def filled(text: str) -> str:
    """Return the page with its sections up to date.

    Raises:
        ValueError: the page has no marks for a section.
    """
    return fill(text, sections())


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.costs")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    text = filled(PAGE.read_text(encoding="utf-8"))
    if parser.parse_args().write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
