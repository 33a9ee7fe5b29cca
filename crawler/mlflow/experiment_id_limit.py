"""How many experiments one search of runs may name, as far as the server has shown. Pure."""

import re

from crawler.errors import CrawlerError, RequestRefused
from crawler.http.status_policy import BAD_REQUEST
from crawler.mlflow.resources import EXPERIMENT_IDS_A_REQUEST

_ABOUT_A_NUMBER = re.compile(r"\b(too many|max|most|limit|exceed)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w]|\.\d)", re.ASCII)


class ExperimentIdLimit:
    """The number that searches keep to: the most, or what a server that refuses so many takes.

    A 400 names its number ("Maximum 10. Found 100"), or halves ours. It may be about one of the experiments instead:
    once one is refused alone, what was concluded from it is forgotten.
    """

    def __init__(self, most: int = EXPERIMENT_IDS_A_REQUEST) -> None:
        """Begin with the most."""
        self._most = self.ids = most
        self._accepted = 0

    def accepted(self, ids: int) -> None:
        """Note that a search of so many experiments was answered."""
        self._accepted = max(self._accepted, ids)

    def refused(self, ids: int, error: CrawlerError) -> None:
        """Note that a search of so many experiments failed."""
        if not isinstance(error, RequestRefused) or error.status != BAD_REQUEST:
            return
        if ids == 1:
            self.ids = self._most
        elif ids > self._accepted and (number := _number_in(error.answer, ids)):
            self._most = self.ids = min(self.ids, number)
        elif ids > self._accepted:
            self.ids = min(self.ids, max(ids // 2, self._accepted))


def _number_in(text: str, ids: int) -> int:
    """Return the number of experiments that a refusal of `ids` names as its limit; 0 where it names none."""
    if not _ABOUT_A_NUMBER.search(text):
        return 0
    return max((number for number in map(int, _NUMBER.findall(text)) if number < ids), default=0)
