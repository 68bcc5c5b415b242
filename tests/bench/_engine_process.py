"""Whole processes: other processors' code paths, accuracy over a data set, start-up and memory."""

from __future__ import annotations

from tests.bench._clock import Row


def portable() -> list[Row]:
    return []


def accuracy() -> list[Row]:
    return []


def start() -> list[Row]:
    return []


def memory() -> list[Row]:
    return []
