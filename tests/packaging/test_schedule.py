"""The Dockerfile's own commands in an empty environment, and the schedules of docs/ run as they are written."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.utils import canonicalize_name

from crawler.settings.durations import duration
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import recipe_file

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
INSTALLED = "/opt/crawler"


def instructions(name: str) -> list[str]:
    """The arguments of one kind of instruction in the Dockerfile, in order."""
    return re.findall(rf"^{name} (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image holds under /opt/crawler, made by the Dockerfile's own COPY and RUN lines."""
    folder = tmp_path_factory.mktemp("image")
    source, installed = folder / "src", folder / "opt" / "crawler"
    source.mkdir()
    for copy in instructions("COPY"):
        if copy.startswith("--from"):
            continue
        *names, target = copy.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target)
            else:
                shutil.copy(ROOT / name, source / target)
    python = f"{Path(sys.executable).resolve().parent}{os.pathsep}{os.environ['PATH']}"
    env = {key: value for key, value in os.environ.items() if key.startswith("PIP_")} | {"PATH": python}
    # The few modules that a crawl imports are compiled when it does.
    env["PIP_COMPILE"] = "0"
    for command in instructions("RUN"):
        words = shlex.split(command.replace("/opt/", f"{folder}/opt/"))
        subprocess.run(words, cwd=source, env={**env, "HOME": os.environ["HOME"]}, check=True, capture_output=True)
    return installed


async def run(command: list[str], env: dict[str, str], folder: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_image_crawls_with_nothing_but_variables(
    image: Path, golden_server: MlflowServer, tmp_path: Path
) -> None:
    (entrypoint,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")
    words = json.loads(entrypoint.replace(INSTALLED, str(image))) + json.loads(command)
    async with Gms(token="secret") as gms:
        env = {"MLFLOW_TRACKING_URI": golden_server.url, "DATAHUB_GMS_URL": gms.url, "DATAHUB_GMS_TOKEN": "secret"}
        code, output = await run(words, {**env, "HOME": "/tmp"}, tmp_path)
    assert code == 0, output
    assert len(gms.aspects) == 376
    assert os.listdir(tmp_path) == [], "a crawl into DataHub leaves nothing on the disk"  # noqa: PTH208


def test_the_image_is_slim_and_not_root() -> None:
    assert all("slim" in base for base in instructions("FROM"))
    assert instructions("USER") == ["10001:10001"]
    assert not any("apt" in command or "gcc" in command for command in instructions("RUN"))


def test_the_image_holds_what_the_lock_names_and_us(image: Path) -> None:
    listed = subprocess.run(
        [image / "bin" / "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    ).stdout
    installed = {canonicalize_name(each["name"]): each["version"] for each in json.loads(listed)}
    lock = (ROOT / "requirements" / "crawler.lock").read_text()
    pins = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)}
    # What a new environment brings along itself.
    for own in ("mlflow-datahub-crawler", "setuptools"):
        installed.pop(canonicalize_name(own), None)
    assert installed.items() <= pins.items()


def cronjob() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docs" / "cronjob.yaml").read_text()))


async def test_the_cronjobs_container_crawls(image: Path, golden_server: MlflowServer, tmp_path: Path) -> None:
    (container,) = cronjob()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    arguments = [word.replace("/data/", f"{tmp_path}/") for word in container["args"]]
    (tmp_path / "token").write_text("secret\n")
    (entrypoint,) = instructions("ENTRYPOINT")
    async with Gms(token="secret") as gms:
        real = {
            "MLFLOW_TRACKING_URI": golden_server.url,
            "DATAHUB_GMS_URL": gms.url,
            "DATAHUB_GMS_TOKEN_FILE": str(tmp_path / "token"),
        }
        env = {variable["name"]: real[variable["name"]] for variable in container["env"]}
        words = json.loads(entrypoint.replace(INSTALLED, str(image)))
        code, output = await run(words + arguments, {**env, "HOME": "/tmp"}, tmp_path)
    assert code == 0, output
    assert json.loads((tmp_path / "report.json").read_text())["status"] == "success"


def test_the_cronjob_is_safe() -> None:
    spec = cronjob()["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert not any(variable["name"].endswith(("TOKEN", "PASSWORD")) for variable in container["env"])
    assert set(container["resources"]) == {"requests", "limits"}


def test_the_cronjob_leaves_time_for_a_clean_stop_and_what_must_last_on_a_volume() -> None:
    job = cronjob()["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    given = dict(word.removeprefix("--").split("=") for word in container["args"][1:])
    assert duration(given["grace"]) < pod["terminationGracePeriodSeconds"]
    assert duration(given["max-duration"]) < job["activeDeadlineSeconds"]
    lasting = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
    (folder,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in lasting)
    assert all(given[name].startswith(f"{folder}/") for name in ("report", "state", "dead-letters"))
    token = next(variable["value"] for variable in container["env"] if variable["name"] == "DATAHUB_GMS_TOKEN_FILE")
    assert any(token.startswith(f"{mount['mountPath']}/") for mount in container["volumeMounts"])


async def test_the_crontab_line_crawls(image: Path, golden_server: MlflowServer, tmp_path: Path) -> None:
    (line,) = re.findall(r"```cron\n(.*)\n```", (ROOT / "docs" / "cron.md").read_text())
    command = line.split(maxsplit=5)[5]
    for place in ("/tmp/", "/etc/mlflow-datahub/", "/var/log/"):
        command = command.replace(place, f"{tmp_path}/")
    command = command.replace(INSTALLED, str(image))
    recipe_file(tmp_path, golden_server.url, sink={"type": "file", "config": {"filename": str(tmp_path / "out.json")}})
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    code, output = await run(["/bin/sh", "-c", command], env, tmp_path)
    assert code == 0, output
    assert len(json.loads((tmp_path / "out.json").read_text())) == 376
    assert "Done: 69 entities" in (tmp_path / "mlflow-datahub.log").read_text()
