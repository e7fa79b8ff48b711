"""TensorFlow 2: weights into eager variables, modules, Keras models and optimizers."""
