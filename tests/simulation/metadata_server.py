"""The strict double of DataHub's GMS without its sockets, with records that it refuses or forbids."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

from multidict import CIMultiDict

from crawler.datahub.readback import TIMESERIES
from crawler.http.exchange import Request
from crawler.http.responses import Response
from crawler.mapping.logged_models import is_logged_model
from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.simulation.network import Connection


class Share:
    """A part of all texts, always the same: `share` of them, another set for each `salt`."""

    def __init__(self, salt: int, share: float) -> None:
        self._salt = str(salt).encode()
        self._below = int(share * 2**32)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and crc32(self._salt + text.encode()) < self._below


class Bad(Share):
    """A share of the entities that the next crawl sends again by itself: of others it may read no row that has them."""

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str) or is_logged_model(text):
            return False
        is_of_runs = text.startswith(("urn:li:dataset:", "urn:li:platformResource:"))
        return not is_of_runs and super().__contains__(text)


class ShareOfAspects(Share):
    """The same of (URN, aspect), without the aspects that cannot be read back."""

    def __contains__(self, item: object) -> bool:
        return isinstance(item, tuple) and item[1] not in TIMESERIES and super().__contains__(" ".join(item))


class MetadataServer(Gms):
    """Answers the crawler's requests as they are. It refuses with status `refusal` what holds one of `bad`.

    What is read back comes late by chance where there is a `lag`, up to so many read-backs.
    """

    def __init__(self, *, bad: Share, refusal: int, lag: int, **options: Any) -> None:
        super().__init__(lag=lambda urn, aspect: crc32((urn + aspect).encode()) % (lag + 1), **options)
        self.bad = bad
        self.runs_taken: set[str] = set()
        """URNs of runs that were in a request, whatever became of it."""
        self._refusal = refusal
        self.rule = self._rule

    async def answer(self, request: Request, headers: CIMultiDict[str], connection: Connection) -> Response:
        """What the double answers."""
        response: Any = await self._route(_WebRequest(request, headers, connection))  # type: ignore[arg-type]
        return Response(response.status, bytes(response.body or b""), CIMultiDict(response.headers))

    def _rule(self, proposals: list[dict[str, Any]]) -> Fault | None:
        urns = [proposal["entityUrn"] for proposal in proposals]
        self.runs_taken.update(urn for urn in urns if urn.startswith("urn:li:dataProcessInstance:"))
        return Fault(status=self._refusal) if any(urn in self.bad for urn in urns) else None


class _WebRequest:
    """What the double reads of aiohttp's requests."""

    def __init__(self, request: Request, headers: CIMultiDict[str], connection: Connection) -> None:
        address = urlsplit(request.url)
        self.method = request.method
        self.path = address.path
        self.query = dict(parse_qsl(address.query))
        self.headers = headers
        self.content_type = headers.get("Content-Type", "").partition(";")[0]
        self.transport = connection
        self._body = request.body or b""

    async def read(self) -> bytes:
        """The whole body."""
        return self._body
