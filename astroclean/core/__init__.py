"""The vocabulary: frames, planes, PSFs, sources, stages and their kinds. No file, no engine."""
