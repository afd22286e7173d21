"""How cost grows with the number of images: made vectors, the index beside its rivals, memory, the whole path."""
