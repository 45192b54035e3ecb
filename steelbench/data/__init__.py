"""Data: image files to labelled pixels, groups and splits. Knows no TensorFlow."""

import os

# OpenCV refuses larger images by their header, before it allocates. It reads this once, so it must stand before
# whatever module of this package imports it first.
MAX_PIXELS = 100_000_000
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
# A broken file is reported once, in `skipped_images.csv`; OpenCV's own lines would tear the progress bar.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
