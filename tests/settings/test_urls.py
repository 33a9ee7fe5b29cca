"""Addresses in recipes: read as people write them, and parted from what must not be shown or linked to."""

import pytest
from datahub.cli.cli_utils import fixup_gms_url
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.settings.urls import Address, datahub_cloud, parse_address

CANARY = "c4n4ry-s3cr3t"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://m:5000", "http://m:5000"),
        (" HTTPS://Host/Base/\n", "https://Host/Base/"),
        (f"https://u:{CANARY}@[::1]:5000/a", "https://[::1]:5000/a"),
        (f"https://m/?token={CANARY}#/{CANARY}", "https://m/"),
    ],
)
def test_an_address_may_be_shown(text: str, url: str) -> None:
    assert parse_address(text, "tracking_uri", "").url == url


@pytest.mark.parametrize(
    ("text", "url", "host"),
    [
        ("http://h:5000", "http://h:5000", "h:5000"),
        (" https://h/ ", "https://h", "h:443"),
        ("https://u:p@h/ml/flow//?a=1#b", "https://h/ml/flow", "h:443"),
        ("http://[::1]:5000/x", "http://[::1]:5000/x", "[::1]:5000"),
    ],
)
def test_base_url_and_host(text: str, url: str, host: str) -> None:
    address = parse_address(text, "The URL of MLflow", "")
    assert (address.base_url, address.host) == (url, host)
    assert address.scheme == url.partition(":")[0]


def test_user_info_is_parted_and_unquoted() -> None:
    assert parse_address("https://a%40b:p%3Aw@m", "tracking_uri", "") == Address("https://m", "a@b", Secret("p:w"))
    assert parse_address("https://m", "tracking_uri", "") == Address("https://m", None, None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "mlruns", "databricks", "file:///mlruns", "sqlite:///x.db", "http://", "http:///path"),
        *(
            f"http://u:{CANARY}@[::1",
            f"http://u:{CANARY}@ho\u2100st",
            f"http://u:{CANARY}@m:port",
            f"http://m:{CANARY}",
            f"http://u:{CANARY}@[bad",
            f"http://u:{CANARY}@h:99999",
            f"http://u:{CANARY}@" + "a" * 70,
        ),
        *("localhost:5000", "/tmp/mlruns"),
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^tracking_uri: .* Do this\.$") as caught:
        parse_address(text, "tracking_uri", "Do this.")
    assert CANARY not in str(caught.value)


@given(st.text(max_size=30).map(lambda text: f"http://{text}"))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        url = parse_address(text, "server", "").url
    except SettingsError:
        return
    assert "@" not in url.split("/")[2]


@pytest.mark.parametrize(
    "url",
    [
        *("https://x.acryl.io", "https://x.acryl.io/gms", "https://x.acryl.io/api/gms", "http://x.acryl.io:8080"),
        *("http://gms:8080", "https://acryl.example.com", "https://datahub.example.com/acryl.io/api/gms"),
    ],
)
def test_addresses_of_datahub_cloud_are_mended_as_officially(url: str) -> None:
    if "example.com/" not in url:
        assert datahub_cloud(url) == fixup_gms_url(url)
    else:
        # The official rule looks for the name anywhere; a path that holds it is no tenant.
        assert datahub_cloud(url) == url
