"""Files of the home folder that the clients of MLflow and DataHub, and requests, look into."""

from collections.abc import Mapping
from pathlib import Path

from crawler.config.environment import is_true
from crawler.config.layers import Layer, recipe_layer
from crawler.config.sections.sink import RestSink
from crawler.config.strict import section
from crawler.config.unsupported import UNSUPPORTED_IN_REST_SINK
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.secrets.token_providers import session_of


def home_folder() -> Path | None:
    """Return the user's home; None for a user id without one: what it could hold is only perhaps needed."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def datahubenv(environment: Mapping[str, str], home: Path | None) -> Layer:
    """Return what `datahub init` wrote to ~/.datahubenv; nothing if DATAHUB_SKIP_CONFIG forbids to read it."""
    place = "~/.datahubenv"
    path = None if home is None else home / ".datahubenv"
    if path is None or is_true(environment, "DATAHUB_SKIP_CONFIG") or not path.is_file():
        return Layer(place=place)
    from crawler.config.document import read_document  # noqa: PLC0415  only this file and a recipe need YAML

    document = read_document(path, "file")
    gms = document.get("gms")
    if not isinstance(gms, dict):
        raise SettingsError(f"{path} has no mapping gms.", "Write it again with `datahub init`.")
    # The file has options of other tools too, so unknown ones are ignored.
    known = {key: gms[key] for key in gms if key in RestSink.__struct_fields__}
    if (session := session_of(path, document)) is not None and known.pop("token", None):
        known["auth"] = session
    where = f"{path}: gms"
    stored = section(known, where, RestSink, UNSUPPORTED_IN_REST_SINK)
    layer = recipe_layer(stored, known, where)
    return Layer(place=place, options=layer.options, path=where)


def mlflow_credentials(home: Path | None) -> Layer:
    """Return user name and password of ~/.mlflow/credentials, as MLflow's client reads them."""
    place = "~/.mlflow/credentials"
    path = None if home is None else home / ".mlflow" / "credentials"
    if path is None or not path.exists():
        return Layer(place=place)
    import configparser  # noqa: PLC0415  only this file needs it

    parser = configparser.ConfigParser()
    try:
        parser.read(path)
        stored = parser["mlflow"] if parser.has_section("mlflow") else {}
        username, password = stored.get("mlflow_tracking_username"), stored.get("mlflow_tracking_password")
    except (configparser.Error, UnicodeDecodeError):
        # The text of the error quotes the file.
        raise SettingsError(f"{place} cannot be read.", "Write user name and password below [mlflow].") from None
    return Layer(place=place, options={"username": username, "password": Secret(password) if password else None})


def netrc_credentials(environment: Mapping[str, str], home: Path | None, host: str) -> Layer:
    """Return user name and password that NETRC, ~/.netrc or ~/_netrc has for a host, as requests reads them.

    A file that cannot be read has none.
    """
    named = environment.get("NETRC")
    paths = [Path(named)] if named is not None else [home / name for name in (".netrc", "_netrc") if home is not None]
    path = next((path for path in map(_expanded, paths) if path.exists()), None)
    place = "NETRC" if named is not None else "~/.netrc"
    if path is None:
        return Layer(place=place)
    import netrc  # noqa: PLC0415  only this file needs it

    try:
        found = netrc.netrc(path).authenticators(host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        found = None
    if found is None or not any(found):
        return Layer(place=place)
    login, account, password = found
    return Layer(place=place, options={"username": login or account or "", "password": Secret(password or "")})


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        return path
