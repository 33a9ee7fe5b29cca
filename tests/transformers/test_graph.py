"""The DataHub that transformers read from, by acryl-datahub's own client."""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from datahub.ingestion.api.transform import Transformer
from datahub.metadata.schema_classes import StatusClass

from crawler.config.load import load
from crawler.settings.crawl import Settings
from crawler.transformers.official import make_steps

TAGS = {"type": f"{__name__}.Asks"}


class Asks(Transformer):  # type: ignore[misc]
    """It keeps what it is made with."""

    graph: Any = None

    @classmethod
    def create(cls, config: dict[str, Any], context: Any) -> "Asks":
        Asks.graph = context.graph
        return cls()

    def transform(self, record_envelopes: Any) -> Any:
        return record_envelopes


class Guarded:
    """A DataHub that takes one token only."""

    def __init__(self) -> None:
        self.accepted = "old"
        self.seen: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/config":
            return web.json_response({"noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.6.0"}}})
        self.seen.append(request.headers.get("Authorization"))
        if self.seen[-1] != f"Bearer {self.accepted}":
            return web.json_response({"message": "who?"}, status=401)
        return web.json_response({"aspect": {"com.linkedin.common.Status": {"removed": True}}, "version": 0})


def settings_of(url: str, token: Path) -> Settings:
    return load(
        {
            "source": {"type": "mlflow", "config": {"tracking_uri": "http://mlflow"}},
            "sink": {"type": "datahub-rest", "config": {"server": url, "token_file": str(token)}},
            "transformers": [TAGS],
        },
        {},
        home=token.parent,
    )


async def test_a_token_that_is_refused_is_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    gms = Guarded()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gms.answer)
    async with TestServer(app) as server:
        settings = settings_of(str(server.make_url("")).rstrip("/"), token)
        await asyncio.to_thread(make_steps, settings)
        for new in ("old", "new", "newer"):
            token.write_text(new)
            gms.accepted = new
            found = await asyncio.to_thread(Asks.graph.get_aspect, "urn:li:tag:a", StatusClass)
            assert found is not None
            assert found.removed
    assert gms.seen[-5:] == [f"Bearer {each}" for each in ("old", "old", "new", "new", "newer")]
