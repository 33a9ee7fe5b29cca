"""Who is told what MLflow has: removal and diff must know it, whether it is written or not."""

from typing import Protocol

from crawler.mlflow.entities import Experiment


class Witness(Protocol):
    """Is told which entities of MLflow a crawl sees, other than runs, whether they are written or not."""

    def see(self, urn: str) -> None:
        """Note that MLflow has it."""
        ...

    def see_own(self, urn: str) -> None:
        """Note that MLflow has an entity of a kind that the official connector does not know."""
        ...

    def see_deleted(self, urn: str, experiment: Experiment, workspace: str | None) -> None:
        """Note that MLflow lists an experiment as deleted, in a workspace where it has any."""
        ...

    def leave_out(self, urn: str) -> None:
        """Note that MLflow has it, and that it is not to be crawled."""
        ...


class NoWitness:
    """The witness of a crawl that removes nothing."""

    def see(self, urn: str) -> None:
        """Note nothing."""

    def see_own(self, urn: str) -> None:
        """Note nothing."""

    def see_deleted(self, urn: str, experiment: Experiment, workspace: str | None) -> None:
        """Note nothing."""

    def leave_out(self, urn: str) -> None:
        """Note nothing."""
