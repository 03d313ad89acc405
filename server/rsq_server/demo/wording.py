"""How people word what a scene shows: class names, templates, synonyms, dropped words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rsq_server.demo.drawing import NUMBERS, pick

TEMPLATES: tuple[str, ...] = (
    "a satellite image of {}",
    "satellite image of {}",
    "an aerial photo of {}",
    "an aerial image of a {}",
    "an overhead view of {}",
    "a photo of {}",
    "a picture showing {}",
    "a remote sensing image of {}",
    "this is a {}",
    "{} seen from above",
    "{} from space",
    "show me {}",
    "find {}",
    "where is the {}",
    "{}",
)
CLASS_WORDS: Mapping[str, tuple[str, ...]] = {
    "urban": (
        "urban",
        "urban area",
        "city",
        "town",
        "residential area",
        "downtown",
        "buildings and streets",
        "city blocks",
        "a built up area",
        "houses",
        "neighbourhood",
        "suburb",
        "roofs of houses",
        "skyscrapers",
    ),
    "farmland": (
        "farmland",
        "fields",
        "agriculture",
        "agricultural land",
        "crops",
        "cropland",
        "farm",
        "cultivated fields",
        "irrigated fields",
        "a farmed landscape",
        "plantation",
        "meadows and fields",
    ),
    "forest": (
        "forest",
        "woods",
        "woodland",
        "trees",
        "dense trees",
        "jungle",
        "forest canopy",
        "tree crowns",
        "a wooded area",
        "rainforest",
    ),
    "coast": (
        "coast",
        "beach",
        "shore",
        "seashore",
        "coastline",
        "sea and sand",
        "ocean shore",
        "island",
        "waves on the beach",
        "the seaside",
        "surf",
        "sea",
    ),
    "snow mountain": (
        "snow mountain",
        "snowy mountain",
        "snow",
        "mountains",
        "mountain peaks with snow",
        "snow capped mountains",
        "glacier",
        "alps",
        "snowy peaks",
        "ice and snow",
        "mountain range",
    ),
    "desert": (
        "desert",
        "sand dunes",
        "sand",
        "dunes",
        "arid land",
        "barren land",
        "dry land",
        "sandy desert",
        "bare ground",
        "sahara",
        "wasteland",
    ),
    "river": (
        "river",
        "stream",
        "winding river",
        "river bend",
        "a bridge over a river",
        "water flowing through land",
        "riverbank",
        "waterway",
        "meander",
        "creek",
        "tributary",
    ),
    "airport": (
        "airport",
        "airfield",
        "runway",
        "planes",
        "aircraft",
        "airplanes on the ground",
        "parked aircraft",
        "airport terminal",
        "jets",
        "aerodrome",
        "a plane",
        "landing strip",
        "hangars",
    ),
    "port": (
        "port",
        "harbour",
        "harbor",
        "docks",
        "ships",
        "cargo ships",
        "large cargo ships",
        "port with large cargo ships",
        "container terminal",
        "container ships",
        "seaport",
        "vessels at the quay",
        "shipping containers and cranes",
        "ships in a harbour",
        "oil tankers",
        "big boats",
        "wharf",
        "freighters",
    ),
    "industrial": (
        "industrial",
        "industrial area",
        "factory",
        "factories",
        "warehouses",
        "storage tanks",
        "refinery",
        "industrial plant",
        "oil tanks",
        "chimneys with smoke",
        "industrial zone",
        "industrial park",
        "manufacturing plant",
        "power plant",
    ),
}
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "harbour": ("harbor", "port", "dock"),
    "harbor": ("harbour", "port"),
    "port": ("harbour", "harbor", "seaport"),
    "ships": ("vessels", "boats", "freighters"),
    "ship": ("vessel", "boat", "freighter"),
    "quay": ("dock", "wharf", "pier", "berth"),
    "moored": ("docked", "berthed", "tied up"),
    "docked": ("moored", "berthed"),
    "large": ("big", "huge", "great"),
    "small": ("little", "tiny"),
    "containers": ("shipping containers", "boxes"),
    "coloured": ("colored", "colourful", "colorful"),
    "aeroplane": ("airplane", "plane", "aircraft"),
    "aeroplanes": ("airplanes", "planes", "aircraft", "jets"),
    "airplanes": ("aeroplanes", "planes", "aircraft", "airliners"),
    "airport": ("airfield", "aerodrome"),
    "runway": ("landing strip", "airstrip"),
    "forest": ("woods", "woodland"),
    "trees": ("forest", "woods"),
    "conifer": ("pine", "fir", "evergreen"),
    "broadleaf": ("deciduous", "leafy"),
    "fields": ("farm fields", "crops", "farmland"),
    "farmland": ("cropland", "agricultural land"),
    "circular": ("round",),
    "houses": ("homes", "buildings"),
    "city": ("town", "urban"),
    "tall": ("high", "high-rise"),
    "office": ("commercial",),
    "river": ("stream", "waterway"),
    "winding": ("meandering", "curved"),
    "coast": ("shore", "seashore", "coastline"),
    "beach": ("shore", "seashore"),
    "sea": ("ocean", "water"),
    "surrounded": ("encircled",),
    "desert": ("arid land", "wasteland"),
    "dunes": ("sand dunes", "sand waves"),
    "snow": ("ice",),
    "mountain": ("mountains", "alpine"),
    "peaks": ("summits", "mountain tops"),
    "ridges": ("crests",),
    "factory": ("plant", "works"),
    "industrial": ("manufacturing",),
    "warehouses": ("sheds", "storage halls", "depots"),
    "tanks": ("storage tanks", "round tanks"),
    "chimneys": ("smokestacks", "stacks"),
    "parked": ("standing",),
    "many": ("lots of", "numerous"),
}
_SYNONYM_SHARE = 0.25
_DROPPED_SHARE = 0.12


def name_class(rng: np.random.Generator, label: str) -> str:
    """A free wording of a class in a random template."""
    words = label if rng.random() < 0.4 else pick(rng, CLASS_WORDS[label])
    template = TEMPLATES[0] if rng.random() < 0.25 else pick(rng, TEMPLATES)
    return template.format(words)


def reword(rng: np.random.Generator, caption: str) -> str:
    """The caption as someone else might type it: synonyms, digits, lost words, a template."""
    words = []
    for word in caption.split():
        if word in SYNONYMS and rng.random() < _SYNONYM_SHARE:
            words.append(pick(rng, SYNONYMS[word]))
        elif word in NUMBERS[2:] and rng.random() < 0.3:
            words.append(str(NUMBERS.index(word)))
        elif rng.random() >= _DROPPED_SHARE:
            words.append(word)
    said = " ".join(words) if len(words) > 1 else caption
    return pick(rng, TEMPLATES).format(said) if rng.random() < 0.3 else said
