"""Scenes of transport: airport and port."""

from __future__ import annotations

import math

import numpy as np

from rsq_server.demo.canvas import Canvas, Point, darken, make_box, place, vary
from rsq_server.demo.drawing import Drawing, count_of, pick, set_stage
from rsq_server.demo.objects import (
    draw_aeroplane,
    draw_boat,
    draw_cars,
    draw_containers,
    draw_ship,
    draw_tank,
    scatter,
)
from rsq_server.demo.terrain import Colour, apply_ramp, blend, make_fractal, make_mask

ASPHALT: Colour = (98, 98, 102)
CONCRETE: Colour = (172, 170, 164)
PAINT: Colour = (236, 236, 230)


def draw_airport(rng: np.random.Generator, pixels: int) -> Drawing:
    """A runway with taxiway, an apron with a terminal or hangars, and aeroplanes."""
    hub = bool(rng.random() < 0.7)
    stage = set_stage(rng, pixels, zoom=(0.9, 1.3))
    noise = make_fractal(rng, pixels, cells=7)
    grass: tuple[Colour, Colour] = pick(
        rng, (((104, 124, 72), (136, 150, 92)), ((146, 138, 98), (174, 162, 120)))
    )
    canvas = stage.open_canvas(apply_ramp(noise, ((0.0, grass[0]), (1.0, grass[1]))))
    crossing = bool(rng.random() < 0.3)
    runway = float(rng.uniform(-0.36, -0.24))
    taxiway = runway + float(rng.uniform(0.13, 0.17))
    if crossing:
        _draw_runway(canvas, (0.0, runway), float(rng.uniform(0.7, 1.1)))
    canvas.path([(-0.9, taxiway), (0.9, taxiway)], 0.034, vary(rng, (128, 128, 130), 6))
    canvas.path([(-0.9, taxiway), (0.9, taxiway)], 0.004, (208, 176, 60))
    for x in (-0.42, 0.05, 0.46):
        canvas.path([(x, runway), (x + 0.09, taxiway)], 0.03, (126, 126, 128))
    _draw_runway(canvas, (0.0, runway), 0.0)
    apron = taxiway + 0.02
    if hub:
        canvas.box((0.0, apron + 0.15), 1.6, 0.3, CONCRETE)
        parked = _draw_stands(rng, canvas, apron)
    else:
        parked = _draw_airfield(rng, canvas, apron)
    moving = int(rng.random() < 0.5)
    if moving:
        spot = (float(rng.uniform(-0.3, 0.3)), runway)
        draw_aeroplane(rng, canvas, spot, 0.11, pick(rng, (0.0, math.pi)))
    return Drawing(canvas.image, _describe_airport(rng, parked, moving, crossing, hub))


def _draw_runway(canvas: Canvas, middle: Point, angle: float) -> None:
    """Asphalt with edge lines, a dashed centre line and threshold bars."""
    canvas.box(middle, 1.5, 0.074, ASPHALT, angle=angle)
    for side in (-0.031, 0.031):
        canvas.box(place(middle, angle, 0.0, side), 1.5, 0.004, PAINT, angle=angle)
    for step in range(-11, 12):
        canvas.box(place(middle, angle, step * 0.06, 0.0), 0.032, 0.005, PAINT, angle=angle)
    for end in (-0.44, 0.44):
        for bar in range(-3, 4):
            if bar:
                canvas.box(place(middle, angle, end, bar * 0.0085), 0.05, 0.005, PAINT, angle=angle)


def _draw_stands(rng: np.random.Generator, canvas: Canvas, apron: float) -> int:
    """The terminal with its piers, and aeroplanes nose-in along it; returns how many park."""
    front = apron + 0.19
    roof = vary(rng, pick(rng, ((214, 216, 220), (190, 198, 206), (222, 214, 204))))
    canvas.box((0.0, front + 0.07), 1.1, 0.1, roof, height=0.03)
    canvas.box((0.0, front + 0.07), 1.1, 0.022, (150, 162, 174))
    draw_cars(rng, canvas, (0.0, front + 0.24), (0.9, 0.16), 0.0)
    step = float(rng.uniform(0.13, 0.17))
    parked = 0
    for stand in range(-3, 4):
        x = stand * step
        canvas.box((x + step * 0.4, front + 0.012), 0.012, 0.04, roof, height=0.01)
        if abs(x) < 0.42 and rng.random() < 0.72:
            draw_aeroplane(
                rng, canvas, (x, front - 0.06), float(rng.uniform(0.1, 0.125)), math.pi / 2
            )
            parked += canvas.contains((x, front - 0.06))
    return parked


def _draw_airfield(rng: np.random.Generator, canvas: Canvas, apron: float) -> int:
    """A small apron on grass with hangars behind a row of light aircraft; returns how many park."""
    middle = float(rng.uniform(-0.15, 0.15))
    canvas.box((middle, apron + 0.09), 0.56, 0.18, vary(rng, CONCRETE, 10))
    for hangar in range(3):
        spot = (middle - 0.19 + hangar * 0.19, apron + 0.23)
        roof = vary(rng, pick(rng, ((196, 198, 200), (126, 148, 166), (176, 96, 76))))
        canvas.box(spot, 0.15, 0.11, roof, height=0.025)
        canvas.box(spot, 0.15, 0.014, darken(roof, 1.2))
    parked = 0
    for stand in range(5):
        spot = (middle - 0.22 + stand * 0.11, apron + 0.08)
        if rng.random() < 0.7:
            turn = math.pi / 2 + float(rng.uniform(-0.2, 0.2))
            draw_aeroplane(rng, canvas, spot, float(rng.uniform(0.07, 0.085)), turn)
            parked += canvas.contains(spot)
    return parked


def _describe_airport(
    rng: np.random.Generator, parked: int, moving: int, crossing: bool, hub: bool
) -> tuple[str, ...]:
    where = "the terminal" if hub else "the hangars"
    strips = "two crossing runways" if crossing else "a long runway"
    return (
        f"an airport with {strips} and {count_of(parked, 'aeroplane')} parked at {where}"
        if parked
        else f"an airport with {strips} and an empty apron",
        f"{count_of(parked, 'airplane')} next to {where}" if parked else f"{where} without planes",
        "a plane on the runway" if moving else f"{strips} with white markings",
        pick(rng, ("airliners on an airfield", "an airport with runway and taxiway")),
        pick(rng, ("airport", "an airport seen from above", "an airport with planes")),
    )


def draw_port(rng: np.random.Generator, pixels: int) -> Drawing:
    """A quay with large ships alongside, cranes, and containers, tanks or sheds on land."""
    cargo = pick(rng, ("containers", "containers", "oil", "bulk"))
    piers = bool(rng.random() < 0.4)
    stage = set_stage(rng, pixels, zoom=(0.9, 1.25))
    _, down = stage.view.make_grid()
    ripple = make_fractal(rng, pixels, cells=22, octaves=2)
    tone = vary(rng, pick(rng, ((38, 78, 104), (46, 88, 96), (30, 62, 86), (60, 98, 104))), 8)
    water = apply_ramp(ripple, ((0.0, tone), (1.0, (tone[0] + 14, tone[1] + 16, tone[2] + 18))))
    yard = make_fractal(rng, pixels, cells=10, octaves=3)
    paved = apply_ramp(yard, ((0.0, (132, 130, 126)), (1.0, (164, 160, 152))))
    quay = float(rng.uniform(-0.02, 0.12))
    canvas = stage.open_canvas(blend(water, paved, make_mask(down, quay, 0.004)))
    if piers:
        ships = _draw_pier_berths(rng, canvas, quay, cargo)
    else:
        ships = _draw_quay_berths(rng, canvas, quay, cargo)
    _draw_yard(rng, canvas, quay, cargo)
    cranes = _draw_cranes(rng, canvas, quay) if not piers and cargo != "oil" else 0
    for spot in scatter(rng, int(rng.integers(0, 4)), 0.4):
        if spot[1] < quay - 0.34:
            draw_boat(canvas, spot, 0.026, float(rng.uniform(0, 6.28)))
    return Drawing(canvas.image, _describe_port(rng, ships, cranes, cargo, piers))


def _draw_quay_berths(rng: np.random.Generator, canvas: Canvas, quay: float, cargo: str) -> int:
    """Ships alongside the quay, and sometimes one under way; returns how many are in view."""
    canvas.path([(-0.9, quay), (0.9, quay)], 0.012, (196, 192, 180))
    length = float(rng.uniform(0.36, 0.48))
    ships = 0
    start = float(rng.uniform(-0.1, 0.1))
    for berth in (-1, 0, 1):
        x = start + berth * (length + 0.05)
        if (berth and rng.random() < 0.3) or abs(x) > 0.5:
            continue
        spot = (x, quay - length * 0.085 - 0.014)
        draw_ship(rng, canvas, spot, length, pick(rng, (0.0, math.pi)), cargo=cargo)
        ships += canvas.contains(spot)
    if rng.random() < 0.5:
        spot = (float(rng.uniform(-0.15, 0.15)), quay - float(rng.uniform(0.24, 0.34)))
        heading = float(rng.uniform(-0.3, 0.3)) + pick(rng, (0.0, math.pi))
        wake = [
            place(spot, heading, length * along, length * across)
            for along, across in ((-1.0, -0.14), (-0.4, -0.05), (-0.4, 0.05), (-1.0, 0.14))
        ]
        canvas.polygon(wake, (200, 214, 216, 70))
        draw_ship(rng, canvas, spot, length * 0.85, heading, cargo=cargo)
        ships += canvas.contains(spot)
    return ships


def _draw_pier_berths(rng: np.random.Generator, canvas: Canvas, quay: float, cargo: str) -> int:
    """Piers out into the water with ships on their sides; returns how many ships are in view."""
    step = float(rng.uniform(0.34, 0.44))
    start = float(rng.uniform(-0.25, 0.25)) * step
    ships = 0
    # The middle pier first: it is in view whatever the rotation, so a ship always is.
    for pier in (0, -1, 1, -2, 2):
        x = start + pier * step
        canvas.polygon(make_box((x, quay - 0.17), 0.05, 0.36, 0.0), CONCRETE, height=0.008)
        canvas.path([(x, quay), (x, quay - 0.33)], 0.012, (120, 118, 116))
        if abs(x) > 0.45:
            continue
        for side in (-1.0, 1.0):
            if rng.random() < 0.62 or ships == 0:
                length = float(rng.uniform(0.28, 0.33))
                spot = (x + side * (0.034 + length * 0.085), quay - 0.19)
                heading = pick(rng, (math.pi / 2, -math.pi / 2))
                draw_ship(rng, canvas, spot, length, heading, cargo=cargo)
                ships += canvas.contains(spot)
    return ships


def _draw_yard(rng: np.random.Generator, canvas: Canvas, quay: float, cargo: str) -> None:
    """What lies on land: container blocks, oil tanks, or heaps and sheds."""
    rows = 4
    for row in range(rows):
        y = quay + 0.13 + row * 0.16
        canvas.path([(-0.9, y - 0.075), (0.9, y - 0.075)], 0.018, (112, 110, 108))
        for column in range(-3, 4):
            spot = (column * 0.25 + 0.03 * row, y)
            if rng.random() < 0.12:
                continue
            if cargo == "containers":
                draw_containers(rng, canvas, spot, (0.22, 0.09), 0.0)
            elif cargo == "oil":
                for shift in (-0.06, 0.06):
                    draw_tank(rng, canvas, (spot[0] + shift, y), float(rng.uniform(0.036, 0.046)))
            elif rng.random() < 0.5:
                heap = vary(rng, pick(rng, ((60, 58, 58), (150, 106, 70), (196, 178, 132))), 10)
                canvas.disc(spot, 0.05, heap, height=0.02)
                canvas.disc(canvas.towards_sun(spot, 0.015), 0.026, vary(rng, heap, 18))
            else:
                canvas.box(spot, 0.2, 0.085, vary(rng, (188, 190, 192)), height=0.02)


def _draw_cranes(rng: np.random.Generator, canvas: Canvas, quay: float) -> int:
    """Ship-to-shore cranes: a portal on the quay and a boom over the ship; returns how many."""
    colour = pick(rng, ((206, 70, 50), (40, 96, 160), (226, 178, 60), (230, 230, 226)))
    cranes = 0
    for x in (-0.36, -0.2, -0.04, 0.12, 0.28):
        if rng.random() < 0.3:
            continue
        spot = (x + float(rng.uniform(-0.03, 0.03)), quay)
        canvas.box((spot[0], quay + 0.03), 0.04, 0.05, colour, height=0.03)
        canvas.box((spot[0], quay - 0.03), 0.012, 0.17, colour, height=0.03)
        cranes += 1
    return cranes


def _describe_port(
    rng: np.random.Generator, ships: int, cranes: int, cargo: str, piers: bool
) -> tuple[str, ...]:
    kind = {"containers": "container ship", "oil": "oil tanker", "bulk": "bulk cargo ship"}[cargo]
    place_word = "at the piers" if piers else "at the quay"
    freight = {
        "containers": "stacks of coloured containers",
        "oil": "rows of white oil tanks",
        "bulk": "heaps of bulk goods and sheds",
    }[cargo]
    return (
        f"a port with {count_of(ships, 'large ' + kind)} {place_word} and {freight}",
        pick(rng, ("port with large cargo ships", "cargo ships docked at a harbour")),
        f"{count_of(ships, 'ship')} moored {place_word} of a harbor",
        f"a harbour with {count_of(cranes, 'crane')} and {freight}"
        if cranes
        else f"a harbour with {freight}",
        pick(rng, ("port", "a seaport with ships", "a busy port with docks and cargo")),
    )
