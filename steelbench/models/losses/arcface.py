"""ArcFace: an additive margin on the angle between an embedding and its class's vector."""

from __future__ import annotations

import math

from keras import KerasTensor, ops

from steelbench.models.losses.pairwise import flat_labels, safe_sqrt


def arcface(labels: KerasTensor, cosines: KerasTensor, scale: float = 30.0, margin: float = 0.5) -> KerasTensor:
    """Cross-entropy of scaled cosines after the angle to the own class was widened by the margin.

    An angle beyond pi - margin would come back on the other side, and the loss would fall where it must rise. There the
    cosine itself minus margin * sin(margin) stands in, as in the authors' code: it goes on falling with the angle. For
    a margin above 2.33 that would jump up at the seam; there 1 - cos(margin) is larger, is taken, and meets it.
    Cosines may leave -1..1 by rounding, and the gradient is finite at both ends.

    Args:
        labels: int [B], class of each image, 0 to C - 1.
        cosines: float32 [B, C], of the embedding with each class's vector, both of unit norm.
        scale: positive, of the logits.
        margin: radians, 0 to less than pi; 0 gives the plain cross-entropy.

    Returns:
        float32 [B].

    References:
        Deng et al. 2019, "ArcFace", eq. 3. https://arxiv.org/abs/1801.07698
    """
    cosines = ops.cast(cosines, "float32")
    target = ops.one_hot(flat_labels(labels), cosines.shape[1], dtype="float32")
    own = ops.sum(target * cosines, axis=1, keepdims=True)
    sine = safe_sqrt((1.0 - own) * (1.0 + own))
    widened = own * math.cos(margin) - sine * math.sin(margin)
    beyond = own - max(margin * math.sin(margin), 1.0 - math.cos(margin))
    widened = ops.where(own >= -math.cos(margin), widened, beyond)
    logits = scale * ops.where(target > 0, widened, cosines)
    return ops.sum(target * -ops.log_softmax(logits, axis=1), axis=1)


def arcface_crossentropy(
    labels: KerasTensor, cosines: KerasTensor, scale: float = 30.0, margin: float = 0.5
) -> KerasTensor:
    """`arcface` plus the cross-entropy of the same scaled cosines without a margin, 1:1; arguments as there."""
    return arcface(labels, cosines, scale, margin) + arcface(labels, cosines, scale, margin=0.0)
