"""A picture that takes too much processor time is set aside, and those after it are decoded."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from image_files import JPEG

from larder.jobs.vision.decoding_process import (
    TOO_SLOW,
    DecodingLimits,
    DecodingProcessError,
    PictureDecoder,
)
from larder.jobs.vision.picture_files import NAMED, PictureFetcher
from larder.models.vision.image_decoding import CORRUPT, ImageError, decode

STAND_IN = "slow_decoders:decode"
LIMITS = DecodingLimits(image_size=4, max_pixels=1_000_000, min_side=1, seconds=1)


@pytest.mark.timeout(120)
def test_a_picture_that_takes_too_long_is_set_aside_and_the_next_ones_are_decoded(tmp_path: Path) -> None:
    contents = [b"good", b"spin", b"spin", b"crash", b"talk", b"refuse", b"also good"]
    rows = []
    for number, data in enumerate(contents):
        (tmp_path / str(number)).write_bytes(data)
        rows.append({"product_id": str(number), "uri": str(tmp_path / str(number))})
    fetcher = PictureFetcher(4, 1_000_000, 1_000, 1, read_ahead=2, decode_seconds=1, decoder=STAND_IN)
    [found] = fetcher([pa.RecordBatch.from_pylist(rows, schema=NAMED)])
    assert found["reason"].to_pylist() == [None, TOO_SLOW, TOO_SLOW, CORRUPT, None, CORRUPT, None]
    expected = [bytes([len(data)]) * 48 for data in contents]
    assert [found["pixels"][number].as_py() for number in (0, 4, 6)] == [expected[number] for number in (0, 4, 6)]


def test_the_limit_is_for_each_picture_not_for_all() -> None:
    """Many pictures may together take longer than one may."""
    with PictureDecoder(LIMITS) as decoder:
        picture = decoder.decode(JPEG)
        spent = 0.0
        while spent < 1.5 * LIMITS.seconds:
            before = os.times()
            assert decoder.decode(JPEG) == picture
            spent += max(os.times().elapsed - before.elapsed, 1e-3)
        assert picture == decode(JPEG, 4, 1_000_000).tobytes()


def test_what_a_decoder_refuses_keeps_its_reason_and_words() -> None:
    with PictureDecoder(LIMITS, STAND_IN) as decoder, pytest.raises(ImageError) as caught:
        decoder.decode(b"refuse")
    assert (caught.value.reason, str(caught.value)) == (CORRUPT, f"{CORRUPT}: of three: parts: here")


def test_no_picture_is_blamed_for_a_process_that_was_killed_from_outside() -> None:
    with PictureDecoder(LIMITS, STAND_IN) as decoder:
        with pytest.raises(DecodingProcessError, match=r"code -9.*more memory"):
            decoder.decode(b"no memory")
        assert decoder.decode(b"good") == bytes([4]) * 48


def test_the_process_ends_with_its_task() -> None:
    with PictureDecoder(LIMITS, STAND_IN) as decoder:
        decoder.decode(b"good")
        assert decoder._process
        number = decoder._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
