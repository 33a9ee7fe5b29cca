"""From entities to DataHub: each one is confirmed, or named in the report and kept as dead letters."""

from crawler.delivery.delivery import Delivery
from crawler.delivery.running import Feed, deliver, open_delivery
from crawler.delivery.settlement import Ledger

__all__ = ["Delivery", "Feed", "Ledger", "deliver", "open_delivery"]
