"""The way from a page of runs to requests as one would write it by hand for exactly this wire and nothing else:
the yardstick of the crawler's pure stages, over the same structs. It gives the same bytes.
"""

from collections.abc import Iterable, Iterator
from hashlib import md5

import msgspec

from crawler.datahub.aspects.aspect import NamedValue, TimeStamp
from crawler.datahub.aspects.entities import (
    NOT_REMOVED,
    ContainerOf,
    DataPlatformInstance,
    PlatformResourceInfo,
    SubTypes,
)
from crawler.datahub.aspects.runs import (
    DataProcessInstanceProperties,
    DataProcessInstanceRunEvent,
    MLTrainingRunProperties,
    PartitionSpec,
    RunResult,
)
from crawler.mlflow.entities import Run

PROPOSALS_A_BATCH = 200


class _Page(msgspec.Struct):
    runs: list[Run] = []


def bodies(pages: Iterable[bytes], container: str, ui: str, system_metadata: bytes) -> Iterator[bytes]:
    """Rest.li requests of an experiment's runs, which have neither datasets nor versions nor parents."""
    decode, encode = msgspec.json.Decoder(_Page, strict=False).decode, msgspec.json.Encoder().encode
    run_head = b'{"entityType":"dataProcessInstance","entityUrn":"urn:li:dataProcessInstance:'
    user_head = b'{"entityType":"platformResource","entityUrn":"'
    tail = b',"contentType":"application/json"},"systemMetadata":' + system_metadata + b"}"
    value = b'","changeType":"UPSERT","aspectName":"%b","aspect":{"value":'

    def constant(name: bytes, aspect: msgspec.Struct) -> bytes:
        return value % name + encode(encode(aspect).decode()) + tail

    of_container = constant(b"container", ContainerOf(container))
    of_platform = constant(b"dataPlatformInstance", DataPlatformInstance("urn:li:dataPlatform:mlflow"))
    of_subtype = constant(b"subTypes", SubTypes(["ML Training Run"]))
    not_removed = constant(b"status", NOT_REMOVED)
    properties, training, ended, user_info = (
        value % name
        for name in (
            b"dataProcessInstanceProperties",
            b"mlTrainingRunProperties",
            b"dataProcessInstanceRunEvent",
            b"platformResourceInfo",
        )
    )
    whole, results = PartitionSpec("FULL_TABLE_SNAPSHOT", "FULL_TABLE"), {"FINISHED": "SUCCESS", "FAILED": "FAILURE"}
    others = RunResult("SKIPPED", "mlflow")
    result_of = {status: RunResult(result, "mlflow") for status, result in results.items()}
    user_urns: dict[str, str] = {}
    batch: list[bytes] = []
    for page in pages:
        for run in decode(page).runs:
            info, data = run.info, run.data
            user = info.user_id or "mlflow"
            user_urn = user_urns.get(user)
            if user_urn is None:
                key = b'{"platform":"mlflow","user":%b}' % encode(user)
                user_urn = user_urns[user] = "urn:li:platformResource:" + md5(key, usedforsecurity=False).hexdigest()
                start = user_head + user_urn.encode()
                if len(batch) + 2 > PROPOSALS_A_BATCH:
                    yield b'{"proposals":[%b],"async":"true"}' % b",".join(batch)
                    batch = []
                text = encode(encode(PlatformResourceInfo("user", user)).decode())
                batch += [start + user_info + text + tail, start + not_removed]
            run_id, end = info.run_id, info.end_time
            guid = md5(b'{"id":"%b","orchestrator":"mlflow"}' % run_id.encode(), usedforsecurity=False).hexdigest()
            head, tags = run_head + guid.encode(), {tag.key: tag.value for tag in data.tags}
            started = TimeStamp(info.start_time or end or 0, user_urn)
            link = f"{ui}/#/experiments/{info.experiment_id}/runs/{run_id}"
            text = encode(DataProcessInstanceProperties(info.run_name or run_id, started, tags, link))
            params = [NamedValue(param.key, param.value) for param in data.params]
            metrics = [NamedValue(metric.key, str(metric.value)) for metric in data.metrics]
            trained = encode(MLTrainingRunProperties(run_id, {}, [info.artifact_uri], params, metrics))
            proposals = [
                head + properties + encode(text.decode()) + tail,
                head + of_container,
                head + training + encode(trained.decode()) + tail,
                head + of_platform,
                head + of_subtype,
                head + not_removed,
            ]
            if end:
                lasted = None if info.start_time is None else end - info.start_time
                result = result_of.get(info.status, others)
                text = encode(DataProcessInstanceRunEvent(end, "COMPLETE", result, whole, lasted))
                proposals.append(head + ended + encode(text.decode()) + tail)
            if len(batch) + len(proposals) > PROPOSALS_A_BATCH:
                yield b'{"proposals":[%b],"async":"true"}' % b",".join(batch)
                batch = []
            batch += proposals
    if batch:
        yield b'{"proposals":[%b],"async":"true"}' % b",".join(batch)
