"""mlflow-datahub-crawler: a whole MLflow server in DataHub, asynchronously, in batches, without losing anything."""

__version__ = "0.1.0"
