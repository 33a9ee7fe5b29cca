"""Which DataHub takes a patch of `status`: as acryl-datahub decides it."""

import pytest
from datahub.ingestion.workunit_processors import auto_status_aspect

from crawler.datahub import statuses
from crawler.datahub.versions import knows_lifecycle, patches_status
from crawler.errors import DecodeError

VERSIONS = ["v0.14.1", "v1.0.0", "v1.6.0", "v1.6.9.9", "v1.7.0rc1", "v1.7.0", "1.7.0.17", "v2.0.0", "v2.1.0", "v10.0.0"]


@pytest.mark.parametrize("env", ["core", "cloud", ""])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_decides_as_for_the_official_connector(
    version: str, env: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"versions": {"acryldata/datahub": {"version": version}}, "datahub": {"serverEnv": env}}
    monkeypatch.setattr(auto_status_aspect, "get_gms_config", lambda: config)
    assert patches_status(version, is_cloud=env == "cloud") == auto_status_aspect._gms_supports_status_patch()


@pytest.mark.parametrize("version", [None, "null", "main"])
def test_an_unknown_version_is_written_to_as_an_old_one(version: str | None) -> None:
    assert not patches_status(version, is_cloud=False)
    assert not knows_lifecycle(version, is_cloud=False)


@pytest.mark.parametrize(
    ("version", "is_cloud", "known"),
    [("v1.5.9", False, False), ("v1.6.0", False, True), ("v1.7.0", True, False), ("v2.1.0", True, True)],
)
def test_lifecycle_is_written_from_1_6_on(version: str, is_cloud: bool, known: bool) -> None:
    assert knows_lifecycle(version, is_cloud=is_cloud) is known


def test_what_datahub_shows_is_there_and_not_removed() -> None:
    answer = (
        b'[{"urn":"a","status":{"value":{"removed":false,"lifecycleStage":"x"}}},{"urn":"b","status":{"value":'
        b'{"removed":true}}},{"urn":"c"}]'
    )
    assert statuses.shown(answer) == {"a"}


@pytest.mark.parametrize("answer", [b"{}", b"[1]", b'[{"urn":1}]', b'[{"urn":"a","status":{"value":{}}}]', b"\xff"])
def test_another_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(DecodeError):
        statuses.shown(answer)
