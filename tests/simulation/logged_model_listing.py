"""A model of MLflow 3.17's `logged-models/search`: its conditions, its orders, and tokens that hold their query.

`tests/pipeline/test_real_logged_models.py` holds it against a real one.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable
from operator import ge, lt
from typing import Any

from crawler.mlflow.entities import LoggedModel
from tests.simulation.rows import Refusal, Row, page_of

_CONDITION = re.compile(r"(creation_timestamp|last_updated_timestamp) (>=|<) (\d+)")
_HOLDS: dict[str, Callable[[int, int], bool]] = {">=": ge, "<": lt}
_FIELDS = {
    "creation_timestamp": "creation_timestamp_ms",
    "last_updated_timestamp": "last_updated_timestamp_ms",
    "model_id": "model_id",
}
_ROWS_OF_A_PAGE = 50


def search(rows: Iterable[Row[LoggedModel]], query: dict[str, Any]) -> bytes:
    """A page of the logged models of some experiments, deleted ones too."""
    asked = {
        "experiment_ids": query["experiment_ids"],
        "filter_string": query.get("filter"),
        "order_by": [_order(each) for each in query.get("order_by", ())] or None,
    }
    conditions = _conditions(asked["filter_string"] or "")
    found = [row for row in rows if row.fields["info"]["experiment_id"] in query["experiment_ids"]]
    found = [row for row in found if all(_passes(row.fields["info"], *each) for each in conditions)]
    _sort(found, asked["order_by"] or [])
    begin = _offset(query.get("page_token", ""), asked)
    end = begin + int(query.get("max_results", _ROWS_OF_A_PAGE))
    token = base64.b64encode(json.dumps({**asked, "offset": end}).encode())
    return page_of("models", found[begin:end], token if end < len(found) else None)


def _order(given: dict[str, Any]) -> dict[str, Any]:
    if given["field_name"] not in _FIELDS:
        raise Refusal(400, "INVALID_PARAMETER_VALUE", f"The model of MLflow cannot order by {given['field_name']}")
    return {"ascending": True, **given, "dataset_name": None, "dataset_digest": None}


def _sort(found: list[Row[LoggedModel]], order_by: list[dict[str, Any]]) -> None:
    """By what is asked for, then the newest first, then by id."""
    wanted = [(each["field_name"], each["ascending"]) for each in order_by]
    for name, ascending in reversed([*wanted, ("creation_timestamp", False), ("model_id", True)]):
        found.sort(key=lambda row: row.fields["info"][_FIELDS[name]], reverse=not ascending)


def _conditions(text: str) -> list[tuple[str, str, int]]:
    found = []
    for condition in text.split(" AND ") if text else ():
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"The model of MLflow cannot filter by {condition}")
        found.append((match[1], match[2], int(match[3])))
    return found


def _passes(info: dict[str, Any], name: str, operator: str, bound: int) -> bool:
    return _HOLDS[operator](info[_FIELDS[name]], bound)


def _offset(token: str, asked: dict[str, Any]) -> int:
    """The offset of a token, which may be forged; it must be of the same query."""
    if not token:
        return 0
    held = json.loads(base64.b64decode(token))
    offset = held.pop("offset")
    if held != asked:
        raise Refusal(400, "INVALID_PARAMETER_VALUE", f"The token is of another query: {held}, not {asked}")
    return int(offset)
