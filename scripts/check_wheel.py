"""Builds the wheel and proves that it holds the package, the whole package and nothing but the package.

Every file of src must be in the wheel as crossfade/..., and beside them only the dist-info. Then the wheel is
installed without extras where no tool of ours is, and every module of it is imported there; one that needs an
extra says so by MissingExtra. Those of crossfade.testing need the extra of that name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

IMPORT_ALL = """
import importlib, importlib.metadata, pkgutil, sys
import crossfade

# Plain installs do not have the plug-in's dependencies: the entry point may be there, the import may not happen.
assert "pytest" not in sys.modules, "import crossfade imports pytest"
names = [module.name for module in pkgutil.walk_packages(crossfade.__path__, "crossfade.", onerror=lambda name: None)
         if not module.name.startswith("crossfade.testing.")]
extra = 0
for name in names:
    try:
        importlib.import_module(name)
    except crossfade.MissingExtra:
        extra += 1
assert extra < len(names) // 2, "most modules need an extra"
print(f"wheel {importlib.metadata.version('crossfade')}: {len(names) + 1 - extra} modules import without extras, {extra} ask for one")
"""


def files_of_src() -> set[str]:
    """The files that belong to the package: what git tracks or would track, or without git what is no by-product."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "src"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        names = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [
            path.relative_to(ROOT)
            for path in (ROOT / "src").rglob("*")
            if "__pycache__" not in path.parts and path.suffix != ".pyc"
        ]
    return {Path("crossfade", *name.parts[1:]).as_posix() for name in names if (ROOT / name).is_file()}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    result = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        sys.exit(f"{result.stdout}\nthe step above failed: {' '.join(map(str, command[:4]))} ...")
    return result.stdout


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        # From a copy, so that nothing an earlier build left in the checkout gets into the wheel, and nothing of this
        # one stays there. Without isolation, so that the pinned setuptools builds it.
        source = scratch / "source"
        shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", scratch / "dist", source)
        [wheel] = (scratch / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        expected = files_of_src()
        for name in sorted(expected - packed):
            print(f"missing in the wheel: {name} (is its package in pyproject.toml's list?)")
        for name in sorted(packed - expected):
            print(f"should not be in the wheel: {name}")
        if packed != expected:
            return 1
        run(sys.executable, "-m", "venv", scratch / "venv")
        python = scratch / "venv" / "bin" / "python"
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        run(*pip, "--constraint", ROOT / "constraints.txt", wheel)
        print(run(python, "-I", "-W", "error", "-c", IMPORT_ALL, cwd=scratch).strip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
