"""Records small checkpoints of real optimizers, each with what its program says of its variables.

    python3.7 record.py FOLDER           TensorFlow 1.15.5, tensor2tensor 1.15.7, OpenNMT-tf 1.25.3
    python record.py FOLDER              TensorFlow 2.21, Keras 3, tf_keras
    python record.py --pack FOLDER       recorded.tar.xz, which the tests read

A row has model.ckpt.index, model.ckpt.data-00000-of-00001, in graphs model.ckpt.meta, and expected.json: the names of the
weights, averages and statistics, of the optimizer's variables (`optimizer.variables()`), and of all others.
"""

# Python 3.7 runs this: zip() has no strict= there.
# ruff: noqa: B905, BLE001
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import warnings

WRITTEN = ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "model.ckpt.meta", "expected.json")


def pack(folder):
    """Packs all rows, file kind by file kind: what is alike compresses best side by side."""
    with tarfile.open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded.tar.xz"), "w:xz", preset=9) as packed:
        for kind in WRITTEN:
            for row in sorted(os.listdir(folder)):
                path = os.path.join(folder, row, kind)
                if os.path.exists(path):
                    with open(path, "rb") as file:
                        data = file.read()
                    info = tarfile.TarInfo(row + "/" + kind)
                    info.size = len(data)
                    packed.addfile(info, io.BytesIO(data))


if sys.argv[1] == "--pack":
    pack(sys.argv[2])
    sys.exit()

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
warnings.simplefilter("ignore")
import tensorflow as tf  # noqa: E402

FOLDER = sys.argv[1]


def keep(row, folder, expected):
    """Keeps what a program wrote as a row."""
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump({kind: sorted(names) for kind, names in expected.items()}, file, indent=1)
    shutil.rmtree(os.path.join(FOLDER, row), ignore_errors=True)
    os.makedirs(os.path.join(FOLDER, row))
    for name in WRITTEN:
        if os.path.exists(os.path.join(folder, name)):
            shutil.copy(os.path.join(folder, name), os.path.join(FOLDER, row))
    shutil.rmtree(folder)
    print(row, {kind: len(names) for kind, names in expected.items()})


# TensorFlow 1.15: rows of (optimizer, its arguments), each minimizing one small network in a graph of its own.


def network(use_resource=True, partitions=None, is_sparse=True):
    """A loss; with a square matrix, equal vectors, a batch normalization and an embedding."""
    partitioner = None if partitions is None else tf.fixed_size_partitioner(partitions)
    with tf.variable_scope("net", use_resource=use_resource, partitioner=partitioner):
        table = tf.get_variable("embedding/table", [6, 4])
        if is_sparse:
            x = tf.reduce_mean(tf.nn.embedding_lookup(table, tf.constant([[1, 2], [3, 5]])), axis=1)
        else:
            x = tf.matmul(tf.one_hot([1, 5], 6), table)
        for name in ("first", "second"):
            with tf.variable_scope(name):
                kernel, bias = tf.get_variable("kernel", [4, 4]), tf.get_variable("bias", [4], initializer=tf.zeros_initializer())
                x = tf.nn.relu(tf.matmul(x, kernel) + bias)
        with tf.variable_scope("head"):
            gamma = tf.get_variable("gamma", [4], initializer=tf.ones_initializer())
            with tf.variable_scope(tf.get_variable_scope(), partitioner=None) as scope:
                scope.set_partitioner(None)
                mean = tf.get_variable("moving_mean", [4], trainable=False, initializer=tf.zeros_initializer())
            x = (x - mean) * gamma
            kernel, bias = tf.get_variable("kernel", [4, 3]), tf.get_variable("bias", [3], initializer=tf.zeros_initializer())
            logits = tf.matmul(x, kernel) + bias
            update = tf.assign(mean, mean * 0.9 + 0.1 * tf.reduce_mean(x, axis=0))
    tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, update)
    return tf.reduce_mean(tf.square(logits))


def record_graph(row, build):
    """Records a graph: `build` returns the variables of the optimizer and those of averages."""
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        optimizer, averages = build()
        expected = {
            "weights": {v.op.name for v in tf.trainable_variables()},
            "averages": set(averages),
            "optimizer": set(optimizer),
        }
        others = {v.op.name for v in tf.global_variables()}.difference(*expected.values())
        expected["statistics"] = {name for name in others if "moving_" in name}
        expected["others"] = others - expected["statistics"]
        # What a variable in parts is saved as.
        parts = {v.op.name: v._save_slice_info.full_name for v in tf.global_variables() if v._save_slice_info is not None}
        expected = {kind: {parts.get(name, name) for name in names} for kind, names in expected.items()}
        folder = tempfile.mkdtemp()
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"), strip_default_attrs=True)
    keep(row, folder, expected)


def minimizing(make, use_resource=True, partitions=None, average=None, in_scope=None, is_sparse=True):
    def build():
        loss = network(use_resource, partitions, is_sparse)
        step = tf.train.get_or_create_global_step()
        before = {v.op.name for v in tf.global_variables()}
        optimizer = make()
        with tf.variable_scope(in_scope) if in_scope else tf.name_scope("train"):
            if average is None:
                optimizer.minimize(loss, global_step=step)
                averages = set()
            else:
                ema = tf.train.ExponentialMovingAverage(0.9, step, name=average)
                with tf.control_dependencies([optimizer.minimize(loss, global_step=step)]):
                    ema.apply(tf.trainable_variables())
                averages = {ema.average(v).op.name for v in tf.trainable_variables()}
        # A wrapper lists its own variables alone, or none.
        kept = {v.op.name for v in optimizer.variables()} if hasattr(optimizer, "_non_slot_dict") else set()
        return kept | {v.op.name for v in tf.global_variables()} - before - averages, averages

    return build


def two_optimizers():
    losses = []
    for scope in ("generator", "critic"):
        with tf.variable_scope(scope):
            losses.append(network())
    step = tf.train.get_or_create_global_step()
    before = {v.op.name for v in tf.global_variables()}
    for scope, loss in zip(("generator", "critic"), losses):
        tf.train.AdamOptimizer(1e-3, name=scope[0] + "_opt").minimize(loss, step, tf.trainable_variables(scope))
    return {v.op.name for v in tf.global_variables()} - before, set()


def accumulating():
    """As the programs around BERT accumulate gradients: a variable next to each, under one scope."""
    loss = network()
    step = tf.train.get_or_create_global_step()
    before = {v.op.name for v in tf.global_variables()}
    weights = tf.trainable_variables()
    gradients = tf.gradients(loss, weights)
    with tf.variable_scope("accum_vars"):
        sums = [tf.get_variable(v.op.name, v.shape, trainable=False) for v in weights]
    local_step = tf.get_variable("local_step", [], tf.int32, trainable=False)
    with tf.control_dependencies([tf.assign_add(s, tf.convert_to_tensor(g)) for s, g in zip(sums, gradients)]):
        tf.train.AdamOptimizer(1e-3, name="bert_adam").apply_gradients(list(zip(sums, weights)), step)
        tf.assign_add(local_step, 1)
    return {v.op.name for v in tf.global_variables()} - before, set()


def optimized_loss():
    loss = network()
    step = tf.train.get_or_create_global_step()
    before = {v.op.name for v in tf.global_variables()}
    tf.contrib.layers.optimize_loss(loss, step, 1e-3, "Adam")
    return {v.op.name for v in tf.global_variables()} - before, set()


def linear_estimator():
    column = tf.feature_column.categorical_column_with_hash_bucket
    features = {"city": tf.constant([["a"], ["b"]]), "age": tf.constant([[1.0], [2.0]])}
    columns = [column("city", 40), tf.feature_column.numeric_column("age")]
    tf.train.get_or_create_global_step()
    net = tf.estimator.LinearClassifier(columns, partitioner=tf.fixed_size_partitioner(2))
    spec = net._model_fn(features, tf.constant([[0], [1]]), tf.estimator.ModeKeys.TRAIN, None)
    assert spec.loss is not None
    weights = {v.op.name for v in tf.trainable_variables()}
    step = {tf.train.get_global_step().op.name}
    return {v.op.name for v in tf.global_variables()} - weights - step, set()


def keras_in_graph(optimizer):
    def build():
        model = tf.keras.Sequential(
            [tf.keras.layers.Dense(4, input_shape=(4,)), tf.keras.layers.BatchNormalization(), tf.keras.layers.Dense(4)]
        )
        model.compile(optimizer(), "mse")
        model._make_train_function()
        return {v.op.name for v in model.optimizer.weights}, set()

    return build


def tensorflow_1():
    tf.logging.set_verbosity(tf.logging.ERROR)
    train, contrib = tf.train, tf.contrib.opt
    from opennmt.optimizers import adafactor as onmt_adafactor
    from opennmt.optimizers import multistep_adam as onmt_multistep
    from tensor2tensor.utils import adafactor as t2t_adafactor
    from tensor2tensor.utils import multistep_with_adamoptimizer as t2t_multistep

    def loss_scaled():
        from tensorflow.contrib.mixed_precision import ExponentialUpdateLossScaleManager, LossScaleOptimizer

        return LossScaleOptimizer(train.AdamOptimizer(1e-3), ExponentialUpdateLossScaleManager(1024.0, 100))

    def rewritten():
        from tensorflow.python.training.experimental import loss_scale_optimizer

        return loss_scale_optimizer.MixedPrecisionLossScaleOptimizer(train.AdamOptimizer(1e-3, name="fp16"), "dynamic")

    rows = {
        "adam": minimizing(lambda: train.AdamOptimizer()),
        "adam_named": minimizing(lambda: train.AdamOptimizer(name="g_adam"), use_resource=False),
        "adam_named_and_averages": minimizing(lambda: train.AdamOptimizer(name="solver"), average="polyak"),
        "adam_in_scope": minimizing(lambda: train.AdamOptimizer(name="trainer"), in_scope="training"),
        "adam_partitioned": minimizing(lambda: train.AdamOptimizer(name="opt"), partitions=2),
        "two_adams": two_optimizers,
        "accumulated_gradients": accumulating,
        "optimize_loss": optimized_loss,
        "linear_estimator": linear_estimator,
        "momentum_named": minimizing(lambda: train.MomentumOptimizer(0.1, 0.9, name="sgd_with_momentum")),
        "momentum_unlike_any": minimizing(lambda: train.MomentumOptimizer(0.1, 0.9, name="phase_two")),
        "momentum_and_averages": minimizing(lambda: train.MomentumOptimizer(0.1, 0.9), average="ExponentialMovingAverage"),
        "rmsprop_centered_named": minimizing(lambda: train.RMSPropOptimizer(0.1, centered=True, name="actor")),
        "adagrad": minimizing(lambda: train.AdagradOptimizer(0.1)),
        "adagrad_da": minimizing(lambda: train.AdagradDAOptimizer(0.1, tf.train.get_global_step()), use_resource=False),
        "adadelta_named": minimizing(lambda: train.AdadeltaOptimizer(name="delta")),
        "ftrl_named": minimizing(lambda: train.FtrlOptimizer(0.1, name="wide")),
        "adamax_named": minimizing(lambda: contrib.AdaMaxOptimizer(name="infinity")),
        "lazy_adam": minimizing(lambda: contrib.LazyAdamOptimizer(name="LazyAdam")),
        "nadam": minimizing(lambda: contrib.NadamOptimizer(name="Nadam")),
        "adam_w": minimizing(lambda: contrib.AdamWOptimizer(0.01)),
        "add_sign": minimizing(lambda: contrib.AddSignOptimizer(), is_sparse=False),
        "power_sign": minimizing(lambda: contrib.PowerSignOptimizer(), is_sparse=False),
        "lars": minimizing(lambda: contrib.LARSOptimizer(0.1)),
        "shampoo": minimizing(lambda: contrib.ShampooOptimizer(tf.train.get_global_step())),
        "shampoo_named": minimizing(lambda: contrib.ShampooOptimizer(tf.train.get_global_step(), name="preconditioned")),
        "ggt": minimizing(lambda: contrib.GGTOptimizer(window=3), is_sparse=False),
        "loss_scale_contrib": minimizing(loss_scaled),
        "loss_scale": minimizing(rewritten),
        "t2t_adafactor": minimizing(lambda: t2t_adafactor.AdafactorOptimizer(beta1=0.9, learning_rate=0.1)),
        "t2t_adafactor_named": minimizing(lambda: t2t_adafactor.AdafactorOptimizer(learning_rate=0.1, name="factored")),
        "t2t_multistep_adam": minimizing(lambda: t2t_multistep.MultistepAdamOptimizer(n=2)),
        "opennmt_adafactor_named": minimizing(lambda: onmt_adafactor.AdafactorOptimizer(learning_rate=0.1, name="nmt")),
        "opennmt_multistep_adam_named": minimizing(lambda: onmt_multistep.MultistepAdamOptimizer(n=2, name="slow"), is_sparse=False),
        "keras_adam_in_graph": keras_in_graph(lambda: tf.keras.optimizers.Adam(amsgrad=True)),
        "keras_adam_named_in_graph": keras_in_graph(lambda: tf.keras.optimizers.Adam(name="fine_tuning")),
        "keras_rmsprop_named_in_graph": keras_in_graph(lambda: tf.keras.optimizers.RMSprop(name="r", momentum=0.9)),
    }
    for row, build in rows.items():
        try:
            record_graph(row, build)
        except Exception as error:
            print("FAILED", row, type(error).__name__, str(error)[:300])


# TensorFlow 2: rows of (Keras, optimizer), saved as objects.


def record_objects(row, library, make, compiled=True):
    model = library.Sequential(
        [library.Input((4,)), library.layers.Dense(4), library.layers.BatchNormalization(), library.layers.Dense(4)]
    )
    optimizer = make(library.optimizers)
    if compiled:
        model.compile(optimizer, "mse", metrics=["mae"])
        model.fit(tf.ones((2, 4)), tf.ones((2, 4)), verbose=0)
    else:
        optimizer.build(model.trainable_variables)
    trackables = {"model": model} if compiled else {"model": model, "optimizer": optimizer}
    variables = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    averages = list(getattr(optimizer, "_model_variables_moving_average", ()) or ())
    groups = {
        "weights": model.trainable_variables,
        "averages": averages,
        "optimizer": [v for v in variables if not any(v is average for average in averages)],
        "statistics": [v for v in model.non_trainable_variables if "moving_" in getattr(v, "path", v.name)],
    }
    # Each variable gets a number of its own, by which its key is known.
    kinds = {}
    for kind, members in groups.items():
        for variable in members:
            number = 100 + len(kinds)
            variable.assign(tf.cast(tf.fill(variable.shape, number), variable.dtype))
            kinds[number] = kind
    folder = tempfile.mkdtemp()
    tf.train.Checkpoint(**trackables).write(os.path.join(folder, "model.ckpt"))
    reader = tf.train.load_checkpoint(os.path.join(folder, "model.ckpt"))
    expected = {kind: set() for kind in (*groups, "others")}
    for key in reader.get_variable_to_shape_map():
        value = reader.get_tensor(key)
        number = int(value.flat[0]) if hasattr(value, "flat") and value.dtype.kind in "iuf" else value
        expected[kinds.get(number, "others")].add(key)
    assert sum(map(len, expected.values())) >= len(kinds), "a variable is not in the checkpoint"
    keep(row, folder, expected)


def tensorflow_2():
    import keras

    rows = {
        "keras3_adam": (keras, lambda o: o.Adam()),
        "keras3_adamw_named": (keras, lambda o: o.AdamW(name="fine_tuning")),
        "keras3_adam_averages": (keras, lambda o: o.Adam(use_ema=True)),
        "keras3_sgd": (keras, lambda o: o.SGD(momentum=0.9)),
        "keras3_rmsprop_named": (keras, lambda o: o.RMSprop(centered=True, momentum=0.5, name="r")),
        "keras3_adafactor": (keras, lambda o: o.Adafactor()),
        "keras3_lion_named": (keras, lambda o: o.Lion(name="cat")),
        "keras3_ftrl": (keras, lambda o: o.Ftrl()),
        "keras3_nadam": (keras, lambda o: o.Nadam()),
        "keras3_loss_scale": (keras, lambda o: o.LossScaleOptimizer(o.Adam())),
        "keras3_muon": (keras, lambda o: o.Muon()),
    }
    try:
        import tf_keras
    except ImportError:
        print("FAILED tf_keras is not there")
    else:
        rows.update(
            {
                "tf_keras_adam": (tf_keras, lambda o: o.Adam()),
                "tf_keras_adamw_named": (tf_keras, lambda o: o.AdamW(name="fine_tuning")),
                "tf_keras_adam_averages": (tf_keras, lambda o: o.Adam(use_ema=True)),
                "tf_keras_legacy_adam": (tf_keras, lambda o: o.legacy.Adam(amsgrad=True)),
                "tf_keras_legacy_sgd_named": (tf_keras, lambda o: o.legacy.SGD(0.1, momentum=0.9, name="g")),
                "tf_keras_legacy_ftrl": (tf_keras, lambda o: o.legacy.Ftrl()),
                "tf_keras_lion": (tf_keras, lambda o: o.Lion()),
                "tf_keras_sgd": (tf_keras, lambda o: o.SGD(momentum=0.9)),
                "tf_keras_rmsprop": (tf_keras, lambda o: o.RMSprop(momentum=0.5, centered=True)),
                "tf_keras_adagrad": (tf_keras, lambda o: o.Adagrad()),
                "tf_keras_nadam": (tf_keras, lambda o: o.Nadam()),
                "tf_keras_adafactor": (tf_keras, lambda o: o.Adafactor()),
                "tf_keras_loss_scale": (tf_keras, lambda o: tf_keras.mixed_precision.LossScaleOptimizer(o.Adam())),
                "tf_keras_legacy_rmsprop": (tf_keras, lambda o: o.legacy.RMSprop(momentum=0.5, centered=True)),
                "tf_keras_legacy_adagrad": (tf_keras, lambda o: o.legacy.Adagrad()),
                "tf_keras_legacy_nadam": (tf_keras, lambda o: o.legacy.Nadam()),
                "tf_keras_legacy_loss_scale": (
                    tf_keras,
                    lambda o: tf_keras.mixed_precision.LossScaleOptimizer(o.legacy.Adam()),
                ),
            }
        )
    for row, (library, make) in rows.items():
        for compiled in (True, False):
            if not compiled and "legacy" in row:
                continue
            try:
                record_objects(row + ("" if compiled else "_alone"), library, make, compiled)
            except Exception as error:
                print("FAILED", row, type(error).__name__, str(error)[:300])


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    (tensorflow_1 if tf.__version__.startswith("1.") else tensorflow_2)()
