"""The registered endpoints of a stage."""

from __future__ import annotations

from quintet.aws.endpoints import EndpointTable
from quintet_cli.stage import Stage

__all__ = ["endpoints_of"]


def endpoints_of(stage: Stage) -> EndpointTable:
    """Return the table of callback endpoints, with their secrets."""
    tables = (stage.outputs[f"{kind}TableName"] for kind in ("Endpoints", "EndpointSecrets"))
    return EndpointTable(stage.signed("dynamodb"), *tables)
