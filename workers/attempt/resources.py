"""Measurement of what an attempt uses: processor time, peak memory, and time on a GPU where there is one."""

from __future__ import annotations

import os
import resource
import threading
import time
from functools import cache

from workers.attempt import gpu

_RESET_PEAK = b"5"
"""Written to clear_refs, resets the peak of the resident set (Linux, proc_pid_clear_refs(5))."""

_STATUS_BYTES = 4096


class Meter:
    """Measures an attempt, from the creation of the meter until it is read.

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
        ours, childrens = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return ours.ru_utime + ours.ru_stime + childrens.ru_utime + childrens.ru_stime


@cache
def _opened(name: str, flags: int, pid: int) -> int | None:
    """Open a file of /proc once for this process; None where there is none, or it is not allowed."""
    try:
        return os.open(f"/proc/{pid}/{name}", flags | os.O_CLOEXEC)
    except OSError:
        return None


def _reset_peak() -> None:
    """Reset the peak; where the kernel does not allow it, the peak is that of the process's life."""
    file = _opened("clear_refs", os.O_WRONLY, os.getpid())
    if file is not None:
        os.write(file, _RESET_PEAK)


def _peak_bytes() -> int:
    file = _opened("status", os.O_RDONLY, os.getpid())
    if file is not None:
        _, found, rest = os.pread(file, _STATUS_BYTES, 0).partition(b"VmHWM:")
        if found:
            return int(rest.split(maxsplit=1)[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
