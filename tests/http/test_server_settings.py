"""A server's settings as people write them: what cannot be used is refused, and nothing secret is shown."""

import pytest

from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from tests.http.conftest import Connect


@pytest.mark.parametrize(
    "url", ["", "localhost:5000", "sqlite:///mlflow.db", "http://u:hidden@[bad", "http://u:hidden@h:99999"]
)
async def test_a_url_that_is_none_is_refused_and_not_shown(url: str, connect: Connect) -> None:
    with pytest.raises(SettingsError, match=r"^The URL of MLflow: .* Write it as https://host:port/path\.") as caught:
        await connect(url)
    assert "hidden" not in str(caught.value)


async def test_a_header_with_a_line_break_is_refused_and_not_shown(connect: Connect) -> None:
    with pytest.raises(SettingsError, match="'Authorization' for MLflow holds a line break") as caught:
        await connect("http://h", token=Secret("hidden\nsecond"))
    assert "hidden" not in str(caught.value)


async def test_short_header_values_do_not_blank_out_everything(connect: Connect) -> None:
    server = await connect("http://h", headers={"X-Version": Secret("1"), "X-Key": Secret("Key k3y-value")})
    assert server._classifier._redact("1 Key k3y-value k3y-value") == "1 *** ***"
