"""One HTTP server behind one session: authentication, TLS, time-outs, retries, redaction. Knows no MLflow and no DataHub."""
