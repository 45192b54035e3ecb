"""Baselines, which every method is compared with: the majority class, and HOG with a linear SVM."""
