"""The sections of a recipe: the official connector's options under their own names, and ours."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from crawler.config.secrets import one_secret, require_one
from crawler.config.settings import Confirm, Endpoint, Secret, Tls
from crawler.errors import SettingsError

DEFAULT_FILE = Path("mlflow-datahub.json")
Options = dict[Any, Any]
Count = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=50_000)]
BatchSize = Annotated[int, msgspec.Meta(ge=1, le=200)]
BatchBytes = Annotated[int, msgspec.Meta(ge=1_000, le=15_000_000)]


TOKEN_OPTIONS = ("token", "token_file", "token_command")
PASSWORD_OPTIONS = ("password", "password_file", "password_command")


class Mode(Enum):
    """`mode` of datahub-rest, in capitals or not."""

    SYNC = "SYNC"
    ASYNC = "ASYNC"
    ASYNC_BATCH = "ASYNC_BATCH"

    @classmethod
    def _missing_(cls, value: object) -> "Mode | None":
        return cls.__members__.get(str(value).upper())


class Pipeline(msgspec.Struct, kw_only=True):
    """A whole recipe (`PipelineConfig`)."""

    source: Options = {}
    sink: Options | None = None
    pipeline_name: str | None = None
    run_id: str | None = None
    flags: Options | None = None


class NoOptions(msgspec.Struct):
    """A section of which nothing is honoured (`FlagsConfig`)."""


class Typed(msgspec.Struct, kw_only=True):
    """`source` and `sink`: a type and its own options."""

    type: str
    config: Options = {}


class StatefulIngestion(msgspec.Struct, kw_only=True):
    """`stateful_ingestion` of the official source; only switched off it can be honoured yet."""

    enabled: bool = False
    remove_stale_metadata: bool = True
    fail_safe_threshold: float = 75.0
    max_checkpoint_state_size: int = 2**24
    state_provider: Options | None = None
    ignore_old_state: bool = False
    ignore_new_state: bool = False


class Connection(msgspec.Struct, kw_only=True):
    """What the source and datahub-rest call by the same names."""

    min_threads: Count = 1
    max_threads: Count = 16
    token: Secret | None = None
    token_file: Path | None = None
    token_command: str | None = None
    patience_sec: NotNegative = 300.0
    retry_max_times: Annotated[int, msgspec.Meta(ge=0)] = 7
    extra_headers: dict[str, Secret] = {}
    ca_certificate_path: Path | None = None
    client_certificate_path: Path | None = None
    client_key_path: Path | None = None
    disable_ssl_verification: bool = False

    def require_bounds(self, path: str) -> None:
        """Raises SettingsError where the lower bound of the requests at once is above the upper one."""
        if self.min_threads > self.max_threads:
            raise SettingsError(
                f"{path}: min_threads is {self.min_threads}, above max_threads, which is {self.max_threads}.",
                "Lower the one or raise the other; alike, they fix how many requests are in flight.",
            )

    def require_one_token(self, path: str) -> None:
        """Raises SettingsError where the token is given in two ways."""
        require_one({f"{path}.{name}": getattr(self, name) for name in TOKEN_OPTIONS})

    def take_token(self, token: Secret | None) -> None:
        """Puts a token, or none, in the place of whatever was given before."""
        self.token, self.token_file, self.token_command = token, None, None

    def find_token(self, path: str) -> Secret | None:
        """The token, from wherever it is kept. Raises SettingsError."""
        return one_secret(self.token, self.token_file, self.token_command, f"{path}.token")

    def tls(self) -> Tls:
        """The options on certificates."""
        return Tls(
            verify=not self.disable_ssl_verification,
            ca_certificate=self.ca_certificate_path,
            client_certificate=self.client_certificate_path,
            client_key=self.client_key_path,
        )


class MlflowSource(Connection, kw_only=True):
    """`source.config` (`MLflowConfig`); ours are `platform_instance` and all that follows, and the connection."""

    tracking_uri: str | None = None
    registry_uri: str | None = None
    model_name_separator: str = "_"
    base_external_url: str | None = None
    materialize_dataset_inputs: bool = False
    source_mapping_to_platform: dict[str, str] = {}
    username: str | None = None
    password: Secret | None = None
    password_file: Path | None = None
    password_command: str | None = None
    env: str = "PROD"
    stateful_ingestion: Options | None = None
    platform_instance: str | None = None
    page_size: PageSize = 1024
    requests_per_second: Positive | None = None
    timeout_sec: Positive = 120.0

    def require_one_password(self, path: str) -> None:
        """Raises SettingsError where the password is given in two ways."""
        require_one({f"{path}.{name}": getattr(self, name) for name in PASSWORD_OPTIONS})

    def has_password(self) -> bool:
        """Whether the options say where a password is; it may be found to be missing there."""
        return any(getattr(self, name) for name in PASSWORD_OPTIONS)

    def take_password(self, password: Secret | None) -> None:
        """Puts a password, or none, in the place of whatever was given before."""
        self.password, self.password_file, self.password_command = password, None, None

    def find_password(self, path: str) -> Secret | None:
        """The password, from wherever it is kept. Raises SettingsError."""
        return one_secret(self.password, self.password_file, self.password_command, f"{path}.password")


class RestSink(Connection, kw_only=True):
    """`sink.config` of datahub-rest (`DatahubRestSinkConfig`), and ours: `confirm`, `compression`, `max_batch_bytes`,
    and those of the connection.
    """

    server: str | None = None
    mode: Mode = Mode.ASYNC_BATCH
    endpoint: Endpoint | None = None
    confirm: Confirm = Confirm.ENTITIES
    max_per_batch: BatchSize = 200
    timeout_sec: Positive = 60.0
    compression: Literal["none", "gzip"] = "none"
    max_batch_bytes: BatchBytes = 15_000_000


class FileSink(msgspec.Struct, kw_only=True):
    """`sink.config` of file (`FileSinkConfig`)."""

    filename: Path = DEFAULT_FILE
    legacy_nested_json_string: bool = False


class LiteFile(msgspec.Struct, kw_only=True):
    """`sink.config.config` of datahub-lite (`DuckDBLiteConfig`)."""

    file: Path | None = None


class LiteSink(msgspec.Struct, kw_only=True):
    """`sink.config` of datahub-lite (`DataHubLiteSinkConfig`)."""

    type: Literal["sqlite", "duckdb"] = "sqlite"
    config: Options = {}
