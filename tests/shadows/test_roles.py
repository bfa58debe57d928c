"""Targets by a keyed hash, and roles in blocks of three worlds."""

import numpy as np

from recbole_unlearn.shadows.roles import FORGET, IN, OUT, by_role, draw_roles, draw_targets

TOKENS = [f"user {number}" for number in range(600)]


def test_each_target_has_each_role_once_in_each_block():
    roles = draw_roles(TOKENS, seed=3, worlds=30).reshape(10, 3, len(TOKENS))
    assert (np.sort(roles, axis=1) == np.array([IN, FORGET, OUT])[None, :, None]).all()


def test_each_role_has_a_third_of_each_world_and_all_six_orders_are_drawn():
    roles = draw_roles(TOKENS, seed=3, worlds=9)
    shares = np.stack([(roles == role).mean(axis=1) for role in (IN, FORGET, OUT)])
    assert np.abs(shares - 1 / 3).max() < 4 * np.sqrt(2 / 9 / len(TOKENS))
    orders = np.unique(roles[:3].T, axis=0, return_counts=True)[1]
    assert len(orders) == 6
    assert orders.min() > 60  # of 100 expected


def test_blocks_are_independent_of_each_other():
    roles = draw_roles(TOKENS, seed=3, worlds=6)
    agree = (roles[:3] == roles[3:]).all(axis=0).mean()
    assert abs(agree - 1 / 6) < 4 * np.sqrt(5 / 36 / len(TOKENS))


def test_roles_depend_on_seed_and_token_alone():
    roles = draw_roles(TOKENS, seed=3, worlds=6)
    assert (draw_roles(TOKENS[::-1], seed=3, worlds=30)[:6, ::-1] == roles).all()  # more worlds, other places
    assert (draw_roles(TOKENS, seed=4, worlds=6) != roles).any()


def test_targets_are_a_share_of_the_users_and_depend_on_no_other_user():
    targets = {TOKENS[place] for place in draw_targets(TOKENS, seed=3)}
    assert len(targets) == 90
    without = [token for token in TOKENS if token != TOKENS[0]]
    again = {without[place] for place in draw_targets(without, seed=3)}
    assert len(targets & again) >= 88


def test_values_are_sorted_by_role():
    roles = draw_roles(TOKENS, seed=3, worlds=6)
    worlds = np.broadcast_to(np.arange(6)[:, None], roles.shape)
    sorted_worlds = by_role(worlds, roles)
    assert sorted_worlds.shape == (3, 2, len(TOKENS))
    for role in (IN, FORGET, OUT):
        for block in (0, 1):
            chosen = sorted_worlds[role, block]
            assert (chosen // 3 == block).all()
            assert (roles[chosen, np.arange(len(TOKENS))] == role).all()
