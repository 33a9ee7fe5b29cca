"""What MLflow has and the recipe does not choose: in DataHub it is no orphan."""

from crawler.comparison.seen_urns import SeenUrns
from crawler.mlflow.entities import Experiment
from crawler.removal.stale import group_of
from crawler.settings.mapping import MappingSettings


class LeftOut:
    """The witness of a diff's mapping: it notes what is left out, and nothing else."""

    def __init__(self, settings: MappingSettings) -> None:
        self._separator = settings.model_name_separator
        self._urns = SeenUrns()

    def see(self, urn: str) -> None:
        """Note nothing: the stream has it."""

    def see_own(self, urn: str) -> None:
        """Note nothing: the stream has it."""

    def see_deleted(self, urn: str, experiment: Experiment, workspace: str | None) -> None:
        """Note nothing: it is an orphan, if DataHub shows it."""

    def leave_out(self, urn: str) -> None:
        """Note an entity."""
        self._urns.add(urn)

    def __contains__(self, urn: str) -> bool:
        """Whether an entity is left out, by itself or with its model."""
        if urn in self._urns:
            return True
        group = group_of(urn, self._separator)
        return group is not None and group in self._urns
