"""URNs and guids exactly as acryl-datahub makes them (`datahub.metadata.urns`, `datahub.emitter.mce_builder`)."""

import hashlib
from json.encoder import encode_basestring_ascii
from urllib.parse import quote_plus

MAX_ENCODED_BYTES = 512
MAX_CHARACTERS = 500

_RESERVED = str.maketrans({",": "%2C", "(": "%28", ")": "%29", "␟": "%E2%90%9F"})


def guid(**fields: str) -> str:
    """Return the md5 of the fields' canonical JSON, in hex (`mce_builder.datahub_guid`)."""
    canonical = ",".join([f'"{name}":{encode_basestring_ascii(fields[name])}' for name in sorted(fields)])
    return _md5(f"{{{canonical}}}")


class GuidBy:
    """Makes guids of which only one field varies, in a third of the time.

    `GuidBy("id", orchestrator="x")("1")` is `guid(id="1", orchestrator="x")`.
    """

    def __init__(self, varying: str, **fixed: str) -> None:
        fields = {name: encode_basestring_ascii(value) for name, value in fixed.items()} | {varying: "\0"}
        canonical = ",".join(f'"{name}":{fields[name]}' for name in sorted(fields))
        self._before, self._after = f"{{{canonical}}}".split("\0")

    def __call__(self, value: str) -> str:
        """Return the guid."""
        return _md5(f"{self._before}{encode_basestring_ascii(value)}{self._after}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def encoded(part: str) -> str:
    """Return a part of a URN with the characters that URNs reserve encoded."""
    return part.translate(_RESERVED)


def decoded(part: str) -> str:
    """Return a part of a URN with those characters as they are."""
    for code, escaped in _RESERVED.items():
        part = part.replace(str(escaped), chr(code))
    return part


def data_platform(name: str) -> str:
    """Return urn:li:dataPlatform:… of a platform name; a whole URN as it is."""
    return name if name.startswith("urn:li:") else f"urn:li:dataPlatform:{name.translate(_RESERVED)}"


def data_platform_instance(platform: str, instance: str) -> str:
    """Return urn:li:dataPlatformInstance:(…) of a platform's named instance."""
    return f"urn:li:dataPlatformInstance:({data_platform(platform)},{instance.translate(_RESERVED)})"


def dataset(platform: str, name: str, env: str) -> str:
    """Return urn:li:dataset:(platform,name,env)."""
    return _platform_entity("dataset", platform, name, env)


def ml_model(platform: str, name: str, env: str) -> str:
    """Return urn:li:mlModel:(platform,name,env)."""
    return _platform_entity("mlModel", platform, name, env)


def ml_model_group(platform: str, name: str, env: str) -> str:
    """Return urn:li:mlModelGroup:(platform,name,env)."""
    return _platform_entity("mlModelGroup", platform, name, env)


def version_set(identifier: str) -> str:
    """Return urn:li:versionSet:(identifier,mlModel): the versions of one model."""
    return f"urn:li:versionSet:({identifier},mlModel)"


def tag(name: str) -> str:
    """Return urn:li:tag:name."""
    return f"urn:li:tag:{name.translate(_RESERVED)}"


def container(identifier: str) -> str:
    """Return urn:li:container:guid."""
    return f"urn:li:container:{identifier}"


def data_process_instance(identifier: str) -> str:
    """Return urn:li:dataProcessInstance:guid."""
    return f"urn:li:dataProcessInstance:{identifier}"


def platform_resource(identifier: str) -> str:
    """Return urn:li:platformResource:guid."""
    return f"urn:li:platformResource:{identifier}"


def data_job(orchestrator: str, flow: str, cluster: str, job: str) -> str:
    """Return urn:li:dataJob:(urn:li:dataFlow:(orchestrator,flow,cluster),job)."""
    return f"urn:li:dataJob:(urn:li:dataFlow:({orchestrator},{flow.translate(_RESERVED)},{cluster}),{job})"


def problem(urn: str, entity_type: str | None = None) -> str | None:
    """Return why DataHub would not take an entity of this URN, or None.

    `entity_type` is checked where others made the URN. The rules: `UrnValidationUtil.java`, and the column
    `metadata_aspect_v2.urn`. The Rest.li endpoint answers 200 and drops what breaks these rules, so they are checked
    before anything is sent.
    """
    characters = len(urn)
    if characters > MAX_CHARACTERS:
        return f"its URN has {characters} characters, DataHub takes at most {MAX_CHARACTERS}"
    # Encoding makes at most 3 bytes of an ASCII character, 12 of any: most URNs need no closer look.
    longest = (3 if urn.isascii() else 12) * characters
    if longest > MAX_ENCODED_BYTES and (size := _encoded_size(urn)) > MAX_ENCODED_BYTES:
        return f"its URN takes {size} bytes when URL-encoded, DataHub takes at most {MAX_ENCODED_BYTES}"
    if entity_type is not None and not urn.startswith(f"urn:li:{entity_type}:"):
        return f"its URN is not one of entity type {entity_type}"
    if ",," in urn:
        return "its name is empty"
    if urn != urn.strip():
        return "its URN begins or ends with a blank"
    return None


def _platform_entity(entity_type: str, platform: str, name: str, env: str) -> str:
    return f"urn:li:{entity_type}:({data_platform(platform)},{name.translate(_RESERVED)},{env})"


def _encoded_size(urn: str) -> int:
    """Return the bytes after `java.net.URLEncoder`, which leaves `*` and escapes `~`, unlike Python."""
    return len(quote_plus(urn, safe="*", errors="replace")) + 2 * urn.count("~")
