"""Time on NVIDIA GPUs, through NVML where its package (`nvidia-ml-py`) and its driver are there."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any


@cache
def _nvml() -> Any | None:
    try:
        import pynvml  # noqa: PLC0415  (optional)

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001  (no package, no driver, no device: each its own error, all the same to us)
        return None
    return pynvml


class Meter:
    """Measures this process's time on all GPUs, from the creation of the meter until it is read."""

    def __init__(self) -> None:
        self._since_us = int(time.time() * 1e6)

    def read_s(self) -> float | None:
        """Return the seconds of full use: the mean share of the GPU's processors times the time that passed.

        None without a GPU. Source: nvmlDeviceGetProcessUtilization, which samples `smUtil` in percent.
        """
        nvml = _nvml()
        if nvml is None:
            return None
        elapsed_s = time.time() - self._since_us / 1e6
        return sum(
            self._mean_share(nvml, nvml.nvmlDeviceGetHandleByIndex(at)) * elapsed_s
            for at in range(nvml.nvmlDeviceGetCount())
        )

    def _mean_share(self, nvml: Any, device: Any) -> float:
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(device, self._since_us)
        except nvml.NVMLError:  # no process used the device since
            return 0.0
        mine = [sample.smUtil for sample in samples if sample.pid == os.getpid()]
        return sum(mine) / len(mine) / 100 if mine else 0.0
