"""Do the statistics keep what they promise? Simulations with known truth, through what compare() calls."""
