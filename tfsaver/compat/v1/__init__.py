"""What replaces `tf.compat.v1`: ``from tfsaver.compat.v1 import train``, then `train.Saver` and its companions."""
