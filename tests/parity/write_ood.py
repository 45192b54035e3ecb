"""What pytorch-ood says of the unfamiliarity of some features and logits."""

import importlib.metadata

import numpy as np
import torch
import torchvision_stub  # noqa: F401 - before pytorch-ood, which imports torchvision
from batches import numbers, write
from pytorch_ood.detector import KNN, EnergyBased, Mahalanobis, MaxSoftmax
from sklearn.covariance import LedoitWolf

TRAINING, TEST, SIZE, CLASSES, NEIGHBOURS = 48, 12, 5, 3, 10

random = np.random.default_rng(1807)
labels = np.arange(TRAINING) % CLASSES
centres = 2 * random.standard_normal((CLASSES, SIZE))
spread = random.standard_normal((SIZE, SIZE))
training = (centres[labels] + random.standard_normal((TRAINING, SIZE)) @ spread).astype(np.float32)
test = (3 * random.standard_normal((TEST, SIZE))).astype(np.float32)
logits = (4 * random.standard_normal((TEST, CLASSES))).astype(np.float32)

features, answers = torch.from_numpy(test), torch.from_numpy(logits)
fitted = {
    "knn": KNN(None, k=NEIGHBOURS).fit_features(torch.from_numpy(training), torch.from_numpy(labels)),
    "mahalanobis": Mahalanobis(None).fit_features(torch.from_numpy(training), torch.from_numpy(labels)),
}
scores = {name: detector.predict_features(features) for name, detector in fitted.items()}
# The library's covariance is not shrunk; with scikit-learn's in its place the distance is that of ours.
shrunk = LedoitWolf(assume_centered=True).fit(training.astype(np.float64) - fitted["mahalanobis"].mu.numpy()[labels])
fitted["mahalanobis"].precision = torch.linalg.inv(torch.from_numpy(shrunk.covariance_)).float()
scores |= {
    "shrunk_mahalanobis": fitted["mahalanobis"].predict_features(features),
    "max_probability": MaxSoftmax.score(answers),
    "energy": EnergyBased.score(answers),
}
cases = {
    "training": {"features": numbers(training), "labels": labels.tolist()},
    "test": {"features": numbers(test), "logits": numbers(logits), "neighbours": NEIGHBOURS},
    "scores": {name: numbers(values.numpy()) for name, values in scores.items()},
}
versions = {package: importlib.metadata.version(package) for package in ("pytorch-ood", "torch", "scikit-learn")}
write("ood", versions, cases)
