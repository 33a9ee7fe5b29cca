"""What the container installs: the locks satisfy pyproject.toml, each line has hashes, and no address is in them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WANTED = {"crawler": PROJECT["project"]["dependencies"], "build": PROJECT["build-system"]["requires"]}
IMAGES = [
    {"sys_platform": "linux", "platform_machine": machine, "python_version": "3.12", "python_full_version": "3.12.9"}
    for machine in ("x86_64", "aarch64")
]


def locked(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Each package of a lock, by its name, with its hashes."""
    lines = (ROOT / "requirements" / f"{name}.lock").read_text().replace("\\\n", " ").splitlines()
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in lines:
        pinned, *hashes = line.split(" --hash=")
        requirement = Requirement(pinned.strip())
        found[canonicalize_name(requirement.name)] = requirement, [each.strip() for each in hashes]
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize("name", WANTED)
def test_each_line_is_one_version_with_hashes(name: str) -> None:
    for requirement, hashes in locked(name).values():
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("name", WANTED)
def test_no_address_and_no_option_is_in_a_lock(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    assert "://" not in text
    assert " @ " not in text
    assert not re.search(r"^\s*-(?!-hash=)", text, re.MULTILINE)


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image["platform_machine"])
def test_a_lock_satisfies_the_project(name: str, image: dict[str, str]) -> None:
    pins = locked(name)
    for wanted in map(Requirement, WANTED[name]):
        pinned, _ = pins[canonicalize_name(wanted.name)]
        assert pinned.marker is None or pinned.marker.evaluate(image)
        (version,) = pinned.specifier
        assert wanted.specifier.contains(version.version, prereleases=True), f"{pinned} does not satisfy {wanted}"


def test_the_image_installs_nothing_else() -> None:
    commands = re.findall(r"^RUN (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    installs = [command for command in commands if re.search(r"pip (install|wheel)", command)]
    assert len(installs) == 4
    assert all("--require-hashes" in command or "--no-index" in command for command in installs)


def test_the_locks_can_be_renewed_by_the_command_of_the_policy() -> None:
    (command,) = re.findall(r"```sh\n(.*?)```", (ROOT / "SECURITY.md").read_text(), re.DOTALL)
    for option in ("--universal", "--generate-hashes", "--no-emit-index-url", "--only-binary :all:"):
        assert option in command
    assert [name for name in WANTED if f"requirements/{name}.lock" in command] == list(WANTED)
