"""Ours beside its peers: the same model and rows on the same machine, in interleaved rounds, as ratios."""
