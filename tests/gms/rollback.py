"""POST /runs?action=rollback: BatchIngestionRunResource, RollbackService, EntityServiceImpl.rollbackRun.

The table behind it keeps each version of an aspect with its system metadata, and a row for each entity's key.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from datahub.metadata.schema_classes import ASPECT_NAME_MAP, KEY_ASPECTS

from tests.gms import answers
from tests.gms.answers import Refusal
from tests.gms.urn_rules import entity_type_of

DEFAULT_RUN_ID = "no-run-id-provided"
SHOWN = 100
Key = tuple[str, str]
"""URN and aspect."""


@dataclass
class Version:
    """One version of an aspect; `value` is None for the key of an entity, which is its URN."""

    value: dict[str, Any] | None
    run_id: str
    last_observed: int


class Parameters(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The parameters of the action."""

    run_id: str
    dry_run: bool = False
    safe: bool = True


@dataclass
class Undone:
    """What a rollback did: the rows that it reverted, and the values that are there now, None for none."""

    rows: list[Key] = field(default_factory=list)
    more_rows: int = 0
    now: dict[Key, dict[str, Any] | None] = field(default_factory=dict)


class Table:
    """All versions of all aspects, the last one last."""

    def __init__(self) -> None:
        self._versions: dict[Key, list[Version]] = {}
        self._events: dict[tuple[Key, int], Version] = {}
        """Timeseries aspects, in the search index only: one document a moment (TimeseriesAspectTransformer.getDocId),
        so an event that is sent again is of the run that sent it last.
        """

    def put(self, key: Key, value: dict[str, Any], metadata: dict[str, Any] | None) -> None:
        """Store an aspect (ESI.ingestAspectToLocalDB): an equal one keeps its run id. A new entity gets its key."""
        urn, name = key
        told = metadata or {}
        version = Version(value, told.get("runId", DEFAULT_RUN_ID), told.get("lastObserved", 0))
        if ASPECT_NAME_MAP[name].ASPECT_TYPE == "timeseries":
            self._events[key, value["timestampMillis"]] = version
            return
        self._versions.setdefault((urn, _key_of(urn)), [Version(None, version.run_id, version.last_observed)])
        versions = self._versions.setdefault(key, [])
        if versions and versions[-1].value in (value, None):
            versions[-1].last_observed = version.last_observed
        else:
            versions.append(version)

    def rows(self, run_id: str) -> list[Key]:
        """The aspects whose last version is of a run (the index of system metadata has one document an aspect)."""
        return [key for key, versions in self._versions.items() if versions[-1].run_id == run_id]

    def others(self, urn: str, run_id: str) -> list[Key]:
        """The aspects of an entity that others wrote: RollbackService's affected aspects."""
        return [
            (of, name)
            for (of, name), versions in self._versions.items()
            if of == urn and versions[-1].run_id != run_id and name not in {"status", _key_of(urn)}
        ]

    def undo(self, run_id: str, *, hard: bool) -> Undone:
        """Revert all rows of a run (EntityServiceImpl.rollbackWithConditions), and delete its events."""
        undone = Undone()
        for key in self.rows(run_id):
            self._revert(key, run_id, undone, hard=hard)
        for key, moment in [each for each, event in self._events.items() if event.run_id == run_id]:
            del self._events[key, moment]
            undone.more_rows += 1
            left = [event for (of, _), event in self._events.items() if of == key]
            undone.now[key] = left[-1].value if left else None
        return undone

    def _revert(self, key: Key, run_id: str, undone: Undone, *, hard: bool) -> None:
        """EntityServiceImpl.deleteAspectWithoutMCL."""
        urn, name = key
        versions = self._versions.get(key)
        if versions is None or versions[-1].run_id != run_id:
            return
        while versions and versions[-1].run_id == run_id:
            versions.pop()
        if versions:
            undone.now[key] = versions[-1].value
        elif name != _key_of(urn):
            del self._versions[key]
            undone.now[key] = None
        elif hard:
            of_entity = [each for each in self._versions if each[0] == urn]
            undone.more_rows += len(of_entity) - 1
            for each in of_entity:
                del self._versions[each]
                undone.now[each] = None
        else:
            # The key stays; an entity that has a status is soft-deleted, by nobody's run.
            versions.append(Version(None, run_id, 0))
            if "status" in KEY_ASPECTS[entity_type_of(urn)].get_aspect_info()["entityAspects"]:
                self.put((urn, "status"), {"removed": True}, None)
                undone.now[urn, "status"] = {"removed": True}
            return
        undone.rows.append(key)


def parse(request: web.Request, body: bytes) -> Parameters:
    """Rest.li's own decoding."""
    if request.query.get("action") != "rollback":
        raise Refusal(400, f"POST operation named {request.query.get('action')} not supported on resource")
    try:
        return msgspec.json.decode(body, type=Parameters)
    except msgspec.DecodeError as error:
        raise Refusal(400, f"Cannot parse request entity: {error}") from error


def answer(parameters: Parameters, table: Table) -> tuple[web.Response, Undone]:
    """What the action answers, and what it did."""
    run_id = parameters.run_id
    if run_id == DEFAULT_RUN_ID:
        raise Refusal(500, f"{run_id} is a default run-id provided for non labeled ingestion runs.")
    rows, hard = table.rows(run_id), not parameters.safe
    keys = [urn for urn, name in rows if name == _key_of(urn)]
    undone = Undone() if parameters.dry_run else table.undo(run_id, hard=hard)
    affected = [each for urn in keys for each in table.others(urn, run_id)]
    reverted = len(rows) - (0 if hard else len(keys)) if parameters.dry_run else len(undone.rows) + undone.more_rows
    counted = rows if parameters.dry_run else undone.rows
    shown = [row for row in rows[:SHOWN] if hard or not parameters.dry_run or row[1] != _key_of(row[0])]
    value: dict[str, Any] = {
        "aspectsReverted": reverted,
        "entitiesAffected": len({urn for urn, _ in counted}),
        "entitiesDeleted": len(keys),
        "unsafeEntitiesCount": len({urn for urn, _ in affected}),
        "unsafeEntities": [{"urn": urn} for urn in dict.fromkeys(urn for urn, _ in affected)],
        "aspectRowSummaries": [
            {"runId": run_id, "urn": urn, "aspectName": name, "timestamp": 0, "keyAspect": name == _key_of(urn)}
            for urn, name in shown
        ],
    }
    if not parameters.dry_run:
        value["aspectsAffected"] = len(affected)
    return answers.as_json({"value": value}), undone


def _key_of(urn: str) -> str:
    name: str = KEY_ASPECTS[entity_type_of(urn)].ASPECT_NAME
    return name
