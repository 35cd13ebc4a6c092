"""Byte-level BPE: the same merges and the same ids as the `tokenizers` library trains, on any text.

Words (GPT-2's pattern) are split into bytes, each written as a visible sign. The pair of neighbours of highest count
becomes a token, again and again (Sennrich et al. 2016); of equal counts that of the smallest left, then right id.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from tokenizers import Regex, pre_tokenizers  # its own engine, since others know letters of another Unicode

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that Latin-1 shows stand for themselves
SIGN = {byte: chr(byte) for byte in VISIBLE}  # and the n-th of the others is written as chr(256 + n)
SIGN |= {byte: chr(256 + n) for n, byte in enumerate(sorted({*range(256)} - {*VISIBLE}))}


class BPE:
    """At most `size` tokens, of which the 256 signs in order are the first, and the merges that make the others."""

    def __init__(self, texts: Iterable[str], size: int) -> None:
        self.tokens = sorted(SIGN.values())
        self.ids = {sign: n for n, sign in enumerate(self.tokens)}
        self.merges: dict[tuple[int, int], tuple[int, int]] = {}  # pair -> its rank, the token it becomes
        counts = Counter(word for text in texts for word in words_of(text))
        words, weights = [[self.ids[sign] for sign in word] for word in counts], list(counts.values())
        pairs: Counter[tuple[int, int]] = Counter()  # how often each pair stands in the text
        places = defaultdict(set)  # the words that hold it, or once did
        for n, word in enumerate(words):
            for pair in pairwise(word):
                pairs[pair] += weights[n]
                places[pair].add(n)
        heapify(heap := [(-count, pair) for pair, count in pairs.items()])
        while heap and len(self.tokens) < size:
            count, best = heappop(heap)
            if -count != pairs[best] or not count:
                continue  # it changed since, and waits at its present count
            token = "".join(self.tokens[part] for part in best)
            if token not in self.ids:  # two ways may lead to one token
                self.ids[token] = len(self.tokens)
                self.tokens.append(token)
            self.merges[best] = len(self.merges), self.ids[token]
            for n in places.pop(best):
                before, words[n] = words[n], merged(words[n], best, self.ids[token])
                change = Counter(pairwise(words[n]))
                change.subtract(pairwise(before))
                for pair in filter(change.get, change):  # those whose count changed
                    pairs[pair] += change[pair] * weights[n]
                    places[pair].add(n)
                    heappush(heap, (-pairs[pair], pair))

    def encode(self, text: str) -> list[int]:
        ids = []
        for word in ([self.ids[sign] for sign in found] for found in words_of(text)):
            while there := [pair for pair in pairwise(word) if pair in self.merges]:
                word = merged(word, first := min(there, key=self.merges.__getitem__), self.merges[first][1])
            ids += word
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        byte_of = {sign: byte for byte, sign in SIGN.items()}
        return bytes(byte_of[sign] for n in ids for sign in self.tokens[n]).decode(errors="replace")


def words_of(text: str) -> list[str]:
    words = pre_tokenizers.Split(Regex(PATTERN), "isolated").pre_tokenize_str(text)
    return ["".join(SIGN[byte] for byte in word.encode()) for word, _ in words]


def merged(word: Sequence[int], pair: tuple[int, int], token: int) -> list[int]:
    """The word with every occurrence of the pair, from the left, as one token."""
    done: list[int] = []
    for n in word:
        if done and (done[-1], n) == pair:
            done[-1] = token
        else:
            done.append(n)
    return done
