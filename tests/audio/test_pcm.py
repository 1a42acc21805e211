import io
import struct
import sys
import warnings
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio import pcm
from appliance.audio.pcm import PcmDecoder, as_float, as_int16, clipped, level
from appliance.core.options import WIDTH, AudioFormat, Encoding
from appliance.core.problems import Kind, Refused
from appliance.core.riff import HEADER_LIMIT, riff_header
from tests.sound import encode, pieces, wav, wav_header

NAN, INF = float("nan"), float("inf")


def decoded(data, encoding, *, channels=1):
    decoder = PcmDecoder(AudioFormat(encoding, 16_000, channels), riff=False)
    return decoder.push(data)


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        (Encoding.S16LE, b"", []),
        (Encoding.S16LE, struct.pack("<5h", -32768, -1, 0, 1, 32767), [-32768, -1, 0, 1, 32767]),
        (Encoding.S16LE, b"\x01\x00\x00\x01", [1, 256]),
        (Encoding.S32LE, struct.pack("<4i", -(2**31), 0, 2**31 - 1, 2**30), [-32768, 0, 32767, 16384]),
        (Encoding.S32LE, struct.pack("<4i", 65536, -65536, 32767, -32768 * 3), [1, -1, 0, -2]),
        (Encoding.F16LE, struct.pack("<5e", -1, 0, 1, 0.5, -0.25), [-32768, 0, 32767, 16384, -8192]),
        (Encoding.F16LE, struct.pack("<5e", NAN, INF, -INF, 65504, -65504), [0, 32767, -32768, 32767, -32768]),
        (Encoding.F32LE, struct.pack("<5f", -1, 0, 1, 0.5, -0.25), [-32768, 0, 32767, 16384, -8192]),
        (Encoding.F32LE, struct.pack("<5f", NAN, INF, -INF, 3e38, -2), [0, 32767, -32768, 32767, -32768]),
        (Encoding.F32LE, struct.pack("<2f", 1e-40, -1e-40), [0, 0]),
        (Encoding.F32LE, bytes.fromhex("0100807f"), [0]),  # a signalling NaN
        (Encoding.F16LE, bytes.fromhex("017c"), [0]),
        # G.711, tables 1a and 1b, scaled to 16 bits as every implementation does
        (Encoding.MULAW, bytes([0x00, 0x80, 0xFF, 0x7F]), [-32124, 32124, 0, 0]),
        (Encoding.MULAW, bytes([0xFE, 0x7E, 0xF0, 0xEF, 0x8F, 0x0F]), [8, -8, 120, 132, 16764, -16764]),
        (Encoding.ALAW, bytes([0x55, 0xD5, 0x54, 0xD4]), [-8, 8, -24, 24]),
        (Encoding.ALAW, bytes([0x2A, 0xAA, 0x00, 0x80, 0x45, 0xC5]), [-32256, 32256, -5504, 5504, -264, 264]),
    ],
)
def test_known_values(encoding, data, expected):
    assert as_int16(decoded(data, encoding)).tolist() == expected


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="audioop left the standard library in Python 3.13")
@pytest.mark.parametrize(("encoding", "name"), [(Encoding.MULAW, "ulaw2lin"), (Encoding.ALAW, "alaw2lin")])
def test_g711_is_what_the_standard_library_decodes(encoding, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    codes = bytes(range(256))
    expected = np.frombuffer(getattr(audioop, name)(codes, 2), "<i2")
    assert as_int16(decoded(codes, encoding)).tolist() == expected.tolist()


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW])
def test_g711_is_antisymmetric_and_monotonic_over_its_codes(encoding):
    samples = as_int16(decoded(bytes(range(256)), encoding)).astype(int)
    assert (samples[:128] == -samples[128:]).all()
    order = np.arange(128) ^ (0x55 if encoding is Encoding.ALAW else 0x7F)
    assert (np.diff(samples[128:][order]) > 0).all()


@pytest.mark.parametrize(
    ("encoding", "frames", "expected"),
    [
        (Encoding.S16LE, struct.pack("<4h", 100, 300, -32768, 32767), [200, 0]),
        (Encoding.F32LE, struct.pack("<4f", 1, -1, 0.5, 0), [0, 8192]),
        (Encoding.ALAW, bytes([0xD5, 0xD5, 0x55, 0xD5]), [8, 0]),
    ],
)
def test_channels_are_mixed_down_to_their_mean(encoding, frames, expected):
    assert as_int16(decoded(frames, encoding, channels=2)).tolist() == expected


def test_s16_passes_bit_for_bit_and_is_not_copied_into_floats():
    every = np.arange(-32768, 32768).astype("<i2")
    samples = decoded(every.tobytes(), Encoding.S16LE)
    assert samples.dtype == np.int16
    assert np.array_equal(samples, every)
    assert np.array_equal(as_int16(as_float(samples)), every)


@given(st.sampled_from(Encoding), st.binary(max_size=64))
def test_whatever_comes_is_a_number_between_minus_one_and_one(encoding, data):
    samples = as_float(decoded(data, encoding))
    assert len(samples) == len(data) // WIDTH[encoding]
    assert np.isfinite(samples).all()
    assert (np.abs(samples) <= 1).all()


@pytest.mark.parametrize("encoding", [Encoding.S16LE, Encoding.S32LE, Encoding.F32LE])
@given(values=st.lists(st.integers(-32768, 32767)))
def test_16_bits_survive_the_wider_encodings(encoding, values):
    samples = np.array(values, np.int16)
    assert np.array_equal(as_int16(decoded(encode(samples, encoding), encoding)), samples)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.4 / 32768, 0.6 / 32768, -0.6 / 32768], [0, 1, -1]),
        ([1.0, -1.0, 2.0, -2.0], [32767, -32768, 32767, -32768]),
    ],
)
def test_as_int16_rounds_to_nearest_and_clips(values, expected):
    assert as_int16(np.array(values, np.float32)).tolist() == expected


# carried over from one message to the next

HEADED = wav(np.empty(0, np.int16))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", Encoding)
@given(
    headed=st.booleans(),
    data=st.binary(max_size=80),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
def test_cutting_changes_nothing(encoding, channels, headed, data, cuts):
    audio = AudioFormat(encoding, 16_000, channels)
    data = (wav_header(audio) if headed else b"") + data
    whole, cut = PcmDecoder(audio), PcmDecoder(audio)
    expected = np.concatenate((whole.push(data), whole.flush()))
    got = np.concatenate([*(cut.push(piece) for piece in pieces(data, cuts)), cut.flush()])
    assert np.array_equal(got, expected)
    assert cut.header == whole.header
    assert len(got) == (len(data) - cut.header) // audio.frame_bytes


def test_half_a_sample_waits():
    decoder = PcmDecoder(AudioFormat(), riff=False)
    assert decoder.push(b"\x01").tolist() == []
    assert decoder.push(b"\x02\x03").tolist() == [0x0201]
    assert decoder.push(b"\x04").tolist() == [0x0403]
    assert decoder.flush().tolist() == []


# RIFF headers


def chunk(name, body):
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def riff(*chunks, form=b"WAVE"):
    return b"RIFF" + (4 + sum(map(len, chunks))).to_bytes(4, "little") + form + b"".join(chunks)


FMT = chunk(b"fmt ", bytes(16))
DATA = b"data\x04\x00\x00\x00"
SAMPLES = b"\x01\x02\x03\x04"


@pytest.mark.parametrize(
    ("header", "rest", "length"),
    [
        (riff(FMT) + DATA, SAMPLES, 44),
        (riff(chunk(b"fmt ", bytes(18))) + DATA, SAMPLES, 46),
        (riff(chunk(b"fmt ", bytes(40)), chunk(b"fact", bytes(4))) + DATA, SAMPLES, 80),
        (riff(FMT, chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf60.16.100\0")) + DATA, SAMPLES, 78),
        (riff(FMT, chunk(b"LIST", b"odd")) + DATA, SAMPLES, 56),
        (riff(chunk(b"JUNK", bytes(28)), FMT) + DATA, SAMPLES, 80),
        (riff(FMT, chunk(b"LIST", b"....data....")) + DATA, SAMPLES, 64),
        (riff(FMT) + b"data\xff\xff\xff\xff", SAMPLES, 44),  # a stream of unknown length
        (riff(FMT) + b"data\x00\x00\x00\x00", SAMPLES, 44),
        (b"", riff(FMT, form=b"AVI ") + DATA, 0),
        (b"", b"RIFX" + bytes(40), 0),
        (b"", b"RIFE", 0),
        (b"", b"\0\0RIFF" + bytes(40), 0),
        (b"", bytes(100), 0),
        (b"", riff(FMT) + b"LIST\xff\xff\xff\x7f" + bytes(8), 0),  # its data chunk is beyond any header
    ],
)
def test_headers(header, rest, length):
    data = header + rest
    assert riff_header(data) == length
    for end in range(len(data)):
        assert riff_header(data[:end]) in (None, length)
    for cut in range(len(data)):
        decoder = PcmDecoder(AudioFormat(Encoding.MULAW))
        samples = np.concatenate((decoder.push(data[:cut]), decoder.push(data[cut:])))
        assert np.array_equal(samples, pcm.MULAW[np.frombuffer(rest, np.uint8)])
        assert decoder.header == length


@pytest.mark.parametrize(("channels", "width", "rate"), [(1, 2, 16_000), (2, 2, 44_100), (1, 1, 8_000), (2, 4, 48_000)])
def test_the_header_that_the_standard_library_writes(channels, width, rate):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(bytes(8 * channels * width))
    assert riff_header(file.getvalue()) == 44


@pytest.mark.parametrize("length", [0, 1, 3, 4, 8, 11, 12, 19, 20, 43])
def test_a_header_that_never_ends_is_audio_after_all(length):
    data = (riff(FMT) + DATA)[:length]
    decoder = PcmDecoder(AudioFormat(Encoding.MULAW))
    assert len(decoder.push(data)) == 0
    assert np.array_equal(decoder.flush(), pcm.MULAW[np.frombuffer(data, np.uint8)])
    assert decoder.header == 0


def test_a_continued_stream_has_no_header():
    decoder = PcmDecoder(AudioFormat(), riff=False)
    assert len(decoder.push(HEADED)) == 22
    assert decoder.header == 0


@pytest.mark.parametrize(
    "size", [HEADER_LIMIT - 60, HEADER_LIMIT - 44, HEADER_LIMIT - 40, HEADER_LIMIT, HEADER_LIMIT * 2]
)
def test_the_limit_of_a_header_does_not_depend_on_the_cuts(size):
    data = riff(FMT, chunk(b"LIST", bytes(size))) + DATA + bytes(1000)
    whole, cut = PcmDecoder(AudioFormat(Encoding.MULAW)), PcmDecoder(AudioFormat(Encoding.MULAW))
    expected = len(whole.push(data)) + len(whole.flush())
    got = sum(len(cut.push(piece)) for piece in pieces(data, list(range(0, len(data), 4)))) + len(cut.flush())
    assert (cut.header, got) == (whole.header, expected)


# a header on every message


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", Encoding)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40).filter(lambda data: data[:1] != b"R")), max_size=6))
def test_decoder_header_on_any_message_leaves_it_out(encoding, channels, messages):
    audio = AudioFormat(encoding, 16_000, channels)
    decoder, bare = PcmDecoder(audio), PcmDecoder(audio, riff=False)
    for headed, data in messages:
        data = data[: len(data) - len(data) % audio.frame_bytes]
        got = decoder.push((wav_header(audio) if headed else b"") + data, begins=True)
        assert np.array_equal(got, bare.push(data))
    assert decoder.header == 44 * sum(headed for headed, _ in messages)


def test_decoder_header_after_half_a_sample_drops_the_half():
    decoder = PcmDecoder(AudioFormat())
    assert decoder.push(wav_header(AudioFormat()) + b"\x01\x02\x03", begins=True).tolist() == [0x0201]
    assert decoder.push(wav_header(AudioFormat()) + b"\x05\x06", begins=True).tolist() == [0x0605]
    assert decoder.header == 44 + 1 + 44


def test_decoder_header_in_pieces_of_a_message_leaves_it_out():
    decoder, header = PcmDecoder(AudioFormat()), wav_header(AudioFormat())
    decoder.push(b"\0\0", begins=True)
    assert len(decoder.push(header[:20], begins=True)) == 0
    assert decoder.push(header[20:] + b"\x01\x02").tolist() == [0x0201]


def test_decoder_header_inside_a_message_is_audio():
    decoder = PcmDecoder(AudioFormat())
    decoder.push(b"\0\0", begins=True)
    assert len(decoder.push(wav_header(AudioFormat()))) == 22


def test_skipped_counts_headers_before_a_frame():
    decoder = PcmDecoder(AudioFormat())
    for _ in range(3):
        decoder.push(wav_header(AudioFormat()) + bytes(20), begins=True)
    assert [decoder.skipped(frames) for frames in (0, 9, 10, 19, 20, 30)] == [44, 44, 88, 88, 132, 132]


@pytest.mark.parametrize("begins", [0, 1])
def test_decoder_contradicting_header_is_refused(begins):
    decoder = PcmDecoder(AudioFormat())
    for _ in range(begins):
        decoder.push(bytes(4), begins=True)
    with pytest.raises(Refused, match="44100 Hz, 2 channels") as refused:
        decoder.push(wav_header(AudioFormat(rate=44_100, channels=2)) + bytes(8), begins=True)
    assert refused.value.problem.kind is Kind.BAD_AUDIO


# measuring


@pytest.mark.parametrize(
    ("samples", "decibels"),
    [
        ([], -100),
        ([0] * 10, -100),
        ([-32768] * 4, 0),
        ([32767, -32767], 0),
        ([16384, -16384], -6.02),
        ([3277], -20),
        ([1], -90.31),
    ],
)
def test_level(samples, decibels):
    assert level(np.array(samples, np.int16)) == pytest.approx(decibels, abs=0.01)


@pytest.mark.parametrize(
    ("samples", "count"), [([], 0), ([0, 32766, -32767], 0), ([32767], 1), ([-32768, 32767, 5, 32767], 3)]
)
def test_clipped(samples, count):
    assert clipped(np.array(samples, np.int16)) == count
