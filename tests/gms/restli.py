"""The Rest.li endpoint, POST /aspects?action=ingestProposalBatch, or ingestProposal for one alone: its requests and its
answers (AR, RU).
"""

from typing import Any

import msgspec
import orjson
from aiohttp import web

from tests.gms import answers, intake
from tests.gms.answers import JSON, Refusal
from tests.gms.behaviour import Behaviour
from tests.gms.unverified_batch import Proposals

SKIPS_BAD_ITEMS = True


class Single(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of the action ingestProposal (AR)."""

    proposal: intake.Proposal
    asynchronous: str = msgspec.field(name="async", default="false")


def unverified_batch(request: web.Request, body: bytes) -> Proposals:
    """The proposals of a body, as far as it is one."""
    try:
        given = orjson.loads(body)
        proposals = [given["proposal"]] if _is_single(request) else given["proposals"]
        return [proposal for proposal in proposals if isinstance(proposal, dict)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []


def parse(request: web.Request, body: bytes, _behaviour: Behaviour) -> intake.Batch:
    """Rest.li's own decoding, before any code of DataHub's: what fails here is a 400 for the whole batch."""
    _check_headers(request)
    try:
        if _is_single(request):
            single = msgspec.json.decode(body, type=Single)
            batch = intake.Batch([single.proposal], single.asynchronous)
        else:
            batch = msgspec.json.decode(body, type=intake.Batch)
    except msgspec.DecodeError as error:
        raise Refusal(400, f"Cannot parse request entity: {error}") from error
    if batch.asynchronous not in {"true", "false"}:
        raise Refusal(400, f"Parameter 'async' is neither 'true' nor 'false' but {batch.asynchronous!r}")
    for proposal in batch.proposals:
        intake.check_envelope(proposal)
    return batch


def success(_batch: intake.Batch, _unchanged: set[tuple[str, str]]) -> web.Response:
    """Nothing about items, and nobody reads it (AR)."""
    return answers.as_json({"value": "success"}, headers={"X-RestLi-Protocol-Version": "2.0.0"})


def error(refusal: Refusal, _behaviour: Behaviour) -> web.Response:
    """Rest.li's ErrorResponse (RU): no list of items, and a stack trace that clients leave out."""
    exception = "com.linkedin.restli.server.RestLiServiceException"
    body: dict[str, Any] = {
        "status": refusal.status,
        "message": refusal.message,
        "exceptionClass": exception,
        "stackTrace": f"{exception} [HTTP Status:{refusal.status}]: {refusal.message}\n\tat …",
    }
    return answers.as_json(body, refusal.status, {"X-RestLi-Error-Response": "true"})


def _is_single(request: web.Request) -> bool:
    return request.query.get("action") == "ingestProposal"


def _check_headers(request: web.Request) -> None:
    """Rest.li's own demands on a request."""
    if request.query.get("action") not in {"ingestProposalBatch", "ingestProposal"}:
        raise Refusal(400, f"POST operation named {request.query.get('action')} not supported on resource")
    if request.headers.get("X-RestLi-Protocol-Version") != "2.0.0":
        raise Refusal(400, "Rest.li protocol version is not 2.0.0")
    if request.content_type != JSON:
        raise Refusal(415, f"Unsupported media type {request.content_type}")
