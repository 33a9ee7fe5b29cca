# Slim, not root, nothing compiled. Works with a read-only root: the crawl writes only where -o and --report say.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY crawler ./crawler
RUN python -m venv /opt/crawler
RUN /opt/crawler/bin/pip install --no-cache-dir .

FROM python:3.12-slim
COPY --from=build /opt/crawler /opt/crawler
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["/opt/crawler/bin/mlflow-datahub-crawler"]
CMD ["crawl", "--log-format", "json"]
