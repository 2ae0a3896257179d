"""report.html of a study: pictures and tables in one self-contained file."""

from pathlib import Path


def write_report(directory: Path) -> None:
    """Placeholder until the report module is in."""
