"""Runs an example as a stranger would: in a folder of its own, with no terminal and no setting of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["EXAMPLES", "ROOT", "run"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments in `folder`; warnings are errors."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CROSSFADE_")}
    environment |= {"PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
