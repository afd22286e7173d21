"""The work of `fsearch discover`: what may fail, by words and by columns; who proposes; what is stored and shown."""
