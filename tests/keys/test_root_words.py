"""Words for digests: the same as everywhere else, and no two of them alike."""

from hashlib import sha256

import pytest

from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.root_words import LISTS, check_words, lines_of, words_of

DIGEST = sha256(b"a root").digest()


def test_all_512_words_are_different_and_made_of_letters():
    words = [word.lower() for words in LISTS for word in words]
    assert [len(words) for words in LISTS] == [256, 256]
    assert len(set(words)) == 512
    assert all(word.isascii() and word.isalpha() for word in words)


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0000ffff", "aardvark adroitness Zulu Yucatan"),
        ("5b1dca6e", "erase breakaway spellbind headwaters"),
        ("6fb2599a5bcc", "gremlin pioneer endow newsletter erase revolver"),
        ("d1c225e426c6", "stairway repellent bombast tradition bookshelf responsive"),
        ("ddef63298379f1", "swelter unravel flatfoot certify Mohawk inertia unwind"),
    ],
)
def test_the_words_are_those_that_other_programs_give(digits, words):
    assert words_of(bytes.fromhex(digits)) == tuple(words.split())


def test_the_words_of_a_digest_are_accepted_however_they_were_typed():
    words = " ".join(words_of(DIGEST))
    for heard in (words, words.upper(), words.replace(" ", ", "), "\n".join(lines_of(DIGEST))):
        check_words(heard, DIGEST)


@pytest.mark.parametrize(
    "change",
    {
        "a word swapped with its neighbour": lambda words: [words[1], words[0], *words[2:]],
        "a word left out": lambda words: [*words[:7], *words[8:]],
        "a word said twice": lambda words: [words[0], *words],
        "the last word missing": lambda words: words[:-1],
        "one word more": lambda words: [*words, "Zulu"],
        "nothing": lambda words: [],
        "the last word another": lambda words: [*words[:-1], "Yucatan"],
    }.items(),
    ids=lambda item: item[0],
)
def test_other_words_are_refused_and_the_first_one_is_named(change):
    words = list(words_of(DIGEST))
    heard = change[1](list(words))
    first = next(
        (place for place, pair in enumerate(zip(heard, words, strict=False), 1) if pair[0] != pair[1]),
        min(len(heard), len(words)) + 1,
    )
    with pytest.raises(CeremonyError, match=f"word {first} of the digest differs"):
        check_words(" ".join(heard), DIGEST)


def test_a_digest_is_read_in_four_lines_of_eight_words():
    assert [len(line.split()) for line in lines_of(DIGEST)] == [9, 9, 9, 9]
