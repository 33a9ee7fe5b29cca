"""What `--validate` says of a proposal that acryl-datahub would refuse."""

import pytest

from crawler.datahub.proposals import Proposal
from crawler.datahub.validation import problem


@pytest.mark.parametrize(
    ("aspect_name", "aspect", "words"),
    [
        ("status", b'{"removed":false}', None),
        ("status", b'{"removed":"no"}', "aspect status does not fit DataHub's schema"),
        ("noSuchAspect", b'{"a":1}', "aspect noSuchAspect: acryl-datahub knows no aspect noSuchAspect"),
        ("tagProperties", b'{"description":"without a name"}', "aspect tagProperties"),
    ],
)
def test_what_does_not_fit_the_schema_is_told(aspect_name: str, aspect: bytes, words: str | None) -> None:
    found = problem(Proposal("tag", "urn:li:tag:t", aspect_name, aspect))
    assert found is None if words is None else found is not None and found.startswith(words)
