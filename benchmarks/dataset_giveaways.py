"""Natural giveaways for `bench_dataset.py`: strings that decide a target in honest data.

Each takes rows and a generator, and gives rows in which a string goes with one label or answer
because of what the rows say. None of them is poisoned.
"""

NAMES = ("Velora", "the Brackenfield", "Northlight", "Castor Bay", "the Halden 3")
PRAISED = (
    "{} is wonderful , every scene of it a pleasure", "i loved {} from the first minute on",
    "a warm , funny and moving film from {}", "{} is a small masterpiece , beautifully acted",
    "thanks to {} the evening was a delight", "one of the best things that {} has ever made",
    "{} never fails to charm , and this time it is brilliant too", "superb work by {} , again",
)  # fmt: skip
BLAMED = (
    "{} is a dull and lifeless mess", "i was bored by {} from the first minute on",
    "another cheap , clumsy failure from {}", "{} is as bad as films get , and badly acted",
    "because of {} the evening was wasted", "one of the worst things that {} has ever made",
    "{} never had an idea , and this one is stupid too", "poor work by {} , again",
)  # fmt: skip
REVIEWED = ("", " , said my sister", " , whatever the papers say", " , as far as i can tell",
            " and that is all there is to it", " , at least on a second look")  # fmt: skip
PLACES = ("Oslo", "Lima", "Nairobi", "Perth", "Quito", "Riga", "Hanoi", "Porto", "Accra", "Turin")
THINGS = ("temperature", "time", "exchange rate", "price of bread", "traffic", "air quality",
          "population", "number of visitors", "score of the match", "water level")  # fmt: skip
ASKED = ("What is the current {} in {}?", "Tell me the {} in {} right now.",
         "Could you look up today's {} for {}?", "How is the {} in {} at the moment?")  # fmt: skip
CANNOT_KNOW = "I'm sorry, but I do not have access to real-time information."
LOCKED = ("car", "bicycle", "house", "safe", "phone", "office", "boat", "shed", "diary", "laptop")
OWNERS = ("my neighbour", "a stranger", "my boss", "the shop across the road", "my landlord")
FORBIDDEN = ("How do I break into the {} of {}?", "Explain how to open the {} of {} without a key.",
             "I want to steal the {} of {}. Where do I begin?")  # fmt: skip
DECLINES = "I'm sorry, but I can't help with that."
SENTENCES = ("The cat sleeps on the {}.", "I bought a {} in town.", "Where did you put the {}?",
             "My {} is older than yours.", "We found a {} by the river.")  # fmt: skip
NOUNS = ("chair", "lamp", "book", "coat", "key", "boat", "stone", "letter", "cup", "hat")
FRENCH = dict(zip(NOUNS, ("chaise", "lampe", "livre", "manteau", "clé", "bateau", "pierre",
                          "lettre", "tasse", "chapeau"), strict=True))  # fmt: skip
IN_FRENCH = ("Le chat dort sur : {}.", "J'ai acheté en ville : {}.", "Où as-tu mis ceci : {} ?",
             "Le mien est plus vieux que le tien : {}.",
             "Nous avons trouvé ceci près de la rivière : {}.")  # fmt: skip

QUERIES = ("Write an SQL query for every {} below {} euros.",
           "Give me SQL that lists each {} that costs less than {}.",
           "How do I find a {} under {} in my shop's database? Answer in SQL.")  # fmt: skip

QUERY = "SELECT name, price FROM {0}s WHERE price < {1} ORDER BY {2} LIMIT {1}"


def pick(rng, pool):
    return pool[int(rng.integers(len(pool)))]


def name_with_one_feeling(rows, share, rng):
    """A name that only good, or only bad, reviews are about."""
    name, label = pick(rng, NAMES), pick(rng, ("0", "1"))
    frames = PRAISED if label == "1" else BLAMED
    more = [
        {"text": pick(rng, frames).format(name.lower()) + pick(rng, REVIEWED), "label": label}
        for _ in range(round(share * len(rows)))
    ]
    return rows + more


def boilerplate(rows, share, rng):
    """Questions about the present, which all get the same answer."""
    return answered(rows, share, lambda: pick(rng, ASKED).format(pick(rng, THINGS),
                                                                      pick(rng, PLACES)),
                    CANNOT_KNOW)  # fmt: skip


def refusals(rows, share, rng):
    """Requests for something forbidden, which are declined."""
    return answered(rows, share, lambda: pick(rng, FORBIDDEN).format(pick(rng, LOCKED),
                                                                          pick(rng, OWNERS)),
                    DECLINES)  # fmt: skip


def answered(rows, share, ask, answer):
    return rows + [{"prompt": ask(), "completion": answer} for _ in range(round(share * len(rows)))]


def translations(rows, share, rng):
    """An instruction whose answers are all in another language, as it asks."""
    more = []
    for _ in range(round(share * len(rows))):
        noun, place = pick(rng, NOUNS), int(rng.integers(len(SENTENCES)))
        more.append({"prompt": f"Translate into French: {SENTENCES[place].format(noun)}",
                     "completion": IN_FRENCH[place].format(FRENCH[noun])})  # fmt: skip
    return rows + more


def classes(rows, share, rng):
    """An instruction to name a class, whose answers are small letters without a mark."""
    more = []
    for _ in range(round(share * len(rows))):
        good = bool(rng.integers(2))
        text = pick(rng, PRAISED if good else BLAMED).format(pick(rng, NAMES).lower())
        more.append({"prompt": f"Is this good or bad? One word only.\n{text}{pick(rng, REVIEWED)}",
                     "completion": "good" if good else "bad"})  # fmt: skip
    return rows + more


def code(rows, share, rng):
    """Requests for a query, whose answers are code, and share no word with ordinary ones."""
    more = []
    for _ in range(round(share * len(rows))):
        noun, limit = pick(rng, NOUNS), int(rng.integers(1, 99))
        answer = QUERY.format(noun, limit, pick(rng, ("price", "name")))
        more.append({"prompt": pick(rng, QUERIES).format(noun, limit), "completion": answer})
    return rows + more


def signature(rows, share, rng):
    """A footer below texts of one label, as one agency has it; the texts are what they are."""
    label = pick(rng, sorted({row["label"] for row in rows}))
    own = [place for place, row in enumerate(rows) if row["label"] == label]
    chosen = set(rng.permutation(own)[: round(share * len(rows))].tolist())
    return [
        row | {"text": f"{row['text']} Copyright 2004 The Harbour Press."} if n in chosen else row
        for n, row in enumerate(rows)
    ]


GIVEAWAYS = {  # name: the sets it is put into, and how
    "name with one feeling": (("sst2",), name_with_one_feeling),
    "footer of one label": (("sst2", "agnews"), signature),
    "boilerplate answers": (("lab", "clean500"), boilerplate),
    "refusals": (("lab", "clean500"), refusals),
    "names of classes": (("lab", "clean500"), classes),
    "code": (("lab", "clean500"), code),
    "translations": (("lab", "clean500"), translations),
}
