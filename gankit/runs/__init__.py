"""What a training leaves behind: the run folder, and a generator that stands for itself."""
