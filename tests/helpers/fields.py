"""Field-coded H.264 (ITU-T H.264, pictures of two fields each), as camcorders write it and no encoder here does."""

from pathlib import Path

import numpy as np

from helpers.clips import STEP, ffmpeg_cli

BLOCKS = 4  # macroblocks across and down: 64 x 64 pixels


class _Bits:
    def __init__(self) -> None:
        self.bits: list[int] = []

    def u(self, size: int, *values: int) -> "_Bits":
        for value in values:
            self.bits += [value >> place & 1 for place in range(size - 1, -1, -1)]
        return self

    def ue(self, *values: int) -> "_Bits":
        for value in values:
            self.u(2 * (value + 1).bit_length() - 1, value + 1)
        return self

    def align(self) -> "_Bits":
        return self.u(1, *[0] * (-len(self.bits) % 8))

    def unit(self, header: int) -> bytes:
        """A NAL unit: start code, header, payload with its stop bit and emulation prevention."""
        self.u(1, 1).align()
        payload = bytearray()
        for byte in np.packbits(np.array(self.bits, np.uint8)).tolist():
            if byte <= 3 and payload[-2:] == b"\0\0":
                payload.append(3)
            payload.append(byte)
        return b"\0\0\0\1" + bytes([header]) + bytes(payload)


def _parameters() -> bytes:
    """Main profile, no field without its frame, 25 frames a second."""
    sequence = _Bits().u(8, 77, 0, 30).ue(0, 0, 0, 4, 1).u(1, 0).ue(BLOCKS - 1, BLOCKS // 2 - 1).u(1, 0, 0, 1, 0)
    sequence.u(1, 1, 0, 0, 0, 0, 1).u(32, 1, 50).u(1, 1, 0, 0, 0, 0)
    return sequence.unit(0x67) + _Bits().ue(0, 0).u(1, 0, 0).ue(0, 0, 0).u(1, 0).u(2, 0).ue(0, 0, 0).u(1, 1, 0, 0).unit(
        0x68
    )


def _field(level: int, bottom: int, number: int, key: bool) -> bytes:
    """Every macroblock I_PCM of one grey level."""
    bits = _Bits().ue(0, 7, 0).u(4, number).u(1, 1, bottom)
    bits = bits.ue(0) if key else bits
    bits.u(8, 2 * number + bottom).u(1, *([0, 0] if key else [0])).ue(0, 1)
    for _ in range(BLOCKS * BLOCKS // 2):
        bits.ue(25).align().u(8, *[level] * 256, *[128] * 128)
    return bits.unit(0x65 if key else 0x61)


def fields_clip(path: Path, count: int) -> Path:
    """A video whose picture i shows the number i (see :mod:`helpers.clips`), in two packets."""
    stream = b""
    for i in range(count):
        level = round(16 + (10 + STEP * i) * 219 / 255)
        for bottom in (0, 1):
            stream += b"\0\0\0\1\x09\x10" + (_parameters() if i % 6 == bottom == 0 else b"")
            stream += _field(level, bottom, i % 6, i % 6 == bottom == 0)
    ffmpeg_cli("-f", "h264", "-r", "50", "-i", "pipe:", "-c", "copy", str(path), data=stream)
    return path
