"""Using a finished model: predict, search images, enroll classes."""
