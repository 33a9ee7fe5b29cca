"""Finds what DataHub has of an MLflow server, and that server has not.

DataHub's search index lists it, and lags: whether an entity is there now is asked of the store, before it counts.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

from crawler.comparison.differences import Differences
from crawler.comparison.left_out import LeftOut
from crawler.comparison.ownership import KEY_ASPECTS, PROOF, belongs, may_belong
from crawler.comparison.seen_urns import SeenUrns
from crawler.comparison.value_reader import ValueReader
from crawler.datahub import scroll
from crawler.datahub.client import GmsClient
from crawler.datahub.scroll import ScrollPage
from crawler.datahub.stored_values import Wanted
from crawler.errors import DecodeError, RequestRefused
from crawler.mapping.platform import PLATFORM_URN
from crawler.settings.mapping import MappingSettings

ENTITIES_AT_ONCE = 100


class OrphanSearch:
    """Looks for orphans of some entity types among all that DataHub lists."""

    def __init__(
        self,
        client: GmsClient,
        reader: ValueReader,
        settings: MappingSettings,
        instances: Collection[str | None],
        seen: SeenUrns,
        differences: Differences,
        left_out: LeftOut,
        unread: Collection[str] = (),
    ) -> None:
        """Count in `differences` what is neither `seen` nor `left_out` and belongs to `instances` of the server.

        `settings` are those of the server. Nothing is said of the `unread` subtypes.
        """
        self._left_out = left_out
        self._unread = unread
        self._client = client
        self._reader = reader
        self._settings = settings
        self._instances = instances
        self._seen = seen
        self._differences = differences

    async def run(self, entity_types: Sequence[str]) -> None:
        """Look for orphans of these types.

        Raises:
            RequestRefused, DecodeError, AnswerTooLarge, WrongServer: DataHub does not list what it has.
            ServerError: It cannot be reached, or does not show what it lists.
        """
        async for page in self._pages(entity_types):
            candidates = [each for urn in page.urns if (each := self._candidate(urn)) is not None]
            async with asyncio.TaskGroup() as tasks:
                for start in range(0, len(candidates), ENTITIES_AT_ONCE):
                    tasks.create_task(self._ask(candidates[start : start + ENTITIES_AT_ONCE]))

    async def _pages(self, entity_types: Sequence[str]) -> AsyncIterator[ScrollPage]:
        platform: str | None = PLATFORM_URN
        scroll_id = None
        while True:
            try:
                page = await self._page(entity_types, platform, scroll_id)
            except RequestRefused:
                if platform is None or scroll_id is not None:
                    raise
                # An older GMS knows no filter.
                platform = None
                continue
            yield page
            if page.scroll_id is None:
                return
            if page.scroll_id == scroll_id:
                raise DecodeError("DataHub lists the same page of entities again and again.")
            scroll_id = page.scroll_id

    async def _page(self, entity_types: Sequence[str], platform: str | None, scroll_id: str | None) -> ScrollPage:
        answer = await self._client.ask(scroll.path(scroll_id), scroll.body(entity_types, platform))
        return scroll.decode_page(answer)

    def _candidate(self, urn: str) -> Wanted | None:
        """Return what to ask of an entity that may be an orphan, None if it is none."""
        entity_type = urn.split(":", 3)[2] if urn.startswith("urn:li:") else ""
        if entity_type not in KEY_ASPECTS or urn in self._seen or not may_belong(urn, entity_type, self._settings):
            return None
        if urn in self._left_out:
            return None
        return Wanted(entity_type, urn, (KEY_ASPECTS[entity_type], *PROOF))

    async def _ask(self, candidates: Sequence[Wanted]) -> None:
        stored = await self._reader.read(candidates)
        for each in candidates:
            aspects = stored.values.get(each.urn)
            if aspects and belongs(each.entity_type, aspects, self._instances, self._unread):
                self._differences.add_orphan(each.entity_type, each.urn)
                # A page may come twice.
                self._seen.add(each.urn)
