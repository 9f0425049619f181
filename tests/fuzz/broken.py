"""Broken files out of sound ones: every function takes a generator of random numbers, so that a seed names a case."""

import io
import json
import math
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

STRANGE = (
    "",
    " ",
    "\0",
    "\ufeff",
    "한국어",
    "a\nb",
    "'\"`$(touch x)",
    "-rf",
    "\u202eabc",
    "\ud7ff",
    "x" * 100_000,
    "１２",
)
PATHS = ("../../outside", "/etc/passwd", "/", "..", ".", "a/../../b", "C:\\x", "file:///etc/passwd", "~/x", "/dev/zero")
NUMBERS = (math.nan, math.inf, -math.inf, 0, -1, 1e308, 5e-324, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, True)
VALUES = (None, True, [], {}, [[]], [None], {"a": 1}, *STRANGE, *PATHS, *NUMBERS)
WORDS = (
    "nan",
    "inf",
    "-1",
    "0",
    "1e400",
    "0x10",
    "1_000",
    "true",
    "null",
    "9" * 5000,
    "--",
    "[",
    "]",
    "{",
    "}",
    '"',
    ",",
)
INTEGERS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes as disks, copies and hands spoil them: one to three kinds of damage on top of each other."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(DAMAGES)(data, rng)
    return data


def _truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flipped(data: bytes, rng: random.Random) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64)) if data else 0):
        # The beginning more often: headers are there.
        place = rng.randrange(min(len(data), rng.choice((64, 1024, len(data)))))
        spoilt[place] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _filled(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    size = rng.choice((4, 16, 512, len(data)))
    fill = rng.choice((b"\0" * size, b"\xff" * size, rng.randbytes(size)))
    return data[:start] + fill[: len(data) - start] + data[start + size :]


def _number(data: bytes, rng: random.Random) -> bytes:
    """A length, count or number is another one, little or big endian, of 4 or 8 bytes."""
    value = rng.choice(INTEGERS)
    new = rng.choice((value.to_bytes(8, rng.choice(("little", "big"))), struct.pack("<I", value & 0xFFFFFFFF)))
    new = rng.choice((new, new, struct.pack(rng.choice("<>") + "d", rng.choice((math.nan, math.inf, -1.0, 1e300)))))
    place = rng.randrange(0, min(len(data), rng.choice((64, 1024, 1 << 30))) + 1, rng.choice((1, 4, 8)))
    return data[:place] + new + data[place + len(new) :]


def _moved(data: bytes, rng: random.Random) -> bytes:
    """A block is missing, twice, or somewhere else."""
    start, end, to = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    block = data[start:end]
    return rng.choice((data[:start] + data[end:], data[:end] + block + data[end:], data[:start] + data[end:to] + block))


def _longer(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice((b"\0" * 4096, rng.randbytes(100), data, b"\n"))


def _other(data: bytes, rng: random.Random) -> bytes:
    """Another file altogether."""
    pickled = b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x06touch x\x85R."
    page = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    return rng.choice((b"", b"\0" * len(data), page, pointer, pickled, b"PK\x03\x04", b"\x93NUMPY", data[::-1]))


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_truncated, _flipped, _flipped, _filled, _number, _number, _moved, _longer, _other),
)


# Text


def spoilt_text(text: str, rng: random.Random) -> bytes:
    """Text with words, lines and encodings that do not belong there, or with damage to its bytes."""
    kind = rng.randrange(8)
    if kind == 0:
        return damaged(text.encode(), rng)
    if kind == 1:
        return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    if kind == 2:
        opening, closing = rng.choice(("[]", "{}", ("a.", ""), ("[[", "]]"), ("(", ")"), ('{"a":', "}")))
        depth = rng.choice((100, 100_000))
        return (opening * depth + closing * depth).encode()
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    if kind == 3:
        lines[place : place + 1] = rng.choice(([], [lines[place]] * 2, [""], ["#"], [lines[place] * 50]))
    elif kind == 4:
        lines = text.replace("\n", rng.choice(("\r\n", "\r", " ", "\n\n", "\u2028"))).split("\n")
    else:
        words = lines[place].split(" ")
        for _ in range(rng.choice((1, 1, 3))):
            word = rng.randrange(len(words))
            words[word] = rng.choice((*WORDS, *STRANGE, *PATHS, words[word] * 2, words[rng.randrange(len(words))]))
        lines[place] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


# Trees: what JSON, YAML and TOML hold


def spoilt_tree(value: Any, rng: random.Random) -> Any:
    """A document with one to three of its values or keys replaced, missing, doubled or of another type."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2, 3))):
        holders = [(holder, key) for holder in _containers(value) for key in _keys(holder)]
        if not holders:
            return rng.choice(VALUES)
        holder, key = rng.choice(holders)
        kind = rng.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice((*STRANGE[:-2], *PATHS, str(key).upper()))] = holder.pop(key)
        elif kind == 2:
            other, there = rng.choice(holders)
            holder[key] = (
                json.loads(json.dumps(other.get(there) if isinstance(other, dict) else other[key % len(other)]))
                if other and (isinstance(other, dict) or isinstance(key, int))
                else None
            )
        elif kind == 3:
            holder[key] = rng.choice(([holder[key]], {"a": holder[key]}, str(holder[key]), [holder[key]] * 3))
        else:
            holder[key] = rng.choice(VALUES)
    return value


def _containers(value: Any) -> list:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict | list) else []) + [
        found for part in inner for found in _containers(part)
    ]


def _keys(holder: dict | list) -> list:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


def spoilt_json(value: Any, rng: random.Random) -> bytes:
    """A JSON file of a spoilt tree, of spoilt text, with a key twice or a number of 5000 digits."""
    kind = rng.randrange(8)
    text = json.dumps(value, indent=1)
    if kind == 0:
        return spoilt_text(text, rng)
    if kind == 1:
        return damaged(text.encode(), rng)
    if kind == 2:
        return text.replace("{", rng.choice(('{"a": 1, "a": 2, ', '{"\\ud800": 1, ')), 1).encode()
    if kind == 3:
        digits = [place for place, letter in enumerate(text) if letter.isdigit()]
        place = rng.choice(digits) if digits else 0
        return (text[:place] + rng.choice(WORDS) + text[place + 1 :]).encode()
    return json.dumps(spoilt_tree(value, rng)).encode()


# Arrays


def spoilt_array(array: np.ndarray, rng: random.Random) -> bytes:
    """An npy file: damaged, of another shape or type, not finite, with a header that lies, or with objects."""
    kind = rng.randrange(6)
    if kind == 0:
        return damaged(npy(array), rng)
    if kind == 1:
        return lying_npy(array, rng)
    if kind == 2:
        new = rng.choice(("u1", "i8", "f2", "f4", ">f8", "c16", "?", "U3", "S2", "M8[s]", "f8,i4", "u8", "f8"))
        fresh = np.zeros(array.shape, new)
        if fresh.dtype.kind in "fiu" and array.dtype.kind in "fiu":
            with np.errstate(all="ignore"):
                fresh = array.astype(fresh.dtype)
        return npy(fresh)
    if kind == 3 and array.size:
        spoilt = np.array(array)
        for _ in range(rng.choice((1, 1, 5, array.size))):
            values = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300) if array.dtype.kind == "f" else (0, 1, 100)
            with np.errstate(all="ignore"):
                spoilt.flat[rng.randrange(array.size)] = rng.choice(values)
        return npy(spoilt)
    if kind == 4:
        return npy(rng.choice((array[:0], array[None], array.T, array[:1], array.ravel(), np.concatenate([array] * 2))))
    return npy(np.asfortranarray(array)) if rng.random() < 0.5 else damaged(npy(np.asfortranarray(array)), rng)


def lying_npy(array: np.ndarray, rng: random.Random) -> bytes:
    """An npy file whose header is not what follows it."""
    shapes = ("(1000000000000,)", "(-1, 17)", "(1000000, 1000000)", "(0, 17)", "(3, 17.0)", "()", "(True, 17)", "17")
    shape = rng.choice((*shapes, str(array.shape), f"({2**63}, 1)", "(" * 300 + ")" * 300, "(2," * 12 + ")" * 12))
    descr = rng.choice(
        (
            "'<f8'",
            "'|O'",
            "'|u1'",
            "'<f4'",
            "'|V8'",
            "'|V0'",
            "[('a', '|O')]",
            "None",
            "'<U99999999'",
            repr(array.dtype.str),
        )
    )
    order = rng.choice(("False", "False", "True", "1", "None"))
    extra = rng.choice(("", "", ", 'x': 1", ", 'shape': (1,)", "}" * 5, "#", "\\"))
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}{extra}}}\n".encode()
    version = rng.choice((1, 1, 1, 2, 3, 9))
    size = rng.choice((len(header), len(header), len(header), 0, 0xFFFF))
    length = struct.pack("<H" if version == 1 else "<I", size)
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + array.tobytes()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def spoilt_npz(arrays: Mapping[str, np.ndarray], rng: random.Random) -> bytes:
    """An npz file: damaged, or with an array that is spoilt, missing, twice or named strangely."""
    kind = rng.randrange(4)
    files = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    if kind > 0:
        name = rng.choice(sorted(files))
        if kind == 1:
            files[name] = spoilt_array(arrays[name.removesuffix(".npy")], rng)
        elif kind == 2:
            files[rng.choice(("../x.npy", "/etc/x.npy", "x", ".npy", "x.npy"))] = files.pop(name)
        else:
            files[name] = rng.choice(
                (b"", b"text", b"\0" * 1_000_000, lying_npy(arrays[name.removesuffix(".npy")], rng))
            )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return damaged(buffer.getvalue(), rng) if kind == 0 else buffer.getvalue()


# Models


def spoilt_safetensors(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file: damaged, or with another header."""
    if rng.random() < 0.3:
        return damaged(data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    text = spoilt_json(header, rng) if rng.random() < 0.8 else json.dumps(header).encode()
    size = rng.choice((len(text), len(text), len(text), len(text), 2**40, 0, len(data)))
    return struct.pack("<Q", size) + text + body


# YAML


def spoilt_yaml(value: Any, rng: random.Random) -> bytes:
    """A YAML file of a spoilt tree, of spoilt text, or one of the documents that loaders are attacked with."""
    import yaml

    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(ATTACKS).encode()
    text = yaml.safe_dump(value, sort_keys=False)
    if kind == 1:
        return spoilt_text(text, rng)
    return yaml.safe_dump(spoilt_tree(value, rng), sort_keys=False, allow_unicode=True).encode("utf-8", "replace")


LAUGHS = "\n".join(["l0: &l0 [lol, lol]"] + [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 12)])
ATTACKS = (
    LAUGHS,
    f"scenes:\n  x:\n    data: data\n    cameras:\n{LAUGHS.replace('l', '      l', 0)}".replace("\nl", "\n      l"),
    "scenes: &a {x: *a}",
    "scenes: &a [*a]",
    "&a : *a",
    "? &a [*a]\n: 1",
    "scenes: !!python/object/apply:os.system ['touch x']",
    "scenes: !!python/name:os.system ''",
    "scenes: !!binary 'AAAA'",
    "scenes: !!timestamp 2001-01-01",
    "scenes: !!set {a, b}",
    "scenes: {x: {data: data}}\nscenes: {y: {data: data}}",
    "scenes: {x: {data: data}, x: {data: data2}}",
    "scenes: {1: {data: data}, null: {}, true: {}, 1.5: {}, [a]: {}}",
    "scenes: {x: {data: data, frames: {start: " + "9" * 5000 + "}}}",
    "scenes: {x: {data: data, scale: .nan}}",
    "scenes: {x: {data: data, scale: .inf}}",
    "scenes: {x: {data: data, scale: 1e400}}",
    "scenes: {x: {data: data, near: 1:30:00.5}}",
    "scenes: {" + "x" * 200_000 + ": {data: data}}",
    "scenes: {x: {" + "y" * 200_000 + ": 1}}",
    "scenes: {x: {data: data, cameras: {../../../x: videos/cam00.mp4, /y: videos/cam01.mp4}}}",
    "scenes: {x: {data: data, photo_files: [../../x.png, /y.png]}}",
    "scenes: {../x: {data: data}}",
    "scenes: {x: {data: data, preset: ../../x}}",
    "a: b\n--- \nc: d",
    "%YAML 9.9\n---\na: b",
    "\t- a",
    "[" * 100_000,
    "- " * 50_000,
    "{a: " * 3000 + "}" * 3000,
    "scenes: {x: {data: '\\0'}}",
    'scenes: {x: {data: "\\0"}}',
    "scenes: {x: {data: " + "a" * 5000 + "}}",
)
