"""What can be set about the double: which GMS it is."""

from collections.abc import Callable, Collection, Container
from dataclasses import dataclass
from typing import Literal

BODY_LIMIT = 16_000_000
KAFKA_LIMIT = 5_242_880


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """The defaults are DataHub's quickstart of v1.7.0, without a token."""

    token: str | None = None
    """Only requests with this bearer token pass (AEF); None: METADATA_SERVICE_AUTH_ENABLED=false."""
    version: str = "v1.7.0"
    without_config: bool = False
    """`/config` answers 404."""
    frontend: bool = False
    """Be DataHub's frontend: HTML at every path, GMS under /api/gms."""
    strict: bool = True
    """STRICT_URN_VALIDATION_ENABLED."""
    alternate: bool = True
    """ALTERNATE_MCP_VALIDATION: unknown aspects and entities are a 422, otherwise a 500 and a silent drop."""
    lacks: Collection[tuple[str, str]] = ()
    """(entity type, aspect) pairs that an older server's registry does not have."""
    forbidden: Collection[str] = ()
    """URNs that the token's user may not write."""
    forbidden_types: Collection[str] = ()
    """Entity types that the token's user may not create: of these, OpenAPI refuses also a batch of nothing (GEC)."""
    names_unknown_aspects: bool = True
    """OpenAPI: 400 for an unknown aspect (PR #19628); older servers leave it out of their answer and say nothing."""
    validation_status: int = 400
    """OpenAPI: the status of a ValidationException; older servers answer 500, without its message."""
    without_batch_get: bool = False
    """OpenAPI's `batchGet` answers 404: a proxy lets only the way of writing pass."""
    reads_several_types: bool = True
    """`/generic/batchGet` answers; an older server takes `generic` for an entity type and finds nothing."""
    reads_timeseries: bool = False
    """Timeseries aspects may be read back, which costs a query of the search index each: no crawl should."""
    scroll: Literal["filtered", "unfiltered", "forbidden", "absent"] = "filtered"
    """Entities can be listed: with a filter, without (before PR #14524), not by this user, not at all."""
    scroll_page: int = 0
    """Entities on a page, whatever `count` says; 0 for `count`."""
    unreadable: Collection[str] = ()
    """URNs that the token's user may not read."""
    lag: int | Callable[[str, str], int] = 0
    """So many read-backs are answered before what was written with `async` can be read; or by URN and aspect."""
    lag_seconds: float = 0.0
    """So long after its answer what was written with `async` can be read."""
    shows_metadata: bool = True
    """`batchGet` answers with system metadata where it is asked for it."""
    offsets: Literal["absent", "forbidden", "groups", "topics"] = "forbidden"
    """How the consumer's offsets are answered (KafkaController): not at all, not to this user, or in either form."""
    without_batches: bool = False
    """Rest.li has no action ingestProposalBatch."""
    loses: Container[object] = ()
    """URNs and (URN, aspect) that are gone behind a 200, however they were written."""
    loses_queued: Container[object] = ()
    """The same of what was written with `async`: the mce-consumer fails at them."""
    inflates: bool = False
    """Take `Content-Encoding: gzip`; GMS does not."""
    body_limit: int = BODY_LIMIT
    """Bytes of a request's body beyond which a proxy answers 413."""
    kafka_limit: int = KAFKA_LIMIT
    """Bytes of one aspect beyond which its message cannot be produced."""
    latency: float = 0.001
    """Seconds between a batch's last byte and its handling: what is under way at once, meets."""
    trust: bool = False
    """Answer success to everything and count it: for benchmarks."""
