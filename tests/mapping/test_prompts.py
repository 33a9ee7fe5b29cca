"""Prompts become model groups and models of their own subtypes, and runs lead to the versions that they name."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.model_versions import model_urn, model_version_entity
from crawler.mapping.prompts import prompt_version_entity
from crawler.mapping.registered_models import model_group_urn
from crawler.mlflow.entities import (
    Alias,
    Experiment,
    KeyValue,
    ModelVersion,
    RegisteredModel,
    Run,
    RunData,
    RunInfo,
)
from crawler.removal.crawl_record import CrawlRecord
from crawler.settings.mapping import MappingSettings
from tests.mapping.test_mapping import sent
from tests.support.examples import examples
from tests.support.judge import judge_all, judge_contiguous, judge_one_value

PLAIN = MappingSettings(ui_url="http://mlflow:5000")
IS_PROMPT = {"mlflow.prompt.is_prompt": "true"}
LONG = "line of a prompt\n" * 1_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(["```", "a\n````\nb", "{{x}}"])
tag_keys = texts | st.sampled_from(
    ["mlflow.prompt.text", "_mlflow_prompt_type", "_mlflow_experiment_ids", "_mlflow_prompt_model_config"]
)
links = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["greet", "gone"]), "version": st.integers(1, 3)}))
link_texts = links.map(json.dumps) | st.sampled_from(
    ['[{"name": "greet", "version": "1"}]', "", "null", "[", "{}", '[{"name": "greet"}]', "[" * 5_000, '["\\ud800"]']
)


def pairs(tags: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key, value) for key, value in tags.items()]


def prompt(name: str = "greet", tags: dict[str, str] | None = None, **fields: Any) -> RegisteredModel:
    return RegisteredModel(name, tags=pairs(IS_PROMPT | (tags or {})), **fields)


def version(number: str = "1", tags: dict[str, str] | None = None, name: str = "greet", **fields: Any) -> ModelVersion:
    return ModelVersion(name, number, tags=pairs(IS_PROMPT | (tags or {})), **fields)


def run(linked: str | None = None) -> Run:
    tags = [] if linked is None else [KeyValue("mlflow.linkedPrompts", linked)]
    return Run(RunInfo("r", experiment_id="1"), RunData(tags=tags))


def mapped(
    rows: Iterable[RegisteredModel | ModelVersion],
    runs: Iterable[Run] = (),
    mapping: MappingSettings = PLAIN,
    witness: CrawlRecord | None = None,
) -> list[Entity]:
    """All that a crawl of these rows writes."""
    mapper = CrawlMapper(mapping, witness=witness)
    entities: list[Entity] = []
    for row in rows:
        if isinstance(row, RegisteredModel):
            mapper.registered_model(row)
        else:
            entities += mapper.model_version(row)
    entities += [*mapper.versions_complete(), mapper.experiment(Experiment("1", "exp"))]
    entities += [entity for each in runs for entity in mapper.run(each)]
    return [*entities, *mapper.held()]


def values(entities: Iterable[Entity], urn: str) -> dict[str, Any]:
    return {each["aspectName"]: each["aspect"]["json"] for each in sent(entities) if each["entityUrn"] == urn}


@examples(100)
@given(
    st.lists(st.dictionaries(tag_keys, texts, max_size=3), min_size=1, max_size=3),
    texts,
    st.none() | link_texts,
    st.sampled_from([None, "team a"]),
)
def test_acryl_datahub_accepts_whatever_a_prompt_holds(
    tags: list[dict[str, str]], text: str, linked: str | None, instance: str | None
) -> None:
    rows = [prompt(tags=tags[0], description=text, aliases=[Alias("best", "1")])]
    versions = [version(str(number), each, description=text) for number, each in enumerate(tags, 1)]
    mapping = MappingSettings(ui_url="http://x", platform_instance=instance)
    entities = mapped([*rows, *versions], [run(linked)], mapping)
    plain = sent(entities)
    judge_all(plain)
    judge_one_value(plain)
    judge_contiguous(plain)
    written = {entity.urn for entity in entities}
    edges = values(entities, entities[-1].urn).get("dataProcessInstanceInput", {}).get("inputEdges", [])
    assert all(edge["destinationUrn"] in written for edge in edges)


def test_a_prompt_is_a_group_of_its_own_subtype() -> None:
    rows: list[RegisteredModel | ModelVersion] = [
        prompt(
            tags={"team": "support", "_mlflow_experiment_ids": ",8,9,"},
            description="greets customers",
            creation_timestamp=5,
            last_updated_timestamp=7,
        ),
        version("2"),
        version("10"),
    ]
    value = values(mapped(rows), model_group_urn("greet", PLAIN))
    assert value["subTypes"] == {"typeNames": ["Prompt"]}
    properties = value["mlModelGroupProperties"]
    assert properties["customProperties"] == {"team": "support", "mlflow.prompt.experiment_ids": "8,9"}
    assert (properties["description"], properties["version"]["versionTag"]) == ("greets customers", "10")
    assert (properties["created"], properties["lastModified"]) == ({"time": 5}, {"time": 7})
    assert properties["externalUrl"] == "http://mlflow:5000/#/prompts/greet"


def test_a_version_shows_its_text_below_its_commit_message() -> None:
    tags = {"mlflow.prompt.text": "Hello {{name}}", "_mlflow_prompt_type": "text", "lang": "en"}
    rows: list[RegisteredModel | ModelVersion] = [
        prompt(aliases=[Alias("prod", "1")]),
        version(tags=tags, description="shorter"),
    ]
    value = values(mapped(rows), model_urn("greet", "1", PLAIN))
    assert value["subTypes"] == {"typeNames": ["Prompt Version"]}
    properties = value["mlModelProperties"]
    assert properties["description"] == "shorter\n\n```\nHello {{name}}\n```"
    assert properties["customProperties"] == {
        "lang": "en",
        "mlflow.prompt.type": "text",
        "mlflow.prompt.text": "Hello {{name}}",
    }
    assert (properties["tags"], properties["groups"]) == (["lang:en"], [model_group_urn("greet", PLAIN)])
    assert properties["externalUrl"] == "http://mlflow:5000/#/prompts/greet?promptVersion=1"
    assert [alias["versionTag"] for alias in value["versionProperties"]["aliases"]] == ["prod"]


def test_a_version_is_in_the_version_set_that_a_model_of_its_name_would_have() -> None:
    ours = prompt_version_entity(version(), [], PLAIN)
    models = model_version_entity(structs.replace(version(), tags=[]), None, [], PLAIN)
    assert ours.urn == models.urn
    assert ours.ordering_key == models.ordering_key == "greet"
    assert ours.aspects[1] == models.aspects[1]


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("a ``` b", "````\na ``` b\n````"),
        ("`````", "``````\n`````\n``````"),
        ("", "```\n\n```"),
        (LONG, f"```\n{LONG}\n```"),
    ],
)
def test_the_code_block_holds_any_text_and_the_property_what_can_be_searched(text: str, block: str) -> None:
    properties = values(mapped([version(tags={"mlflow.prompt.text": text})]), model_urn("greet", "1", PLAIN))[
        "mlModelProperties"
    ]
    assert properties["description"] == block
    assert properties["customProperties"]["mlflow.prompt.text"] == text[:4_096]


def test_a_chat_prompt_is_a_block_of_json_with_its_settings() -> None:
    tags = {
        "mlflow.prompt.text": '[{"role": "user", "content": "hi"}]',
        "_mlflow_prompt_type": "chat",
        "_mlflow_prompt_response_format": '{"type": "object"}',
        "_mlflow_prompt_model_config": '{"temperature": 0}',
    }
    properties = values(mapped([version(tags=tags)]), model_urn("greet", "1", PLAIN))["mlModelProperties"]
    assert properties["description"].startswith("```json\n[")
    assert properties["customProperties"] == {
        "mlflow.prompt.type": "chat",
        "mlflow.prompt.response_format": '{"type": "object"}',
        "mlflow.prompt.model_config": '{"temperature": 0}',
        "mlflow.prompt.text": tags["mlflow.prompt.text"],
    }


def test_versions_of_a_prompt_leave_in_order() -> None:
    rows = [version(str(number)) for number in (10, 2, 1)]
    models = [entity for entity in mapped(rows) if entity.type == "mlModel"]
    assert [entity.urn for entity in models] == [model_urn("greet", each, PLAIN) for each in ("1", "2", "10")]


@pytest.mark.parametrize(
    ("linked", "to"),
    [
        ('[{"name": "greet", "version": "1"}]', ["1"]),
        ('[{"name": "greet", "version": 2}, {"name": "greet", "version": "2"}]', ["2"]),
        ('[{"name": "greet", "version": "3"}, {"name": "other", "version": "1"}]', []),
        ("no JSON", []),
        ('[{"name": "greet"}]', []),
        ("[" * 5_000, []),
        (None, []),
    ],
)
def test_a_run_leads_to_the_prompt_versions_that_it_names_and_that_are_written(
    linked: str | None, to: list[str]
) -> None:
    entities = mapped([prompt(), version("1"), version("2")], [run(linked)])
    (urn,) = [entity.urn for entity in entities if entity.type == "dataProcessInstance"]
    value = values(entities, urn)
    edges = value.get("dataProcessInstanceInput", {}).get("inputEdges", [])
    assert [edge["destinationUrn"] for edge in edges] == [model_urn("greet", each, PLAIN) for each in to]
    tags = value["dataProcessInstanceProperties"]["customProperties"]
    assert tags == ({} if linked is None else {"mlflow.linkedPrompts": linked})


def test_where_no_prompt_is_read_a_run_leads_to_none() -> None:
    entities = mapped([], [run('[{"name": "greet", "version": "1"}]')])
    assert not any(each["aspectName"] == "dataProcessInstanceInput" for each in sent(entities))


def test_prompts_are_seen_as_a_kind_of_our_own() -> None:
    record = CrawlRecord()
    mapped([prompt(), version(), RegisteredModel("m"), ModelVersion("m", "1")], witness=record)
    assert [*record.own] == [model_group_urn("greet", PLAIN), model_urn("greet", "1", PLAIN)]
    assert record.own.keys().isdisjoint(record.urns)
    assert {model_group_urn("m", PLAIN), model_urn("m", "1", PLAIN)} <= record.urns.keys()
