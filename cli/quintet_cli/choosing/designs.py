"""The smallest architecture of each pattern, and what keeps it going."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

__all__ = ["DESIGNS", "Design", "Mechanism", "Pattern"]


class Pattern(StrEnum):
    """The ways to serve a model, and the one that is not Lambda."""

    online = "online"
    asynchronous = "asynchronous"
    streaming = "streaming"
    batch = "batch"
    hybrid = "hybrid"
    server = "server"

    @property
    def label(self) -> str:
        """How texts name it."""
        return "not Lambda: a server" if self is Pattern.server else self.value


class Mechanism(BaseModel):
    """What keeps a design going when something fails, and the section that describes it."""

    model_config = ConfigDict(frozen=True)

    what: str
    page: str


class Design(BaseModel):
    """The smallest architecture of a pattern."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    resilience: tuple[Mechanism, Mechanism]
    page: str


#: a design for each pattern
DESIGNS = {
    Pattern.online: Design(
        architecture="API Gateway -> predict (Lambda, provisioned concurrency where a cold start "
        "would break the latency) -> FeaturesTable (DynamoDB)",
        resilience=(
            Mechanism(
                what="a circuit breaker around the feature store, and the contract's fallback rule "
                "answers while it is open",
                page="docs/api.md#stored-features",
            ),
            Mechanism(
                what="gates compare a new version in shadow and as a canary, and roll it back",
                page="docs/rollout-run.md#roll-back",
            ),
        ),
        page="docs/api.md",
    ),
    Pattern.asynchronous: Design(
        architecture="API Gateway -> predict -> JobsTable and WorkQueue (SQS) -> work (Lambda, one "
        "run of the model for many jobs) -> NotifyQueue -> notify -> the caller's URL",
        resilience=(
            Mechanism(
                what="accepted jobs are stored with their message in one transaction; leases with "
                "a fence store each result once",
                page="docs/async.md#guarantees",
            ),
            Mechanism(
                what="jobs are retried until their deadline; a job that breaks its worker goes to "
                "the dead letters, from where it can be replayed",
                page="docs/async.md#retries",
            ),
        ),
        page="docs/async.md",
    ),
    Pattern.streaming: Design(
        architecture="Kinesis -> score_stream (Lambda, micro-batches and windows) -> StreamBucket "
        "(S3, Parquet), FeaturesTable and AlertsTopic (SNS)",
        resilience=(
            Mechanism(
                what="records that cannot be scored are kept byte for byte; the others of their "
                "batch are scored",
                page="docs/streaming.md#where-records-end",
            ),
            Mechanism(
                what="refused records are replayed once their cause is mended",
                page="docs/replay.md#records-of-a-stream",
            ),
        ),
        page="docs/streaming.md",
    ),
    Pattern.batch: Design(
        architecture="S3 or a schedule -> Step Functions (plan_run -> score_unit in a distributed "
        "map -> report_run) -> scores in S3, ScoresTable (DynamoDB) for look-ups",
        resilience=(
            Mechanism(
                what="a redrive scores only the units without a result, and writes the same bytes",
                page="docs/batch-runs.md#stop-and-redrive",
            ),
            Mechanism(
                what="every row is scored or quarantined with its reason, or the run fails; the "
                "table stays with the run before",
                page="docs/batch.md#guarantees",
            ),
        ),
        page="docs/batch.md",
    ),
    Pattern.hybrid: Design(
        architecture="a nightly run (Step Functions) -> candidates (DynamoDB); API Gateway -> "
        "predict (the ranker, on a user's candidates and stored features in one read)",
        resilience=(
            Mechanism(
                what="readers see one whole run; if a night fails they keep the candidates of the "
                "night before",
                page="docs/recommend-candidates.md#what-readers-see",
            ),
            Mechanism(
                what="if the ranker fails or is late, the candidates' own order or popular items "
                "answer",
                page="docs/recommend-rank.md#if-a-part-fails",
            ),
        ),
        page="docs/recommendations.md",
    ),
    Pattern.server: Design(
        architecture="a load balancer -> two or more tasks or instances in two zones, each with "
        "the model in memory (an ONNX server: Triton, KServe); Quintet does not deploy it",
        resilience=(
            Mechanism(
                what="two zones, each at most half busy: either carries the load alone",
                page="docs/choose.md#when-it-is-not-lambda",
            ),
            Mechanism(
                what="the package's golden rows check that the server answers as the model did",
                page="docs/golden-rows.md",
            ),
        ),
        page="docs/choose.md#when-it-is-not-lambda",
    ),
}
