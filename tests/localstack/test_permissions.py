"""What localemu's evaluator of policies thinks of the functions' calls, after the patterns ran."""

from __future__ import annotations

import re

import pytest
from tests.kits.local_aws import eventually
from tests.localstack.conftest import SECONDS, Deployed
from tests.localstack.kit import ENGINE

pytestmark = [
    pytest.mark.localstack,
    pytest.mark.skipif(ENGINE != "localemu", reason="LocalStack's open edition has no such thing"),
]

#: it denies by the bucket policies what does not come by TLS; of DynamoDB it knows no indexes, no
#: tables of a transaction, and reads of a batch as GetItem; of Glue no resources; and it names the
#: actions of Step Functions otherwise than IAM does
FAULTS = [
    r"s3:(Get|Put)Object on resource: \S+ because explicit deny",
    r"dynamodb:Query on resource: \S+-JobsTable-\w+ because .*",
    r"dynamodb:GetItem on resource: \S+-CandidatesTable-\w+ because .*",
    r"dynamodb:ConditionCheckItem on resource: \S+:table/\* because .*",
    r"glue:\w+ on resource: \S+:unknown because .*",
    r"stepfunctions:\w+ on resource: .*",
]
ASKED = r"DENY: User: \S+:assumed-role/quintet-\S+ is not authorized to perform: (.*)"


def test_what_functions_call_is_allowed_but_for_faults_of_the_evaluator(deployed: Deployed) -> None:
    """The sweep has run, and the tests before this one called the others."""
    eventually(lambda: "SweepRole" in deployed.at.log.read_text("utf-8", "replace"), SECONDS)
    log = deployed.at.log.read_text("utf-8", "replace")
    denied = set(re.findall(ASKED, log))
    assert denied
    assert [one for one in denied if not any(re.fullmatch(fault, one) for fault in FAULTS)] == []
