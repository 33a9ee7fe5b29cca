"""A secret is in no text that we make: settings, messages, tracebacks."""

import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.settings.crawl import Settings
from tests.config.recipes import CANARY, loaded, recipe, refused, rest
from tests.support.examples import examples

words = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=8).map(lambda text: text + CANARY)
spoilt = st.sampled_from([{"page_size": "many"}, {"env": "X"}, {"timeout_sec": -1}, {"usernam": "x"}, {}, {}, {}])
wrapped = st.sampled_from([*[lambda it: it] * 9, lambda it: [it], lambda it: {it: it}, lambda it: {"x": [it]}])


def shown(found: Settings) -> str:
    """All that settings could say of themselves, part by part."""
    parts = [found, found.mlflow, found.mlflow.tracking, found.mapping, found.sink, found.notes]
    return "\n".join(text for part in parts for text in (repr(part), str(part), f"{part}", f"{part!r:>3}"))


@examples(300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), spoil=spoilt)
def test_a_secret_is_never_shown(tmp_path: Path, data: st.DataObject, spoil: dict[str, Any]) -> None:
    def secret() -> Any:
        return data.draw(wrapped)(data.draw(words))

    user_info = quote(data.draw(words), safe="") + ":" + quote(data.draw(words), safe="")
    url = data.draw(
        st.sampled_from([*[f"http://{user_info}@host"] * 4, f"ht!tp://{user_info}@host", f"http://{user_info}@["])
    )
    source = {"tracking_uri": url, "registry_uri": url, "base_external_url": url, "username": "u"}
    source |= {"password": secret(), "token": secret(), "extra_headers": {"X": secret()}} | spoil
    document = recipe(source, rest(server=url, token=secret(), extra_headers={"Y": secret()}))
    path = tmp_path / "recipe.yml"
    path.write_text(yaml.safe_dump(document))
    try:
        text = shown(load(path, {}, Flags(), home=tmp_path))
    except SettingsError as error:
        text = "".join(traceback.format_exception(error)) + repr(error) + error.message + error.hint
    assert CANARY not in text


@examples(200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.text("{}[]&*!|>-'\"%@`#<,? :\t$\\", max_size=6), place=st.integers(0, 6))
def test_a_secret_in_broken_yaml_is_never_shown(tmp_path: Path, line: str, place: int) -> None:
    try:
        text = shown(loaded(tmp_path, f"source: 1\npassword: {line[:place]}{CANARY}{line[place:]}\n"))
    except SettingsError as error:
        text = "".join(traceback.format_exception(error))
    assert CANARY not in text


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DATAHUB_GMS_URL"])
@pytest.mark.parametrize("address", ["http://u:{}@host/x", "http://{}@host", "http://u:{}@[", "postgresql://u:{}@host"])
def test_addresses_from_the_environment(name: str, address: str, tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_URI": "http://m", name: address.format(CANARY), "MLFLOW_TRACKING_TOKEN": CANARY}
    try:
        text = shown(load(None, env, Flags(), home=tmp_path))
    except SettingsError as error:
        text = "".join(traceback.format_exception(error))
    assert CANARY not in text


def test_addresses_in_flags(tmp_path: Path) -> None:
    found = load(
        None, {}, Flags(mlflow_uri=f"http://u:{CANARY}@m/b/", datahub_url=f"http://u:{CANARY}@g"), home=tmp_path
    )
    assert CANARY not in shown(found)
    assert (found.mlflow.tracking.url, found.mapping.ui_url) == ("http://m/b", "http://m/b")
    assert found.mlflow.tracking.password == Secret(CANARY)


def test_a_secret_from_a_variable_is_not_shown(tmp_path: Path) -> None:
    assert CANARY not in refused(tmp_path, recipe({"page_size": "${T}"}), {"T": CANARY})
    assert CANARY not in refused(tmp_path, recipe({"username": "u", "password": "${T} ${"}), {"T": CANARY})
