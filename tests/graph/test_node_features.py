"""Scaling of counters over what exists, identities of tags, and newcomers' features."""

from dataclasses import replace

import numpy as np
import torch

from recsys.data.features import fit_encoders
from recsys.data.readings import Readings
from recsys.graph.counters import Counters
from recsys.graph.node_features import NodeFeatures, Scaling
from tests.factories import tiny_log
from tests.graph.logs import log_of

WINDOWS = (0.2, 1.0)


def test_scaling_is_a_clipped_z_score_and_constants_become_zero() -> None:
    raw = np.array([[1.0, 7.0, 0.0], [3.0, 7.0, 0.0], [5.0, 7.0, 1e-13]])
    scaling = Scaling.fit(raw)
    # The first column has mean 3 and variance (4 + 0 + 4) / 3.
    expected = np.array([-2, 0, 2]) / np.sqrt(8 / 3)
    np.testing.assert_allclose(scaling.apply(raw), np.stack([expected, [0, 0, 0], [0, 0, 0]], axis=1), rtol=1e-6)
    np.testing.assert_allclose(
        scaling.apply(np.array([[100.0, 9.0, 4.0], [-100.0, 0.0, 0.0]])), [[5, 0, 0], [-5, 0, 0]]
    )
    assert Scaling.fit(np.zeros((0, 3))).apply(np.ones((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_features_are_encoded_attributes_then_z_scored_counters_then_the_cold_flag() -> None:
    log = tiny_log(3)
    encoders, t = fit_encoders(log), log.boundaries.t_test
    features = NodeFeatures(log, encoders, WINDOWS)
    before = features.before(t)
    raw = Counters(log, WINDOWS).before(t)
    for node_type, encoder, nodes in (("user", encoders.user, log.users), ("content", encoders.content, log.contents)):
        count, x = nodes.count_before(t), before.numbers[node_type].numpy()
        encoded = encoder.encode(nodes)
        width = encoded.numbers.shape[1]
        np.testing.assert_array_equal(x[:, :width], encoded.numbers[:count])
        np.testing.assert_array_equal(before.categories[node_type].numpy(), encoded.categories[:count])
        assert x.shape == (count, len(features.number_names[node_type]))
        for name, column in raw[node_type].items():
            spread = column.std()
            expected = np.clip((column - column.mean()) / spread, -5, 5) if spread > 1e-9 else np.zeros(count)
            place = features.number_names[node_type].index(name)
            np.testing.assert_allclose(x[:, place], expected, rtol=1e-5, atol=1e-5, err_msg=name)
    active = np.unique(log.user[log.time < t])
    assert before.numbers["user"][:, -1].tolist() == [float(u not in active) for u in range(log.users.count_before(t))]


def test_tags_have_their_kind_and_an_identity_if_known_before_validation() -> None:
    log = log_of(
        [(0, 0, "view", None, 0), (0, 1, "view", None, 10), (0, 2, "view", None, 20)],
        t_val=10,
        t_test=20,
        content_tags=[(0, 0), (0, 1), (1, 2), (2, 3)],
        tag_kinds=["tag", "mood", "category", "tag"],
    )
    features = NodeFeatures(log, fit_encoders(log), WINDOWS)
    assert features.cardinalities["tag"] == (4, 3)
    assert features.before(21).categories["tag"].tolist() == [[1, 1], [2, 2], [3, 0], [1, 0]]
    assert features.before(11).categories["tag"].tolist() == [[1, 1], [2, 2], [3, 0]]


def test_a_newcomer_is_scaled_like_a_user_whose_counters_are_zero() -> None:
    log = tiny_log(2)
    t = int(log.time[len(log) // 4])
    newcomers = np.arange(log.users.count_before(t), len(log.users))
    assert len(newcomers)
    features = NodeFeatures(log, encoders := fit_encoders(log), WINDOWS)
    before = features.before(t)
    x, x_cat = features.newcomers(newcomers, t, before.user_scaling)
    encoded = encoders.user.encode(log.users)
    width, raw = encoded.numbers.shape[1], Counters(log, WINDOWS).before(t)["user"]
    np.testing.assert_array_equal(x[:, :width].numpy(), encoded.numbers[newcomers])
    np.testing.assert_array_equal(x_cat.numpy(), encoded.categories[newcomers])
    for name, column in raw.items():
        spread = column.std()
        expected = np.clip((0 - column.mean()) / spread, -5, 5) if spread > 1e-9 else 0
        place = features.number_names["user"].index(name)
        np.testing.assert_allclose(x[:, place].numpy(), expected, rtol=1e-5, err_msg=name)
    assert x[:, -1].tolist() == [1.0] * len(newcomers)


def test_time_attributes_are_ages_and_later_times_are_unknown_for_newcomers_too() -> None:
    log = tiny_log(0)
    t = int(log.time[5])
    existing, span = log.users.count_before(t), t - int(log.time[0])
    assert 2 <= existing < len(log.users) - 1
    # Users with an even number joined after the query time, those with an odd number at several times before it.
    number = np.arange(len(log.users))
    joined = np.where(number % 2, t - span * (number + 1) // 20, t + 5)
    attributes = log.users.attributes.assign(joined=joined)
    log = replace(log, users=replace(log.users, attributes=attributes, kinds={**log.users.kinds, "joined": "time"}))
    features = NodeFeatures(log, fit_encoders(log), WINDOWS)
    before = features.before(t)
    x, _ = features.newcomers(number[existing:], t, before.user_scaling)
    everyone = torch.cat([before.numbers["user"], x])
    for name, raw in (
        ("attribute:joined:is_past", number % 2),
        ("attribute:joined:age", np.where(number % 2, np.log1p(10_000 * (t - joined) / span), 0.0)),
    ):
        expected = np.clip((raw - raw[:existing].mean()) / raw[:existing].std(), -5, 5)
        place = features.number_names["user"].index(name)
        np.testing.assert_allclose(everyone[:, place], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_readings_are_log_scaled_flagged_and_known_to_newcomers_but_only_once_they_were_read() -> None:
    log = tiny_log(0)
    t = int(log.time[int(0.6 * len(log))])
    existing = log.users.count_before(t)
    assert 2 <= existing < len(log.users)
    early, late = t - 5, t
    readings = Readings(
        ("posts", "read_too_late_to_learn"),
        np.array([0, 1, existing, 0]),
        np.array([early, early, early, late]),
        np.array([[7.0, np.nan], [-3.0, np.nan], [20.0, np.nan], [1e6, 1.0]]),
    )
    log = replace(log, users=replace(log.users, readings=readings), boundaries=replace(log.boundaries, t_val=t))
    features = NodeFeatures(log, fit_encoders(log), WINDOWS)
    before = features.before(t)
    x, _ = features.newcomers(np.arange(existing, len(log.users)), t, before.user_scaling)
    everyone = torch.cat([before.numbers["user"], x])
    value, is_known = np.zeros(len(log.users)), np.zeros(len(log.users))
    value[[0, 1, existing]], is_known[[0, 1, existing]] = [np.log(8), -np.log(4), np.log(21)], 1
    for name, raw in (("reading:posts", value), ("reading:posts:is_known", is_known)):
        expected = np.clip((raw - raw[:existing].mean()) / raw[:existing].std(), -5, 5)
        place = features.number_names["user"].index(name)
        np.testing.assert_allclose(everyone[:, place], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not any("too_late" in name for name in features.number_names["user"])
