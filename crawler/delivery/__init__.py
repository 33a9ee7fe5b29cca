"""From entities to DataHub: each one is confirmed, or named in the report and kept as dead letters."""

from crawler.delivery.delivery import Delivery
from crawler.delivery.outcomes import Ledger
from crawler.delivery.running import Feed, deliver, open_delivery

__all__ = ["Delivery", "Feed", "Ledger", "deliver", "open_delivery"]
