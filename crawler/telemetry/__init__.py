"""What is told of a crawl: events, findings, the report. It controls nothing."""
