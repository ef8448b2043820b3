"""Draw a plot of results, in an environment that has matplotlib."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks import environments
from benchmarks.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def draw(what: str, folder: Path) -> None:
    """Draw `WHAT.png` and `WHAT.svg` from the folder's `WHAT.json`; without matplotlib say so, and draw nothing."""
    try:
        python = environments.python(environments.PLOTTING)
    except environments.CannotInstall as reason:
        print(f"no plot: matplotlib cannot be installed: {reason}", file=sys.stderr)
        return
    subprocess.run([python, "-m", f"benchmarks.plots.{what}", str(folder.absolute())], cwd=ROOT, check=True)
