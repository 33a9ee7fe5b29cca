"""DataHub's side: entities, aspects and URNs, their encoding in batches, and the client of its GMS."""
