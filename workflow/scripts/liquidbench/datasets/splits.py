"""Splits and subsets that depend on nothing but the labels and a seed."""

import numpy as np

from liquidbench.errors import InputError


def split_indices(
    targets: np.ndarray, test_fraction: float, seed: int, stratify: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Split the examples into a training and a test part at random.

    Args:
        targets: (examples,), the class of each example.
        test_fraction: part of the examples that goes to the test part, above 0 and below 1;
            the number of test examples is rounded up.
        seed: the same seed gives the same split.
        stratify: keep each class's share in both parts.

    Returns:
        (train, test): indices, int64, each ascending, disjoint, together all examples.

    Raises:
        InputError: the fraction is out of range or leaves a part empty, or a class has too few
            examples to stand in both parts.
    """
    # Slow to import, and the preparation's worker processes need only `balanced_subset`.
    from sklearn.model_selection import train_test_split

    targets = np.asarray(targets)
    if not 0 < test_fraction < 1:
        problem = f"is {test_fraction}, expected above 0 and below 1"
        raise InputError("split.test_fraction", problem, "Change it, for example to 0.2")
    try:
        train, test = train_test_split(
            np.arange(len(targets), dtype=np.int64),
            test_size=test_fraction,
            random_state=seed,
            stratify=targets if stratify else None,
        )
    except ValueError as error:
        raise InputError(
            "split",
            f"{len(targets)} examples cannot be split with test_fraction {test_fraction} ({error})",
            "Use more examples, another fraction, or no stratification",
        ) from None
    return np.sort(train), np.sort(test)


def balanced_subset(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """The first examples of each class, as equal in number as `limit` allows.

    Classes are served in turn, in ascending order, each with its next example, until `limit`
    examples are taken; a class that has run out is passed over.

    Args:
        labels: (examples,), sortable.
        limit: number of examples to keep; None, or more than there are, keeps all.

    Returns:
        Indices, int64, ascending.
    """
    labels = np.asarray(labels)
    if limit is None or limit >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    by_class = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    turn = np.arange(len(labels)) - np.repeat(starts, counts)
    order = by_class[np.argsort(turn, kind="stable")]
    return np.sort(order[:limit]).astype(np.int64)
