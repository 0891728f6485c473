"""What a run has seen, as files in build/chaos: one record for each fault."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

DIRECTORY = Path(__file__).parents[2] / "build" / "chaos"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the matrix."""

    group: str
    """Whose fault it is: ``tenant``, ``super cluster`` ..."""
    fault: str
    seen: str
    """What could be seen while it lasted."""
    lasted: float
    """Seconds."""
    recovered: float
    """Seconds from its end until nothing differed between the sides."""
    date: str = ""


def write(record: Record) -> None:
    """Replace the record of this fault."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    name = f"{record.group}-{record.fault}".replace(" ", "-").replace("/", "-")
    dated = msgspec.structs.replace(record, date=f"{datetime.now(UTC):%Y-%m-%d}")
    (DIRECTORY / f"{name}.json").write_bytes(msgspec.json.encode(dated))
    print(f"{record.fault}: {record.seen}; {record.recovered:.1f} s to recover")


def read() -> list[Record]:
    """All records that there are, in the order in which they were made."""
    paths = sorted(DIRECTORY.glob("*.json"), key=lambda path: path.stat().st_mtime)
    return [msgspec.json.decode(path.read_bytes(), type=Record) for path in paths]
