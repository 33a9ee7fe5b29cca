"""What a model has beside its run's params: signature and flavours, source code, owners, links, tags by option."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from string import ascii_lowercase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from crawler.datahub.proposals import Entity
from crawler.errors import DecodeError
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.source_code import source_code
from crawler.mlflow.entities import Alias, Experiment, KeyValue, ModelVersion, RegisteredModel, Run, RunData, RunInfo
from crawler.mlflow.model_file import HISTORY_TAG, ModelFile, Signature, find_in_history, read_file
from crawler.settings.mapping import MappingSettings, OwnerSettings
from tests.mapping.test_mapping import aspects, sent
from tests.support.examples import examples
from tests.support.judge import judge_all

PLAIN = MappingSettings(ui_url="http://mlflow")
COLUMNS = '[{"type": "long", "name": "age", "required": true}]'
TENSOR = '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
COMMIT = "1a2b3c4d5e6f7890"
REPOSITORY = "mlflow.source.git.repoURL"

MLMODEL = f"""\
artifact_path: model
flavors:
  python_function:
    env: {{conda: conda.yaml, virtualenv: python_env.yaml}}
    python_version: 3.11.15
  sklearn: {{code: null, sklearn_version: 1.5.0}}
mlflow_version: 3.17.2
model_size_bytes: 12345
signature:
  inputs: '{COLUMNS}'
  outputs: '{TENSOR}'
  params: null
utc_time_created: '2026-11-29 20:00:00.1'
"""
FILE = ModelFile(("python_function", "sklearn"), "3.11.15", "3.17.2", 12345, Signature(COLUMNS, TENSOR))


def logged(path: str, flavor: str = "sklearn", **more: Any) -> dict[str, Any]:
    return {"run_id": "r1", "artifact_path": path, "flavors": {flavor: {}}, **more}


def run(**tags: str) -> Run:
    return Run(RunInfo("r1", "1"), RunData(tags=[KeyValue(key, value) for key, value in tags.items()]))


def written(
    run: Run | None = None,
    settings: MappingSettings = PLAIN,
    *,
    file: ModelFile | None = None,
    model: RegisteredModel | None = None,
    experiment: Experiment | None = None,
    **version: Any,
) -> dict[str, dict[str, Any]]:
    """The aspects of one version, its model and its experiment, all accepted by acryl-datahub, by entity type."""
    row = ModelVersion("m", "1", run_id=run.info.run_id if run else "", **version)
    mapper = CrawlMapper(settings)
    mapper.registered_model(model or RegisteredModel("m"))
    entities: list[Entity] = mapper.model_version(row)
    if file is not None:
        mapper.model_file(row, file)
    entities += [*mapper.versions_complete(), mapper.experiment(experiment or Experiment("1", "e"))]
    entities += mapper.run(run) if run else []
    judge_all(sent(entities))
    found: dict[str, dict[str, Any]] = {}
    for (urn, name), value in aspects(entities).items():
        found.setdefault(urn.split(":")[2], {})[name] = value
    return found


def properties(*arguments: Any, **more: Any) -> dict[str, str]:
    found: dict[str, str] = written(*arguments, **more)["mlModel"]["mlModelProperties"]["customProperties"]
    return found


def test_an_mlmodel_is_read() -> None:
    assert read_file(MLMODEL.encode()) == FILE
    assert read_file(b"flavors: {}") == ModelFile()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a: [",
        "- 1",
        "flavors: 5",
        "signature: {inputs: [1]}",
        "x: &a [*a]\nflavors: *a",
        "[" * 3_000,
        "{a: " * 150_000,
        "- " * 400_000,
        "d: 2024-02-31",
        "model_size_bytes: 99999999999999999999",
        f"model_size_bytes: 0x{'f' * 20_000}",
        "flavors: {<<: [{a: 1}]}",
        "a: &a {x: 1}\n"
        + "\n".join(f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}" for a, b in pairwise(ascii_lowercase)),
        "<html>no</html>",
        "\0",
        "\ud800",
        "!!python/object/apply:os.system ['true']",
        "model_size_bytes: many",
    ],
    ids=lambda content: ascii(content[:30]),
)
def test_what_is_no_mlmodel_is_an_error(content: str) -> None:
    with pytest.raises(DecodeError, match="MLmodel is not"):
        read_file(content.encode(errors="surrogatepass"))


def test_aliases_are_read_and_what_they_make_without_end_is_not_written() -> None:
    shared = "flavors:\n  python_function: &a {python_version: 3.11.15}\n  sklearn: *a\nmlflow_version: 3.10\n"
    assert read_file(shared.encode()) == ModelFile(("python_function", "sklearn"), "3.11.15")
    bomb = "a: &a [x]\n" + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise(ascii_lowercase))
    bomb += "\nflavors: {python_function: {python_version: *z}}\nmlflow_version: *z"
    assert read_file(bomb.encode()) == ModelFile(("python_function",))


@given(st.binary() | st.text().map(str.encode))
@examples(200)
def test_whatever_is_read_is_an_mlmodel_or_an_error(content: bytes) -> None:
    with suppress(DecodeError):
        assert isinstance(read_file(content), ModelFile)


@pytest.mark.parametrize(
    ("source", "flavor"),
    [
        ("s3://bucket/1/r1/artifacts/model", "second"),
        ("runs:/r1/model/", "second"),
        ("dbfs:/databricks/mlflow-registry/abc/models/model", "second"),
        ("mlflow-artifacts:/1/r1/artifacts/deep/model", "deep"),
        ("models:/m-0123456789abcdef0123456789abcdef", None),
        ("s3://bucket/mymodel", None),
        ("model", None),
        ("", None),
    ],
)
def test_the_history_of_a_run_is_searched_by_the_path_of_the_model(source: str, flavor: str | None) -> None:
    entries = [logged("model", "first"), logged("deep/model", "deep"), logged("model", "second"), logged("other"), {}]
    found = find_in_history(json.dumps(entries), source)
    assert (found and found.flavors) == (flavor and (flavor,))


@pytest.mark.parametrize(
    "history", ["", "{}", "[", "null", '[{"flavors": 1}]', "[" * 5_000, '[{"artifact_path": null}]']
)
def test_a_history_of_another_form_says_nothing(history: str) -> None:
    assert find_in_history(history, "s3://b/model") is None


def test_signature_and_flavours_are_properties_as_datahub_shows_them() -> None:
    expected = {
        "signature.inputs": COLUMNS,
        "signature.outputs": TENSOR,
        "mlmodel.flavors": "python_function, sklearn",
        "mlmodel.python_version": "3.11.15",
        "mlmodel.mlflow_version": "3.17.2",
        "mlmodel.model_size_bytes": "12345",
    }
    assert properties(file=FILE) == expected
    assert properties(run(), file=FILE) == expected
    signature = {"inputs": COLUMNS, "outputs": TENSOR, "params": None}
    history = json.dumps([logged("model", "python_function", signature=signature)])
    of_run = properties(run(**{HISTORY_TAG: history}), source="runs:/r1/model")
    assert of_run == {"signature.inputs": COLUMNS, "signature.outputs": TENSOR, "mlmodel.flavors": "python_function"}
    assert properties(run(**{HISTORY_TAG: history}), source="runs:/r1/model", file=FILE) == expected
    with_params = structs.replace(FILE, signature=Signature(params="[]"))
    assert properties(file=with_params)["signature.parameters"] == "[]"


def test_a_tag_of_the_version_wins_and_without_any_of_it_there_is_nothing() -> None:
    own = [KeyValue("mlmodel.flavors", "mine"), KeyValue("team", "ml")]
    assert properties(file=ModelFile(("a",)), tags=own) == {"mlmodel.flavors": "mine", "team": "ml"}
    local = {"mlflow.source.name": "train.py", "mlflow.source.git.commit": COMMIT, HISTORY_TAG: "[]"}
    found = written(run(**local), source="s3://b/0/1")["mlModel"]
    assert (found["mlModelProperties"]["customProperties"], "sourceCode" in found) == ({}, False)


@pytest.mark.parametrize(
    ("history_tags", "asked"),
    [
        ({}, True),
        ({HISTORY_TAG: json.dumps([logged("model")])}, True),
        ({HISTORY_TAG: json.dumps([logged("model", signature={"inputs": COLUMNS})])}, False),
    ],
)
def test_a_file_is_asked_for_unless_the_run_has_the_signature(history_tags: dict[str, str], asked: bool) -> None:
    mapper = CrawlMapper(PLAIN)
    mapper.model_version(version := ModelVersion("m", "1", run_id="r1", source="runs:/r1/model"))
    list(mapper.versions_complete())
    assert mapper.versions_without_signature([run(**history_tags)]) == [version] * asked


def test_files_are_asked_for_once_and_only_of_versions_that_are_mapped() -> None:
    rows = [ModelVersion("m", str(number), run_id=run_id) for number, run_id in enumerate(["", "r1", "r1", "gone"])]
    mapper = CrawlMapper(PLAIN, delivered=lambda urn: "m_2" in urn)
    for row in rows:
        mapper.model_version(row)
    assert mapper.versions_without_run() == rows[:1]
    list(mapper.versions_complete())
    assert mapper.versions_without_signature([run(), Run(RunInfo("another"))]) == rows[1:2]
    mapper.run(run())
    assert mapper.versions_without_signature([run()]) == []
    assert mapper.versions_of_lost(mapper.missing_runs) == rows[3:]


def test_a_version_whose_file_could_not_be_read_has_no_note() -> None:
    mapper = CrawlMapper(PLAIN, noted=lambda _urn: b"")
    rows = [ModelVersion("m", each) for each in "123"]
    for row in rows:
        mapper.model_version(row)
    mapper.model_file(rows[0], FILE)
    mapper.model_file(rows[1], None)
    models = [entity for entity in mapper.versions_complete() if entity.type == "mlModel"]
    assert [bool(model.note) for model in models] == [True, False, True]


GITHUB = f"https://github.com/acme/models/tree/{COMMIT}"


@pytest.mark.parametrize(
    ("repository", "page"),
    [
        ("https://github.com/acme/models", GITHUB),
        ("https://github.com/acme/models.git", GITHUB),
        ("https://github.com/acme/models/", GITHUB),
        ("https://ann:secret@github.com/acme/models.git", GITHUB),
        ("https://ghp_token@github.com/acme/models.git", GITHUB),
        ("git@github.com:acme/models.git", GITHUB),
        ("ssh://git@github.com:22/acme/models.git", GITHUB),
        ("git://github.com/acme/models", GITHUB),
        ("https://github.acme.com:8443/ml/models", f"https://github.acme.com:8443/ml/models/tree/{COMMIT}"),
        ("git@gitlab.com:acme/ml/models.git", f"https://gitlab.com/acme/ml/models/-/tree/{COMMIT}"),
        ("https://gitlab.acme.com/x/y.git", f"https://gitlab.acme.com/x/y/-/tree/{COMMIT}"),
        ("git@bitbucket.org:acme/models.git", f"https://bitbucket.org/acme/models/src/{COMMIT}"),
        ("https://git.acme.com/models.git", "https://git.acme.com/models"),
        ("https://u:p@[fd00::1]:8443/acme/models.git", "https://[fd00::1]:8443/acme/models"),
        ("ssh://git@[fd00::1]:22/acme/models", "https://[fd00::1]/acme/models"),
        ("https://github.com/a b/ü", f"https://github.com/a%20b/%C3%BC/tree/{COMMIT}"),
        ("file:///home/ann/models", None),
        ("/home/ann/models", None),
        ("C:\\models", None),
        ("https://github.com", None),
        ("https://[bad/a/b", None),
        ("https://h:port/a", None),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_the_page_of_a_repository_at_the_commit(repository: str, page: str | None) -> None:
    tags = {REPOSITORY: repository, "mlflow.source.git.commit": COMMIT}
    found = source_code(tags)
    assert (found and found.source_code[0].source_code_url) == page


@given(st.text(), st.text(), st.text())
@examples(300)
def test_no_tags_make_a_page_that_is_none(repository: str, name: str, notebook: str) -> None:
    tags = {
        REPOSITORY: f"https://u:p@{repository}",
        "mlflow.source.name": name,
        "mlflow.databricks.notebookID": notebook,
    }
    found = source_code(tags | {"mlflow.databricks.webappURL": f"https://u:p@{repository}"})
    assert found is None or found.source_code[0].source_code_url.startswith(("https://", "http://"))
    assert found is None or "u:p@" not in found.source_code[0].source_code_url


def test_the_source_of_a_run_is_on_its_models() -> None:
    shown = {
        REPOSITORY: "https://ann:secret@github.com/acme/models.git",
        "mlflow.source.git.commit": COMMIT,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": "https://github.com/acme/models.git#churn/train",
        "mlflow.project.entryPoint": "main",
    }
    found = written(run(**shown, other="x"))["mlModel"]
    kept = shown | {REPOSITORY: "https://github.com/acme/models.git"}
    assert found["mlModelProperties"]["customProperties"] == kept
    (page,) = found["sourceCode"]["sourceCode"]
    assert page == {"type": "TRAINING_PIPELINE_SOURCE_CODE", "sourceCodeUrl": f"{GITHUB}/churn/train"}
    assert "sourceCode" not in written(run(**{REPOSITORY: "/local"}))["mlModel"]
    local = {"mlflow.source.type": "LOCAL", "mlflow.source.name": "train#2.py"}
    (page,) = written(run(**shown | local))["mlModel"]["sourceCode"]["sourceCode"]
    assert page["sourceCodeUrl"] == GITHUB


def test_a_notebook_of_databricks_has_a_page() -> None:
    tags = {
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.name": "/Users/ann/churn",
        "mlflow.databricks.notebookID": "123",
        "mlflow.databricks.notebookPath": "/Users/ann/churn",
        "mlflow.databricks.webappURL": "https://acme.cloud.databricks.com",
    }
    found = written(run(**tags))["mlModel"]
    assert found["sourceCode"]["sourceCode"][0]["sourceCodeUrl"] == "https://acme.cloud.databricks.com/#notebook/123"
    assert found["mlModelProperties"]["customProperties"]["mlflow.databricks.notebookPath"] == "/Users/ann/churn"
    clone = {
        "mlflow.databricks.gitRepoUrl": "https://github.com/acme/models.git",
        "mlflow.databricks.gitRepoCommit": COMMIT,
    }
    found = written(run(**tags, **clone))["mlModel"]
    assert found["sourceCode"]["sourceCode"][0]["sourceCodeUrl"] == GITHUB
    assert found["mlModelProperties"]["customProperties"].items() >= clone.items()


def owners(value: str, **settings: Any) -> list[str]:
    """Who owns a model group that has this tag."""
    owner = OwnerSettings(**{"tags": ("owner", "team"), **settings})
    model = RegisteredModel("m", tags=[KeyValue("owner", value)])
    group = written(settings=structs.replace(PLAIN, owner=owner), model=model)["mlModelGroup"]
    return [each["owner"].removeprefix("urn:li:corpuser:") for each in group.get("ownership", {}).get("owners", [])]


@pytest.mark.parametrize(
    ("value", "settings", "expected"),
    [
        ("ann", {}, ["ann"]),
        (" ann , bob,ann,", {}, ["ann", "bob"]),
        ("ann", {"user_domain": "x.com"}, ["ann@x.com"]),
        ("ann@y.com", {"user_domain": "x.com"}, ["ann@y.com"]),
        ("ann@y.com", {"pattern": "(.+)@"}, ["ann"]),
        ("ann@y.com", {"pattern": "(.+)@", "user_domain": "x.com"}, ["ann@x.com"]),
        ("ann", {"pattern": "(.+)@"}, []),
        ("CORP\\ann", {"pattern": r"\w+$"}, ["ann"]),
        ("ann", {"pattern": "(bob)|ann"}, []),
        ("urn:li:corpuser:ann", {"pattern": "nobody", "user_domain": "x.com"}, ["ann"]),
        ("urn:li:corpGroup:ml (eu)", {}, ["urn:li:corpGroup:ml %28eu%29"]),
        ("a" * 600, {}, []),
        ("", {}, []),
        (" , ", {}, []),
        ("urn:li:corpuser:,urn:li:corpGroup:,urn:li:tag:x,ann", {}, ["ann"]),
        ("urn:li:person:ann", {"pattern": "person:(.+)"}, ["ann"]),
    ],
)
def test_who_a_tag_names(value: str, settings: dict[str, Any], expected: list[str]) -> None:
    assert owners(value, **settings) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
@examples(200)
def test_datahub_takes_every_owner(value: str) -> None:
    owners(value)
    owners(value, user_domain="x.com", type="urn:li:ownershipType:steward")


def owner_of(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["owner"].rpartition(":")[2], each["type"]) for each in found.get("ownership", {}).get("owners", [])]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("owner",), ("of version", "of model", "of experiment")),
        (("team", "owner"), ("of run", "of model", "of experiment")),
        (("mlflow.user",), ("starter", "", "")),
        (("nobody",), ("", "", "")),
        (("blank", "team"), ("of run", "", "")),
    ],
)
def test_models_groups_and_containers_have_owners_and_runs_none(names: Sequence[str], expected: Sequence[str]) -> None:
    settings = structs.replace(PLAIN, owner=OwnerSettings(tags=tuple(names), type="DATA_STEWARD"))
    made = structs.replace(
        run(owner="of another", team="of run", blank=" "), info=RunInfo("r1", "1", user_id="starter")
    )
    found = written(
        made,
        settings,
        tags=[KeyValue("owner", "of version")],
        model=RegisteredModel("m", tags=[KeyValue("owner", "of model")]),
        experiment=Experiment("1", "e", tags=[KeyValue("owner", "of experiment")]),
    )
    for kind, name in zip(("mlModel", "mlModelGroup", "container"), expected, strict=True):
        assert owner_of(found[kind]) == [(name, "DATA_STEWARD")] * bool(name)
    assert "ownership" not in found["dataProcessInstance"]


def test_an_ownership_type_of_ones_own() -> None:
    owner = OwnerSettings(tags=("owner",), type="urn:li:ownershipType:steward")
    found = written(settings=structs.replace(PLAIN, owner=owner), tags=[KeyValue("owner", "ann")])["mlModel"]
    assert found["ownership"]["owners"] == [
        {"owner": "urn:li:corpuser:ann", "type": "CUSTOM", "typeUrn": "urn:li:ownershipType:steward"}
    ]


def test_links_are_written_where_they_are_wanted() -> None:
    off = written(run())
    assert not any("institutionalMemory" in each or "ownership" in each for each in off.values())
    found = written(run(), structs.replace(PLAIN, link_to_mlflow=True), creation_timestamp=7)
    for kind, name in (
        ("mlModel", "mlModelProperties"),
        ("mlModelGroup", "mlModelGroupProperties"),
        ("container", "containerProperties"),
    ):
        (link,) = found[kind]["institutionalMemory"]["elements"]
        assert (link["url"], link["description"]) == (found[kind][name]["externalUrl"], "MLflow")
    assert found["mlModel"]["institutionalMemory"]["elements"][0]["createStamp"]["time"] == 7
    assert "institutionalMemory" not in found["dataProcessInstance"]


@pytest.mark.parametrize(
    ("wanted", "stage", "expected"),
    [
        ((), "Production", []),
        (("stage",), "Production", ["stage:Production"]),
        (("alias",), "Production", ["alias:best", "alias:new"]),
        (("stage", "alias"), "Production", ["stage:Production", "alias:best", "alias:new"]),
        (("stage",), "None", []),
        (("stage",), None, []),
    ],
)
def test_stages_and_aliases_are_tags_of_a_group_page_where_wanted(
    wanted: tuple[str, ...], stage: str | None, expected: list[str]
) -> None:
    model = RegisteredModel("m", aliases=[Alias("best", "1"), Alias("new", "1"), Alias("other", "2")])
    settings = structs.replace(PLAIN, model_tags=wanted)
    found = written(settings=settings, model=model, current_stage=stage, tags=[KeyValue("a", "b")])["mlModel"]
    assert found["mlModelProperties"]["tags"] == ["a:b", *expected]
    assert found["mlModelProperties"]["customProperties"] == {"a": "b"}


def test_a_description_stays_as_it_is_written() -> None:
    text = "# Churn\r\n\n*What* it `does`:\n\n| a | b |\n| - | - |\n- [x] line 2  \n\ttab & <b>html</b>"
    note = [KeyValue("mlflow.note.content", text)]
    found = written(
        run(**{"mlflow.note.content": text}),
        description=text,
        model=RegisteredModel("m", description=text),
        experiment=Experiment("1", "e", tags=note),
    )
    assert found["mlModel"]["mlModelProperties"]["description"] == text
    assert found["mlModelGroup"]["mlModelGroupProperties"]["description"] == text
    assert found["container"]["containerProperties"]["description"] == text
    # DataHub has no description of a run.
    kept = found["dataProcessInstance"]["dataProcessInstanceProperties"]["customProperties"]
    assert kept == {"mlflow.note.content": text}
