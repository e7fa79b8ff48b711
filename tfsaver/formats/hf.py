"""Directories that transformers' ``from_pretrained`` opens.

    model.safetensors                   the tensors; with num_shards=2 model-00001-of-00002.safetensors and so on
    model.safetensors.index.json        which shard has which tensor; only where there are several
    config.json                         what the model is made with: the part that shapes and the original program say

A family is recognized by its tensors. Sizes come from shapes; constants such as epsilons and paddings are those of the
original program. No shape says how many heads an attention has, or how often ALBERT applies its layer: that comes from the
caller or from the original configuration file next to the checkpoint, and without it nothing is written. Values that no file
states are written as usual for the family, and the report lists them.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tfsaver.checkpoint.editing.select import selected
from tfsaver.checkpoint.execution import Data, Sink, Target
from tfsaver.checkpoint.fitting import check_fits
from tfsaver.checkpoint.names.families import FAMILIES
from tfsaver.checkpoint.tensor_source import Array, TensorSource
from tfsaver.errors import CheckpointNotFoundError, DataLossError, InvalidArgumentError, raise_problems
from tfsaver.formats.atomic import atomic_directory, check_directory_target, local_path
from tfsaver.formats.file_source import FileSource
from tfsaver.formats.safetensors import SafetensorsTarget, open_safetensors
from tfsaver.framework.tensor_info import TensorInfo
from tfsaver.framework.tensor_shape import Shape
from tfsaver.framework.tensor_slice import TensorSlice
from tfsaver.lib import file_io

_CONFIG = "config.json"
_INDEX = "model.safetensors.index.json"
_ONE = "model.safetensors"
_TYPES = {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16", "float64": "float64"}


class _Shapes:
    """The shapes of a model's tensors."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def size(self, name: str, axis: int) -> int:
        """The size of an axis."""
        if name not in self._shapes:
            raise InvalidArgumentError(f"there is no {name!r}, whose shape {_CONFIG} needs")
        shape = self._shapes[name]
        if not -len(shape) <= axis < len(shape):
            raise InvalidArgumentError(f"{name!r} has shape {list(shape)}, and {_CONFIG} needs the size of axis {axis}")
        return int(shape[axis])

    def count(self, template: str) -> int:
        """How many different numbers stand in the place of ``#``."""
        before, _, after = template.partition("#")
        pattern = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
        return len({match[1] for name in self._shapes if (match := pattern.match(name))})

    def any(self, ending: str) -> str | None:
        """The first name with this ending."""
        return next((name for name in sorted(self._shapes) if name.endswith(ending)), None)


class _Model(NamedTuple):
    """A family that transformers knows.

    Attributes:
        table: The table of names that makes its tensors.
        sign: A tensor that only this family has.
        architectures: Classes, each with a tensor that it has; the first whose tensor is there is meant.
        sizes: What shapes say.
        program: What the original program computes with, whatever the shapes.
        asked: What only the caller or the original configuration knows.
        usual: What the family's published configurations say, and no shape.
        originals: The names of original configuration files.
        words: The words of these files for ours.
    """

    table: str
    sign: str
    architectures: Sequence[tuple[str, str]]
    sizes: Callable[[_Shapes], dict[str, Any]]
    program: Mapping[str, Any]
    asked: Sequence[str] = ()
    usual: Callable[[_Shapes], Mapping[str, Any]] = lambda _: {}
    originals: Sequence[str] = ()
    words: Mapping[str, str] = {}


def _bert_sizes(shapes: _Shapes) -> dict[str, Any]:
    return {
        **_embedding_sizes(shapes, "bert"),
        "hidden_size": shapes.size("bert.embeddings.word_embeddings.weight", 1),
        "num_hidden_layers": shapes.count("bert.encoder.layer.#."),
        "intermediate_size": shapes.size("bert.encoder.layer.0.intermediate.dense.weight", 0),
        **_labels(shapes),
    }


def _embedding_sizes(shapes: _Shapes, base: str) -> dict[str, Any]:
    return {
        "vocab_size": shapes.size(f"{base}.embeddings.word_embeddings.weight", 0),
        "max_position_embeddings": shapes.size(f"{base}.embeddings.position_embeddings.weight", 0),
        "type_vocab_size": shapes.size(f"{base}.embeddings.token_type_embeddings.weight", 0),
    }


def _labels(shapes: _Shapes) -> dict[str, Any]:
    return {"num_labels": shapes.size("classifier.weight", 0)} if "classifier.weight" in shapes else {}


def _albert_sizes(shapes: _Shapes) -> dict[str, Any]:
    groups = "albert.encoder.albert_layer_groups"
    return {
        **_embedding_sizes(shapes, "albert"),
        "embedding_size": shapes.size("albert.embeddings.word_embeddings.weight", 1),
        "hidden_size": shapes.size("albert.encoder.embedding_hidden_mapping_in.weight", 0),
        "intermediate_size": shapes.size(f"{groups}.0.albert_layers.0.ffn.weight", 0),
        "num_hidden_groups": shapes.count(f"{groups}.#."),
        "inner_group_num": shapes.count(f"{groups}.0.albert_layers.#."),
        **_labels(shapes),
    }


def _gpt2_sizes(shapes: _Shapes) -> dict[str, Any]:
    return {
        "vocab_size": shapes.size("transformer.wte.weight", 0),
        "n_positions": shapes.size("transformer.wpe.weight", 0),
        "n_embd": shapes.size("transformer.wte.weight", 1),
        "n_layer": shapes.count("transformer.h.#."),
        "n_inner": shapes.size("transformer.h.0.mlp.c_fc.weight", 1),
    }


def _t5_sizes(shapes: _Shapes) -> dict[str, Any]:
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    heads = shapes.size(bias, 1)
    is_gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in shapes
    inner = f"encoder.block.0.layer.1.DenseReluDense.{'wi_0' if is_gated else 'wi'}.weight"
    return {
        "vocab_size": shapes.size("shared.weight", 0),
        "d_model": shapes.size("shared.weight", 1),
        "num_heads": heads,
        "d_kv": shapes.size("encoder.block.0.layer.0.SelfAttention.q.weight", 0) // heads,
        "d_ff": shapes.size(inner, 0),
        "num_layers": shapes.count("encoder.block.#."),
        "num_decoder_layers": shapes.count("decoder.block.#."),
        "relative_attention_num_buckets": shapes.size(bias, 0),
        "tie_word_embeddings": "lm_head.weight" not in shapes,
    }


def _t5_usual(shapes: _Shapes) -> dict[str, Any]:
    """Whether the layer has a gate is known, and not its activation."""
    is_gated = "encoder.block.0.layer.1.DenseReluDense.wi_0.weight" in shapes
    tokens = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
    return {"feed_forward_proj": "gated-gelu" if is_gated else "relu", **tokens}


_MOBILENET_V1 = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_MOBILENET_V2 = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
# The published ones first.
_MULTIPLIERS = (
    *(1.0, 0.75, 0.5, 0.25, 0.35, 1.3, 1.4),
    *(number / divisor for divisor in (10, 20, 100, 1000) for number in range(1, 2 * divisor + 1)),
)


def _mobilenet_v1_sizes(shapes: _Shapes) -> dict[str, Any]:
    stem = shapes.size("mobilenet_v1.conv_stem.convolution.weight", 0)
    depths = [shapes.size(f"mobilenet_v1.layer.{2 * index + 1}.convolution.weight", 0) for index in range(13)]
    for multiplier in _MULTIPLIERS:
        for min_depth in (8, 1):
            wanted = [max(int(depth * multiplier), min_depth) for depth in (32, *_MOBILENET_V1)]
            if wanted == [stem, *depths]:
                return {"depth_multiplier": multiplier, "min_depth": min_depth, **_labels(shapes)}
    raise InvalidArgumentError(f"no depth_multiplier makes the layers' depths {[stem, *depths]}")


def _mobilenet_v2_sizes(shapes: _Shapes) -> dict[str, Any]:
    depths = [
        shapes.size("mobilenet_v2.conv_stem.reduce_1x1.convolution.weight", 0),
        *(shapes.size(f"mobilenet_v2.layer.{index}.reduce_1x1.convolution.weight", 0) for index in range(16)),
    ]
    stem = shapes.size("mobilenet_v2.conv_stem.first_conv.convolution.weight", 0)
    last = shapes.size("mobilenet_v2.conv_1x1.convolution.weight", 0)
    if stem == depths[0]:
        raise InvalidArgumentError(
            f"the first block has {stem} channels before and after it, so that slim adds the one to the other; transformers "
            "does not, and keras.applications does"
        )
    for multiplier in _MULTIPLIERS:
        if [_divisible(depth * multiplier) for depth in (32, *_MOBILENET_V2)] == [stem, *depths]:
            for is_fine in (True, False):
                scaled = 1280 if is_fine and multiplier < 1 else _divisible(1280 * multiplier)
                if scaled == last:
                    return {"depth_multiplier": multiplier, "finegrained_output": is_fine, **_labels(shapes)}
    raise InvalidArgumentError(f"no depth_multiplier makes the layers' depths {[stem, *depths, last]}")


def _divisible(depth: float, divisor: int = 8) -> int:
    rounded = max(divisor, int(depth + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * depth else rounded + divisor


_MODELS = {
    "bert": _Model(
        "bert-to-pytorch",
        "bert.embeddings.word_embeddings.weight",
        (
            ("cls.predictions.bias", "BertForPreTraining"),
            ("qa_outputs.weight", "BertForQuestionAnswering"),
            ("classifier.weight", "BertForSequenceClassification"),
            ("", "BertModel"),
        ),
        _bert_sizes,
        {"layer_norm_eps": 1e-12},
        ("num_attention_heads",),
        lambda _: {"hidden_act": "gelu"},
        ("bert_config.json",),
    ),
    "albert": _Model(
        "albert-to-pytorch",
        "albert.embeddings.word_embeddings.weight",
        (
            ("predictions.bias", "AlbertForPreTraining"),
            ("classifier.weight", "AlbertForSequenceClassification"),
            ("", "AlbertModel"),
        ),
        _albert_sizes,
        {"layer_norm_eps": 1e-12},
        ("num_attention_heads", "num_hidden_layers"),
        # What Google's ALBERT calls gelu is the approximation by tanh.
        lambda _: {"hidden_act": "gelu_new"},
        ("albert_config.json", "bert_config.json"),
    ),
    "gpt2": _Model(
        "gpt2-to-pytorch",
        "transformer.wte.weight",
        (("", "GPT2LMHeadModel"),),
        _gpt2_sizes,
        {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5},
        ("n_head",),
        lambda _: {},
        ("hparams.json",),
        {"n_vocab": "vocab_size", "n_ctx": "n_positions"},
    ),
    "t5": _Model(
        "t5-to-pytorch",
        "shared.weight",
        (("", "T5ForConditionalGeneration"),),
        _t5_sizes,
        {
            "layer_norm_epsilon": 1e-6,
            "relative_attention_max_distance": 128,
            "is_encoder_decoder": True,
        },
        (),
        _t5_usual,
    ),
    "mobilenet_v1": _Model(
        "slim-mobilenet-v1-to-pytorch",
        "mobilenet_v1.conv_stem.convolution.weight",
        (("classifier.weight", "MobileNetV1ForImageClassification"), ("", "MobileNetV1Model")),
        _mobilenet_v1_sizes,
        {"hidden_act": "relu6", "layer_norm_eps": 1e-3, "tf_padding": True},
    ),
    "mobilenet_v2": _Model(
        "slim-mobilenet-v2-to-pytorch",
        "mobilenet_v2.conv_stem.first_conv.convolution.weight",
        (("classifier.weight", "MobileNetV2ForImageClassification"), ("", "MobileNetV2Model")),
        _mobilenet_v2_sizes,
        {
            "hidden_act": "relu6",
            "layer_norm_eps": 1e-3,
            "tf_padding": True,
            "depth_divisible_by": 8,
            "min_depth": 8,
            "expand_ratio": 6,
            "output_stride": 32,
            "first_layer_is_expansion": True,
        },
    ),
}


def table_for(names: Sequence[str]) -> str | None:
    """The table that makes of these names what transformers knows; None where they are so already.

    Raises:
        InvalidArgumentError: They are of no family.
    """
    if any(model.sign in names for model in _MODELS.values()):
        return None
    counts = {
        model.table: sum(FAMILIES[model.table][1].knows(name) for name in names) for model in _MODELS.values()
    }
    table = max(counts, key=lambda each: counts[each])
    if not counts[table]:
        raise InvalidArgumentError(
            f"the tensors ({', '.join(list(names)[:3])}, ...) are those of no family that can be written for transformers "
            f"({', '.join(_MODELS)}); if a scope stands in front of the names, take it away with mapping (--map)"
        )
    return table


class HfTarget(Target):
    """A directory for transformers to be written.

    Args:
        path: The directory.
        config: What `config.json` is to say besides what shapes say.
        beside: The checkpoint, next to which an original configuration may lie.
        num_shards: How many files the tensors are written to.
        overwrite: Whether a directory that is there may be replaced.
        durable: Whether to end only once disks have the bytes.

    Raises:
        UnimplementedError: The path is in a store.
    """

    takes_pieces = True

    def __init__(
        self,
        path: file_io.PathLike,
        *,
        config: Mapping[str, Any] | None = None,
        beside: str = "",
        num_shards: int = 1,
        overwrite: bool = False,
        durable: bool = True,
    ) -> None:
        self.path = local_path(path)
        self._given = dict(config or {})
        self._beside = beside
        self._num_shards = num_shards
        self._overwrite = overwrite
        self._durable = durable
        self._config: dict[str, Any] = {}

    def check(self, source: TensorSource) -> None:
        """See `Target`.

        Raises:
            AlreadyExistsError: The directory is there, and `overwrite` does not say that it may go.
            InvalidArgumentError: The tensors are those of no family, or `config.json` cannot be filled.
            UnimplementedError: Tensors that safetensors cannot hold, or that the family does not have.
        """
        check_directory_target(self.path, self._overwrite)
        model_type = _model_type(source.names)
        model = _MODELS[model_type]
        makes = FAMILIES[model.table][1].makes

        def objection(info: TensorInfo) -> str | None:
            return None if makes(info.name) else f"no tensor of the family {model_type}"

        infos = check_fits(source, "a directory for transformers", objection)
        SafetensorsTarget(file_io.join(self.path, _ONE)).check(source)
        self.expected_size = sum(info.num_bytes for info in infos)
        if not 1 <= self._num_shards <= len(infos):
            raise InvalidArgumentError(f"{len(infos)} tensors cannot be written to {self._num_shards} files")
        self._config = self._filled(model_type, model, infos)

    @contextlib.contextmanager
    def open(self, source: TensorSource) -> Iterator[Sink]:
        with (
            atomic_directory(self.path, overwrite=self._overwrite, durable=self._durable) as temporary,
            contextlib.ExitStack() as stack,
        ):
            file_io.make_directory(temporary, durable=False)
            sinks: dict[str, Sink] = {}
            shards = _shards([source.info(name) for name in source.names], self._num_shards)
            for file, names in shards.items():
                part = selected(source, names)
                target = SafetensorsTarget(file_io.join(temporary, file), metadata={"format": "pt"}, durable=False)
                target.check(part)
                sink = stack.enter_context(target.open(part))
                sinks.update(dict.fromkeys(names, sink))

            def add(info: TensorInfo, stored: TensorSlice | None, data: Data) -> None:
                sinks[info.name](info, stored, data)

            yield add
            if len(shards) > 1:
                weight_map = {name: file for file, names in shards.items() for name in names}
                index = {"metadata": {"total_size": self.expected_size}, "weight_map": dict(sorted(weight_map.items()))}
                _write_json(file_io.join(temporary, _INDEX), index)
            _write_json(file_io.join(temporary, _CONFIG), self._config)

    def _filled(self, model_type: str, model: _Model, infos: Sequence[TensorInfo]) -> dict[str, Any]:
        shapes = _Shapes({info.name: tuple(info.shape) for info in infos})
        sizes = model.sizes(shapes)
        known = {**sizes, **model.program}
        original, file = _original(self._beside, model, known)
        problems = [
            f"{word} is {value!r} in {where}, and {known[word]!r} by the tensors"
            for given, where in ((original, file), (self._given, "defaults"))
            for word, value in given.items()
            if word in sizes and sizes[word] != value
        ]
        given = {**original, **self._given}
        raise_problems(_CONFIG, problems)
        missing = [word for word in model.asked if word not in given]
        if missing:
            options = " ".join(f"--default {word}=N" for word in missing)
            place = f", or put {model.originals[0]} next to the checkpoint" if model.originals else ""
            raise InvalidArgumentError(
                f"no shape says {' and '.join(missing)}: give {options} "
                f"(defaults={{{', '.join(f'{word!r}: N' for word in missing)}}}){place}"
            )
        usual = {word: value for word, value in model.usual(shapes).items() if word not in given}
        notes = []
        if usual:
            said = ", ".join(f"{word}={value!r}" for word, value in usual.items())
            notes.append(f"note: {_CONFIG} says {said}, as usual for {model_type}: no file says it; see --default")
        if model_type == "bert" and {**usual, **given}.get("hidden_act") == "gelu" and "hidden_act" not in self._given:
            notes.append(
                "note: hidden_act='gelu' is exact in transformers; Google's program has approximated it by tanh since 2019, "
                "which is --default hidden_act=gelu_new"
            )
        self.notes = tuple(notes)
        dtypes = {info.dtype.name for info in infos} & set(_TYPES)
        architecture = next(name for tensor, name in model.architectures if not tensor or tensor in shapes)
        config = {
            "architectures": [architecture],
            "model_type": model_type,
            **known,
            **usual,
            **given,
            **({"torch_dtype": _TYPES[dtypes.pop()]} if len(dtypes) == 1 else {}),
        }
        if heads := config.get("num_attention_heads", config.get("n_head")):
            width = int(config.get("hidden_size", config.get("n_embd", 0)))
            if not isinstance(heads, int) or heads < 1 or width % heads:
                raise InvalidArgumentError(f"{heads!r} heads do not divide a width of {width}")
        return config


def _model_type(names: Sequence[str]) -> str:
    for model_type, model in _MODELS.items():
        if model.sign in names:
            return model_type
    raise InvalidArgumentError(
        "the tensors are those of no family that can be written for transformers: none of "
        f"{', '.join(model.sign for model in _MODELS.values())} is there"
    )


def _original(beside: str, model: _Model, known: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What an original configuration file says that transformers asks for, and the file."""
    if not beside or file_io.is_remote(beside):
        return {}, ""
    directory = beside if file_io.is_directory(beside) else file_io.split(beside)[0]
    for name in model.originals:
        path = file_io.join(directory, name)
        if not file_io.exists(path):
            continue
        with contextlib.closing(file_io.open_for_reading(path)) as file:
            data = file.read(0, file.size)
        try:
            words = json.loads(data)
        except ValueError as error:
            raise DataLossError(f"{path} is not JSON: {error}") from error
        if not isinstance(words, dict):
            raise DataLossError(f"{path} is not a JSON object")
        renamed = {model.words.get(word, word): value for word, value in words.items()}
        wanted = {word: renamed[word] for word in (*model.asked, *known, "hidden_act") if word in renamed}
        if "hidden_act" in wanted and model.table == "albert-to-pytorch" and wanted["hidden_act"] == "gelu":
            wanted["hidden_act"] = "gelu_new"
        return wanted, path
    return {}, ""


def _shards(infos: Sequence[TensorInfo], number: int) -> dict[str, list[str]]:
    """The files and the tensors of each, which follow one another."""
    if number == 1:
        return {_ONE: [info.name for info in infos]}
    shards: list[list[str]] = [[]]
    total = sum(info.num_bytes for info in infos) or 1
    done = 0
    for index, info in enumerate(infos):
        left, shards_left = len(infos) - index, number - len(shards)
        if shards[-1] and shards_left and (done * number >= total * len(shards) or left <= shards_left):
            shards.append([])
        shards[-1].append(info.name)
        done += info.num_bytes
    return {f"model-{index:05d}-of-{number:05d}.safetensors": names for index, names in enumerate(shards, 1)}


def _write_json(path: str, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def open_hf(path: file_io.PathLike) -> FileSource:
    """The tensors of such a directory.

    Raises:
        MissingExtraError: The library of safetensors is not installed.
        CheckpointNotFoundError: The directory has no tensors in safetensors files.
        DataLossError: A file is damaged, or the index does not fit the files.
    """
    directory = local_path(path)
    index = file_io.join(directory, _INDEX)
    if file_io.exists(index):
        with contextlib.closing(file_io.open_for_reading(index)) as file:
            data = file.read(0, file.size)
        try:
            weight_map = json.loads(data)["weight_map"]
            files = {str(name): str(shard) for name, shard in weight_map.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataLossError(f"{index} is no index of safetensors files: {error!r}") from error
        if outside := sorted({shard for shard in files.values() if "/" in shard or shard in ("", ".", "..")}):
            raise DataLossError(f"{index} names {outside[0]!r}, which is no file of its directory")
        return _HfSource(directory, files)
    if not file_io.exists(file_io.join(directory, _ONE)):
        raise CheckpointNotFoundError(directory, looked_for=[index, file_io.join(directory, _ONE)])
    return _HfSource(directory, None)


class _HfSource(FileSource):
    def __init__(self, path: str, files: Mapping[str, str] | None) -> None:
        self._opened: dict[str, FileSource] = {}
        try:
            for shard in sorted(set(files.values())) if files is not None else [_ONE]:
                self._opened[shard] = open_safetensors(file_io.join(path, shard))
            self._files = (
                dict(files) if files is not None else dict.fromkeys(self._opened[_ONE].names, _ONE)
            )
            if lost := [name for name, shard in self._files.items() if name not in self._opened[shard]]:
                raise DataLossError(f"{path}: {self._files[lost[0]]} has no tensor {lost[0]!r}, which the index says it has")
        except BaseException:
            self.close()
            raise
        super().__init__(path, {name: self._opened[shard].content(name) for name, shard in self._files.items()})

    def close(self) -> None:
        for source in self._opened.values():
            source.close()

    def _load(self, name: str, info: TensorInfo) -> Array:
        return self._opened[self._files[name]].read(name)

    def _load_part(self, name: str, info: TensorInfo, indices: tuple[slice, ...]) -> Array:
        return self._opened[self._files[name]].read(name, indices)
