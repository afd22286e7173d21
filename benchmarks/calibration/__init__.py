"""What labels teach of a real CLIP encoder, judged on concepts and sets that it was not learnt from."""
