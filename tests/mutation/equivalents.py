"""Mutants that no test can catch, because they do the same, and why."""

from __future__ import annotations

from typing import NamedTuple


class Equivalent(NamedTuple):
    """A mutant by its file, its function and the line before and after the change."""

    file: str
    function: str
    before: str
    after: str
    reason: str


# The number is how much is done at once, or is kept; no result depends on it.
_SIZE = "a size that only speed and memory depend on"

# Constants of that kind: a file, a name, and the two numbers of its shift.
_SIZES = (
    ("bundle_files", "_HASHED_SIZE", 1, 20),
    ("bundle_files", "_MAPPED_PIECE_SIZE", 8, 20),
    ("bundle_index", "_NUM_IN_BATCH", 1, 12),
    ("bundle_index", "_NUM_KEPT_ENTRIES", 1, 14),
    ("index_file", "_MAX_CONTENT", 8, 20),
    ("mapped_writes", "_STEP", 64, 20),
    ("rank_parts", "_BLOCK_SIZE", 4, 10),
    ("read_many", "_PIECE_SIZE", 8, 20),
    ("read_many", "_SMALL_SIZE", 256, 10),
    ("read_many", "_GROUP_SIZE", 1, 20),
    ("read_many", "_MAX_GAP", 4, 10),
    ("read_many", "_REMOTE_PIECE_SIZE", 16, 20),
    ("read_many", "_REMOTE_SMALL_SIZE", 4, 20),
    ("read_many", "_REMOTE_GROUP_SIZE", 8, 20),
    ("read_many", "_REMOTE_MAX_GAP", 64, 10),
    ("read_many", "_MAX_KEPT_SIZE", 64, 20),
    ("read_many", "_SCRATCH_SIZE", 1, 20),
    ("region_pieces", "MAX_PIECE_SIZE", 1, 20),
    ("region_pieces", "_MAX_GAP", 64, 10),
    ("slabs", "_SLAB_SIZE", 32, 20),
    ("slabs", "_MIN_RECYCLED_SIZE", 2, 20),
)

EQUIVALENTS = (
    *(
        Equivalent(f"tfsaver/tensor_bundle/{file}.py", "", f"{name} = {number} << {bits}", f"{name} = {other} << {moved}", _SIZE)
        for file, name, number, bits in _SIZES
        for other, moved in ((number + 1, bits), (number - 1, bits), (number, bits + 1), (number, bits - 1))
        if other
    ),
    Equivalent(
        "tfsaver/checkpoint/names/rnn_cell_names.py",
        "_of_oldest",
        'if "/Linear/" not in name and "LSTMCell/" not in name:',
        "if False:",
        "a shortcut: each of the patterns has one of these words",
    ),
    Equivalent(
        "tfsaver/checkpoint/doctor/directory_survey.py",
        "_Survey._ends_as_table",
        "return coding.read_fixed64(file.read(file.size - 8, 8), 0) == table_format.MAGIC",
        "return coding.read_fixed64(file.read(file.size - 8, 9), 0) == table_format.MAGIC",
        "a file has no byte behind its last one",
    ),
    Equivalent(
        "tfsaver/checkpoint/doctor/recovered_slices.py",
        "RecoveredSlices.__init__",
        "self.close()",
        "pass",
        "a file that does not open is closed at once, so that none is open where none opened",
    ),
    Equivalent(
        "tfsaver/checkpoint/editing/average.py",
        "_mean",
        "chosen = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight]",
        "chosen = [(value, weight) for value, weight in zip(values, weights, strict=False) if weight]",
        "there is a weight for each value: `averaged` has made sure",
    ),
    Equivalent(
        "tfsaver/checkpoint/editing/comparing.py",
        "_different_bytes",
        'unsigned = f"u{size}" if size in (1, 2, 4, 8) else None',
        'unsigned = f"u{size}" if size in (1, 2, 5, 8) else None',
        "elements of other sizes are compared byte by byte, which finds the same",
    ),
    Equivalent(
        "tfsaver/checkpoint/objects/object_graph.py",
        "ObjectGraph.serialize",
        "return bytes(graph.SerializeToString(deterministic=True))",
        "return bytes(graph.SerializeToString(deterministic=False))",
        "the message has no map fields, whose order is all that this decides",
    ),
    Equivalent(
        "tfsaver/checkpoint/restoring/target_matching.py",
        "can_cast",
        "return (wanted.name in _FLOATS and stored.name in _FLOATS | _INTEGERS) or {stored.name, wanted.name} <= _INTEGERS",
        "return (wanted.name in _FLOATS and stored.name in _FLOATS | _INTEGERS) or {stored.name, wanted.name} < _INTEGERS",
        "two names are never all of the eight integer types",
    ),
    Equivalent(
        "tfsaver/checkpoint/tensor_slice_reader.py",
        "TensorSliceReader.read",
        "def read(self, name: str, region: TensorSlice | None = None, *, out: Array | None = None, verify: bool = True) -> Array:",
        "def read(self, name: str, region: TensorSlice | None = None, *, out: Array | None = None, verify: bool = False) -> Array:",
        "a V1 file's blocks are checked whatever is asked for",
    ),
    Equivalent(
        "tfsaver/checkpoint/shard_placement.py",
        "_replace_together",
        "for temporary, path in zip(temporaries, paths, strict=True):",
        "for temporary, path in zip(temporaries, paths, strict=False):",
        "there is a path for each file",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/bundle_files.py",
        "_PromisedBytes.add",
        "if key not in self._known:",
        "if True:",
        "asked again under the lock: only two threads at the same instant differ",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/read_many.py",
        "_Tensor.size",
        "if self.region is None and not self.entry.slices:",
        "if False:",
        "the product is the same for whole tensors; strings take no slab",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/bundle_files.py",
        "BundleFiles._file",
        "if file is not None:",
        "if False:",
        "a shortcut: a file that is opened once more is closed again below",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/bundle_files.py",
        "BundleFiles._file",
        "if self._is_closed:",
        "if False:",
        "a shortcut: what is opened then is closed again, and the error is the same",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/bundle_files.py",
        "BundleFiles._is_newer_than_index",
        "return False",
        "return None",
        "the caller asks whether it is true",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/bundle_index.py",
        "BundleIndex._is_slice_key",
        r'if not key.startswith(b"\0"):',
        "if False:",
        "a shortcut: no other key can be decoded as a slice's",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/writer.py",
        "_batched",
        "if size >= array_chunks.CHUNK_SIZE:",
        "if size > array_chunks.CHUNK_SIZE:",
        _SIZE,
    ),
    Equivalent(
        "tfsaver/checkpoint/doctor/state_repair.py",
        "repair_state_file",
        "None if latest_filename == STATE_FILE_NAME else latest_filename,",
        "None if False else latest_filename,",
        "None stands for that name",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/entry.py",
        "BundleEntry.encode",
        "if not self.slices:",
        "if False:",
        "a shortcut: protobuf makes the same bytes",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/plain_entry.py",
        "_size_of_beginning",
        "if len(value) < 4 or value[0] != _DTYPE or value[2] != _SHAPE or (value[1] | value[3]) >= 0x80:",
        "if len(value) <= 4 or value[0] != _DTYPE or value[2] != _SHAPE or (value[1] | value[3]) >= 0x80:",
        "an entry that is no more than its beginning has no checksum, and is left to the message in any case",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/bundle_index.py",
        "BundleIndex.__init__",
        "self._slices_in = functools.lru_cache(4)(_slices_in)",
        "self._slices_in = functools.lru_cache(5)(_slices_in)",
        _SIZE,
    ),
    Equivalent(
        "tfsaver/tensor_bundle/bundle_index.py",
        "BundleIndex.__init__",
        "self._slices_in = functools.lru_cache(4)(_slices_in)",
        "self._slices_in = functools.lru_cache(3)(_slices_in)",
        _SIZE,
    ),
    Equivalent(
        "tfsaver/tensor_bundle/plain_entry.py",
        "",
        "_MAX_VARINT_BITS = 70",
        "_MAX_VARINT_BITS = 71",
        "the bits of a number are counted in sevens, of which 71 is none",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/renaming.py",
        "rename_bundle",
        "_rename_all(zip(data_paths, new_data_paths, strict=True), (index_path, new_index_path), durable)",
        "_rename_all(zip(data_paths, new_data_paths, strict=False), (index_path, new_index_path), durable)",
        "there are as many new paths as old ones",
    ),
    Equivalent(
        "tfsaver/checkpoint/names/changes.py",
        "combined",
        "for name, one in zip(join.inputs, made, strict=True):",
        "for name, one in zip(join.inputs, made, strict=False):",
        "every input of a join is there: a step has made sure",
    ),
    Equivalent(
        "tfsaver/checkpoint/names/name_steps.py",
        "_targets_of_entry",
        'after = as_changes({word: value for word, value in changes if words.index(word) > words.index("split")})',
        'after = as_changes({word: value for word, value in changes if words.index(word) >= words.index("split")})',
        "split itself is no change, and no two words have one place",
    ),
    Equivalent(
        "tfsaver/checkpoint/names/recurrent_cells.py",
        "RecurrentCells._targets",
        'size = cell.units * {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[cell.kind]',
        'size = cell.units * {"LSTM": 4, "GRU": 4, "SimpleRNN": 1}[cell.kind]',
        "the zeros are for a second bias: a GRU has two, none, or is refused above",
    ),
    Equivalent(
        "tfsaver/checkpoint/names/recurrent_cells.py",
        "RecurrentCells._targets",
        'size = cell.units * {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[cell.kind]',
        'size = cell.units * {"LSTM": 4, "GRU": 2, "SimpleRNN": 1}[cell.kind]',
        "the zeros are for a second bias: a GRU has two, none, or is refused above",
    ),
    *(
        Equivalent(
            "tfsaver/checkpoint/names/recurrent_cells.py",
            "",
            line,
            line.replace(f'"{layout}"', f"'{layout}~'"),
            "a type for checkers, which no statement asks for",
        )
        for line, layouts in (
            (
                'From: TypeAlias = Literal["tf", "sonnet", "baselines", "keras", "pytorch"]',
                ("tf", "sonnet", "baselines", "keras", "pytorch"),
            ),
            ('To: TypeAlias = Literal["keras", "pytorch"]', ("keras", "pytorch")),
        )
        for layout in layouts
    ),
    Equivalent(
        "tfsaver/checkpoint/restoring/proposals.py",
        "Proposals.__init__",
        "self._there = {*candidates.values(), *(known or {}).values()} if self._layers else set()",
        "self._there = {*candidates.values(), *(known or {}).values()} if True else set()",
        "a shortcut: only layers ask what is there",
    ),
    Equivalent(
        "tfsaver/checkpoint/restoring/proposals.py",
        "Proposals._guess",
        "found.update((name, key) for name, key in alone.items() if name not in found and key not in found.values())",
        "found.update((name, key) for name, key in alone.items() if name not in found or key not in found.values())",
        "a tensor alone of its shape is similar to no other variable, and a variable alone of its shape to no other tensor",
    ),
    Equivalent(
        "tfsaver/checkpoint/editing/cast.py",
        "_names_to_cast",
        "for pattern, is_in in zip(patterns.include, included, strict=False):",
        "for pattern, is_in in zip(patterns.include, included, ):",
        "False is what zip takes by itself",
    ),
    *(
        Equivalent("tfsaver/checkpoint/verify.py", "", "_BATCH = 1 << 14", changed, _SIZE)
        for changed in ("_BATCH = 1 << 15", "_BATCH = 1 << 13", "_BATCH = 2 << 14")
    ),
    Equivalent(
        "tfsaver/tensor_bundle/renaming.py",
        "rename_bundle",
        "for path, new_path in zip((*data_paths, index_path), (*new_data_paths, new_index_path), strict=True):",
        "for path, new_path in zip((*data_paths, index_path), (*new_data_paths, new_index_path), strict=False):",
        "there are as many new paths as old ones",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/mapped.py",
        "_check_form",
        "elif dtype.num_bits < 8 * dtype.size:",
        "elif dtype.num_bits < 8 // dtype.size:",
        "an element of fewer bits than bytes have takes one byte",
    ),
    Equivalent(
        "tfsaver/tensor_bundle/read_many.py",
        "_Reading._read_group",
        "if len(group) == 1 and group[0].raw is not None:",
        "if False:",
        "a shortcut: a group of one is read, checked and copied below",
    ),
    *(
        Equivalent(
            "tfsaver/tensor_bundle/rank_parts.py",
            "_Merged._bounds",
            "yield from dict.fromkeys(keys[step - 1 : -1 : step])",
            f"yield from dict.fromkeys(keys[{part}])",
            "the entries are the same wherever a run of them ends",
        )
        for part in ("step + 1 : -1 : step", "step - 0 : -1 : step", "step - 2 : -1 : step", "step - 1 : -2 : step")
    ),
)
