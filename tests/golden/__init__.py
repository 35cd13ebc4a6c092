"""The golden: small studies of every kind, every byte of their folders on one machine, and what git keeps of them.

    python -m tests.golden OUT            makes the studies in OUT and lists `sha256  path` of every file
    python -m tests.golden --compare A B  prints the files that two such folders do not have alike
    python -m tests.golden --keep         writes tests/golden/kept.json anew, which test_golden.py compares with

Everything goes through the public names of `luthier`, so that it runs unchanged on a tree whose modules were moved.

**Bytes.** The studies are made from inside OUT with relative paths, so that no folder of this machine is written
anywhere, in a process whose environment is ENVIRONMENT, with looks counted in a cache of their own. What hangs on the
clock, the machine or the checkout stands in FIELDS: these fields, and nothing else, are put to constants, byte for
byte, and the reports are made of that again. No file is left out.

**Kept.** Low-order bits differ between processors, so git keeps of each file its lines with the floats taken out (a
hash: words, keys, their order, whole numbers, blanks), and its floats, each within RELATIVE and ABSOLUTE. Other
processors must give the same answers for that, so no greedy choice may be a near-tie:

- weights are drawn as whole numbers and divided by a power of two, so they are the same everywhere; no dropout;
- the words that references are of stand out from the rest of the vocabulary, answers are short, and DECODER_SEED was
  searched for: `--keep` says how far apart the two best tokens are at least, as a share of the best one's lead over the
  mean: with this seed 4e-4. Rounding changes an untrained arm's logits by some 1e-6 of that lead and a trained
  one's by 1e-5;
- the learned prompt is trained at a tenth of its usual rate: Adam divides a first gradient by itself, so that its
  rounding would reach the answers;
- int8 rounds activations to 127 steps, and whatever falls between two of them turns with the processor: the arm has a
  study of its own (HERE_ONLY), whose files are compared by name elsewhere and in full where the fixture was made.

Not kept are the bits of weights (names, types and shapes are), what transformers and peft write beside them (LIBRARIES:
it changes with their versions), the hashes of these files, the lines of plots (their words and the rows behind them are
kept), and the versions in the signatures of scorers.
"""
