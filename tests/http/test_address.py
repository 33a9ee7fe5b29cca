"""Base URLs and headers as people write them."""

import pytest

from crawler.config.settings import Secret
from crawler.errors import SettingsError
from crawler.http.address import parse_address


@pytest.mark.parametrize(
    ("text", "url", "host"),
    [
        ("http://h:5000", "http://h:5000", "h:5000"),
        (" https://h/ ", "https://h", "h:443"),
        ("https://u:p@h/ml/flow//?a=1#b", "https://h/ml/flow", "h:443"),
        ("http://[::1]:5000/x", "http://[::1]:5000/x", "[::1]:5000"),
    ],
)
def test_addresses(text, url, host):
    address = parse_address("MLflow", text)
    assert (address.url, address.host) == (url, host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:5000",
        "sqlite:///mlflow.db",
        "/tmp/mlruns",
        "http://",
        "http://u:hidden@[bad",
        "http://u:hidden@h:99999",
        "http://u:hidden@" + "a" * 70,
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(text):
    with pytest.raises(SettingsError, match="The URL of MLflow") as caught:
        parse_address("MLflow", text)
    assert "hidden" not in str(caught.value)


async def test_a_header_with_a_line_break_is_refused_and_not_shown(connect):
    with pytest.raises(SettingsError, match="'Authorization' for MLflow holds a line break") as caught:
        await connect("http://h", token=Secret("hidden\nsecond"))
    assert "hidden" not in str(caught.value)


async def test_short_header_values_do_not_blank_out_everything(connect):
    server = await connect("http://h", headers={"X-Version": Secret("1"), "X-Key": Secret("Key k3y-value")})
    assert server._redact("1 Key k3y-value k3y-value") == "1 *** ***"
