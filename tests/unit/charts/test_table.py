"""What the table names is there."""

import pytest

from tests.charts.images import HERE
from tests.charts.installations import Chart
from tests.charts.model import Entry
from tests.charts.steps import MANIFESTS, Apply, Refused
from tests.charts.table import ENTRIES

NAMES = [entry.name for entry in ENTRIES]


def test_names_are_used_once() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_an_entry_names_files_that_are_there(entry: Entry) -> None:
    tried = [step.file for step in entry.steps if isinstance(step, Apply | Refused)]
    assert all((MANIFESTS / file).is_file() for file in (*tried, *entry.objects))
    if isinstance(entry.installation, Chart) and entry.installation.values:
        assert (HERE / "values" / entry.installation.values).is_file()


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_what_an_entry_applies_is_deleted(entry: Entry) -> None:
    applied = [step.file for step in entry.steps if isinstance(step, Apply)]
    assert sorted(set(applied)) == sorted(entry.objects)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_what_an_entry_needs_comes_before_it(entry: Entry) -> None:
    assert set(entry.needs) <= set(NAMES[: NAMES.index(entry.name)])


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_images_hold_programs_that_are_built(entry: Entry) -> None:
    built = {name for name, _ in entry.module.programs}
    wanted = [reference for image in entry.images for reference, _ in image.files]
    programs = {name.removeprefix("program:") for name in wanted if name.startswith("program:")}
    assert programs <= built
    here = [name.removeprefix("here:") for name in wanted if name.startswith("here:")]
    assert all((HERE / name).is_file() for name in here)
