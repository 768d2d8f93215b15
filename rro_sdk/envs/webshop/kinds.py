"""What a generated shop sells: kinds of products with their attributes, materials, uses and options."""

from __future__ import annotations

from dataclasses import dataclass


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


BRAND_SYLLABLES = _listed(
    "al, ba, cor, da, el, fen, gar, ho, il, jun, ka, lor, mi, nor, os, pel, qui, ra, sol, tam, ul, ver, "
    "wen, xo, yar, zen, bri, cla, dro, fla, gri, sto"
)
OPENINGS = _listed(
    "a handy, a well made, a popular, a simple, a carefully designed, a favourite, a practical, an "
    "everyday, a much loved, a tested, a new, a classic"
)

_COLORS = _listed("black, white, grey, navy blue, dark green, red, pink, beige, brown, purple, yellow")
_SIZES = _listed("x-small, small, medium, large, x-large, xx-large, 3x-large")
_SHOES = _listed("5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5, 11, 12")
_WEAR = _listed(
    "long sleeve, short sleeve, machine wash, hand wash, slim fit, loose fit, quick drying, elastic "
    "waist, tummy control, moisture wicking, drawstring closure, button closure, high waist"
)
_FOOT = _listed(
    "rubber sole, non slip, arch support, memory foam, open toe, closed toe, ankle strap, water "
    "resistant, lace up, slip resistant, day comfort, high heel, steel toe"
)
_HOME = _listed(
    "easy assemble, space saving, easy clean, solid wood, metal legs, mid century, heavy duty, machine "
    "washable, eco friendly, fade resistant, contemporary design, hand painted, white item"
)
_DEVICE = _listed(
    "fast charging, high speed, plug play, noise cancelling, long lasting, hands free, water proof, "
    "gold plated, easy use, easy install, carrying case, stereo sound, batteries included, dual band"
)
_CARE = _listed(
    "cruelty free, paraben free, sulfate free, fragrance free, oil free, easy apply, travel size, "
    "hyaluronic acid, coconut oil, natural ingredients, dry skin, sensitive skin, fine lines, leak "
    "proof"
)
_FOOD = _listed(
    "gluten free, dairy free, non gmo, low sugar, sugar free, high protein, keto friendly, soy free, "
    "nut free, plant based, usda organic, individually wrapped, ready eat, hand crafted"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of product.

    Attributes:
        category, query, path: as products have them; kinds of one path are taken for alike.
        noun, title: what it is called, in a sentence and in a title.
        attributes: of which a product has two to five.
        materials: one is in the title.
        uses: phrases that end in a noun; one is in the title.
        options: by name the values of which a product offers some.
        cheapest, dearest: dollars.
    """

    category: str
    query: str
    path: str
    noun: str
    title: str
    attributes: tuple[str, ...]
    materials: tuple[str, ...]
    uses: tuple[str, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    cheapest: float
    dearest: float


_CLOTH = _listed("cotton, linen, fleece, denim, polyester, wool, bamboo")
_DAYS = _listed("for daily wear, for the gym, for a party, for summer, for work, for travel")
_ROOMS = _listed(
    "for the living room, for the bedroom, for the dining room, for a home office, for the kitchen"
)
_TIMES = _listed(
    "for travel, for a gift, for the whole family, for the office, for outdoor trips, for everyday use"
)
_SKIN = _listed("for dry hair, for the face, for women, for men, for daily care, for damaged hair")
_MEALS = _listed("for breakfast, for a snack, for lunch boxes, for a party, for hikes, for a gift basket")


def _fashion(query: str, who: str, kind: str, noun: str, title: str, price: tuple[float, float]) -> Kind:
    path = f"Clothing, Shoes & Jewelry › {who} › Clothing › {kind}"
    options = (("color", _COLORS), ("size", _SIZES))
    return Kind("fashion", query, path, noun, title, _WEAR, _CLOTH, _DAYS, options, *price)


def _shoes(query: str, who: str, kind: str, noun: str, title: str, price: tuple[float, float]) -> Kind:
    path = f"Clothing, Shoes & Jewelry › {who} › Shoes › {kind}"
    options = (("color", _COLORS), ("size", _SHOES))
    materials = ("leather", "canvas", "suede", "mesh", "rubber")
    return Kind("fashion", query, path, noun, title, _FOOT, materials, _DAYS, options, *price)


def _garden(
    query: str, kind: str, noun: str, title: str, sizes: tuple[str, ...], price: tuple[float, float]
) -> Kind:
    path = f"Home & Kitchen › {kind}"
    options = (("color", _COLORS), ("size", sizes))
    materials = ("oak", "pine", "walnut", "steel", "linen", "velvet", "bamboo", "ceramic")
    return Kind("garden", query, path, noun, title, _HOME, materials, _ROOMS, options, *price)


def _electronics(
    query: str, kind: str, noun: str, title: str, sizes: tuple[str, ...], price: tuple[float, float]
) -> Kind:
    path = f"Electronics › {kind}"
    options = (("color", _COLORS[:6]), ("size", sizes))
    materials = ("aluminum", "carbon", "plastic", "copper", "silicone")
    return Kind("electronics", query, path, noun, title, _DEVICE, materials, _TIMES, options, *price)


def _beauty(query: str, kind: str, noun: str, title: str, price: tuple[float, float]) -> Kind:
    path = f"Beauty & Personal Care › {kind}"
    sizes = ("1 fl oz", "2 fl oz", "4 fl oz", "8 fl oz", "12 fl oz", "16 fl oz")
    scents = ("lavender", "rose", "vanilla", "lemon", "mint", "unscented", "coconut")
    materials = ("argan", "aloe", "almond", "honey", "charcoal", "jojoba")
    options = (("scent", scents), ("size", sizes))
    return Kind("beauty", query, path, noun, title, _CARE, materials, _SKIN, options, *price)


def _grocery(query: str, kind: str, noun: str, title: str, price: tuple[float, float]) -> Kind:
    path = f"Grocery & Gourmet Food › {kind}"
    flavors = _listed("apple, banana, chocolate, peanut, sea salt, vanilla, lemon, barbecue, coffee")
    sizes = (
        "8 ounce (pack of 1)",
        "8 ounce (pack of 2)",
        "12 ounce (pack of 1)",
        "12 ounce (pack of 6)",
        "2 pound",
    )
    materials = ("oat", "almond", "rice", "corn", "cocoa", "lentil", "coconut")
    options = (("flavor name", flavors), ("size", sizes))
    return Kind("grocery", query, path, noun, title, _FOOD, materials, _MEALS, options, *price)


_RUGS = ("2 x 3 ft", "3 x 5 ft", "4 x 6 ft", "5 x 8 ft", "8 x 10 ft")
_PILLOWS = ('16" x 16"', '18" x 18"', '20" x 20"', '24" x 24"')
_BEDS = ("twin", "full", "queen", "king")
_DESKS = ("32 inch", "40 inch", "48 inch", "55 inch", "63 inch")
_LENGTHS = ("1 ft", "3 ft", "6 ft", "10 ft", "15 ft", "25 ft")
_MEMORY = ("32gb", "64gb", "128gb", "256gb", "512gb")
_SCREENS = ("8 inch", "10 inch", "13 inch", "15.6 inch", "17 inch")

KINDS = (
    _fashion("women's dresses", "Women", "Dresses", "dress", "Wrap Dress", (14, 90)),
    _fashion("women's sweaters", "Women", "Sweaters", "sweater", "Pullover Sweater", (12, 80)),
    _fashion("women's shorts", "Women", "Active", "pair of shorts", "Yoga Shorts", (9, 45)),
    _fashion("men's shirts", "Men", "Shirts", "shirt", "Polo Shirt", (8, 60)),
    _fashion("men's jeans", "Men", "Jeans", "pair of jeans", "Cargo Jeans", (15, 110)),
    _fashion("men's hoodies", "Men", "Active", "hoodie", "Zip Hoodie", (15, 75)),
    _fashion("girls' pajamas", "Girls", "Sleepwear", "pajama set", "Pajama Set", (10, 40)),
    _shoes("women's pumps", "Women", "Pumps", "pair of pumps", "Stiletto Pumps", (18, 140)),
    _shoes("women's sandals", "Women", "Sandals", "pair of sandals", "Wedge Sandals", (12, 90)),
    _shoes("men's boots", "Men", "Boots", "pair of boots", "Work Boots", (30, 220)),
    _shoes("men's sneakers", "Men", "Fashion Sneakers", "pair of sneakers", "Running Sneakers", (20, 150)),
    _garden(
        "decorative pillows",
        "Bedding › Decorative Pillows",
        "pillow cover",
        "Pillow Cover",
        _PILLOWS,
        (6, 40),
    ),
    _garden(
        "bed frames", "Furniture › Bedroom Furniture", "bed frame", "Platform Bed Frame", _BEDS, (90, 700)
    ),
    _garden("desks", "Furniture › Home Office Furniture", "desk", "Writing Desk", _DESKS, (60, 450)),
    _garden(
        "console tables",
        "Furniture › Living Room Furniture",
        "console table",
        "Console Table",
        _DESKS,
        (50, 600),
    ),
    _garden("rugs", "Home Décor Products › Rugs", "rug", "Area Rug", _RUGS, (18, 300)),
    _garden(
        "curtains", "Home Décor Products › Window Treatments", "curtain", "Blackout Curtain", _DESKS, (12, 90)
    ),
    _garden("ottomans", "Furniture › Living Room Furniture", "ottoman", "Storage Ottoman", _DESKS, (30, 220)),
    _electronics("hdmi cables", "Cables", "cable", "HDMI Cable", _LENGTHS, (5, 60)),
    _electronics(
        "bluetooth speakers",
        "Portable Audio & Video",
        "speaker",
        "Bluetooth Speaker",
        ("small", "large"),
        (15, 250),
    ),
    _electronics("tablets", "Computers & Tablets", "tablet", "Android Tablet", _MEMORY, (60, 600)),
    _electronics(
        "headphones", "Headphones", "headset", "Gaming Headset", ("one size", "kids size"), (12, 300)
    ),
    _electronics(
        "laptop bags", "Computers & Tablets › Bags", "laptop sleeve", "Laptop Sleeve", _SCREENS, (10, 70)
    ),
    _electronics("power adapters", "Power Accessories", "charger", "Wall Charger", _LENGTHS, (8, 60)),
    _electronics("camera tripods", "Camera & Photo", "tripod", "Camera Tripod", _DESKS, (15, 180)),
    _beauty("face serums", "Skin Care › Face", "serum", "Face Serum", (7, 80)),
    _beauty("body lotions", "Skin Care › Body", "lotion", "Body Lotion", (5, 45)),
    _beauty("shampoo", "Hair Care › Shampoo & Conditioner", "shampoo", "Repair Shampoo", (5, 50)),
    _beauty("hair masks", "Hair Care › Hair Treatment", "hair mask", "Hair Mask", (6, 55)),
    _beauty("eau de toilette", "Fragrance › Women", "eau de toilette", "Eau Toilette Spray", (12, 150)),
    _beauty("lip balms", "Skin Care › Lip Care", "lip balm", "Lip Balm", (3, 25)),
    _grocery("granola bars", "Breakfast Foods › Bars", "granola bar", "Granola Bars", (4, 40)),
    _grocery("potato chips", "Snack Foods › Chips", "bag of chips", "Kettle Chips", (3, 35)),
    _grocery("protein shakes", "Beverages › Shakes", "protein shake", "Protein Shake", (8, 70)),
    _grocery("ground coffee", "Beverages › Coffee", "coffee", "Ground Coffee", (6, 50)),
    _grocery("crackers", "Snack Foods › Crackers", "box of crackers", "Rice Crackers", (3, 30)),
    _grocery("dried fruit", "Produce › Dried Fruits", "bag of dried fruit", "Dried Mango Fruit", (5, 45)),
)
