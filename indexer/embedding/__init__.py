"""From images to committed embeddings: the encoder, the index run, and the same run on a Ray cluster."""
