"""Bodies that once broke a promise, as small as can be, by what was wrong."""

import json

DEEP = b"[" * 5_000 + b"]" * 5_000


def _version(**fields: object) -> bytes:
    return json.dumps({"model_versions": [{"name": "m", "version": "1"} | fields]}).encode()


REGRESSIONS: dict[str, dict[str, bytes]] = {
    "the order of versions made a number of thousands of digits": {"model_versions": _version(version="9" * 5_000)},
    "a version of DataHub of thousands of digits": {
        "config": b'{"noCode":"true","versions":{"a":{"version":"1.%b"}}}' % (b"9" * 5_000)
    },
    "a /config in another encoding": {"config": b'{"noCode":"\xe9"}'},
    "a /config that is nested too deep": {"config": b'{"a":%b}' % DEEP},
    "an answer of OpenAPI that is nested too deep": {"listing": b'[{"urn":"urn:li:tag:a","status":%b}]' % DEEP},
    "an answer to a reading back that is nested too deep": {
        "stored": b'[{"urn":"urn:li:tag:a","status":{"value":%b}}]' % DEEP
    },
    "a redirect to a host with control characters": {"location": b"//h\x1b[2J\x0f"},
    "a field that nobody asks for, named by half a surrogate pair": {
        "runs": b'{"runs":[{"info":{"run_id":"a"},"\xed\xa0\x80":1}]}',
    },
}
