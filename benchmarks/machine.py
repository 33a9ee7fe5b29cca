"""Where figures come from: the machine and the versions, as a result keeps them."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("mlflow-datahub-crawler", "aiohttp", "msgspec", "acryl-datahub", "uvloop")


def describe() -> dict[str, str]:
    """Cores that we may use, their model, memory and kernel."""
    return {
        "cores": str(cores()),
        "cpu": _cpu_model(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def cores() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0))


def keep_to_cores(count: int) -> int:
    """From now on we and all that we start use so many cores, or what there is; gives how many that are."""
    chosen = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, chosen)
    return len(chosen)


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """What is started meanwhile runs on this one of our cores, counted from 0, or on the last one."""
    before = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, before[number : number + 1] or before[-1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def versions() -> dict[str, str]:
    """Python and the installed ones of the packages that matter."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"
