"""Contents in an object store: in parts, in ranges, and clear about what is wrong."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servicekit.artifacts import objects
from servicekit.artifacts.objects import ObjectBlobs
from servicekit.errors import ArtifactsUnavailable, ConfigurationError
from servicekit.testing.artifacts.blobs import put

PIECE = bytes(range(256)) * 4 * 1024  # 1 MiB


def test_what_is_larger_than_a_part_is_sent_in_parts_and_read_in_ranges(s3_bucket: str) -> None:
    blobs = ObjectBlobs(f"s3://{s3_bucket}/x")
    sha256 = put(blobs, *[PIECE] * 12)
    with blobs.open(sha256) as file:
        assert file.seek(11 * len(PIECE) + 5) == 11 * len(PIECE) + 5
        assert file.read(10) == PIECE[5:15]
        file.seek(0)
        assert file.read(len(PIECE)) == PIECE
        assert len(file.read()) == 11 * len(PIECE)
        assert file.read(1) == b""


def test_an_upload_that_is_given_up_leaves_nothing(s3_bucket: str) -> None:
    blobs = ObjectBlobs(f"s3://{s3_bucket}/x")
    for pieces in (1, 12):
        with blobs.stage() as staged:
            for _ in range(pieces):
                staged.write(PIECE)
        with blobs.stage() as staged:
            for _ in range(pieces):
                staged.write(PIECE)
            staged.finish()
    assert blobs._files.find(s3_bucket) == []


def test_a_content_that_is_read_goes_on_in_the_copy_that_took_its_place(tmp_path: Path) -> None:
    blobs = ObjectBlobs(f"file://{tmp_path}/x")
    sha256 = put(blobs, *[PIECE] * 3)
    with blobs.open(sha256) as file:
        assert put(blobs, *[PIECE] * 3) == sha256
        assert len(list((tmp_path / "x" / "blobs" / sha256[:2] / sha256).iterdir())) == 1
        assert file.read() == PIECE * 3
        file.seek(0)
        blobs.plan_removal(sha256)()
        with pytest.raises(ArtifactsUnavailable, match="deleted while it was read"):
            file.read()


def test_what_a_dead_process_has_staged_is_swept_when_it_is_a_day_old(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = ObjectBlobs(f"s3://{s3_bucket}/x")
    blobs.stage().finish()  # and nothing more: its process was killed
    assert blobs.sweep() == 0

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(days=1, seconds=5)

    monkeypatch.setattr(objects, "datetime", Tomorrow)
    assert (blobs.sweep(), blobs.sweep()) == (1, 0)


def test_what_is_wrong_is_told_in_words_and_without_names(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactsUnavailable, match="no such bucket") as caught:
        put(ObjectBlobs("s3://not-there/x"), b"content")
    assert "not-there" not in caught.value.reason
    for url in ("nowhere://bucket/x", "gs://bucket/x"):
        with pytest.raises(ConfigurationError, match=r"Artifacts cannot be kept in"):
            ObjectBlobs(url)
