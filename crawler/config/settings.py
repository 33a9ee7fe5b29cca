"""The settings of a crawl: one frozen struct for each part of it.

`crawler.config.load` makes them from a recipe, the environment and flags. They are final: the crawl reads them only.
`msgspec.structs.replace(settings, dry_run=True)` returns a changed copy.
"""

from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from crawler.config.selection import Selection


class Secret:
    """A password or token that prints as `***`; only `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Keep `value` from being shown."""
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the request that needs it."""
        return self._value

    def __repr__(self) -> str:
        """Return `***`."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare the secrets themselves."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Return the hash of the secret itself."""
        return hash(self._value)


class _Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all settings: immutable, by keyword, no unknown fields."""


class TokenProvider(_Settings, frozen=True, kw_only=True):
    """One of acryl-datahub's token providers.

    Attributes:
        type: its name there, or the import path of a class.
        config: its options, as JSON.
    """

    type: str
    config: Secret


class SecretSource(_Settings, frozen=True, kw_only=True):
    """Where a secret is kept, so that it can be read again: a file, a command or a token provider.

    Attributes:
        option: how messages name the option or variable that says so.
        file: a file that has the secret in its first line.
        command: a command that prints it in its first line.
        provider: what makes a new token each time.
    """

    option: str
    file: Path | None = None
    command: str | None = None
    provider: TokenProvider | None = None


class Tls(_Settings, frozen=True, kw_only=True):
    """How a server's certificate is verified, and the client certificate it is sent.

    Attributes:
        verify: False accepts every certificate.
        ca_certificate: a PEM file or a folder of certificates to trust instead of the system's.
        client_certificate: a PEM file with the certificate to send, and with its key if `client_key` is None.
        client_key: a PEM file with the key of the client certificate, unencrypted.
    """

    verify: bool = True
    ca_certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None


class ServerSettings(_Settings, frozen=True, kw_only=True):
    """One HTTP server, its credentials and the load it is put under.

    Attributes:
        url: the base URL.
        username: the user name for HTTP basic authentication.
        user_info: True if the user name was written into the URL, where some services take a token: it is not shown.
        password: the password of `username`.
        token: a bearer token; it is sent instead of user name and password.
        renewal: where the token or the password is read again when the server refuses it: it may have changed there.
        headers: headers to send with each request, whatever else they carry.
        tls: how certificates are verified.
        concurrency: the most requests in flight; fewer if the server slows down or refuses some.
        min_concurrency: the fewest requests in flight that the limit may fall to.
        requests_per_second: the most requests begun per second; None for no limit.
        timeout: the most seconds that one attempt may take.
        attempts: the most attempts of one request, the first included.
        patience: the longest outage, in seconds, to wait out; 0 to wait for none.
    """

    url: str
    username: str | None = None
    user_info: bool = False
    password: Secret | None = None
    token: Secret | None = None
    renewal: SecretSource | None = None
    headers: dict[str, Secret] = {}
    tls: Tls = Tls()
    concurrency: int = 16
    min_concurrency: int = 1
    requests_per_second: float | None = None
    timeout: float = 120.0
    attempts: int = 8
    patience: float = 300.0

    def __repr__(self) -> str:
        """Return all fields but the user name, in place of which some services take a token."""
        shown = msgspec.structs.asdict(self) | {"username": self.username and Secret(self.username)}
        return f"ServerSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class MlflowSettings(_Settings, frozen=True, kw_only=True):
    """The MLflow servers to read.

    Attributes:
        tracking: the server of experiments and runs.
        registry: the server of registered models and their versions; None if that is the tracking server.
        page_size: the most runs to ask for in one page; fewer if they are large.
        workspace: the only workspace to read, as if the server had no other one; None for those that are selected.
    """

    tracking: ServerSettings
    registry: ServerSettings | None = None
    page_size: int = 1024
    workspace: str | None = None


class OwnerSettings(_Settings, frozen=True, kw_only=True):
    """How the owners of models, model groups and containers are told.

    Attributes:
        tags: the tags that name them; the first that a thing has counts.
        pattern: what of a tag's value is the name: its first group, or all of it; None for the whole value.
        user_domain: what follows the `@` of a name that has none; None for nothing.
        type: DataHub's name of the kind of ownership, or the URN of a kind of one's own.
    """

    tags: tuple[str, ...]
    pattern: str | None = None
    user_domain: str | None = None
    type: str = "TECHNICAL_OWNER"


class MappingSettings(_Settings, frozen=True, kw_only=True):
    """All that decides what is written for one MLflow server.

    Attributes:
        env: the environment in URNs, such as PROD.
        platform_instance: the platform instance in URNs, to tell several MLflow servers apart.
        model_name_separator: what stands between a model's name and its version in URNs.
        ui_url: the URL of MLflow's pages, which links in DataHub begin with.
        materialize_dataset_inputs: True also writes the dataset on its own platform that a dataset input stands for.
        source_mapping_to_platform: the DataHub platform for each source type of a dataset input.
        workspace_identity: whether each workspace but the default is a platform instance of its own, or only a prefix.
        workspace: the workspace that links name; None until the server has said that it has any.
        name_prefix: what names of models begin with in URNs; empty for the default workspace, and without any.
        keep_url_credentials: True writes the user names and passwords that stand within URLs of MLflow's data.
        owner: how owners are told; None for no owners.
        model_tags: what the tags of a model in its properties hold beside its own, "stage" and "alias".
        link_to_mlflow: True writes MLflow's pages as links, too.
    """

    env: str = "PROD"
    platform_instance: str | None = None
    model_name_separator: str = "_"
    ui_url: str
    materialize_dataset_inputs: bool = False
    source_mapping_to_platform: dict[str, str] = {}
    workspace_identity: Literal["platform_instance", "prefix"] = "platform_instance"
    workspace: str | None = None
    name_prefix: str = ""
    keep_url_credentials: bool = False
    owner: OwnerSettings | None = None
    model_tags: tuple[str, ...] = ()
    link_to_mlflow: bool = False


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


class RestSettings(_Settings, frozen=True, kw_only=True):
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


class _LocalSettings(_Settings, frozen=True, kw_only=True):
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


class TransformerSettings(_Settings, frozen=True, kw_only=True):
    """One of acryl-datahub's transformers.

    Attributes:
        type: its name there, or the import path of a class.
        config: its options, which it checks itself.
    """

    type: str
    config: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Return the type alone: options may be secrets."""
        return f"TransformerSettings(type={self.type!r})"


class IngestionPageSettings(_Settings, frozen=True, kw_only=True):
    """The crawl as DataHub's Ingestion page shows it.

    Attributes:
        recipe: the recipe as JSON, without its secrets; empty to show none.
        is_asked_for: True where the recipe asks for it; otherwise a DataHub that refuses is no more than a line in the
            log.
        is_required: True ends a crawl that cannot be shown before anything is read.
    """

    recipe: str = ""
    is_asked_for: bool = False
    is_required: bool = False


class RemovalSettings(_Settings, frozen=True, kw_only=True):
    """What is done about entities that MLflow does not list any more (`stateful_ingestion`).

    Attributes:
        checkpoint: where the last crawl's URNs are kept: DataHub's server, or a file.
        fail_safe_threshold: the percentage of them that may vanish at once; 100 for no limit.
        max_state_bytes: the most bytes of a checkpoint's payload.
        ignore_old_state: True neither reads the checkpoint nor removes what it has.
        ignore_new_state: True does not write the checkpoint.
        is_confirmed: True if the user says that what MLflow does not list was deleted there.
    """

    checkpoint: ServerSettings | Path
    fail_safe_threshold: float = 75.0
    max_state_bytes: int = 2**24
    ignore_old_state: bool = False
    ignore_new_state: bool = False
    is_confirmed: bool = False


class DeliverySettings(_Settings, frozen=True, kw_only=True):
    """Where proposals go and how, whether a crawl or a replay makes them.

    Attributes:
        run_id: the run id in the system metadata of each proposal; DataHub's rollback works by it.
        pipeline_name: the pipeline name there.
        labels_run: False leaves both out of the system metadata.
        labels_pipeline: False leaves out the pipeline name alone.
        sink: where proposals go.
        dead_letters: the file for proposals that cannot be delivered; None for one of the run in the working directory.
        max_duration: the seconds after which the job is stopped cleanly; None for no limit.
        grace: the most seconds that a clean stop may take; Kubernetes kills 30 s after SIGTERM.
        dry_run: True delivers nothing.
        validate: True checks each proposal with acryl-datahub's schema first.
        notes: what the user should know about how the settings were chosen.
    """

    run_id: str
    pipeline_name: str | None = None
    labels_run: bool = True
    labels_pipeline: bool = True
    sink: SinkSettings
    dead_letters: Path | None = None
    max_duration: float | None = None
    grace: float = 25.0
    dry_run: bool = False
    validate: bool = False
    notes: tuple[str, ...] = ()


class IncrementalSettings(_Settings, frozen=True, kw_only=True):
    """How an incremental crawl finds what may have changed.

    Attributes:
        full_every: the seconds after which everything is read again.
        not_ended_for: the seconds since its start for which a run that has not ended is read again.
    """

    full_every: float = 7 * 86_400.0
    not_ended_for: float = 14 * 86_400.0


class KeepingCurrent(_Settings, frozen=True, kw_only=True):
    """How a crawl uses what the state keeps of earlier ones.

    Attributes:
        incremental: how it reads only what may have changed; None reads everything.
        verify_every: the seconds after which DataHub is asked whether it has what the state says; None for never.
    """

    incremental: IncrementalSettings | None = None
    verify_every: float | None = None


class Settings(DeliverySettings, frozen=True, kw_only=True):
    """The settings of one crawl; `crawler.config.load.load()` makes them.

    Attributes:
        mlflow: the servers to read.
        selection: what of them is read.
        mapping: what is written for them.
        state: the checkpoint file, by which a crawl that was cut off is resumed; None for none.
        removal: how what vanished from MLflow is removed; None to remove nothing.
        browse_paths: False leaves out browse paths.
        transformers: what changes the entities before they are delivered, in this order.
        graph: the DataHub that transformers read from; None for none.
        ingestion_page: how DataHub's Ingestion page shows the crawl; None for not at all.
        report_files: files that the report is written to in the form of `datahub ingest`.
        changed_only: how only what has changed since the last crawl with this state is sent; None sends everything.

    Example:
        settings = load("recipe.yml")
        assert isinstance(settings, Settings)
        print(settings.mlflow.tracking.url, settings.sink)
    """

    mlflow: MlflowSettings
    selection: Selection = Selection()
    mapping: MappingSettings
    state: Path | None = None
    removal: RemovalSettings | None = None
    browse_paths: bool = True
    transformers: tuple[TransformerSettings, ...] = ()
    graph: ServerSettings | None = None
    ingestion_page: IngestionPageSettings | None = None
    report_files: tuple[Path, ...] = ()
    changed_only: KeepingCurrent | None = None
