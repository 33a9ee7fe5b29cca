"""Each user once a crawl, although thousands of runs and versions name the same one."""

from crawler.datahub.proposals import Entity
from crawler.mapping.reducers.seen_keys import SeenKeys
from crawler.mapping.users import user_entity

REMEMBERED_USERS = 100_000


class UserReducer:
    """Holds no entity back, only the names of the users that are written."""

    def __init__(self) -> None:
        self._seen = SeenKeys(REMEMBERED_USERS)

    def take(self, user: str) -> list[Entity]:
        """Return the user's entity the first time."""
        return [user_entity(user)] if self._seen.add_if_new(user) else []
