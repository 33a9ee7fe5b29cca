"""MLflow's rows → DataHub's entities: pure, a module a kind of row."""
