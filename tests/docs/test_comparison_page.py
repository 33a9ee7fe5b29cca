"""docs/comparison.md: how it is made from what two crawls delivered, and that it has all that a crawl writes."""

import importlib
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import mapping
from crawler.datahub.aspects.aspect import Aspect
from scripts.comparison.delivered import Mark, aspect_rows, changing, marks, values
from scripts.comparison.field_differences import Difference, How, differences
from scripts.comparison.page import PAGE, ServerComparison, render
from tests.support.examples import examples

URL = "http://127.0.0.1:5000"
RUN, MODEL = "urn:li:dataProcessInstance:1", "urn:li:mlModel:(urn:li:dataPlatform:mlflow,fraud_1,PROD)"
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
NAMES = st.sampled_from("abc")
RECORDS = st.recursive(
    st.dictionaries(NAMES, PLAIN, max_size=3),
    lambda inner: st.dictionaries(NAMES, PLAIN | inner | st.lists(inner, max_size=3), max_size=3),
)


def written_aspects() -> set[str]:
    """The names of all aspects that a module of crawler/mapping makes."""
    modules = [importlib.import_module(f"{mapping.__name__}.{each.name}") for each in _modules()]
    members = [member for module in modules for member in vars(module).values() if isinstance(member, type)]
    return {member.NAME for member in members if issubclass(member, Aspect) and hasattr(member, "NAME")}


def _modules() -> list[pkgutil.ModuleInfo]:
    return [each for each in pkgutil.iter_modules(mapping.__path__) if not each.ispkg]


def proposal(urn: str, aspect: str, **value: Any) -> dict[str, Any]:
    return {"entityUrn": urn, "aspectName": aspect, "aspect": {"json": value}}


def test_the_page_has_every_aspect_that_a_crawl_writes() -> None:
    aspects = written_aspects()
    assert len(aspects) > 15
    page = PAGE.read_text()
    missing = {aspect for aspect in aspects if f"| `{aspect}` |" not in page}
    assert not missing, "run python -m scripts.comparison, with options in OPTIONS that make it write these"


@pytest.mark.parametrize(
    ("official", "ours", "expected"),
    [
        ({"name": "a"}, {"name": "a", "tags": [], "custom": {}}, []),
        ({"names": [1, 2]}, {"names": [2, 1]}, []),
        ({}, {"url": "u"}, [Difference(How.OURS_ONLY, "url")]),
        ({"url": "u"}, {}, [Difference(How.OFFICIAL_ONLY, "url")]),
        ({"url": "u"}, {"url": "v"}, [Difference(How.OTHER, "url")]),
        ({"custom": {}}, {"custom": {"k": "v"}}, [Difference(How.OURS_ONLY, "custom", "k")]),
        ({"created": {"time": 1}}, {"created": {"time": 2}}, [Difference(How.OTHER, "created", "time")]),
        ({"edges": [{"urn": "a"}]}, {"edges": [{"urn": "b"}, {"urn": "a"}]}, [Difference(How.OURS_ONLY, "edges[]")]),
        (
            {"edges": [{"urn": "a"}, {"urn": "b"}]},
            {"edges": [{"urn": "a", "properties": {"digest": "1"}}]},
            [Difference(How.OURS_ONLY, "edges[].properties", "digest"), Difference(How.OFFICIAL_ONLY, "edges[]")],
        ),
    ],
)
def test_differences_of_two_values(official: Any, ours: Any, expected: list[Difference]) -> None:
    assert list(differences(official, ours)) == expected


@examples(200)
@given(RECORDS, RECORDS)
def test_differences_are_the_same_from_both_sides(one: Any, other: Any) -> None:
    mirrored = {How.OURS_ONLY: How.OFFICIAL_ONLY, How.OFFICIAL_ONLY: How.OURS_ONLY, How.OTHER: How.OTHER}
    assert list(differences(one, one)) == []
    assert any(differences(one, other)) == any(differences(other, one))
    plain = [each for each in differences(one, other) if "[]" not in each.field]
    assert [each._replace(how=mirrored[each.how]) for each in plain] == [
        each for each in differences(other, one) if "[]" not in each.field
    ]


def test_the_page_of_two_crawls() -> None:
    official = [
        proposal(RUN, "subTypes", typeNames=["ML Training Run"]),
        proposal(RUN, "dataProcessInstanceProperties", name="a", customProperties={}, externalUrl=f"{URL}/#/a"),
        proposal(RUN, "dataProcessInstanceProperties", name="b", customProperties={}, externalUrl=f"{URL}/#/a"),
        proposal(MODEL, "status", removed=False),
        proposal(MODEL, "status", removed=False),
        proposal(MODEL, "mlModelProperties", tags=["x"]),
    ]
    tags = {f"tag{number}": "v" for number in range(6)}
    ours = [
        proposal(RUN, "subTypes", typeNames=["ML Training Run"]),
        proposal(RUN, "dataProcessInstanceProperties", name="a", customProperties=tags, externalUrl=f"{URL}/#/a"),
        proposal(MODEL, "status", removed=False),
        proposal(MODEL, "dataPlatformInstance", platform="a|b"),
    ]
    written = values(official, URL), values(ours, URL)
    assert (changing(written[0]), changing(written[1])) == (1, 0)
    texts = {"models": ["fraud_1"], "tags": ["tag0", "tag1"], "traces": ["tr-1"]}
    found = marks(texts, official, ours)
    assert found == [Mark("models", 1, 1, 1), Mark("tags", 2, 0, 2), Mark("traces", 1, 0, 0)]
    page = render(
        [
            ServerComparison(
                title="MLflow 9",
                intro="A test.",
                options={"include": {"prompts": True}},
                exit_codes=(1, 0),
                changing=(1, 0),
                requests=({"runs/get": 7, "runs/search": 2}, {"runs/search": 1}),
                rows=aspect_rows(*written),
                marks=found,
            )
        ]
    )
    run = "| dataProcessInstance: ML Training Run | `dataProcessInstanceProperties` | 1 | 1 | 0 |"
    for line in (
        "## MLflow 9",
        "  prompts: true",
        "| aspects | 4 | 4 |",
        "| requests to MLflow | 9 | 1 |",
        "| exit code | 1 | 0 |",
        "2 aspects are equal, 1 differ, 1 are ours only, 1 the official connector's only.",
        "| tags | 2 | 0 | 2 |",
        f"{run} `customProperties`: `tag0`, `tag1`, `tag2`, `tag3` and 2 more (1) |  |  |",
        "| mlModel | `dataPlatformInstance` | 0 | 1 |  |  |  |  |",
        "| mlModel | `mlModelProperties` | 1 | 0 |  |  |  |  |",
        "| `runs/get` | 7 | 0 |",
        "Of what is on these servers, neither delivers: traces.",
        "This crawler delivers more of: tags.",
        "The official connector delivers more of: nothing.",
    ):
        assert line in page.splitlines()
