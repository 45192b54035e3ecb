"""What pytorch-metric-learning says of the batches: each loss with its default reducer, and element by element."""

import numpy as np
import pytorch_metric_learning
import torch
from batches import ANGLE, MARGIN, SCALE, TEMPERATURE, batches, class_vectors, numbers, pairs, write
from pytorch_metric_learning.losses import ArcFaceLoss, ContrastiveLoss, SupConLoss, TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import DoNothingReducer


def elements(loss, embeddings, labels, mined=None):
    """The losses before any reduction, and the indices that they belong to."""
    loss.reducer = DoNothingReducer()
    return loss(embeddings, labels, mined)["loss"]


def triplets(embeddings, labels, miner=None, **options):
    """Default reduction, how many triplets cost something, and each anchor's mean over its triplets (0 without any)."""
    mined = miner(embeddings, labels) if miner else None
    found = elements(TripletMarginLoss(**options), embeddings, labels, mined)
    anchors, values = found["indices"][0].numpy(), found["losses"].numpy()
    each = [values[anchors == anchor] for anchor in range(len(labels))]
    return {
        "reduced": numbers(TripletMarginLoss(**options)(embeddings, labels, mined)),
        "costly": int(np.count_nonzero(values)),
        "values": numbers([part.mean() if len(part) else 0.0 for part in each]),
    }


def arcface(embeddings, labels):
    """Default reduction, the cosines that the loss computed, and the value of each image."""
    vectors = class_vectors()
    loss = ArcFaceLoss(len(vectors), embeddings.shape[1], margin=float(np.degrees(ANGLE)), scale=SCALE)
    with torch.no_grad():
        loss.W.copy_(torch.from_numpy(vectors.T))
        return {
            "labels": labels.tolist(),
            "cosines": numbers(loss.get_cosine(embeddings)),
            "scale": SCALE,
            "margin": ANGLE,
            "reduced": numbers(loss(embeddings, labels)),
            "values": numbers(elements(loss, embeddings, labels)["losses"]),
        }


cases = {}
for name, (classes, array) in batches().items():
    embeddings, labels = torch.from_numpy(array), torch.tensor(classes)
    hard = BatchHardMiner()
    cases[name] = {
        "labels": classes,
        "embeddings": numbers(array),
        "temperature": TEMPERATURE,
        "margin": MARGIN,
        "supcon": {
            "reduced": numbers(SupConLoss(TEMPERATURE)(embeddings, labels)),
            "values": numbers(elements(SupConLoss(TEMPERATURE), embeddings, labels)["losses"]),
        },
        "batch_all": triplets(embeddings, labels, margin=MARGIN),
        "batch_hard": triplets(embeddings, labels, hard, margin=MARGIN),
        # Its smooth loss adds the margin inside; 0 gives the soft margin of the paper.
        "batch_hard_soft": triplets(embeddings, labels, hard, margin=0.0, smooth_loss=True),
    }

# The first images lie opposite to the vector of their class: the angle with the margin passes pi.
vectors = class_vectors()
classes = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
_, array = batches()["balanced"]
array = array.copy()
array[:3] = -vectors
array[3:6] = 0.1 * array[3:6] - vectors
cases["of cosines"] = {"arcface": arcface(torch.from_numpy(array), classes)}

# Pairs of points on a line, each pair apart from the others, so that the library takes the distances that we take.
same, distances = pairs()
values = []
for alike, distance in zip(same, distances, strict=True):
    ends = torch.tensor([[0.0], [float(distance)]])
    loss = ContrastiveLoss(pos_margin=0, neg_margin=1)
    loss.distance.normalize_embeddings = False
    loss.reducer = DoNothingReducer()
    found = loss(ends, torch.tensor([0, 0 if alike else 1]))["pos_loss" if alike else "neg_loss"]["losses"]
    values.append(float(found[0]) if isinstance(found, torch.Tensor) else float(found))
cases["of pairs"] = {"same": same, "distances": numbers(distances), "margin": 1.0, "contrastive": numbers(values)}
write(
    "pml",
    {
        "pytorch-metric-learning": pytorch_metric_learning.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    },
    cases,
)
