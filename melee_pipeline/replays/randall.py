"""Randall, the cloud of Yoshi's Story: where it is on a frame. No replay records it.

It goes round in 1200 frames: along the bottom, up the right side, along the top, down the left
side, and around four corners. The figures were measured in the game by libmelee's authors, whose
`stages.randall_position` gives the same; they are right to about 0.001 game units.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

PERIOD = 1200  # frames
WIDTH = 11.9  # game units
_BOTTOM, _TOP, _LEFT_EDGE, _RIGHT_EDGE = -33.2489, -13.64989, -103.6, 91.35
_ALONG, _UP = 0.35484, 0.354839325  # game units a frame
# First frame of each corner: (height, left edge) frame by frame.
_CORNERS: dict[int, list[tuple[float, float]]] = {
    416: [
        (-33.184478759765625, 89.75263977050781),
        (-33.04470443725586, 90.07878112792969),
        (-32.904930114746094, 90.40492248535156),
        (-32.76515197753906, 90.73107147216797),
        (-32.49260711669922, 90.92455291748047),
        (-32.16635513305664, 91.06437683105469),
        (-31.840103149414062, 91.20419311523438),
        (-31.513851165771484, 91.3440170288086),
    ],
    469: [
        (-15.1948881149292, 91.3371353149414),
        (-14.868742942810059, 91.1973648071289),
        (-14.542601585388184, 91.05758666992188),
        (-14.216456413269043, 90.91781616210938),
        (-13.967143058776855, 90.71036529541016),
        (-13.869664192199707, 90.36917877197266),
        (-13.772183418273926, 90.02799224853516),
        (-13.674698829650879, 89.68680572509766),
    ],
    1016: [
        (-13.679760932922363, -101.919677734375),
        (-13.819535255432129, -102.24581909179688),
        (-13.959305763244629, -102.57196044921875),
        (-14.099089622497559, -102.89810180664062),
        (-14.320136070251465, -103.14761352539062),
        (-14.6375150680542, -103.30630493164062),
        (-14.954894065856934, -103.46499633789062),
    ],
    1069: [
        (-31.590042114257812, -103.554931640625),
        (-31.907413482666016, -103.39625549316406),
        (-32.22478485107422, -103.23756408691406),
        (-32.54215621948242, -103.07887268066406),
        (-32.7216796875, -102.77439880371094),
        (-32.89775085449219, -102.46626281738281),
        (-33.07382583618164, -102.15814208984375),
    ],
}


def randall_positions(frames: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(x, y) of Randall's middle on each frame, in game units."""
    x, y = _cycle()
    at = frames % PERIOD
    return x[at], y[at]


@cache
def _cycle() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One round: (x, y), each (PERIOD,)."""
    left, height = np.empty(PERIOD), np.empty(PERIOD)
    bottom = np.r_[1076:PERIOD, 0:416]
    # A frame's way is left out where a round ends: so it was measured.
    left[bottom] = -101.850006103516 + _ALONG * np.r_[0 : PERIOD - 1076, 125 : 125 + 416]
    height[bottom] = _BOTTOM
    right = np.arange(424, 469)
    left[right], height[right] = _RIGHT_EDGE, -31.160232543945312 + _UP * (right - 424)
    top = np.arange(477, 1016)
    left[top], height[top] = 101.235443115234 - WIDTH - _ALONG * (top - 477), _TOP
    down = np.arange(1023, 1069)
    left[down], height[down] = _LEFT_EDGE, -15.2778692245483 - _UP * (down - 1023)
    for first, corner in _CORNERS.items():
        for frame, (corner_height, corner_left) in enumerate(corner, first):
            left[frame], height[frame] = corner_left, corner_height
    return (left + WIDTH / 2).astype(np.float32), height.astype(np.float32)
