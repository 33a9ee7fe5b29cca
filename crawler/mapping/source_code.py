"""The tags of a run that say where its code is → source code of a model.

Written for runs that name a repository, or a notebook that has a page: a commit or a file alone leads nowhere.
"""

import re
from urllib.parse import quote, urlsplit

from crawler.datahub.aspects.models import SourceCode, SourceCodeUrl
from crawler.url_credentials import strip_text

_REPOSITORY, _COMMIT = "mlflow.source.git.repoURL", "mlflow.source.git.commit"
_CLONE, _CLONE_COMMIT = "mlflow.databricks.gitRepoUrl", "mlflow.databricks.gitRepoCommit"
"""Of a notebook in a Git folder of Databricks."""
_SOURCE_TYPE = "mlflow.source.type"
_NAME = "mlflow.source.name"
_NOTEBOOK_ID = "mlflow.databricks.notebookID"
_NOTEBOOK_PATH = "mlflow.databricks.notebookPath"
_WORKSPACE = "mlflow.databricks.workspaceURL"
_WEBAPP = "mlflow.databricks.webappURL"
_SHOWN = (
    _REPOSITORY,
    _COMMIT,
    "mlflow.source.git.branch",
    _SOURCE_TYPE,
    _NAME,
    "mlflow.project.entryPoint",
    _CLONE,
    _CLONE_COMMIT,
    "mlflow.databricks.gitRepoReference",
    _NOTEBOOK_PATH,
)
_TYPE = "TRAINING_PIPELINE_SOURCE_CODE"

_SCP_FORM = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+\.[\w-]+):(?P<path>(?!//)[^:]+)\Z", re.ASCII)
"""`git@github.com:acme/models.git`, which is no URL."""
_HASH = re.compile(r"[0-9a-f]{7,64}\Z")
_NOTEBOOK = re.compile(r"[\w-]+\Z", re.ASCII)
_AT_A_COMMIT = (
    (re.compile(r"(^|\.)github\."), "tree"),
    (re.compile(r"(^|\.)gitlab\."), "-/tree"),
    (re.compile(r"^bitbucket\.org$"), "src"),
)
"""Where a host shows the files of a commit, by its name: services, and servers of one's own with such a name."""


def source_code(tags: dict[str, str]) -> SourceCode | None:
    """Return the aspect sourceCode by the tags of a run; None where they lead to no page."""
    url = _page_of_commit(tags, _REPOSITORY, _COMMIT) or _page_of_commit(tags, _CLONE, _CLONE_COMMIT)
    url = url or _page_of_notebook(tags)
    return None if url is None else SourceCode(source_code=[SourceCodeUrl(type=_TYPE, source_code_url=url)])


def source_properties(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that a model shares with its run, if these say where the code is."""
    if not any(tags.get(key) for key in (_REPOSITORY, _CLONE, _NOTEBOOK_PATH)):
        return {}
    return {key: value for key in _SHOWN if (value := tags.get(key))}


def _page_of_commit(tags: dict[str, str], of_repository: str, of_commit: str) -> str | None:
    """Return the page of the repository, at the commit where its host is known to show that."""
    repository = _repository_page(tags.get(of_repository, ""))
    if repository is None:
        return None
    commit = tags.get(of_commit, "")
    host = urlsplit(repository).hostname or ""
    folder = next((folder for of_host, folder in _AT_A_COMMIT if of_host.search(host)), None)
    if folder is None or not _HASH.match(commit):
        return repository
    return f"{repository}/{folder}/{commit}{_project_folder(tags)}"


def _repository_page(repository: str) -> str | None:
    """Return the URL that a browser opens: without credentials, and https for what git reads by ssh."""
    text = strip_text(repository.partition("#")[0].strip()).rstrip("/")
    if scp := _SCP_FORM.match(text):
        return _page(scp["host"], scp["path"])
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if ":" in host:
        host = f"[{host}]"
    if not host or not parts.path.strip("/"):
        return None
    if parts.scheme in {"http", "https"}:
        return _page(host if port is None else f"{host}:{port}", parts.path, parts.scheme)
    # The port of ssh is not that of the pages.
    return _page(host, parts.path) if parts.scheme in {"ssh", "git", "git+ssh"} else None


def _page(host: str, path: str, scheme: str = "https") -> str:
    return f"{scheme}://{host}/{quote(path.strip('/').removesuffix('.git'), safe='/~%')}"


def _project_folder(tags: dict[str, str]) -> str:
    """Return the folder of an MLflow Project, which its source names behind a `#`; of another source it is a name."""
    _, _, folder = (tags.get(_NAME, "") if tags.get(_SOURCE_TYPE) == "PROJECT" else "").partition("#")
    folder = folder.strip("/")
    return f"/{quote(folder, safe='/')}" if folder and ".." not in folder.split("/") else ""


def _page_of_notebook(tags: dict[str, str]) -> str | None:
    """Return the page of a notebook of Databricks, as MLflow's own UI links to it."""
    notebook = tags.get(_NOTEBOOK_ID, "")
    workspace = strip_text(tags.get(_WORKSPACE) or tags.get(_WEBAPP) or "").rstrip("/")
    is_page = workspace.startswith(("https://", "http://")) and _NOTEBOOK.match(notebook)
    return f"{workspace}/#notebook/{notebook}" if is_page else None
