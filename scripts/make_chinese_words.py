"""Make the Chinese word list that ships with the package from the dictionary of jieba.

Usage: python scripts/make_chinese_words.py DICT.txt

DICT.txt is `jieba/dict.txt` of jieba 0.42.1: word, frequency and part of speech on each line. What
is kept stands in chinese_words_LICENSE.md, beside the result. The same input gives the same file.
"""

import argparse
import lzma
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "src/ecomrec/content/data/chinese_words.xz"

# Characters of the basic plane, so that each takes two bytes.
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]{1,3}")
STEPS_PER_NAT = 4


def read(path: Path) -> dict[str, int]:
    """Words of one to three characters and how often they were counted."""
    lines = (line.split(" ") for line in path.read_text(encoding="utf-8").splitlines())
    return {word: int(n) for word, n, _ in lines if HAN.fullmatch(word) and int(n) > 0}


def costs(counts: dict[str, int]) -> dict[str, int]:
    """-log of the share of each word, in whole steps."""
    total = sum(counts.values())
    return {w: round(STEPS_PER_NAT * math.log(total / n)) for w, n in counts.items()}


def leanings(counts: dict[str, int]) -> dict[str, int]:
    """1 where a character ends words of three more often than it begins them, 2: begins, 0: both.

    Counted are words of which the other two characters are a word too.
    """
    ends, begins = Counter(), Counter()
    for word in counts:
        if len(word) == 3:
            ends[word[2]] += word[:2] in counts
            begins[word[0]] += word[1:] in counts
    ratio = {c: math.log2((ends[c] + 3) / (begins[c] + 3)) for c in counts if len(c) == 1}
    return {c: 1 if r >= 1 else 2 if r < -1 else 0 for c, r in ratio.items()}


def main() -> None:
    """Write the list: for 1, 2 and 3 characters the number of words, the words, their costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dictionary", type=Path)
    counts = read(parser.parse_args().dictionary)
    cost, leaning = costs(counts), leanings(counts)
    parts = []
    for length in (1, 2, 3):
        words = sorted(word for word in counts if len(word) == length)
        parts += [np.uint32(len(words)).tobytes(), "".join(words).encode("utf-16-le")]
        parts.append(bytes(cost[word] for word in words))
        if length == 1:
            parts.append(bytes(leaning[word] for word in words))
    packed = lzma.compress(b"".join(parts), preset=9 | lzma.PRESET_EXTREME)
    TARGET.write_bytes(packed)
    print(f"{TARGET}: {len(counts):,} words, {len(packed):,} bytes")


if __name__ == "__main__":
    main()
