"""What costs and sizes assume or were measured once; docs/costs.md lists most of it."""

from __future__ import annotations

__all__ = [
    "BATCH_MS",
    "CALL_MS",
    "JOB_LOG",
    "JOB_MESSAGES",
    "JOB_MS",
    "JOB_READS",
    "JOB_WRITES",
    "PUT_THREADS",
    "RECEIVER_MS",
    "REQUEST_LOG",
]

#: measured and rounded, see docs/benchmarks.md: ms of work for one of 100 jobs in a batch, of
#: score_stream for 1,000 records besides its calls
JOB_MS, BATCH_MS = 1.6, 10
#: measured on the local AWS, from functions' log files: bytes per request, and per additional job
REQUEST_LOG, JOB_LOG = 1_600, 700
#: assumed: ms of one call of DynamoDB, SQS or S3; ms of a callback's receiver
CALL_MS, RECEIVER_MS = 4, 200
#: counted in the code, for an accepted, worked and announced job: writes of the table and its
#: indexes (twice in transactions), consistent reads, calls of SQS
JOB_WRITES, JOB_READS, JOB_MESSAGES = 25, 2, 4.2
#: threads with which score_stream puts the latest scores
PUT_THREADS = 16
