"""The report's own measurements."""

import subprocess
import sys

LARGE = """
import subprocess, sys
held = bytearray(300_000_000)
print(subprocess.check_output([sys.executable, "-c", sys.argv[1]], text=True, close_fds=True, preexec_fn=int))
"""
PEAK = "from crawler.telemetry.report import peak_rss_bytes; print(peak_rss_bytes())"
PEAK_OF_ITS_OWN = "held = bytearray(b'x') * 300_000_000; del held; " + PEAK


def peak(*program: str) -> int:
    return int(subprocess.check_output([sys.executable, "-c", *program], text=True))


def test_the_peak_of_memory_is_that_of_this_process() -> None:
    assert peak(LARGE, PEAK) < 200_000_000
    assert peak(PEAK_OF_ITS_OWN) > 300_000_000
