"""The eight orientations of an image: what each does to its points, what undoes it, and what two of them make."""

import numpy as np
from each import each

from steelbench.audit.duplicates.orientations import COMPOSE, INVERSE, TURNS, turn_image, turn_points


@each("turn", range(8))
def test_a_turned_point_is_where_the_turned_image_shows_it(turn):
    image = np.arange(35).reshape(5, 7)
    places = np.argwhere(image >= 0)

    y, x = turn_points(places, turn, np.array(image.shape)).T

    assert (turn_image(image, turn)[y, x] == image[places[:, 0], places[:, 1]]).all()
    assert (turn_image(turn_image(image, turn), INVERSE[turn]) == image).all()
    assert all((TURNS[COMPOSE[turn][k]] == TURNS[turn] @ TURNS[k]).all() for k in range(8))
