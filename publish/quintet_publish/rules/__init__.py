"""The rules of a contract: each field that breaks one, and what was expected there. Pure."""

from quintet_publish.rules.contract import check_contract

__all__ = ["check_contract"]
