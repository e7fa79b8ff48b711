"""Two whole checkpoints, every byte written by hand: what the writers must give and the readers must take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfsaver.checkpoint.checkpoint_reader import load_checkpoint
from tfsaver.checkpoint.save import save_checkpoint
from tfsaver.checkpoint.tensor_slice_writer import TensorSliceWriter
from tfsaver.checkpoint.verify import verify_checkpoint
from tfsaver.tensor_bundle.writer import BundleWriter


def spelled(*lines: str) -> bytes:
    """Bytes from lines of hexadecimal digits; what follows a # is left out."""
    return b"".join(bytes.fromhex(line.partition("#")[0]) for line in lines)


# A float scalar a = 1.5 and the strings ab = ["hi", ""].
V2_DATA = spelled(
    "00 00 c0 3f              # a: 1.5 in IEEE binary32, little-endian",
    "02 00                    # ab: the sizes 2 and 0 as varints",
    "78 27 0b 34              # the masked CRC of the sizes as two 32-bit numbers",
    "68 69                    # hi",
)
V2_INDEX = spelled(
    "00 00 06                 # data block. Entry: shares 0, key of 0 bytes, value of 6 bytes",
    "08 01                    # header: field 1, num_shards = 1; endianness is little, which is left out",
    "1a 02 08 01              # field 3, version: producer = 1",
    "00 01 0b                 # entry: shares 0, key of 1 byte, value of 11 bytes",
    "61                       # key: a",
    "08 01                    # field 1, dtype: DT_FLOAT",
    "12 00                    # field 2, shape: no dimensions",
    "28 04                    # field 5, size: 4; shard 0 and offset 0 are left out",
    "35 5e 2f e1 a7           # field 6, masked CRC",
    "01 01 11                 # entry: shares 1 byte, 1 byte more, value of 17 bytes",
    "62                       # key: (a)b",
    "08 07                    # dtype: DT_STRING",
    "12 04 12 02 08 02        # shape: one dimension of size 2",
    "20 04                    # field 4, offset: 4",
    "28 08                    # size: 8",
    "35 9e 9e 48 ed           # masked CRC",
    "00 00 00 00              # the one restart, at byte 0 of the block",
    "01 00 00 00              # how many restarts there are",
    "00                       # behind the block: type 0, as it is",
    "14 81 74 53              # its masked CRC, with the type",
    "00 00 00 00 01 00 00 00  # metaindex block, at byte 58: no entries, one restart",
    "00 c0 f2 a1 b0           # type and masked CRC",
    "00 01 02                 # index block, at byte 71. Entry: shares 0, key of 1 byte, value of 2 bytes",
    "62                       # key: b, which is short and not before ab",
    "00 35                    # handle of the data block: at byte 0, 53 bytes",
    "00 00 00 00 01 00 00 00  # one restart",
    "00 1d 0e 1d 6c           # type and masked CRC",
    "3a 08                    # footer: handle of the metaindex block, at byte 58, 8 bytes",
    "47 0e                    # handle of the index block, at byte 71, 14 bytes",
    "00" * 36 + "             # zeros up to byte 40 of the footer",
    "57 fb 80 8b 24 75 47 db  # magic",
)

# A float vector a = [1.5, 2].
V1_FILE = spelled(
    "00 00 17                 # data block. Entry: shares 0, key of 0 bytes, value of 23 bytes",
    "0a 15                    # SavedTensorSlices: field 1, meta, 21 bytes",
    "0a 0f                    # field 1, tensor, 15 bytes",
    "0a 01 61                 # name: a",
    "12 04 12 02 08 02        # shape: one dimension of size 2",
    "18 01                    # type: DT_FLOAT",
    "22 02 0a 00              # slice: one extent, everything",
    "12 02 08 01              # versions: producer = 1",
    "00 08 15                 # entry: shares 0, key of 8 bytes, value of 21 bytes",
    "00                       # key, in ordered code: the number 0",
    "61 00 01                 # the name a, and its end",
    "01 01                    # rank 1",
    "80 7f                    # start 0, length -1: everything",
    "12 13                    # SavedTensorSlices: field 2, data, 19 bytes",
    "0a 01 61                 # name: a",
    "12 02 0a 00              # slice: one extent, everything",
    "1a 0a                    # data: a TensorProto of 10 bytes",
    "2a 08                    # field 5, float_val, 8 bytes",
    "00 00 c0 3f 00 00 00 40  # 1.5 and 2",
    "00 00 00 00 01 00 00 00  # one restart, at byte 0",
    "00 a0 8c 9e 0d           # type and masked CRC",
    "00 00 00 00 01 00 00 00  # metaindex block, at byte 71",
    "00 c0 f2 a1 b0           # type and masked CRC",
    "00 01 02                 # index block, at byte 84. Entry: shares 0, key of 1 byte, value of 2 bytes",
    "01                       # key: 01, which is short and not before 00 61 ...",
    "00 42                    # handle of the data block: at byte 0, 66 bytes",
    "00 00 00 00 01 00 00 00  # one restart",
    "00 dc 6d d6 9e           # type and masked CRC",
    "47 08                    # footer: handle of the metaindex block, at byte 71, 8 bytes",
    "54 0e                    # handle of the index block, at byte 84, 14 bytes",
    "00" * 36 + "             # zeros up to byte 40 of the footer",
    "57 fb 80 8b 24 75 47 db  # magic",
)


def test_examples_have_the_size_that_real_files_have() -> None:
    assert (len(V2_DATA), len(V2_INDEX), len(V1_FILE)) == (12, 138, 151)


def test_v2_checkpoint_is_written_byte_for_byte(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "model") as writer:
        writer.add("a", np.float32(1.5))
        writer.add("ab", ["hi", ""])
    assert (tmp_path / "model.data-00000-of-00001").read_bytes() == V2_DATA
    assert (tmp_path / "model.index").read_bytes() == V2_INDEX


def test_v2_checkpoint_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.data-00000-of-00001").write_bytes(V2_DATA)
    (tmp_path / "model.index").write_bytes(V2_INDEX)
    with load_checkpoint(tmp_path / "model") as reader:
        assert reader.version == "V2" and reader.names == ["a", "ab"]
        assert reader["a"] == 1.5 and reader["a"].dtype == np.float32 and reader["a"].shape == ()
        assert reader["ab"].tolist() == [b"hi", b""]
    assert verify_checkpoint(tmp_path / "model").ok


def test_v1_checkpoint_is_written_byte_for_byte(tmp_path: Path) -> None:
    with TensorSliceWriter(tmp_path / "model") as writer:
        writer.add("a", np.array([1.5, 2], np.float32))
    assert (tmp_path / "model").read_bytes() == V1_FILE


def test_v1_checkpoint_is_read(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(V1_FILE)
    with load_checkpoint(tmp_path / "model") as reader:
        assert reader.version == "V1" and reader.names == ["a"]
        assert reader["a"].tolist() == [1.5, 2] and reader["a"].dtype == np.float32
    assert verify_checkpoint(tmp_path / "model").ok


@pytest.mark.parametrize("format", ["V1", "V2"])
def test_saving_what_was_read_gives_the_same_bytes(format: str, tmp_path: Path) -> None:
    if format == "V1":
        (tmp_path / "model").write_bytes(V1_FILE)
    else:
        (tmp_path / "model.data-00000-of-00001").write_bytes(V2_DATA)
        (tmp_path / "model.index").write_bytes(V2_INDEX)
    with load_checkpoint(tmp_path / "model") as reader:
        save_checkpoint(reader, tmp_path / "again", format=format)
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("again")}
    assert again == {
        path.name.replace("model", "again"): path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("model")
    }
