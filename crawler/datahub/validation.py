"""Checks proposals with acryl-datahub's own classes, for `--validate` and for DataHub Lite.

Importing them takes seconds.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from crawler.datahub.proposals import Proposal

if TYPE_CHECKING:
    from datahub.emitter.mcp import MetadataChangeProposalWrapper

UNFIT = (ValueError, TypeError, KeyError, AttributeError, AssertionError, RecursionError)
"""What acryl-datahub's classes raise where a proposal does not fit them."""


def as_wrapper(obj: dict[str, Any]) -> "MetadataChangeProposalWrapper":
    """Return a proposal in DataHub's file format as acryl-datahub's own object.

    Raises:
        Exception: One of UNFIT, where the proposal does not fit the schema.
    """
    from datahub.emitter.mcp import MetadataChangeProposalWrapper  # noqa: PLC0415  takes 2 s and 100 MB

    wrapper = MetadataChangeProposalWrapper.from_obj(obj)
    if not isinstance(wrapper, MetadataChangeProposalWrapper):
        raise ValueError(f"acryl-datahub knows no aspect {obj['aspectName']}")  # noqa: TRY004  a value, not a type
    return wrapper


def problem(proposal: Proposal) -> str | None:
    """Return why acryl-datahub would refuse the proposal, or None."""
    in_file = {
        "entityType": proposal.entity_type,
        "entityUrn": proposal.urn,
        "changeType": "UPSERT",
        "aspectName": proposal.aspect_name,
        "aspect": {"json": msgspec.json.decode(proposal.aspect)},
    }
    try:
        valid = as_wrapper(in_file).validate()
    except UNFIT as error:
        return f"aspect {proposal.aspect_name}: {error}"
    return None if valid else f"aspect {proposal.aspect_name} does not fit DataHub's schema"
