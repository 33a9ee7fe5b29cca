"""URNs and guids beside acryl-datahub's own, for names as users make them."""

from datahub.api.entities.dataprocess.dataprocess_instance import DataProcessInstance
from datahub.emitter.mce_builder import datahub_guid, make_dataplatform_instance_urn, make_tag_urn
from datahub.emitter.mcp_builder import ContainerKey, ExperimentKey
from datahub.metadata.urns import (
    DataPlatformInstanceUrn,
    DataPlatformUrn,
    DatasetUrn,
    MlModelGroupUrn,
    MlModelUrn,
    VersionSetUrn,
)
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.datahub import urns
from crawler.mapping.experiments import container_urn
from crawler.mapping.platform import PLATFORM_URN
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import Experiment
from crawler.settings.mapping import MappingSettings
from tests.gms.urn_rules import URN_COLUMN_CHARACTERS, MalformedUrn, illegal
from tests.support.examples import examples

characters = st.sampled_from(",()%:/\\'\" +~*-._␟éß実😀") | st.characters(exclude_categories=["Cs"])
names = st.text(characters, max_size=60) | st.text(characters, min_size=400, max_size=500)
many = examples(500)


@many
@given(names.filter(bool), st.sampled_from(["PROD", "DEV"]))
def test_platform_entities(name: str, env: str) -> None:
    assert urns.ml_model("mlflow", name, env) == MlModelUrn("mlflow", name, env).urn()
    assert urns.ml_model_group("mlflow", name, env) == MlModelGroupUrn("mlflow", name, env).urn()
    assert urns.dataset("s3", name, env) == DatasetUrn("s3", name, env).urn()


@many
@given(names.filter(bool))
def test_tags_platforms_and_version_sets(name: str) -> None:
    if not name.startswith("urn:li:"):
        assert urns.tag(name) == make_tag_urn(name)
        assert urns.data_platform(name) == DataPlatformUrn(name).urn()
    identifier = urns.guid(name=name)
    assert urns.version_set(identifier) == VersionSetUrn(identifier, "mlModel").urn()


@many
@given(names, names)
@example("", "")
def test_guids(first: str, second: str) -> None:
    expected = datahub_guid({"platform": first, "name": second})
    assert urns.guid(platform=first, name=second) == expected
    assert urns.GuidBy("platform", name=second)(first) == urns.GuidBy("name", platform=first)(second) == expected


@many
@given(names, st.none() | names)
def test_experiments_and_runs(name: str, instance: str | None) -> None:
    mapping = MappingSettings(ui_url="http://x", platform_instance=instance)
    key = ExperimentKey(platform=PLATFORM_URN, id=name, instance=instance or None)
    assert container_urn(Experiment("1", name), mapping) == key.as_urn()
    assert run_urn(name) == str(DataProcessInstance(id=name, orchestrator="mlflow").urn)


@examples(500)
@given(names.filter(bool))
@example("a b")
@example("(eu,west)")
def test_platform_instances(name: str) -> None:
    urn = urns.data_platform_instance("mlflow", name)
    assert urn == DataPlatformInstanceUrn("mlflow", name).urn()
    # The builder escapes nothing, so that of a name with a comma it makes what is no URN.
    if not set(name) & set(",()␟") and not name.startswith("urn:li:"):
        assert urn == make_dataplatform_instance_urn("mlflow", name)


@examples(500)
@given(names, names)
def test_guids_of_containers(name: str, instance: str) -> None:
    class Key(ContainerKey):  # type: ignore[misc]
        id: str

    key = Key(platform=PLATFORM_URN, instance=instance, id=name)
    assert urns.container(urns.guid(platform=PLATFORM_URN, instance=instance, id=name)) == key.as_urn()


JAVA_SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*_ ")


def java_url_encoded_size(text: str) -> int:
    """`java.net.URLEncoder` with UTF-8: safe characters and the blank (as `+`) take one byte, others three for each
    byte.
    """
    return sum(1 if character in JAVA_SAFE else 3 * len(character.encode()) for character in text)


@many
@given(names.filter(bool))
@example("x" * 446)
@example("x" * 447)
@example("実" * 49)
@example("実" * 50)
def test_what_datahub_cannot_take_is_told(name: str) -> None:
    urn = urns.ml_model_group("mlflow", name, "PROD")
    fits = java_url_encoded_size(urn) <= 512 and len(urn) <= 500
    assert (urns.problem(urn) is None) == fits


def gms_takes(urn: str) -> bool:
    """What the double of DataHub's GMS says, which knows the rules from Java's sources."""
    try:
        return illegal(urn, strict=True) is None and len(urn) <= URN_COLUMN_CHARACTERS
    except MalformedUrn:
        return False


@many
@given(names, st.sampled_from(["mlflow", "s3", "delta-lake", "a b", "x,y", "urn:li:dataPlatform:s3"]))
@example("", "s3")
@example(" ", "s3")
@example("x ", "s3")
@example("%28,%29", "s3")
@example("😀" * 45, "s3")
@example("~" * 167, "s3")
@example("*" * 300, "s3")
@example("x" * 491, "s3")
@example("*" * 501, "s3")
def test_what_is_refused_is_what_gms_would_drop(name: str, platform: str) -> None:
    made = [
        urns.ml_model("mlflow", name, "PROD"),
        urns.ml_model_group("mlflow", name, "DEV"),
        urns.dataset(platform, name, "PROD"),
        urns.container(urns.guid(id=name)),
        urns.version_set(urns.guid(name=name)),
    ]
    if name and name.isprintable():
        made.append(urns.tag(name))
    for urn in made:
        assert (urns.problem(urn) is None) == gms_takes(urn), urn


def test_a_name_that_is_empty_makes_no_urn() -> None:
    assert urns.problem(urns.dataset("mlflow", "", "PROD")) == "its name is empty"
    assert urns.problem("urn:li:tag:x ") is not None
    assert urns.problem("urn:li:container:abc") is None
