"""One module for each class of contaminants; each adds to an image and returns exact truth."""
