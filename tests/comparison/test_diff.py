"""A diff names exactly what is missing, different or orphaned; a fix sends exactly that."""

import asyncio
import random
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.comparison.differences import Differences
from crawler.comparison.run import diff
from crawler.errors import Interrupted, SettingsError
from crawler.settings.crawl import Settings
from crawler.telemetry.report import Report
from tests.gms.other_writers import erase, overwrite
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_settings, crawl_to_gms, recipe_file, settings_for_gms
from tests.support.examples import examples

ENTITIES = 69
EVENT = "dataProcessInstanceRunEvent"
KEYED = ("mlModel", "mlModelGroup", "dataset")
Key = tuple[str, str]


class Names(NamedTuple):
    """What a diff named: URNs, and (URN, aspect) of what is different."""

    missing: set[str]
    different: set[Key]
    orphaned: set[str]


EQUAL = Names(set(), set(), set())


def named(differences: Differences) -> Names:
    """All that is named, where there is little enough of it."""
    kinds = differences.kinds.values()
    found = Names(
        {urn for kind in kinds for urn in kind.first_missing},
        {(each.urn, aspect.aspect) for kind in kinds for each in kind.first_different for aspect in each.aspects},
        {urn for kind in kinds for urn in kind.first_orphaned},
    )
    assert differences.missing == len(found.missing)
    assert differences.different == len({urn for urn, _ in found.different})
    assert differences.orphaned == len(found.orphaned)
    return found


@pytest.fixture(autouse=True)
def _all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.comparison.differences.SAMPLES", 10_000)


async def compared(settings: Settings, **options: Any) -> tuple[Names, Report]:
    """What a diff names; nothing else went wrong."""
    report = Report(settings.run_id)
    differences = await diff(settings, report=report, **options)
    assert (report.failures, report.warnings, differences.complete) == ([], [], True)
    assert sum(kind.compared for kind in differences.kinds.values()) == ENTITIES
    return named(differences), report


@pytest.mark.parametrize("options", [{}, {"reads_several_types": False, "scroll": "unfiltered"}], ids=str)
@pytest.mark.parametrize("endpoint", ["restli", "openapi"])
async def test_what_was_crawled_is_equal(
    golden_server: MlflowServer, tmp_path: Path, options: dict[str, Any], endpoint: str
) -> None:
    async with Gms(reads_timeseries=True, **options) as gms:
        settings = settings_for_gms(golden_server, tmp_path, gms, endpoint=endpoint)
        crawled = await crawl_settings(settings)
        sent, written = gms.proposals, dict(gms.aspects)
        found, report = await compared(settings)
        assert (found, gms.proposals, gms.aspects, gms.violations) == (EQUAL, sent, written, [])
    assert report.mlflow.requests == crawled.mlflow.requests
    assert report.read == crawled.read


async def test_into_an_empty_datahub_a_fix_delivers_all(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(reads_timeseries=True) as gms:
        settings = settings_for_gms(golden_server, tmp_path, gms)
        found, report = await compared(settings, fix=True)
        assert (len(found.missing), found.different, found.orphaned) == (ENTITIES, set(), set())
        assert sum(report.delivered.values()) == ENTITIES
        assert report.proposals == len(gms.aspects) == gms.proposals
        again, _ = await compared(settings)
    assert (again, gms.violations, gms.dropped) == (EQUAL, [], [])


class Mutation:
    """What others do to a DataHub that was crawled into, and what a diff must say of it."""

    def __init__(self, gms: Gms, chance: random.Random) -> None:
        self.expected = Names(set(), set(), set())
        self._gms = gms
        self._chance = chance
        self._numbers = count()
        self._urns = sorted({urn for urn, _ in gms.aspects})
        chance.shuffle(self._urns)

    def run(self, names: list[str]) -> None:
        for name in names:
            getattr(self, name)(self._urns.pop())

    def delete(self, urn: str) -> None:
        erase(self._gms, urn)
        self.expected.missing.add(urn)

    def lose_aspects(self, urn: str) -> None:
        names = self._aspects(urn)
        for name in self._chance.sample(names, self._chance.randrange(1, len(names))):
            erase(self._gms, urn, name)
            self.expected.different.add((urn, name))

    def change(self, urn: str) -> None:
        name = self._chance.choice([each for each in self._aspects(urn) if each != "globalTags"])
        value = self._gms.aspects[urn, name]
        field = self._chance.choice([key for key in value if key != "timestampMillis"])
        overwrite(self._gms, urn, name, value | {field: _another(value[field])})
        self.expected.different.add((urn, name))

    def remove(self, urn: str) -> None:
        overwrite(self._gms, urn, "status", {"removed": True})
        self.expected.different.add((urn, "status"))

    def set_by_hand(self, urn: str) -> None:
        overwrite(self._gms, urn, "ownership", {"owners": [{"owner": "urn:li:corpuser:a", "type": "NONE"}]})
        if (urn, "globalTags") in self._gms.aspects:
            tags = self._gms.aspects[urn, "globalTags"]["tags"]
            overwrite(self._gms, urn, "globalTags", {"tags": [*tags, {"tag": "urn:li:tag:pii"}]})

    def spell_out(self, urn: str) -> None:
        """Write the same as acryl-datahub's classes might: nulls, empty lists, another order."""
        for name in self._aspects(urn):
            value = self._gms.aspects[urn, name]
            turned = {
                key: each[::-1] if isinstance(each, list) and key not in {"fields", "path"} else each
                for key, each in value.items()
            }
            overwrite(self._gms, urn, name, {"externalUrl": None, **turned} if name != EVENT else turned)

    def add_orphan(self, _urn: str) -> None:
        number = next(self._numbers)
        orphan = self._chance.choice(
            [
                *(f"urn:li:{kind}:(urn:li:dataPlatform:mlflow,{number},PROD)" for kind in KEYED),
                *(f"urn:li:{kind}:{number}" for kind in ("dataProcessInstance", "container")),
            ]
        )
        overwrite(self._gms, orphan, "dataPlatformInstance", {"platform": "urn:li:dataPlatform:mlflow"})
        overwrite(self._gms, orphan, "status", {"removed": False})
        self.expected.orphaned.add(orphan)

    def add_what_is_none(self, _urn: str) -> None:
        """Entities of other platforms, environments, instances and types, and one that was removed."""
        place = {"platform": "urn:li:dataPlatform:mlflow"}
        number = next(self._numbers)
        for foreign, where, removed in (
            (f"urn:li:mlModel:(urn:li:dataPlatform:sagemaker,{number},PROD)", None, False),
            (f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{number},DEV)", place, False),
            (f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{number},PROD)", place, True),
            (f"urn:li:container:{number}", {"platform": "urn:li:dataPlatform:snowflake"}, False),
            (f"urn:li:dataProcessInstance:{number}", place | {"instance": "urn:li:dataPlatformInstance:a"}, False),
            (f"urn:li:platformResource:{number}", place, False),
            (f"urn:li:tag:{number}", None, False),
        ):
            if where is not None:
                overwrite(self._gms, foreign, "dataPlatformInstance", where)
            overwrite(self._gms, foreign, "status", {"removed": removed})

    def _aspects(self, urn: str) -> list[str]:
        return sorted(name for each, name in self._gms.aspects if each == urn)


def _another(value: Any) -> Any:
    if isinstance(value, dict):
        return {**value, "another": "value"}
    if isinstance(value, list):
        return [*value, "another"]
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"


MUTATIONS = [name for name in vars(Mutation) if not name.startswith("_") and name != "run"]


@pytest.fixture(scope="module")
def crawled(golden_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> dict[Key, Any]:
    """What a crawl of the golden server writes."""
    folder = tmp_path_factory.mktemp("crawled")
    written = asyncio.run(crawl_to_gms(recipe_file(folder, golden_server.url), folder, "restli"))
    return {key: value for key, (value, _) in written.items()}


@examples(10)
@given(st.lists(st.sampled_from(MUTATIONS), max_size=12), st.randoms(use_true_random=False))
def test_exactly_what_others_changed_is_named_and_fixed(
    golden_server: MlflowServer,
    crawled: dict[Key, Any],
    tmp_path_factory: pytest.TempPathFactory,
    mutations: list[str],
    chance: random.Random,
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    asyncio.run(_mutated(golden_server, crawled, folder, mutations, chance))


async def _mutated(
    server: MlflowServer, crawled: dict[Key, Any], folder: Path, mutations: list[str], chance: random.Random
) -> None:
    async with Gms(reads_timeseries=True, scroll_page=7) as gms:
        settings = settings_for_gms(server, folder, gms)
        for key, value in crawled.items():
            overwrite(gms, *key, value)
        mutation = Mutation(gms, chance)
        mutation.run(mutations)
        found, _ = await compared(settings)
        assert found == mutation.expected
        wanted = Counter(mutation.expected.different)
        history = len(gms.history)
        _, report = await compared(settings, fix=True)
        sent = Counter((urn, name) for urn, name, _ in gms.history[history:])
        assert {key for key in sent if key[0] not in mutation.expected.missing} == set(wanted)
        assert {urn for urn, _ in sent} - {urn for urn, _ in wanted} == mutation.expected.missing
        assert sum(report.delivered.values()) == len({urn for urn, _ in sent})
        again, _ = await compared(settings)
        assert again == EQUAL._replace(orphaned=mutation.expected.orphaned)
        assert (gms.violations, gms.dropped) == ([], [])


async def test_the_fields_are_named(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(reads_timeseries=True) as gms:
        settings = settings_for_gms(golden_server, tmp_path, gms)
        await crawl_settings(settings)
        urn = next(urn for urn, name in sorted(gms.aspects) if name == "mlModelProperties")
        value = gms.aspects[urn, "mlModelProperties"]
        overwrite(
            gms,
            urn,
            "mlModelProperties",
            value | {"description": "by hand", "customProperties": value["customProperties"] | {"team": "a"}},
        )
        erase(gms, urn, "globalTags")
        differences = await diff(settings)
    (different,) = differences.kinds["mlModel"].first_different
    assert [(each.aspect, each.fields) for each in different.aspects] == [
        ("mlModelProperties", ["customProperties.team", "description"]),
        ("globalTags", []),
    ]
    assert differences.kinds["mlModel"].aspects == {
        "mlModelProperties.customProperties": 1,
        "mlModelProperties.description": 1,
        "globalTags": 1,
    }


async def test_what_the_index_knows_and_the_store_does_not_is_no_orphan(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    async with Gms(reads_timeseries=True) as gms:
        settings = settings_for_gms(golden_server, tmp_path, gms)
        await crawl_settings(settings)
        gone, removed = (f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{name}_1,PROD)" for name in ("gone", "removed"))
        for urn in (gone, removed):
            overwrite(gms, urn, "status", {"removed": False})
        gms.index.stands = True
        erase(gms, gone)
        overwrite(gms, removed, "status", {"removed": True})
        found, _ = await compared(settings)
    assert found == EQUAL


@pytest.mark.parametrize("scroll", ["forbidden", "absent"])
async def test_without_a_list_the_rest_is_compared_and_that_is_said(
    golden_server: MlflowServer, tmp_path: Path, scroll: str
) -> None:
    async with Gms(reads_timeseries=True, scroll=scroll) as gms:
        settings = settings_for_gms(golden_server, tmp_path, gms)
        await crawl_settings(settings)
        report = Report(settings.run_id)
        differences = await diff(settings, report=report)
    assert named(differences) == EQUAL
    assert [failure.code for failure in report.failures] == ["orphans_not_listed"]


async def test_there_must_be_a_datahub_that_can_be_read(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(version="v1.0.0") as gms:
        with pytest.raises(SettingsError, match=r"older than 1\.0\.1"):
            await diff(settings_for_gms(golden_server, tmp_path, gms))


async def test_a_stop_ends_it(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        stop = asyncio.Event()
        stop.set()
        differences = Differences()
        with pytest.raises(Interrupted):
            await diff(settings_for_gms(golden_server, tmp_path, gms), differences=differences, stop=stop)
    assert not differences.complete
