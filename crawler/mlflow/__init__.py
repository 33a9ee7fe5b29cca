"""MLflow: its listings as streams of pages. Knows neither DataHub nor the crawl."""
