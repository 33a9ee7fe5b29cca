"""A demonstration that needs nothing: a real MLflow server with sample data, crawled into DataHub Lite."""
