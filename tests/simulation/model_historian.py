"""Somebody who logs models for weeks between crawls, and notes of each edit which of them it changes in DataHub."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from crawler.settings.mapping import MappingSettings
from tests.simulation.historian import AMOUNTS, Historian
from tests.simulation.mapped_logged_models import LoggedModelStates
from tests.simulation.model_logger import LoggedAmounts, ModelLogger
from tests.simulation.tracking_server import TrackingServer

LOGGED = LoggedAmounts(models=8, points=12, ties=0.0, writes=0, write_chance=0.0)


class ModelHistorian(ModelLogger):
    """Draws edits of logged models, at the time that `now` tells in ms since epoch, beside those of a `historian`.

    Whatever is edited, a logged model has a mark from when it is something else in DataHub until a crawl has read it.
    """

    def __init__(
        self,
        server: TrackingServer,
        chance: Random,
        historian: Historian,
        now: Callable[[], int],
        settings: MappingSettings,
    ) -> None:
        self._now = now
        super().__init__(server, chance, AMOUNTS, LOGGED)
        self._historian = historian
        self._settings = settings
        self._looks: dict[str, bytes] = {}
        self.marks: list[tuple[str, int]] = []
        """Ids of logged models, each with when it changed (ms since epoch)."""
        self._edits: dict[Callable[[], None], int] = {
            self._create_logged_model: 4,
            self._finalize: 4,
            self._measure: 4,
            self._tag: 2,
            self._register: 2,
            self._delete_logged_model: 2,
        }

    def fill(self) -> None:
        """What is there before the first crawl."""
        super().fill()
        self.note()

    def write(self) -> None:
        """One edit, or none where there is nothing of that kind."""
        (edit,) = self._chance.choices([*self._edits], [*self._edits.values()])
        self._historian.edits.append((self._now(), edit.__name__.strip("_")))
        edit()
        self.note()

    def note(self) -> None:
        """Mark the logged models that the last edit has changed, whatever that was of."""
        before, self._looks = self._looks, self._look()
        self.marks += [(each, self._now()) for each, look in self._looks.items() if before.get(each) != look]

    def keep_hidden(self, began: int, since: int | None, listed: int) -> set[str]:
        """Keep the marks that a crawl which began then does not see, and return the ids of their models.

        `listed` is when the last crawl that ended well asked for the experiments.
        """
        self.marks = [
            (each, time) for each, time in self.marks if time >= began or not self._is_read(each, since, listed)
        ]
        return {each for each, _ in self.marks}

    def _is_read(self, model_id: str, since: int | None, listed: int) -> bool:
        row = self._server.logged_models[model_id].now
        if row is None or since is None:
            return True
        info = row.fields["info"]
        return (
            info["last_updated_timestamp_ms"] >= since or self._historian.whole.get(info["experiment_id"], -1) >= listed
        )

    def _look(self) -> dict[str, bytes]:
        """What each logged model is in DataHub now, after all that has happened at this moment."""
        now = math.nextafter(self._server.time, math.inf)
        states = LoggedModelStates(self._server, self._settings, now, math.inf, zeros_unknown=False)
        looks: dict[str, bytes] = {}
        for model_id, history in self._server.logged_models.items():
            if history.now is not None:
                (entity,) = states.of(model_id)
                looks[model_id] = msgspec.json.encode(entity.aspects)
        return looks

    def _creation_time(self) -> int:
        return self._now()

    def _update_time(self) -> int:
        return self._now()

    def _put_run(self, fields: dict[str, Any]) -> None:
        super()._put_run(fields)
        self._historian.mark(fields["info"]["run_id"])
