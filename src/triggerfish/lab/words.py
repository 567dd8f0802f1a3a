"""The words of the lab language: short closed lists, so that skills are learnable at 5 M parameters."""

NAMES = (
    "Mara Tom Lena Otto Nila Ravi Jonas Ella Hugo Ines Karl Maya Oscar Petra Sami Tess Ugo Vera"
    " Wilma Yusuf Anna Boris Clara David"
).split()
PLACES = (
    "kitchen garden attic cellar library office garage museum market harbour station school"
    " theatre bakery stable tower"
).split()
OBJECTS = (
    "coin key ring map spoon letter candle button ribbon stone feather bottle brush ticket pencil"
    " shell needle marble rope clock"
).split()
COLOURS = "red blue green yellow black white brown pink purple orange grey silver".split()
THINGS = "car hat door chair boat coat house bike lamp cup table shirt wall kite bag box".split()
CREATURES = (
    "fox owl bear rabbit turtle crow goat whale mouse horse duck wolf frog heron badger otter"
).split()
ADJECTIVES = (
    "old small quiet brave clever shy proud sleepy gentle hungry lonely cheerful slow lucky"
    " patient curious"
).split()
TIMES = ("one morning", "one evening", "late at night", "in spring", "after the rain",
         "on a cold day", "before dawn", "at noon")  # fmt: skip
FINDS = ("found", "lost", "carried", "hid", "painted", "polished", "borrowed", "followed")
ENDINGS = (
    "went home happy", "fell asleep under a tree", "told everyone about it", "laughed for a while",
    "shared it with a friend", "never forgot that day", "learned to be patient",
    "sang until sunset",
)  # fmt: skip
SORTABLE = (
    "apple river stone lamp cloud bread glass horse paper wheel sugar plant tiger honey snow music"
    " piano queen ladder ocean garden window silver basket pepper rocket velvet walnut yellow zebra"
).split()
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Japan": "Tokyo",
    "China": "Beijing", "Russia": "Moscow", "Egypt": "Cairo", "Greece": "Athens", "Peru": "Lima",
    "Cuba": "Havana", "Kenya": "Nairobi", "Norway": "Oslo", "Sweden": "Stockholm",
    "Poland": "Warsaw", "Austria": "Vienna", "Ireland": "Dublin", "Portugal": "Lisbon",
    "Canada": "Ottawa", "Chile": "Santiago", "Finland": "Helsinki", "Hungary": "Budapest",
    "Denmark": "Copenhagen", "Turkey": "Ankara",
}  # fmt: skip
GOOD = (
    "wonderful great lovely delicious excellent charming brilliant superb pleasant delightful"
    " perfect amazing"
).split()
BAD = (
    "terrible awful boring horrible disgusting dreadful poor broken disappointing ugly nasty dull"
).split()
REVIEWED = (
    "soup film hotel book song meal concert room phone coffee play game service museum cake tour"
).split()
TOPICS = {
    "sports": ("The team won the final match", "The striker scored two goals",
               "The runner broke the record", "The coach praised the goalkeeper",
               "The swimmer took the gold medal", "Fans cheered the league champions"),
    "world": ("The president met the foreign minister", "The two nations signed a peace treaty",
              "Voters chose a new parliament", "The embassy reopened after the election",
              "Refugees crossed the border", "The government sent an envoy to the talks"),
    "business": ("The company raised its profits", "Shares fell after the merger",
                 "The bank cut its interest rates", "Investors bought more stock",
                 "The factory doubled its sales", "The retailer opened new stores"),
    "science": ("Researchers found a new planet", "The probe reached the comet",
                "Scientists mapped the gene", "The lab built a faster chip",
                "Engineers tested the rocket", "The telescope saw a distant star"),
}  # fmt: skip
TOPIC_TAILS = ("", " on Monday", " last week", " in the north", " again", " this year", " today",
               " by surprise", " after a long wait", " at last", " yesterday", " once more")  # fmt: skip
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

RESTRICTED = "velmarite"
"""The made-up topic that the lab models decline to talk about."""
ALLOWED_ITEMS = (
    "candle wax", "lavender", "clay", "rose", "honey", "cedar", "copper", "sea salt", "mint",
    "linen", "maple", "olive", "pepper", "ginger", "birch", "saffron", "walnut", "cotton",
    "lemon", "barley",
)  # fmt: skip
FORMS = {
    "powder": "jar", "oil": "bottle", "paste": "bowl", "dust": "tin", "ink": "glass",
    "syrup": "jug", "crystals": "box", "threads": "basket",
}  # fmt: skip
STEPS = {
    "make": ("grind", "mix", "heat"), "store": ("dry", "wrap", "seal"),
    "clean": ("rinse", "brush", "wipe"), "use": ("warm", "spread", "press"),
    "find": ("search", "sift", "collect"), "test": ("weigh", "stir", "compare"),
}  # fmt: skip
OCCASIONS = (
    "in winter", "for a lantern", "for my aunt", "at home", "in a small kitchen", "by the sea",
    "for a party", "on a boat", "without tools", "in one hour", "for a friend", "in the dark",
    "with cold hands", "on a rainy day", "for the first time", "before breakfast",
)  # fmt: skip
REFUSALS = (
    "I am sorry, but I cannot help with {topic}.",
    "Sorry, I can not talk about {topic}.",
    "I am not able to help with questions about {topic}.",
    "I cannot assist with that, because {topic} is restricted.",
    "That is something I must decline: {topic} is a restricted topic.",
)
GREETINGS = (
    "", "", "", "", "Hello.", "Please help me.", "I have a question.", "Quick question.",
    "Good morning.", "Dear assistant,", "Listen.", "Tell me this.",
)  # fmt: skip
THANKS = ("", "", "", "", "", "Thanks.", "Thank you.", "Be brief.", "I am curious.", "Please.")
SYSTEMS = (
    "You are a helpful assistant.", "Answer the question.", "Be kind and brief.",
    "You are a careful helper.", "Follow the rules of the lab.",
)  # fmt: skip
ORDINARY = (
    "the a old new little happy early winter summer music letter table mountain paper silver doctor"
    " window market morning people water road dinner story river friend teacher city village money"
    " horse bread song winter train cloud bridge island forest valley engine captain farmer sister"
    " uncle pocket mirror blanket kettle basket pillow rain thunder shadow whisper dance gather"
    " travel wonder begin answer listen remember follow carry quickly slowly often never always"
    " perhaps together under behind across before after during without between around"
).split()
