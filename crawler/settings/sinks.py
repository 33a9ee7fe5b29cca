"""Where proposals go: DataHub, a file or DataHub Lite, with the options of each."""

from enum import Enum
from pathlib import Path
from typing import ClassVar

import msgspec

from crawler.settings.servers import ServerSettings


class CaseInsensitive(Enum):
    """Base of enums with upper-case values, which may be written in any case."""

    @classmethod
    def _missing_(cls, value: object) -> "CaseInsensitive | None":
        return cls.__members__.get(str(value).upper())


class Endpoint(CaseInsensitive):
    """An API of GMS: Rest.li, which every version has, or OpenAPI v3, which DataHub 1.0.1 and later have."""

    RESTLI = "RESTLI"
    OPENAPI = "OPENAPI"


class Confirm(Enum):
    """What confirms a delivery: one aspect of each entity read back, each aspect, or the status of the response."""

    ENTITIES = "entities"
    STORED = "stored"
    NONE = "none"


class RestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sink: DataHub's metadata service (GMS).

    Attributes:
        server: the server.
        endpoint: the API that takes the proposals.
        confirm: what confirms that DataHub has stored them.
        confirm_wait: the seconds to wait for what DataHub took while nothing moves in its queue.
        max_unconfirmed: the most bytes on the disk, compressed, of what DataHub took and has not been seen to have.
        gzip: True compresses requests.
        asynchronous: True lets DataHub queue proposals before it stores them.
        batch_size: the most proposals in a request.
        batch_bytes: the most bytes in a request, before compression.
    """

    is_resumable: ClassVar[bool] = True
    output_file: ClassVar[None] = None

    server: ServerSettings
    endpoint: Endpoint = Endpoint.RESTLI
    confirm: Confirm = Confirm.ENTITIES
    confirm_wait: float = 900.0
    max_unconfirmed: int = 1_000_000_000
    gzip: bool = False
    asynchronous: bool = True
    batch_size: int = 200
    batch_bytes: int = 15_000_000

    @property
    def target(self) -> str:
        """What a resumed crawl must share: the server's URL."""
        return self.server.url


class _LocalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sinks that are a file on this machine."""

    server: ClassVar[None] = None

    path: Path

    @property
    def output_file(self) -> Path:
        """The file to write."""
        return self.path

    @property
    def target(self) -> str:
        """What a resumed crawl must share: the absolute path."""
        return str(self.path.absolute())


class FileSettings(_LocalSettings, frozen=True, kw_only=True):
    """A sink: a JSON array of proposals, as DataHub's `file` sink writes it.

    Attributes:
        path: the file, which is replaced when the crawl has ended; `-` for standard output.
        nested_json: True writes each aspect as a JSON text within the JSON, as older versions of DataHub read it.
        lines: True writes one proposal a line instead of an array, as they come.
    """

    is_resumable: ClassVar[bool] = False

    nested_json: bool = False
    lines: bool = False

    @property
    def target(self) -> str:
        """No file in particular: each crawl may write another one, and none is ever resumed."""
        return "a file"


class LiteSettings(_LocalSettings, frozen=True, kw_only=True):
    """A sink: DataHub Lite, the catalog that acryl-datahub keeps in a local file.

    Attributes:
        path: the file of the catalog.
        kind: its format, sqlite or duckdb.
    """

    is_resumable: ClassVar[bool] = True

    kind: str = "sqlite"


SinkSettings = RestSettings | FileSettings | LiteSettings
"""Where proposals go. Every sink has these, so that no caller has to tell them apart:

- `server`: the HTTP server that is written to, or None.
- `output_file`: the local file that is written, or None.
- `target`: names the destination; a resumed crawl must have the same.
- `is_resumable`: True if the sink keeps what an earlier crawl wrote, so that a crawl into it can be resumed, and what
  could not be sent can be sent later.
"""
