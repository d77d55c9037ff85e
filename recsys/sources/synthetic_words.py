"""The vocabulary of the generated platform; `recsys.sources.synthetic_population` gives the words their meaning."""

# Mood -> the adjective it gives a title. One mood a latent factor.
_MOODS = {
    "joy": "Joyful",
    "calm": "Calm",
    "awe": "Awesome",
    "nostalgia": "Nostalgic",
    "humour": "Funny",
    "curiosity": "Curious",
    "courage": "Brave",
    "tenderness": "Tender",
    "thrill": "Thrilling",
    "hope": "Hopeful",
}
_TAGS_OF_CATEGORY = {
    "music": ("guitar", "concert", "remix", "piano", "lyrics", "vinyl"),
    "food": ("ramen", "bakery", "streetfood", "vegan", "barbecue", "dessert"),
    "travel": ("backpacking", "islands", "citywalk", "roadtrip", "hostel", "sunset"),
    "comedy": ("standup", "prank", "parody", "sketch", "meme", "impression"),
    "sports": ("football", "climbing", "surfing", "marathon", "skateboard", "basketball"),
    "science": ("space", "physics", "biology", "experiment", "climate", "chemistry"),
    "art": ("watercolour", "sculpture", "graffiti", "portrait", "gallery", "sketchbook"),
    "gaming": ("speedrun", "retro", "strategy", "esports", "indie", "sandbox"),
    "fashion": ("streetwear", "thrift", "runway", "sneakers", "makeup", "tailoring"),
    "fitness": ("yoga", "pilates", "strength", "cardio", "stretching", "calisthenics"),
    "nature": ("forest", "ocean", "wildlife", "garden", "mountains", "birds"),
    "film": ("trailer", "director", "animation", "documentary", "thriller", "classic"),
    "books": ("poetry", "fantasy", "memoir", "mystery", "bookclub", "essay"),
    "technology": ("gadget", "coding", "robots", "startup", "privacy", "electronics"),
    "crafts": ("knitting", "pottery", "woodwork", "origami", "upcycling", "leather"),
    "family": ("parenting", "pets", "puppy", "kitten", "baby", "grandparents"),
}

MOODS = tuple(_MOODS)
ADJECTIVES = tuple(_MOODS.values())
CATEGORIES = tuple(_TAGS_OF_CATEGORY)
TAGS = tuple(tag for tags in _TAGS_OF_CATEGORY.values() for tag in tags)  # the same number for each category
AGE_BANDS = ("13-17", "18-24", "25-34", "35-49", "50+")
COUNTRIES = ("US", "IN", "BR", "GB", "DE", "NG", "MX", "FR", "JP", "ES", "CA", "AU")
