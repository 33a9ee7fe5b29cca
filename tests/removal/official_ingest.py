"""The official connector as `datahub ingest` runs it: a recipe a line on standard input, its result a line on output.

    PYTHON official_ingest.py SITE_PACKAGES_WITH_MLFLOW

acryl-datahub is that of the Python; only MLflow's client comes from the other folder.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Runs recipes until standard input ends."""
    sys.path.append(sys.argv[1])
    from datahub.ingestion.run.pipeline import Pipeline  # noqa: PLC0415  after the path is known

    for line in sys.stdin:
        pipeline = Pipeline.create(json.loads(line), report_to=None)
        pipeline.run()
        report: Any = pipeline.source.get_report()
        result = {
            "failures": [failure.message for failure in report.failures]
            + [str(each) for each in pipeline.sink.get_report().failures],
            "removed": list(report.soft_deleted_stale_entities),
        }
        print(f"\nresult {json.dumps(result)}", flush=True)


if __name__ == "__main__":
    main()
