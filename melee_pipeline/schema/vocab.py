"""Names of characters, stages and actions, and the mappings between their numberings.

Melee numbers characters twice: the *external* id is the choice on the selection screen (and what
a replay's start block holds), the *internal* id is the fighter in play (and what frames hold). One
external id can play several fighters (Zelda turns into Sheik, Ice Climbers are Popo and Nana).
Sources: the community's SSBM Data Sheet; libmelee's enumerations for its stage ids.
"""

from __future__ import annotations

from enum import IntEnum

from melee_pipeline.schema.actions import ActionState

__all__ = [
    "LEGAL_STAGES",
    "LIBMELEE_STAGES",
    "ActionState",
    "ExternalCharacter",
    "InternalCharacter",
    "Stage",
    "external_name",
    "internals_of",
    "libmelee_stage",
    "stage_name",
]


class InternalCharacter(IntEnum):
    """The fighter in play: what `post.character` holds. Same ids as libmelee's `Character`."""

    MARIO = 0
    FOX = 1
    CAPTAIN_FALCON = 2
    DONKEY_KONG = 3
    KIRBY = 4
    BOWSER = 5
    LINK = 6
    SHEIK = 7
    NESS = 8
    PEACH = 9
    POPO = 10
    NANA = 11
    PIKACHU = 12
    SAMUS = 13
    YOSHI = 14
    JIGGLYPUFF = 15
    MEWTWO = 16
    LUIGI = 17
    MARTH = 18
    ZELDA = 19
    YOUNG_LINK = 20
    DR_MARIO = 21
    FALCO = 22
    PICHU = 23
    GAME_AND_WATCH = 24
    GANONDORF = 25
    ROY = 26
    MASTER_HAND = 27
    CRAZY_HAND = 28
    WIREFRAME_MALE = 29
    WIREFRAME_FEMALE = 30
    GIGA_BOWSER = 31
    SANDBAG = 32


class ExternalCharacter(IntEnum):
    """The choice on the selection screen: what `start.players[i].character` holds."""

    CAPTAIN_FALCON = 0
    DONKEY_KONG = 1
    FOX = 2
    GAME_AND_WATCH = 3
    KIRBY = 4
    BOWSER = 5
    LINK = 6
    LUIGI = 7
    MARIO = 8
    MARTH = 9
    MEWTWO = 10
    NESS = 11
    PEACH = 12
    PIKACHU = 13
    ICE_CLIMBERS = 14
    JIGGLYPUFF = 15
    SAMUS = 16
    YOSHI = 17
    ZELDA = 18
    SHEIK = 19
    FALCO = 20
    YOUNG_LINK = 21
    DR_MARIO = 22
    ROY = 23
    PICHU = 24
    GANONDORF = 25
    MASTER_HAND = 26
    WIREFRAME_MALE = 27
    WIREFRAME_FEMALE = 28
    GIGA_BOWSER = 29
    CRAZY_HAND = 30
    SANDBAG = 31
    POPO = 32


class Stage(IntEnum):
    """Stages by external id: what `start.stage` holds. Targets and adventure are not named."""

    FOUNTAIN_OF_DREAMS = 2
    POKEMON_STADIUM = 3
    PEACHS_CASTLE = 4
    KONGO_JUNGLE = 5
    BRINSTAR = 6
    CORNERIA = 7
    YOSHIS_STORY = 8
    ONETT = 9
    MUTE_CITY = 10
    RAINBOW_CRUISE = 11
    JUNGLE_JAPES = 12
    GREAT_BAY = 13
    HYRULE_TEMPLE = 14
    BRINSTAR_DEPTHS = 15
    YOSHIS_ISLAND = 16
    GREEN_GREENS = 17
    FOURSIDE = 18
    MUSHROOM_KINGDOM = 19
    MUSHROOM_KINGDOM_2 = 20
    VENOM = 22
    POKE_FLOATS = 23
    BIG_BLUE = 24
    ICICLE_MOUNTAIN = 25
    ICETOP = 26
    FLAT_ZONE = 27
    DREAM_LAND = 28
    YOSHIS_ISLAND_64 = 29
    KONGO_JUNGLE_64 = 30
    BATTLEFIELD = 31
    FINAL_DESTINATION = 32


# The six stages of tournaments; libmelee numbers them by the game's internal stage id.
LIBMELEE_STAGES: dict[int, int] = {
    Stage.YOSHIS_STORY: 6,
    Stage.FOUNTAIN_OF_DREAMS: 8,
    Stage.POKEMON_STADIUM: 18,
    Stage.BATTLEFIELD: 24,
    Stage.FINAL_DESTINATION: 25,
    Stage.DREAM_LAND: 26,
}
LEGAL_STAGES = tuple(Stage(stage) for stage in LIBMELEE_STAGES)

# External ids whose fighters do not simply have the same name; the first is who enters the stage.
_SEVERAL = {
    ExternalCharacter.ICE_CLIMBERS: (InternalCharacter.POPO, InternalCharacter.NANA),
    ExternalCharacter.ZELDA: (InternalCharacter.ZELDA, InternalCharacter.SHEIK),
    ExternalCharacter.SHEIK: (InternalCharacter.SHEIK, InternalCharacter.ZELDA),
}
_INTERNALS: dict[int, tuple[InternalCharacter, ...]] = {
    external: _SEVERAL.get(external) or (InternalCharacter[external.name],)
    for external in ExternalCharacter
}


def internals_of(external: int) -> tuple[InternalCharacter, ...]:
    """The fighters that a choice can put into play, who enters first; empty when unknown."""
    return _INTERNALS.get(external, ())


def libmelee_stage(external: int) -> int | None:
    """libmelee's id of a tournament stage, else None."""
    return LIBMELEE_STAGES.get(external)


def _name(names: type[IntEnum], value: int, unknown: str) -> str:
    try:
        return names(value).name
    except ValueError:
        return f"{unknown}_{value}"


def external_name(character: int) -> str:
    """Name of a choice on the selection screen; `UNKNOWN_<id>` if there is no such choice."""
    return _name(ExternalCharacter, character, "UNKNOWN")


def stage_name(stage: int) -> str:
    """Name of a stage; `STAGE_<id>` for those without a name here."""
    return _name(Stage, stage, "STAGE")
