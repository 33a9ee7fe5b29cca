# Slim, not root, nothing compiled; everything that is installed has the hash that requirements/ names.
# Works with a read-only root: the crawl writes only where -o, --report, --state and --dead-letters say.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements ./requirements
RUN python -m venv /opt/build
RUN /opt/build/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements/build.lock
RUN python -m venv /opt/crawler
RUN /opt/crawler/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements/crawler.lock
COPY pyproject.toml README.md LICENSE ./
COPY crawler ./crawler
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /opt/wheels .
RUN /opt/crawler/bin/pip install --no-cache-dir --no-deps --no-index --find-links /opt/wheels mlflow-datahub-crawler

FROM python:3.12-slim
COPY --from=build /opt/crawler /opt/crawler
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["/opt/crawler/bin/mlflow-datahub-crawler"]
CMD ["crawl", "--log-format", "json"]
