"""The directory of segments: order, bounds, a disk that fails, and what the next process finds."""

import errno
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from collector.errors import SpoolError
from collector.spool.records import frame
from tests.unit.collector.spool.support import FailingDisk, Opened, record

ROOT = Path(__file__).resolve().parents[4]
RECORDS = [record(number) for number in range(10)]
SIZE = len(frame(RECORDS[0], 0))
"""Bytes of one record on disk."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_what_is_kept_is_drained_in_order_and_then_gone(directory: Path) -> None:
    opened = Opened(directory, segment_bytes=3 * SIZE)
    for start in range(0, 10, 2):
        assert opened.spool.append(RECORDS[start : start + 2]) == 2
    assert (opened.spool.records, opened.spool.bytes, opened.spool.oldest) == (
        10,
        10 * SIZE,
        RECORDS[0].timestamp,
    )
    assert [path.stat().st_size for path in opened.files] == [4 * SIZE, 4 * SIZE, 2 * SIZE]
    assert opened.drain() == RECORDS
    assert (opened.spool.records, opened.spool.bytes, opened.spool.oldest) == (0, 0, None)
    assert opened.files == []
    assert opened.metric("spooled_records_total") == opened.metric("drained_records_total") == 10


def test_the_next_process_finds_what_is_kept(directory: Path) -> None:
    opened = Opened(directory, segment_bytes=3 * SIZE)
    for one in RECORDS:
        opened.spool.append([one])
    after = opened.again()
    assert (after.spool.records, after.spool.bytes, after.spool.oldest) == (
        10,
        10 * SIZE,
        RECORDS[0].timestamp,
    )
    after.spool.append([record(10)])
    assert after.drain() == [*RECORDS, record(10)]


def test_the_next_process_goes_on_where_the_broker_had_everything(directory: Path) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS)
    oldest = opened.spool.read_oldest()
    assert oldest is not None
    opened.spool.drained(oldest[0], oldest[1][:4])
    assert (opened.spool.records, opened.spool.oldest) == (6, RECORDS[3].timestamp)
    after = opened.again()
    assert (after.spool.records, after.spool.oldest) == (6, RECORDS[4].timestamp)
    assert after.drain() == RECORDS[4:]


@pytest.mark.parametrize(
    "note", ["", "torn", "000000000001-00000000.spool 66\n", "{name} 65\n", "{name} 100000\n"]
)
def test_a_position_that_cannot_be_meant_is_not_believed(directory: Path, note: str) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS)
    (directory / "position").write_text(note.format(name=opened.files[0].name))
    assert opened.again().drain() == RECORDS


def test_a_segment_that_is_being_drained_is_not_written_any_more(directory: Path) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS[:5])
    oldest = opened.spool.read_oldest()
    assert oldest is not None
    opened.spool.append(RECORDS[5:])
    assert len(opened.files) == 2
    opened.spool.drained(*oldest)
    opened.spool.finish(oldest[0])
    assert opened.drain() == RECORDS[5:]


def test_what_finds_no_room_is_not_kept(directory: Path) -> None:
    opened = Opened(directory, max_bytes=4 * SIZE)
    assert opened.spool.append(RECORDS) == 4
    assert opened.spool.append(RECORDS[4:]) == 0
    assert not opened.spool.failing
    assert opened.drain() == RECORDS[:4]
    assert opened.spool.append(RECORDS[4:6]) == 2


def test_files_are_for_their_owner_only(directory: Path) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS)
    oldest = opened.spool.read_oldest()
    assert oldest is not None
    opened.spool.drained(oldest[0], oldest[1][:1])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_a_directory_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with pytest.raises(SpoolError, match="chmod 700"):
        Opened(tmp_path)


def test_a_directory_is_one_spool_s_only(directory: Path) -> None:
    opened = Opened(directory)
    with pytest.raises(SpoolError, match="another collector uses it"):
        Opened(directory)
    opened.again()


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="file"):
        Opened(tmp_path / "file" / "spool")


def test_a_torn_tail_is_cut_off_and_reported(directory: Path) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS)
    path = opened.files[0]
    with path.open("ab") as file:
        file.write(path.read_bytes()[: SIZE - 1])
    after = opened.again()
    assert path.stat().st_size == 10 * SIZE
    assert after.metric("damaged_total", reason="torn") == 1
    assert after.drain() == RECORDS
    assert after.files == []


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "before it starts"])
def test_damage_is_reported_and_set_aside_and_the_rest_is_drained(directory: Path, running: bool) -> None:
    opened = Opened(directory, segment_bytes=5 * SIZE)
    opened.spool.append(RECORDS[:5])
    opened.spool.append(RECORDS[5:])
    damaged = opened.files[0]
    flip(damaged, 2 * SIZE + 20)
    if not running:
        opened = opened.again()
    assert opened.drain() == RECORDS[:2] + RECORDS[3:]
    assert opened.metric("damaged_total", reason="corrupt") == 1
    assert opened.files == [damaged.with_suffix(".corrupt")]
    assert opened.spool.records == 0
    after = opened.again()
    assert after.spool.bytes == 5 * SIZE, "it still takes room"
    assert after.drain() == []
    after.spool.append(RECORDS)
    assert len(after.files) == 2, "numbers go on behind it"


def test_a_last_record_that_went_bad_is_kept_for_who_can_mend_it(directory: Path) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS)
    flip(opened.files[0], 10 * SIZE - 1)
    after = opened.again()
    assert after.drain() == RECORDS[:9]
    assert [path.suffix for path in after.files] == [".corrupt"]
    assert after.files[0].stat().st_size == 10 * SIZE


def test_a_segment_that_cannot_be_read_does_not_hold_up_the_others(directory: Path) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS)
    disk = FailingDisk()
    disk.read_fails = True
    after = opened.again(disk)
    assert after.spool.append([record(10)]) == 1
    assert after.spool.read_oldest() is None
    disk.read_fails = False
    after.spool.append([record(11)])
    assert after.drain() == [record(11)]
    assert [path.suffix for path in after.files] == [".corrupt", ".corrupt"]


def test_what_the_broker_refuses_is_kept_apart(directory: Path) -> None:
    opened = Opened(directory)
    opened.spool.append(RECORDS)
    oldest = opened.spool.read_oldest()
    assert oldest is not None
    opened.spool.refused(oldest[0])
    opened.spool.drained(*oldest)
    opened.spool.finish(oldest[0])
    assert [path.suffix for path in opened.files] == [".refused"]
    assert opened.metric("damaged_total", reason="refused") == 1
    assert opened.again().drain() == []


def test_a_full_disk_keeps_what_it_has_acknowledged(directory: Path) -> None:
    disk = FailingDisk(room=5 * SIZE + 10)
    opened = Opened(directory, disk)
    assert opened.spool.append(RECORDS[:5]) == 5
    with pytest.raises(OSError, match="no space"):
        opened.spool.append(RECORDS[5:])
    assert opened.spool.failing
    assert not opened.spool.has_room()
    assert opened.files[0].stat().st_size == 5 * SIZE, "the part is cut off"
    with pytest.raises(OSError, match="no space"):
        opened.spool.append(RECORDS[5:])
    assert len(opened.files) == 1, "a segment without a record does not stay"
    disk.room = 1 << 20
    assert opened.spool.has_room()
    assert not opened.spool.failing
    assert opened.spool.append(RECORDS[5:]) == 5
    assert opened.drain() == RECORDS


def test_a_segment_whose_sync_failed_is_never_written_again(directory: Path) -> None:
    disk = FailingDisk()
    opened = Opened(directory, disk)
    opened.spool.append(RECORDS[:3])
    disk.sync_fails = True
    with pytest.raises(OSError, match="sync"):
        opened.spool.append(RECORDS[3:6])
    disk.sync_fails = False
    assert opened.files[0].stat().st_size == 3 * SIZE
    assert opened.spool.append(RECORDS[6:]) == 4
    assert [path.stat().st_size for path in opened.files] == [3 * SIZE, 4 * SIZE]
    assert opened.drain() == RECORDS[:3] + RECORDS[6:]


def test_a_part_that_cannot_be_cut_off_does_no_harm(directory: Path) -> None:
    disk = FailingDisk(room=3 * SIZE + 10)
    disk.cut_fails = True
    opened = Opened(directory, disk)
    opened.spool.append(RECORDS[:3])
    with pytest.raises(OSError, match="no space"):
        opened.spool.append(RECORDS[3:])
    assert opened.files[0].stat().st_size == 3 * SIZE + 10
    after = opened.again()
    assert after.metric("damaged_total", reason="torn") == 1
    assert after.drain() == RECORDS[:3]


def test_all_records_of_an_append_share_one_sync(directory: Path) -> None:
    disk = FailingDisk()
    opened = Opened(directory, disk)
    opened.spool.append(RECORDS[:1])
    before = disk.syncs
    opened.spool.append(RECORDS[1:])
    assert disk.syncs == before + 1
    assert opened.metric("sync_seconds_count") == 2


LIMITED = """
import resource, sys
from pathlib import Path
from tests.unit.collector.spool.support import Opened, record
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
opened = Opened(Path(sys.argv[1]))
kept = []
for number in range(100):
    try:
        opened.spool.append([record(number)])
    except OSError as error:
        print(error.errno, number)
        break
"""


def test_a_real_file_system_that_takes_no_more(directory: Path) -> None:
    """The system cuts the write short and then refuses: as a full disk does, without having to fill one."""
    command = [sys.executable, "-c", LIMITED, str(directory)]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    code, refused = map(int, done.stdout.split())
    assert (code, refused) == (errno.EFBIG, 1000 // SIZE)
    opened = Opened(directory)
    assert opened.metric("damaged_total", reason="torn") == 0, "it was cut off at once"
    assert opened.drain() == [record(number) for number in range(refused)]
