"""DataHub's aspects, by the entities that have them."""
