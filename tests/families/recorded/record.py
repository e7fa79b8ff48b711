"""Records small random models of their families' own packages: the checkpoint, and what the original graph computes of it.

    python3.7 record.py original FAMILY ...       TensorFlow 1.15.5 and the family's package
    python3.11 record.py transformers FAMILY ...  transformers 4.57.6 with its own loader of TensorFlow checkpoints

Python 3.7 needs tensorflow==1.15.5 'protobuf<3.21' 'numpy<1.19', and of the packages in PACKAGES those of the family; --no-deps
keeps them from replacing TensorFlow. FAMILY.tar.xz beside this file has

    model.ckpt.index, model.ckpt.data-00000-of-00001    as the package's variables are saved by tf.train.Saver
    the configuration                                   as the package writes it, where it does
    recorded.npz                                        what was fed, and what the graph gave for it
    transformers.json                                   hashes and outputs of what transformers loads; see `_hashed`
    versions.json                                       the packages

No two tensors are alike and no number is 0, so that any swap shows. Numbers are odd multiples of a power of two: they compress.
"""

# Python 3.7 runs this: zip() has no strict= there.
# ruff: noqa: B905
import hashlib
import importlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import types
import zlib

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = {
    "bert": ["bert-tensorflow"],
    "albert": ["albert-tensorflow"],
    "gpt2": ["gpt-2-simple"],
    "t5": ["mesh-tensorflow"],
    "resnet_v1": ["tf-slim"],
    "resnet_v2": ["tf-slim"],
    "mobilenet_v1": ["tf1-tensorflow-object-detection-api"],
    "mobilenet_v2": ["tf1-tensorflow-object-detection-api"],
    "opennmt": ["OpenNMT-tf"],
    "t2t": ["tensor2tensor"],
}


def values_of(name, shape):
    """Odd multiples of a power of two, about as large as an initializer makes them."""
    random = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
    # The largest recording has fewer different numbers.
    is_large = name.startswith("MobilenetV2") and np.prod(shape) > 200
    odd = random.randint(0, 2 if is_large else 8, shape) * 2 + 1
    last = name.rpartition("/")[2]
    if last == "moving_variance":
        return (0.5 + odd / 16).astype(np.float32)
    if last in ("gamma", "g", "scale", "layer_norm_scale"):
        return (0.75 + odd / 32).astype(np.float32)
    signs = random.randint(0, 2, shape) * 2 - 1
    if last == "depthwise_weights":
        fan_in = shape[0] * shape[1]
    else:
        fan_in = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 16
    if "embedding" in name or last in ("wte", "wpe", "w_embs") or "symbol_modality" in name:
        fan_in = 16
    power = 2.0 ** np.round(np.log2(1 / np.sqrt(fan_in)) - (1 if is_large else 3))
    return (signs * odd * power).astype(np.float32)


def pixels(*shape):
    random = np.random.RandomState(5)
    return ((random.randint(0, 16, shape) * 2 - 15) / 16).astype(np.float32)


def record_original(family):
    import tensorflow as tf

    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    folder = tempfile.mkdtemp()
    with tf.Graph().as_default():
        fed, outputs, files = globals()["original_" + family](tf)
        with tf.compat.v1.Session() as session:
            variables = tf.compat.v1.global_variables()
            for variable in variables:
                value = values_of(variable.op.name, variable.shape.as_list())
                if variable.dtype.base_dtype == tf.float32:
                    variable.load(value, session)
                else:
                    session.run(variable.initializer)
            session.run(tf.compat.v1.get_collection("to_run_first"))
            found = dict(zip(outputs, session.run(list(outputs.values()))))
            tf.compat.v1.train.Saver(variables).save(session, os.path.join(folder, "model.ckpt"), write_meta_graph=False)
    os.remove(os.path.join(folder, "checkpoint"))
    for name, text in files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    np.savez(os.path.join(folder, "recorded.npz"), **{**fed, **found})
    try:
        import importlib.metadata as metadata
    except ImportError:
        import importlib_metadata as metadata
    versions = {name: metadata.version(name) for name in ["tensorflow", "numpy", *PACKAGES[family]]}
    with open(os.path.join(folder, "versions.json"), "w") as file:
        json.dump(versions, file, indent=1)
    pack(family, folder)
    shapes = {variable.op.name: variable.shape.as_list() for variable in variables}
    print(family, len(shapes), "tensors", versions, {name: value.shape for name, value in found.items()})


def pack(family, folder):
    path = os.path.join(HERE, family + ".tar.xz")
    with tarfile.open(path, "w:xz", preset=9) as packed:
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    shutil.rmtree(folder)
    print(path, os.path.getsize(path), "bytes")


# ---- the original graphs ----


def original_bert(tf):
    from bert import modeling

    config = modeling.BertConfig(
        vocab_size=37,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        hidden_act="gelu",
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        max_position_embeddings=16,
        type_vocab_size=2,
    )
    fed, model, words = _of_words(tf, modeling, modeling.BertModel, config, "bert.run_pretraining")
    pretraining = importlib.import_module("bert.run_pretraining")
    _, _, order = pretraining.get_next_sentence_output(config, model.get_pooled_output(), tf.constant([0, 1]))
    outputs = {"hidden": model.get_sequence_output(), "pooled": model.get_pooled_output()}
    outputs.update(word_log_probs=words, order_log_probs=order)
    return fed, outputs, {"bert_config.json": config.to_json_string()}


def original_albert(tf):
    from albert import modeling

    config = modeling.AlbertConfig(
        vocab_size=37,
        embedding_size=6,
        hidden_size=8,
        num_hidden_layers=4,
        num_hidden_groups=2,
        num_attention_heads=2,
        intermediate_size=20,
        inner_group_num=2,
        hidden_act="gelu",
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        max_position_embeddings=16,
        type_vocab_size=2,
    )
    fed, model, words = _of_words(tf, modeling, modeling.AlbertModel, config, "albert.run_pretraining")
    pretraining = importlib.import_module("albert.run_pretraining")
    _, _, order = pretraining.get_sentence_order_output(config, model.get_pooled_output(), tf.constant([0, 1]))
    outputs = {"hidden": model.get_sequence_output(), "pooled": model.get_pooled_output()}
    outputs.update(word_log_probs=words, order_log_probs=order)
    return fed, outputs, {"albert_config.json": config.to_json_string()}


def _of_words(tf, modeling, kind, config, pretraining):
    """What is fed to a BERT, the model, and its words."""
    ids = np.array([[1, 5, 9, 2, 36, 7], [3, 3, 11, 30, 8, 21]], np.int32)
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], np.int32)
    types = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1]], np.int32)
    model = kind(
        config=config,
        is_training=False,
        input_ids=tf.constant(ids),
        input_mask=tf.constant(mask),
        token_type_ids=tf.constant(types),
        use_one_hot_embeddings=False,
    )
    positions = np.tile(np.arange(6, dtype=np.int32), (2, 1))
    _, _, words = importlib.import_module(pretraining).get_masked_lm_output(
        config,
        model.get_sequence_output(),
        model.get_embedding_table(),
        tf.constant(positions),
        tf.constant(ids),
        tf.ones([2, 6]),
    )
    fed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    return fed, model, tf.reshape(words, [2, 6, 37])


def original_gpt2(tf):
    # The package's own __init__ asks for programs that the model does not.
    spec = importlib.util.find_spec("gpt_2_simple")
    path = os.path.join(spec.submodule_search_locations[0], "src", "model.py")
    spec = importlib.util.spec_from_file_location("gpt2_model", path)
    model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)
    sizes = {"n_vocab": 41, "n_ctx": 12, "n_embd": 8, "n_head": 2, "n_layer": 2}
    hparams = model.default_hparams()
    hparams.override_from_dict(sizes)
    ids = np.array([[4, 40, 2, 9, 17], [8, 8, 1, 0, 33]], np.int32)
    logits = model.model(hparams=hparams, X=tf.constant(ids))["logits"]
    return {"input_ids": ids}, {"logits": logits}, {"hparams.json": json.dumps(sizes)}


def original_t5(tf):
    # Only the package's pipelines of data ask for it.
    sys.modules.setdefault("tensorflow_datasets", types.ModuleType("tensorflow_datasets"))
    import mesh_tensorflow as mtf
    from mesh_tensorflow.transformer import transformer, transformer_layers

    def stack(is_decoder):
        options = {"num_heads": 2, "key_value_size": 3}
        relative = {"relative_attention_type": "bias_shared", "relative_attention_num_buckets": 6}
        layers = [[transformer_layers.SelfAttention, {**options, **relative}]]
        if is_decoder:
            layers.append([transformer_layers.EncDecAttention, dict(options)])
        layers.append([transformer_layers.DenseReluDense, {"hidden_size": 20}])
        return transformer.make_layer_stack(layers=layers, num_layers=2)

    def side(is_decoder):
        return transformer.Unitransformer(
            layer_stack=stack(is_decoder),
            d_model=8,
            input_vocab_size=40,
            output_vocab_size=40 if is_decoder else None,
            autoregressive=is_decoder,
            max_length=16,
            shared_embedding_and_softmax_weights=is_decoder,
            name="decoder" if is_decoder else "encoder",
            vocab_divisor=8,
            positional_embedding=False,
        )

    model = transformer.Bitransformer(side(False), side(True), shared_embedding=True)
    ids = np.array([[5, 9, 2, 33, 7, 12, 1], [3, 30, 11, 30, 8, 21, 1]], np.int32)
    targets = np.array([[6, 17, 4, 39, 1], [25, 2, 31, 10, 1]], np.int32)
    graph = mtf.Graph()
    mesh = mtf.Mesh(graph, "mesh")
    batch = mtf.Dimension("batch", 2)
    logits, _ = model.call_simple(
        mtf.import_tf_tensor(mesh, ids, mtf.Shape([batch, mtf.Dimension("length", 7)])),
        mtf.import_tf_tensor(mesh, targets, mtf.Shape([batch, mtf.Dimension("length", 5)])),
        False,
        mode="eval",
    )
    implementation = mtf.placement_mesh_impl.PlacementMeshImpl(mtf.Shape([]), mtf.LayoutRules([]), [""])
    lowering = mtf.Lowering(graph, {mesh: implementation})
    tf.compat.v1.add_to_collection("to_run_first", lowering.copy_masters_to_slices())
    return {"input_ids": ids, "labels": targets}, {"logits": lowering.export_to_tf_tensor(logits)}, {}


def original_resnet_v1(tf):
    from tf_slim.nets import resnet_v1 as nets

    return _resnet(tf, nets, nets.resnet_v1, nets.resnet_v1_block, "resnet_v1_50")


def original_resnet_v2(tf):
    from tf_slim.nets import resnet_v2 as nets

    return _resnet(tf, nets, nets.resnet_v2, nets.resnet_v2_block, "resnet_v2_50")


def _resnet(tf, nets, network, block, scope):
    import tf_slim as slim

    images = pixels(2, 65, 65, 3)
    blocks = [
        block("block1", base_depth=4, num_units=2, stride=2),
        block("block2", base_depth=6, num_units=3, stride=2),
        block("block3", base_depth=8, num_units=2, stride=2),
        block("block4", base_depth=10, num_units=2, stride=1),
    ]
    with slim.arg_scope(nets.resnet_arg_scope()):
        logits, ends = network(tf.constant(images), blocks, num_classes=7, is_training=False, scope=scope)
    last = [name for name in ends if name.endswith("block4")]
    return {"images": images}, {"logits": tf.squeeze(logits, [1, 2]), "features": ends[last[0]]}, {}


def original_mobilenet_v1(tf):
    import tf_slim as slim
    from nets import mobilenet_v1 as nets

    images = pixels(2, 64, 64, 3)
    with slim.arg_scope(nets.mobilenet_v1_arg_scope(is_training=False)):
        logits, _ = nets.mobilenet_v1(
            tf.constant(images), num_classes=7, is_training=False, depth_multiplier=0.125, min_depth=1, global_pool=True
        )
    return {"images": images}, {"logits": logits}, {}


def original_mobilenet_v2(tf):
    import tf_slim as slim
    from nets.mobilenet import mobilenet_v2 as nets

    images = pixels(2, 64, 64, 3)
    with slim.arg_scope(nets.training_scope(is_training=False)):
        logits, _ = nets.mobilenet(
            tf.constant(images),
            num_classes=7,
            depth_multiplier=0.3,
            finegrain_classification_mode=True,
        )
    return {"images": images}, {"logits": logits}, {}


def original_opennmt(tf):
    import opennmt
    from opennmt.layers.position import SinusoidalPositionEncoder

    entered = []

    class Encoder(SinusoidalPositionEncoder):
        def __call__(self, inputs, *arguments, **options):
            outputs = super().__call__(inputs, *arguments, **options)
            entered.append((inputs, outputs))
            return outputs

    folder = tempfile.mkdtemp()
    files = {}
    for name, size in (("source", 23), ("target", 19)):
        files[name] = os.path.join(folder, name)
        with open(files[name], "w") as file:
            file.write("".join(name + str(number) + "\n" for number in range(size - 1)))
    model = opennmt.models.Transformer(
        source_inputter=opennmt.inputters.WordEmbedder("source", embedding_size=8),
        target_inputter=opennmt.inputters.WordEmbedder("target", embedding_size=8),
        num_layers=2,
        num_units=8,
        num_heads=2,
        ffn_inner_dim=12,
        position_encoder=Encoder(),
    )
    model.initialize(files)
    ids = np.array([[4, 22, 7, 1, 9], [3, 5, 5, 11, 20]], np.int64)
    targets = np.array([[6, 17, 4, 18], [2, 9, 11, 10]], np.int64)
    features = {"ids": tf.constant(ids), "length": tf.constant([5, 5])}
    labels = {"ids": tf.constant(targets), "ids_out": tf.constant(targets), "length": tf.constant([4, 4])}
    outputs, _ = model(features, labels, {}, tf.estimator.ModeKeys.EVAL)
    shutil.rmtree(folder)
    found = {"logits": outputs["logits"] if isinstance(outputs, dict) else outputs}
    for (inputs, encoded), word in zip(entered, ("source", "target")):
        found[word + "_scaled"], found[word + "_entered"] = inputs, encoded
    return {"source_ids": ids, "target_ids": targets}, found, {}


def original_t2t(tf):
    import tensor2tensor

    # The package of all models asks for programs that this one does not.
    package = types.ModuleType("tensor2tensor.models")
    package.__path__ = [os.path.join(os.path.dirname(tensor2tensor.__file__), "models")]
    sys.modules["tensor2tensor.models"] = package
    from tensor2tensor.data_generators import problem_hparams
    from tensor2tensor.models import transformer

    hparams = transformer.transformer_tiny()
    hparams.hidden_size = 8
    hparams.filter_size = 12
    hparams.num_heads = 2
    hparams.num_hidden_layers = 2
    # The vocabulary is divided among as many variables.
    hparams.symbol_modality_num_shards = 12
    parameters = problem_hparams.test_problem_hparams(26, 26, hparams)
    hparams.problem_hparams = parameters
    ids = np.array([[4, 22, 7, 1, 9], [3, 5, 5, 11, 20]], np.int32)
    targets = np.array([[6, 17, 4, 18], [2, 9, 11, 10]], np.int32)
    model = transformer.Transformer(hparams, tf.estimator.ModeKeys.EVAL, parameters)
    found = {}

    def watched(function, word):
        def called(inputs, *arguments, **options):
            outputs = function(inputs, *arguments, **options)
            found[word + "_entered"], found[word + "_left"] = inputs, outputs
            return outputs

        return called

    model._encoder_function = watched(model._encoder_function, "source")
    model._decoder_function = watched(model._decoder_function, "target")
    features = {
        "inputs": tf.constant(ids[:, :, None, None]),
        "targets": tf.constant(targets[:, :, None, None]),
        "target_space_id": tf.constant(1, tf.int32),
    }
    logits, _ = model(features)
    found["logits"] = tf.squeeze(logits, [2, 3])
    return {"source_ids": ids, "target_ids": targets}, found, {}


# ---- what transformers loads of the same checkpoint ----


def record_transformers(family):
    import torch
    import transformers

    folder = tempfile.mkdtemp()
    with tarfile.open(os.path.join(HERE, family + ".tar.xz")) as packed:
        packed.extractall(folder, filter="data")
    recorded = np.load(os.path.join(folder, "recorded.npz"))
    prefix = os.path.join(folder, "model.ckpt")
    with torch.no_grad():
        model, outputs = globals()["transformers_" + family](torch, transformers, prefix, recorded)
    state = model.state_dict()
    found = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "tensors": {name: _hashed(tensor.numpy()) for name, tensor in sorted(state.items())},
        "outputs": {name: tensor.numpy().tolist() for name, tensor in outputs.items()},
    }
    with open(os.path.join(folder, "transformers.json"), "w") as file:
        json.dump(found, file)
    for name, tensor in outputs.items():
        print(family, name, float(np.abs(tensor.numpy() - recorded[name]).max()))
    pack(family, folder)


def _hashed(array):
    """Type, shape and hash of the elements in C order."""
    return [str(array.dtype), list(array.shape), hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]


def transformers_bert(torch, transformers, prefix, recorded):
    from transformers.models.bert.modeling_bert import load_tf_weights_in_bert

    with open(os.path.join(os.path.dirname(prefix), "bert_config.json")) as file:
        words = json.load(file)
    # The package's gelu is the approximation by tanh.
    words.update(hidden_act="gelu_new", layer_norm_eps=1e-12)
    config = transformers.BertConfig(**words)
    model = transformers.BertForPreTraining(config).eval()
    load_tf_weights_in_bert(model, config, prefix)
    model.tie_weights()
    return model, outputs_bert(torch, model, recorded)


def outputs_bert(torch, model, recorded):
    fed = {name: torch.from_numpy(recorded[name]).long() for name in ("input_ids", "attention_mask", "token_type_ids")}
    base, heads = model.bert(**fed), model(**fed)
    return {
        "hidden": base.last_hidden_state,
        "pooled": base.pooler_output,
        "word_log_probs": torch.log_softmax(heads.prediction_logits, -1),
        "order_log_probs": torch.log_softmax(heads.seq_relationship_logits, -1),
    }


def transformers_albert(torch, transformers, prefix, recorded):
    from transformers.models.albert.modeling_albert import load_tf_weights_in_albert

    with open(os.path.join(os.path.dirname(prefix), "albert_config.json")) as file:
        words = json.load(file)
    words.update(hidden_act="gelu_new", layer_norm_eps=1e-12)
    config = transformers.AlbertConfig(**words)
    model = transformers.AlbertForPreTraining(config).eval()
    load_tf_weights_in_albert(model, config, prefix)
    model.tie_weights()
    return model, outputs_albert(torch, model, recorded)


def outputs_albert(torch, model, recorded):
    fed = {name: torch.from_numpy(recorded[name]).long() for name in ("input_ids", "attention_mask", "token_type_ids")}
    base, heads = model.albert(**fed), model(**fed)
    return {
        "hidden": base.last_hidden_state,
        "pooled": base.pooler_output,
        "word_log_probs": torch.log_softmax(heads.prediction_logits, -1),
        "order_log_probs": torch.log_softmax(heads.sop_logits, -1),
    }


def transformers_gpt2(torch, transformers, prefix, recorded):
    from transformers.models.gpt2.modeling_gpt2 import load_tf_weights_in_gpt2

    config = transformers.GPT2Config(vocab_size=41, n_positions=12, n_embd=8, n_head=2, n_layer=2)
    model = transformers.GPT2LMHeadModel(config).eval()
    load_tf_weights_in_gpt2(model.transformer, config, prefix)
    model.tie_weights()
    return model, outputs_gpt2(torch, model, recorded)


def outputs_gpt2(torch, model, recorded):
    return {"logits": model(torch.from_numpy(recorded["input_ids"]).long()).logits}


def transformers_t5(torch, transformers, prefix, recorded):
    from transformers.models.t5.modeling_t5 import load_tf_weights_in_t5

    config = transformers.T5Config(
        vocab_size=40,
        d_model=8,
        d_kv=3,
        d_ff=20,
        num_layers=2,
        num_heads=2,
        relative_attention_num_buckets=6,
        decoder_start_token_id=0,
    )
    model = transformers.T5ForConditionalGeneration(config).eval()
    load_tf_weights_in_t5(model, config, prefix)
    model.tie_weights()
    return model, outputs_t5(torch, model, recorded)


def outputs_t5(torch, model, recorded):
    ids, labels = (torch.from_numpy(recorded[name]).long() for name in ("input_ids", "labels"))
    return {"logits": model(input_ids=ids, labels=labels).logits}


def transformers_mobilenet_v1(torch, transformers, prefix, recorded):
    from transformers.models.mobilenet_v1.modeling_mobilenet_v1 import load_tf_weights_in_mobilenet_v1

    config = transformers.MobileNetV1Config(depth_multiplier=0.125, min_depth=1, num_labels=7, image_size=64)
    model = transformers.MobileNetV1ForImageClassification(config).eval()
    load_tf_weights_in_mobilenet_v1(model, config, prefix)
    return model, outputs_mobilenet_v1(torch, model, recorded)


def transformers_mobilenet_v2(torch, transformers, prefix, recorded):
    from transformers.models.mobilenet_v2.modeling_mobilenet_v2 import load_tf_weights_in_mobilenet_v2

    config = transformers.MobileNetV2Config(depth_multiplier=0.3, num_labels=7, image_size=64)
    model = transformers.MobileNetV2ForImageClassification(config).eval()
    load_tf_weights_in_mobilenet_v2(model, config, prefix)
    return model, outputs_mobilenet_v1(torch, model, recorded)


def outputs_mobilenet_v1(torch, model, recorded):
    return {"logits": model(torch.from_numpy(recorded["images"]).permute(0, 3, 1, 2)).logits}


outputs_mobilenet_v2 = outputs_mobilenet_v1

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    for each in sys.argv[2:]:
        {"original": record_original, "transformers": record_transformers}[sys.argv[1]](each)
