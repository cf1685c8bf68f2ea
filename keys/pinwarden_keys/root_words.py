"""
Digests as words, to be read over a telephone: 32 bytes are 32 words, of two and of three syllables in turn.

It may import this package's errors. The words are the list that Patrick Juola and Philip Zimmermann made for PGPfone in
1995 by measuring how seldom one is heard as another ("Whole-word phonetic distances and the PGPfone alphabet", ICSLP
1996; RFC 6189 reads keys aloud with it), so any program that knows it gives the same words. It is a table of facts,
printed in programs under many licences; nothing else of those programs is here.
"""

import re
from itertools import zip_longest

from pinwarden_keys.errors import CeremonyError

_TWO_SYLLABLES = """
aardvark absurd accrue acme adrift adult afflict ahead aimless Algol allow alone ammo ancient apple artist assume
Athens atlas Aztec baboon backfield backward banjo beaming bedlamp beehive beeswax befriend Belfast berserk billiard
bison blackjack blockade blowtorch bluebird bombast bookshelf brackish breadline breakup brickyard briefcase Burbank
button buzzard cement chairlift chatter checkup chisel choking chopper Christmas clamshell classic classroom cleanup
clockwork cobra commence concert cowbell crackdown cranky crowfoot crucial crumpled crusade cubic dashboard deadbolt
deckhand dogsled dragnet drainage dreadful drifter dropper drumbeat drunken Dupont dwelling eating edict egghead
eightball endorse endow enlist erase escape exceed eyeglass eyetooth facial fallout flagpole flatfoot flytrap fracture
framework freedom frighten gazelle Geiger glitter glucose goggles goldfish gremlin guidance hamlet highchair hockey
indoors indulge inverse involve island jawbone keyboard kickoff kiwi klaxon locale lockup merit minnow miser Mohawk
mural music necklace Neptune newborn nightbird Oakland obtuse offload optic orca payday peachy pheasant physique
playhouse Pluto preclude prefer preshrunk printer prowler pupil puppy python quadrant quiver quota ragtime ratchet
rebirth reform regain reindeer rematch repay retouch revenge reward rhythm ribcage ringbolt robust rocker ruffled
sailboat sawdust scallion scenic scorecard Scotland seabird select sentence shadow shamrock showgirl skullcap skydive
slingshot slowdown snapline snapshot snowcap snowslide solo southward soybean spaniel spearhead spellbind spheroid
spigot spindle spyglass stagehand stagnate stairway standard stapler steamship sterling stockman stopwatch stormy
sugar surmount suspense sweatband swelter tactics talon tapeworm tempest tiger tissue tonic topmost tracker transit
trauma treadmill Trojan trouble tumor tunnel tycoon uncut unearth unwind uproot upset upshot vapor village virus
Vulcan waffle wallet watchword wayside willow woodlark Zulu
"""

_THREE_SYLLABLES = """
adroitness adviser aftermath aggregate alkali almighty amulet amusement antenna applicant Apollo armistice article
asteroid Atlantic atmosphere autopsy Babylon backwater barbecue belowground bifocals bodyguard bookseller borderline
bottomless Bradbury bravado Brazilian breakaway Burlington businessman butterfat Camelot candidate cannonball
Capricorn caravan caretaker celebrate cellulose certify chambermaid Cherokee Chicago clergyman coherence combustion
commando company component concurrent confidence conformist congregate consensus consulting corporate corrosion
councilman crossover crucifix cumbersome customer Dakota decadence December decimal designing detector detergent
determine dictator dinosaur direction disable disbelief disruptive distortion document embezzle enchanting enrollment
enterprise equation equipment escapade Eskimo everyday examine existence exodus fascinate filament finicky forever
fortitude frequency gadgetry Galveston getaway glossary gossamer graduate gravity guitarist hamburger Hamilton
handiwork hazardous headwaters hemisphere hesitate hideaway holiness hurricane hydraulic impartial impetus inception
indigo inertia infancy inferno informant insincere insurgent integrate intention inventive Istanbul Jamaica Jupiter
leprosy letterhead liberty maritime matchmaker maverick Medusa megaton microscope microwave midsummer millionaire
miracle misnomer molasses molecule Montana monument mosquito narrative nebula newsletter Norwegian October Ohio
onlooker opulent Orlando outfielder Pacific pandemic Pandora paperweight paragon paragraph paramount passenger
pedigree Pegasus penetrate perceptive performance pharmacy phonetic photograph pioneer pocketful politeness positive
potato processor provincial proximate puberty publisher pyramid quantity racketeer rebellion recipe recover repellent
replica reproduce resistor responsive retraction retrieval retrospect revenue revival revolver sandalwood sardonic
Saturday savagery scavenger sensation sociable souvenir specialist speculate stethoscope stupendous supportive
surrender suspicious sympathy tambourine telephone therapist tobacco tolerance tomorrow torpedo tradition travesty
trombonist truncated typewriter ultimate undaunted underfoot unicorn unify universe unravel upcoming vacancy vagabond
vertigo Virginia visitor vocalist voyager warranty Waterloo whimsical Wichita Wilmington Wyoming yesteryear Yucatan
"""

# A byte in an even place is a word of the first list, in an odd place one of the second: a word that was left out,
# doubled or swapped with its neighbour is of the wrong list.
LISTS = (tuple(_TWO_SYLLABLES.split()), tuple(_THREE_SYLLABLES.split()))
_WORDS_IN_A_LINE = 8


def words_of(digest: bytes) -> tuple[str, ...]:
    """Return one word for each byte of *digest*."""
    return tuple(LISTS[place % 2][byte] for place, byte in enumerate(digest))


def lines_of(digest: bytes) -> list[str]:
    """Return the words of *digest* in numbered lines of eight, as they are read aloud."""
    words = words_of(digest)
    return [
        f"{start // _WORDS_IN_A_LINE + 1}. {' '.join(words[start : start + _WORDS_IN_A_LINE])}"
        for start in range(0, len(words), _WORDS_IN_A_LINE)
    ]


def check_words(heard: str, digest: bytes) -> None:
    """
    Compare words that somebody read aloud with those of *digest*; capitals, line numbers and punctuation do not matter.

    Raises:
        CeremonyError: they are other words, or fewer or more of them; the first difference is named.
    """
    said = [word.lower() for word in re.findall(r"[A-Za-z]+", heard)]
    due = [word.lower() for word in words_of(digest)]
    for place, (other, ours) in enumerate(zip_longest(said, due, fillvalue="nothing"), 1):
        if other != ours:
            raise CeremonyError(
                f"word {place} of the digest differs: these are not the same root",
                expected=ours,
                got=repr(other[:40]),
                holds="Nothing was signed.",
                hint="Have that line read again. If it still differs, stop: somebody holds another draft.",
            )
