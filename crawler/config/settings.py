"""What a crawl is told to do: one frozen struct a part, made from recipe, environment and flags by `crawler.config`."""

from enum import Enum
from pathlib import Path

import msgspec


class Secret:
    """A password or token that prints as `***`; only `reveal()` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the request that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class _Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all settings: immutable, by keyword, no unknown fields."""


class Tls(_Settings, frozen=True, kw_only=True):
    """How a server's certificate is checked and which one we show."""

    verify: bool = True
    ca_certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


class ServerSettings(_Settings, frozen=True, kw_only=True):
    """One HTTP server and how hard it may be asked. Times in seconds.

    `min_concurrency` to `concurrency` requests are in flight, as many as the server bears. An outage of at most
    `patience` is sat out. With `user_info` the user name came in the address, where some services take a token: it is
    never shown.
    """

    url: str
    username: str | None = None
    user_info: bool = False
    password: Secret | None = None
    token: Secret | None = None
    headers: dict[str, Secret] = {}
    tls: Tls = Tls()
    concurrency: int = 16
    min_concurrency: int = 1
    requests_per_second: float | None = None
    timeout: float = 120.0
    attempts: int = 8
    patience: float = 300.0

    def __repr__(self) -> str:
        """All but the user name, in place of which some services take a token."""
        shown = msgspec.structs.asdict(self) | {"username": self.username and Secret(self.username)}
        return f"ServerSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class MlflowSettings(_Settings, frozen=True, kw_only=True):
    """Where runs (tracking) and models (registry) are read, and how many rows a page asks for."""

    tracking: ServerSettings
    registry: ServerSettings | None = None
    page_size: int = 1024


class MappingSettings(_Settings, frozen=True, kw_only=True):
    """Everything that changes what is written for one and the same MLflow server.

    `ui_url` is the page that links in DataHub lead to: base_external_url, else the tracking URI.
    """

    env: str = "PROD"
    platform_instance: str | None = None
    model_name_separator: str = "_"
    ui_url: str
    materialize_dataset_inputs: bool = False
    source_mapping_to_platform: dict[str, str] = {}


class Endpoint(Enum):
    """GMS' ways in: Rest.li's batches, which all versions know, or OpenAPI v3, from 1.0.1 on. In capitals or not."""

    RESTLI = "RESTLI"
    OPENAPI = "OPENAPI"

    @classmethod
    def _missing_(cls, value: object) -> "Endpoint | None":
        return cls.__members__.get(str(value).upper())


class Confirm(Enum):
    """What proves that DataHub has what was sent: one aspect of each entity, each aspect, or the answer's status."""

    ENTITIES = "entities"
    STORED = "stored"
    NONE = "none"


class RestSettings(_Settings, frozen=True, kw_only=True):
    """DataHub's GMS. Batches hold at most `batch_size` proposals and `batch_bytes` bytes."""

    server: ServerSettings
    endpoint: Endpoint = Endpoint.RESTLI
    confirm: Confirm = Confirm.ENTITIES
    gzip: bool = False
    asynchronous: bool = True
    batch_size: int = 200
    batch_bytes: int = 15_000_000


class FileSettings(_Settings, frozen=True, kw_only=True):
    """A JSON array of proposals as DataHub's `file` sink writes it; `path` may be `-` for standard output."""

    path: Path
    nested_json: bool = False


class LiteSettings(_Settings, frozen=True, kw_only=True):
    """DataHub Lite: the catalog that acryl-datahub keeps in one local file. `kind` is sqlite or duckdb."""

    path: Path
    kind: str = "sqlite"


SinkSettings = RestSettings | FileSettings | LiteSettings


class DeliverySettings(_Settings, frozen=True, kw_only=True):
    """Where proposals go and how, whatever they come from. `max_duration` and `grace`, the time that a stop may take,
    are in seconds; Kubernetes kills 30 s after SIGTERM.
    """

    run_id: str
    pipeline_name: str | None = None
    sink: SinkSettings
    report: Path | None = None
    dead_letters: Path | None = None
    max_duration: float | None = None
    grace: float = 25.0
    dry_run: bool = False
    validate: bool = False
    notes: tuple[str, ...] = ()


class Settings(DeliverySettings, frozen=True, kw_only=True):
    """One crawl."""

    mlflow: MlflowSettings
    mapping: MappingSettings
    state: Path | None = None
