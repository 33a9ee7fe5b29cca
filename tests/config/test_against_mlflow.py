"""The same recipe and variables, by MLflow's client and by us: the same servers, the same Authorization header."""

import itertools
import json
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crawler.errors import SettingsError
from crawler.settings.servers import ServerSettings
from tests.config.recipes import loaded
from tests.config.test_against_datahub import authorization_of
from tests.servers.environments import mlflow_environment

A, B, R = "http://a.example:5000", "http://b.example:5000", "http://r.example:5000"
BASIC = {"username": "ann", "password": "pw"}
USER = {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p"}
TOKEN = {"MLFLOW_TRACKING_TOKEN": "t"}
SOURCES: dict[str, dict[str, str]] = {
    "nothing": {},
    "server": {"tracking_uri": A},
    "server, user": {"tracking_uri": A} | BASIC,
    "user": BASIC,
    "only a user name": {"tracking_uri": A, "username": "ann"},
    "user info": {"tracking_uri": "http://ann:pw@a.example:5000/base/"},
    "user info, user": {"tracking_uri": "http://bob:b@a.example:5000"} | BASIC,
    "registry": {"tracking_uri": A, "registry_uri": R},
    "registry, user": {"tracking_uri": A, "registry_uri": R} | BASIC,
}
VARIABLES: dict[str, dict[str, str]] = {
    "nothing": {},
    "user": USER,
    "user name": {"MLFLOW_TRACKING_USERNAME": "u"},
    "password": {"MLFLOW_TRACKING_PASSWORD": "p"},
    "token": TOKEN,
    "user, token": USER | TOKEN,
    "user name, token": {"MLFLOW_TRACKING_USERNAME": "u"} | TOKEN,
    "the same": {"MLFLOW_TRACKING_URI": A},
    "the same, user": {"MLFLOW_TRACKING_URI": A} | USER,
    "the same, token": {"MLFLOW_TRACKING_URI": A + "/"} | TOKEN,
    "registry": {"MLFLOW_REGISTRY_URI": R},
    "registry, token": {"MLFLOW_REGISTRY_URI": R} | TOKEN,
    "another": {"MLFLOW_TRACKING_URI": B},
    "another, user info": {"MLFLOW_TRACKING_URI": "http://u:p@b.example:5000"},
}
STORED = {
    "nothing": "",
    "user": "[mlflow]\nmlflow_tracking_username = su\nmlflow_tracking_password = sp\n",
    "password": "[mlflow]\nmlflow_tracking_password = sp\n",
    "other": "[other]\nx = 1\n",
}
RECIPE_FIRST = ("user", "another, user info")
"""Where requests prefers the user info of the variable's URL to the recipe's user name and password."""
FROM_FILE = "Basic c3U6c3A="
"""`su:sp`, of ~/.mlflow/credentials, which names no server."""
BOTH = 2
Requests = list[tuple[str, str | None]] | None


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Requests]:
    """What MLflow's own client sends."""
    folder = tmp_path_factory.mktemp("homes")
    cases = []
    for source, environment, stored in itertools.product(SOURCES, VARIABLES, STORED):
        home = with_credentials(folder / stored, STORED[stored])
        cases.append({"source": SOURCES[source], "environment": VARIABLES[environment] | {"HOME": str(home)}})
    done = subprocess.run(
        [mlflow_environment("3.17.2") / "bin" / "python", Path(__file__).with_name("mlflow_requests.py")],
        input="".join(json.dumps(case) + "\n" for case in cases),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"NETRC": "/nowhere"},
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        case: None if found is None else [(server_of(url), authorization) for url, authorization in found]
        for case, found in zip(itertools.product(SOURCES, VARIABLES, STORED), answers, strict=True)
    }


def with_credentials(home: Path, content: str) -> Path:
    """A home with this ~/.mlflow/credentials."""
    (home / ".mlflow").mkdir(parents=True, exist_ok=True)
    (home / ".mlflow" / "credentials").write_text(content)
    return home


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_the_same_servers_and_credentials(
    source: str, theirs: dict[tuple[str, str, str], Requests], tmp_path: Path
) -> None:
    for environment, stored in itertools.product(VARIABLES, STORED):
        ours = our_requests(with_credentials(tmp_path, STORED[stored]), SOURCES[source], VARIABLES[environment])
        wanted = theirs[source, environment, stored] or []
        if len(wanted) < BOTH:
            # Without a server, MLflow's client reads files, and DataHub's connector them.
            assert ours is None
            continue
        assert ours is not None
        for (url, sent), (official_url, official_sent) in zip(ours, wanted, strict=True):
            assert url == official_url
            differs = is_foreign(url, source, environment) or (source, environment) == RECIPE_FIRST
            assert (
                (sent != official_sent)
                if differs and official_sent not in {None, FROM_FILE}
                else (sent == official_sent)
            ), f"{environment}; {stored}"


def is_foreign(server: str, source: str, environment: str) -> bool:
    """True if the place whose credentials MLflow's client sends names other servers than this one."""
    recipe, variables = SOURCES[source], VARIABLES[environment]
    if "@" in recipe.get("tracking_uri", "") and server == A:
        return False
    if "username" in recipe:
        named = [recipe.get(option) for option in ("tracking_uri", "registry_uri")]
    else:
        named = [variables.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")]
    return named[0] is not None and server not in [server_of(url) for url in named if url]


def our_requests(home: Path, source: dict[str, str], environment: dict[str, str]) -> Requests:
    """Server and Authorization header of both listings; None if the crawl does not start."""
    try:
        found = loaded(home, {"source": {"type": "mlflow", "config": source}}, environment | {"NETRC": "/nowhere"})
    except SettingsError:
        return None

    def request(server: ServerSettings) -> tuple[str, str | None]:
        return server_of(server.url), authorization_of(server)

    return [request(found.mlflow.tracking), request(found.mlflow.registry or found.mlflow.tracking)]


def server_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"
