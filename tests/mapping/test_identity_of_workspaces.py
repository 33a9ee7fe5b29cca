"""Workspaces of one server: no two things of two of them have one URN, and those of the default have today's."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mapping.experiments import container_urn, experiment_entity
from crawler.mapping.model_versions import model_urn, model_version_entity
from crawler.mapping.registered_models import model_group_urn
from crawler.mapping.workspaces import of_workspace, workspace_of_model
from crawler.mlflow.entities import Experiment, ModelVersion
from crawler.settings.mapping import MappingSettings
from tests.support.examples import examples

Identity = Literal["platform_instance", "prefix"]
WORKSPACES = st.from_regex(r"[a-c]([-a-b]{0,2}[ab])?", fullmatch=True) | st.just("default")
NAMES = st.text("abc.-_,(é", min_size=1, max_size=6)
"""MLflow takes neither a slash nor a colon."""
PLACES = st.tuples(WORKSPACES, NAMES)
INSTANCES = st.none() | st.sampled_from(["east", "a", "a.b"])


def server(instance: str | None = None, identity: Identity = "platform_instance") -> MappingSettings:
    return MappingSettings(ui_url="http://mlflow", platform_instance=instance, workspace_identity=identity)


def urns(settings: MappingSettings, name: str) -> tuple[str, ...]:
    """Of a model, a version, the set of its versions, and an experiment, whose name may have a slash."""
    version = ModelVersion(name=name, version="1")
    (properties,) = (
        aspect
        for aspect in model_version_entity(version, None, [], settings).aspects
        if aspect.NAME == "versionProperties"
    )
    return (
        model_group_urn(name, settings),
        model_urn(name, "1", settings),
        properties.version_set,  # type: ignore[attr-defined]
        container_urn(Experiment("1", name.replace("(", "/")), settings),
    )


@pytest.mark.parametrize(
    ("instance", "identity", "workspace", "expected"),
    [
        (None, "platform_instance", "default", (None, "")),
        (None, "platform_instance", "team-a", ("team-a", "team-a/")),
        (None, "prefix", "team-a", (None, "team-a/")),
        ("east", "platform_instance", "default", ("east", "")),
        ("east", "platform_instance", "team-a", ("east.team-a", "east.team-a/")),
        ("east", "prefix", "team-a", ("east", "east.team-a/")),
    ],
)
def test_the_identity_of_a_workspace(
    instance: str | None, identity: Identity, workspace: str, expected: tuple[str | None, str]
) -> None:
    found = of_workspace(server(instance, identity), workspace)
    assert (found.platform_instance, found.name_prefix) == expected
    assert found.workspace == workspace
    if workspace == "default":
        assert urns(found, "fraud") == urns(server(instance, identity), "fraud")


@examples(200)
@given(INSTANCES, st.sampled_from(["platform_instance", "prefix"]), PLACES, PLACES)
def test_no_two_names_meet(
    instance: str | None, identity: Identity, one: tuple[str, str], other: tuple[str, str]
) -> None:
    settings = server(instance, identity)
    (workspace, name), (another, other_name) = one, other
    found = urns(of_workspace(settings, workspace), name)
    others = urns(of_workspace(settings, another), other_name)
    if one == other:
        assert found == others
    else:
        assert all(ours != theirs for ours, theirs in zip(found, others, strict=True))


@examples(200)
@given(INSTANCES, st.lists(WORKSPACES, unique=True), WORKSPACES, NAMES)
def test_the_workspace_of_a_model(instance: str | None, known: list[str], workspace: str, name: str) -> None:
    settings = server(instance)
    full_name = of_workspace(settings, workspace).name_prefix + name
    expected = (workspace, name) if workspace in known else None
    assert workspace_of_model(full_name, settings, known) == expected


def test_an_experiments_properties_are_those_of_its_urn() -> None:
    settings = of_workspace(server("east"), "team-a")
    experiment = Experiment("7", "churn")
    entity = experiment_entity(container_urn(experiment, settings), experiment, settings)
    (properties,) = (aspect for aspect in entity.aspects if aspect.NAME == "containerProperties")
    assert properties.name == "churn"  # type: ignore[attr-defined]
    assert properties.custom_properties == {  # type: ignore[attr-defined]
        "platform": "urn:li:dataPlatform:mlflow",
        "instance": "east.team-a",
        "id": "churn",
        "workspace": "team-a",
        "artifacts_location": "",
    }
    by_prefix = of_workspace(server(identity="prefix"), "team-a")
    other = of_workspace(server(identity="prefix"), "default")
    assert container_urn(experiment, by_prefix) != container_urn(Experiment("7", "team-a/churn"), other)
    assert properties.external_url == "http://mlflow/#/experiments/7?workspace=team-a"  # type: ignore[attr-defined]
