"""MLflow beside DataHub: what is missing there, what is different, what is orphaned."""
