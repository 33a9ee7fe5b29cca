"""Model versions wait for their runs and leave in order."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects import MLModelProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.version_index import VersionIndex
from crawler.mlflow.entities import KeyValue, ModelVersion, Run, RunData, RunInfo
from crawler.settings import MappingSettings

SETTINGS = MappingSettings(ui_url="http://x")
RUN_IDS = ["", "r1", "r2", "r3", "gone"]

versions = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 12), st.sampled_from(RUN_IDS)),
    unique_by=lambda each: each[:2],
    max_size=25,
)


def run(run_id: str) -> Run:
    return Run(RunInfo(run_id), RunData(params=[KeyValue("made by", run_id)]))


def properties(entity: Entity) -> MLModelProperties:
    return next(aspect for aspect in entity.aspects if isinstance(aspect, MLModelProperties))


@given(versions, st.permutations(RUN_IDS[1:4]))
def test_each_version_leaves_once_in_order_and_with_its_own_run(
    made: list[tuple[str, int, str]], order: list[str]
) -> None:
    index = VersionIndex(SETTINGS)
    for name, number, run_id in made:
        index.add(ModelVersion(name, str(number), run_id=run_id))
    left = list(index.seal())
    for run_id in order:
        assert len(index.outputs(run_id)) == sum(each[2] == run_id for each in made)
        left += index.resolve(run(run_id))
        left += index.resolve(run(run_id))
    missing = index.unseen
    assert missing == (["gone"] if any(each[2] == "gone" for each in made) else [])
    left += index.give_up(missing)
    assert sorted(entity.urn for entity in left) == sorted(
        f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{name}_{number},PROD)" for name, number, _ in made
    )
    runs = {(name, str(number)): run_id for name, number, run_id in made}
    for name in "abc":
        numbers = [entity.urn.split("_")[1].split(",")[0] for entity in left if entity.series == name]
        assert numbers == sorted(numbers, key=int)
    for entity in left:
        number = entity.urn.split("_")[1].split(",")[0]
        run_id = runs[entity.series or "", number]
        params = properties(entity).hyper_params
        assert [param.value for param in params or []] == ([run_id] if run_id in order else [])
    assert index.unseen == []


def test_a_version_that_is_no_number_leaves_too() -> None:
    index = VersionIndex(SETTINGS)
    index.add(ModelVersion("m", "beta"))
    index.add(ModelVersion("m", "2"))
    assert len(list(index.seal())) == 2
