"""Random histories of an MLflow, crawled now and then, some crawls cut off: DataHub shows in the end what it has."""

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from crawler.mapping.runs import run_urn
from tests.gms.faults import Fault
from tests.removal.crawls import World, dataset, experiment, group, model, removed, run_with_dataset, world
from tests.servers.dialect import Dialect, version
from tests.support.examples import examples

REFUSED = (401, {"error_code": "UNAUTHENTICATED", "message": "who are you?"})
FORBIDDEN = (403, {"error_code": "PERMISSION_DENIED", "message": "no"})
EDITS = ["model", "version", "experiment", "run", "delete model", "delete version", "delete experiment", "delete run"]
EDITS += ["restore experiment", "restore run"]
DISTURBANCES = [
    None,
    None,
    *(
        ("mlflow", listing, how)
        for listing in ("registered-models", "experiments", "runs")
        for how in (REFUSED, FORBIDDEN)
    ),
    ("datahub", 400, None),
    ("datahub", 503, None),
]
STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 9)), max_size=4), st.sampled_from(DISTURBANCES)
    ),
    min_size=1,
    max_size=5,
)


class History:
    """An MLflow that is edited; `ever` are all entities that it ever had, `missed` those that it once had not."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._numbers = count(1)
        self.ever: set[str] = set()
        self.missed: set[str] = set()
        dialect.models, dialect.versions, dialect.experiments, dialect.runs = [], [], [], []
        for edit in ("model", "version", "experiment", "run"):
            self.edit(edit, 0)

    def edit(self, what: str, which: int) -> None:
        """One edit, of one of those that there are; nothing where there is none."""
        number = next(self._numbers)
        change, _, kind = what.rpartition(" ")
        if not change:
            self._add(kind, number, which)
        elif kind in {"model", "version"}:
            if rows := self.dialect.models if kind == "model" else self.dialect.versions:
                self._delete(_pick(rows, which))
        else:
            self._change(change, kind, which)
        self.ever |= self.present()
        self.missed |= self.ever - self.present()

    def _add(self, kind: str, number: int, which: int) -> None:
        active = _active(self.dialect.experiments)
        if kind == "model":
            self.dialect.models.append({"name": f"m{number}"})
        elif kind == "version" and self.dialect.models:
            name = _pick(self.dialect.models, which)["name"]
            self.dialect.versions.append(version(name, str(number), ""))
        elif kind == "experiment":
            self.dialect.experiments.append({"experiment_id": str(number), "name": f"e{number}"})
        elif kind == "run" and active:
            of = _pick(active, which)["experiment_id"]
            self.dialect.runs.append(run_with_dataset(f"r{number}", 1_000 + number, of, f"d{which % 3}"))

    def _delete(self, row: dict[str, Any]) -> None:
        if "version" in row:
            self.dialect.versions.remove(row)
            return
        self.dialect.models.remove(row)
        self.dialect.versions = [each for each in self.dialect.versions if each["name"] != row["name"]]

    def _change(self, change: str, kind: str, which: int) -> None:
        """A restored experiment brings back all of its runs; a run is changed only in an active experiment."""
        stage = {"delete": "deleted", "restore": "active"}[change]
        rows = self.dialect.experiments if kind == "experiment" else [each["info"] for each in self.dialect.runs]
        active = {each["experiment_id"] for each in _active(self.dialect.experiments)}
        rows = [each for each in rows if kind == "experiment" or each["experiment_id"] in active]
        if not rows:
            return
        row = _pick(rows, which)
        row["lifecycle_stage"] = stage
        if kind == "experiment":
            for each in self.dialect.runs:
                if each["info"]["experiment_id"] == row["experiment_id"]:
                    each["info"]["lifecycle_stage"] = stage

    def present(self) -> set[str]:
        """What DataHub must show."""
        runs = [each for each in self.dialect.runs if each["info"].get("lifecycle_stage", "active") == "active"]
        return {
            *(group(each["name"]) for each in self.dialect.models),
            *(model(each["name"], int(each["version"])) for each in self.dialect.versions),
            *(experiment(each["name"]) for each in _active(self.dialect.experiments)),
            *(run_urn(each["info"]["run_id"]) for each in runs),
            *(dataset(used["dataset"]["name"]) for each in runs for used in each["inputs"]["dataset_inputs"]),
        }


def _active(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("lifecycle_stage", "active") == "active"]


def _pick(rows: list[Any], which: int) -> Any:
    return rows[which % len(rows)]


def disturb(whole: World, disturbance: Any) -> None:
    """Let the next crawl meet a fault, or none."""
    whole.dialect.refusals, whole.gms.rule = {}, None
    match disturbance:
        case ("mlflow", listing, how):
            whole.dialect.refusals = {listing: how}
        case ("datahub", status, None):
            whole.gms.rule = Fault(status=status)


async def live(folder: Path, steps: list[tuple[list[tuple[str, int]], Any]], *, resumes: bool) -> None:
    async with world(folder) as whole:
        whole.flags = {"removal": "confirm"}
        if resumes:
            whole.flags["state"] = folder / "crawl.state"
        history = History(whole.dialect)
        for edits, disturbance in steps:
            for what, which in edits:
                history.edit(what, which)
            disturb(whole, disturbance)
            await whole.crawl()
            assert removed(whole.gms) <= history.missed, "what was always there was taken for gone"
        disturb(whole, None)
        # It may go on with one that was cut off: then it has that one's failures, and leaves datasets to the next.
        await whole.crawl()
        assert (await whole.crawl()).status == "success"
        written = {urn for urn, _ in whole.gms.aspects} & history.ever
        assert removed(whole.gms) == written - history.present()
        assert whole.gms.violations == []


@pytest.mark.slow
@pytest.mark.parametrize("resumes", [False, True])
@examples(8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_in_the_end_datahub_shows_what_mlflow_has(
    tmp_path_factory: pytest.TempPathFactory, resumes: bool, steps: Any
) -> None:
    asyncio.run(live(tmp_path_factory.mktemp("history"), steps, resumes=resumes))
