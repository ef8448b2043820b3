"""What an attempt uses: processor time, peak memory, and time on a GPU where there is one."""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path

from workers import gpu

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"
"""Written to clear_refs, resets the peak of the resident set (Linux, proc_pid_clear_refs(5))."""


class Meter:
    """Measures from its making to its reading.

    Where satellites share a process (a threads pool), processor time is that of the thread, and memory and
    GPU time are the whole process's.
    """

    def __init__(self) -> None:
        self._alone = threading.current_thread() is threading.main_thread()
        self._cpu_s = self._cpu_time_s()
        self._gpu = gpu.Meter()
        _reset_peak()

    def read(self) -> dict[str, float | None]:
        """Return `cpu_time` in seconds, `memory_peak` in bytes of resident memory, `gpu_time` in seconds or None."""
        return {
            "cpu_time": round(self._cpu_time_s() - self._cpu_s, 6),
            "memory_peak": _peak_bytes(),
            "gpu_time": self._gpu.read_s(),
        }

    def _cpu_time_s(self) -> float:
        if not self._alone:
            return time.thread_time()
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)


def _reset_peak() -> None:
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return  # not Linux, or not allowed: the peak is then that of the process's life


def _peak_bytes() -> int:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
