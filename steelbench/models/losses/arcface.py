"""ArcFace: an additive margin on the angle between an embedding and its class's vector."""

from __future__ import annotations

import math

from keras import KerasTensor, ops

from steelbench.models.losses.pairwise import flat_labels, safe_sqrt


def arcface(labels: KerasTensor, cosines: KerasTensor, scale: float = 30.0, margin: float = 0.5) -> KerasTensor:
    """Return the cross-entropy of scaled cosines after the margin was added to the angle to the own class.

    For an angle above pi - margin the cosine of the sum would rise again, and the loss would fall with a growing angle.
    There the cosine minus margin * sin(margin) is taken instead, as in the authors' code: it goes on falling with the
    angle. For a margin above 2.33 this would be a jump upward; there 1 - cos(margin), which is larger, is subtracted,
    and the two pieces meet. Cosines may leave -1..1 by rounding, and the gradient is finite at both ends.

    Args:
        labels: int [B], class of each image, 0 to C - 1.
        cosines: float32 [B, C], of the embedding with each class's vector, both of unit norm.
        scale: positive, of the logits.
        margin: radians, 0 to less than pi; 0 gives the plain cross-entropy.

    Returns:
        float32 [B].

    Examples:
        >>> import numpy as np
        >>> cosines = np.float32([[0.6, 0.4], [0.6, 0.4]])
        >>> print(np.round(arcface([0, 1], cosines, scale=10.0, margin=0.2), 2))
        [0.56 3.92]

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
    """Return `arcface` plus the cross-entropy of the same scaled cosines without a margin, 1:1.

    Args:
        labels: int [B], class of each image, 0 to C - 1.
        cosines: float32 [B, C], of the embedding with each class's vector, both of unit norm.
        scale: positive, of the logits.
        margin: radians, 0 to less than pi.

    Returns:
        float32 [B].

    Examples:
        >>> import numpy as np
        >>> cosines = np.float32([[0.6, 0.4], [0.6, 0.4]])
        >>> print(np.round(arcface_crossentropy([0, 1], cosines, scale=10.0, margin=0.2), 2))
        [0.69 6.05]
    """
    return arcface(labels, cosines, scale, margin) + arcface(labels, cosines, scale, margin=0.0)
