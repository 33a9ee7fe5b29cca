"""What acryl-datahub's transformers cost an entity and a proposal, by what they look at."""

import subprocess
import sys
from collections.abc import Sequence
from time import process_time
from typing import Any

from datahub.ingestion.api.common import PipelineContext
from datahub.ingestion.api.transform import Transformer
from datahub.ingestion.transformer.transform_registry import transform_registry
from datahub.metadata.schema_classes import SystemMetadataClass

from benchmarks.progress import say
from benchmarks.results import Result, Row
from crawler.datahub.proposals import Entity
from crawler.transformers.chain import Chain, NamedStep
from crawler.transformers.steps import step_of
from tests.transformers.official_stream import golden_entities

ENTITIES = 3_000
MICROSECOND = 1e-6
TAGS = {"type": "simple_add_dataset_tags", "config": {"tag_urns": ["urn:li:tag:a"]}}
PROPERTIES = {"type": "simple_add_dataset_properties", "config": {"properties": {"team": "ml"}}}
COLUMNS = {
    "type": "pattern_add_dataset_schema_tags",
    "config": {"tag_pattern": {"rules": {".*": ["urn:li:tag:column"]}}},
}
IMPORTS = {
    "without": "import crawler.pipeline.crawl, crawler.config.load",
    "with": "import crawler.pipeline.crawl, crawler.config.load, crawler.transformers.official",
}


class Records(Transformer):  # type: ignore[misc]
    """A transformer that looks at every record and changes none."""

    def transform(self, record_envelopes: Any) -> Any:
        return record_envelopes


CASES: tuple[tuple[str, str, Sequence[Any]], ...] = (
    ("a run that no transformer wants", "dataProcessInstance", [TAGS]),
    ("a dataset that gets tags", "dataset", [TAGS]),
    ("a dataset that gets properties", "dataset", [PROPERTIES]),
    ("a dataset that gets both", "dataset", [TAGS, PROPERTIES]),
    ("a dataset whose columns get tags", "dataset", [COLUMNS]),
    ("a run, by a transformer of all records", "dataProcessInstance", [Records]),
)


def run(quick: bool, repeats: int) -> Result:
    """Transforms the golden crawl's datasets and runs, many times over, and imports in processes of their own."""
    count = 60 if quick else ENTITIES
    rows = []
    for name, entity_type, transformers in CASES:
        entities = _entities(entity_type, count)
        proposals = sum(len(entity.aspects) for entity in entities) / len(entities)
        spent = []
        for repeat in range(repeats):
            say(f"transformers: {name}, {repeat + 1} of {repeats}")
            spent.append(_seconds(_chain(transformers), entities) / count / MICROSECOND)
        rows.append(Row(name, "µs", spent))
        rows.append(Row(f"{name}, a proposal", "µs", [each / proposals for each in spent]))
    imports = [(_imported(IMPORTS["with"]), _imported(IMPORTS["without"])) for _ in range(repeats)]
    rows.append(Row("imports, once a crawl", "s", [one[0] - other[0] for one, other in imports]))
    rows.append(Row("imports, memory", "MB", [one[1] - other[1] for one, other in imports]))
    notes = [
        f"CPU of {count:,} entities, in one process, without what the mapping and the delivery cost.",
        "Transformers that ask DataHub wait for its answers beside that.",
    ]
    return Result("transformers", "Transformers of acryl-datahub", rows, notes)


def _imported(code: str) -> tuple[float, float]:
    """Seconds of CPU and MB at most of a process that imports; the kernel's `ru_maxrss` would count its parent too."""
    peak = "re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]"
    own = f"import re, time; print(time.process_time(), {peak})"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{own}"], capture_output=True, text=True, check=True)
    seconds, kib = map(float, done.stdout.split())
    return seconds, kib * 1_024 / 1e6


def _entities(entity_type: str, count: int) -> list[Entity]:
    found = [entity for entity in golden_entities() if entity.type == entity_type]
    return [
        Entity(entity_type, f"{found[number % len(found)].urn}{number}", found[number % len(found)].aspects)
        for number in range(count)
    ]


def _chain(transformers: Sequence[Any]) -> Chain:
    context, metadata = PipelineContext("run"), SystemMetadataClass(runId="run")
    made = [
        transform_registry.get(each["type"]).create(each["config"], context) if isinstance(each, dict) else each()
        for each in transformers
    ]
    return Chain([NamedStep("", step_of(each, metadata)) for each in made])


def _seconds(chain: Chain, entities: Sequence[Entity]) -> float:
    start = process_time()
    for first in range(0, len(entities), 100):
        chain.take(entities[first : first + 100])
    return process_time() - start
