"""IAM: hand-made line images and transcriptions with known answers, and damaged ones."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from liquidbench.datasets import iam
from liquidbench.datasets.cache import read_attributes, read_split, read_split_names
from liquidbench.datasets.examples import write_examples
from liquidbench.datasets.preparation import read_settings
from liquidbench.errors import InputError
from preparation_helpers import MIRROR, make_manifest, needs_mirror

SETTINGS = iam.Settings(height=2, width=4)
PIXELS = np.array([[0, 10, 20, 30], [100, 110, 120, 130]], dtype=np.uint8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path, rows, columns=("image", "text")):
    """`rows` are (bytes, path, text)."""
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": content, "path": name} for content, name, _ in rows]
    table = pa.table(
        {
            columns[0]: pa.array(images, image_type),
            columns[1]: pa.array([text for *_, text in rows], pa.string()),
        }
    )
    pq.write_table(table, path)
    return path


def make_raw(folder, train, validation=None, test=None):
    other = [(png(PIXELS), "v", "ab")]
    parts = {"train": train, "validation": validation or other, "test": test or other}
    files = {role: write_parquet(folder / f"{role}.parquet", rows) for role, rows in parts.items()}
    return make_manifest(folder, "iam", files)


def test_hand_made_lines(tmp_path):
    wide = np.repeat(PIXELS, 3, axis=1)
    train = [(png(PIXELS), "a/0.png", "ba b"), (png(wide), None, "é")]
    manifest = make_raw(tmp_path, train, test=[(png(PIXELS), "t", "bxa")])
    cache = tmp_path / "cache.h5"
    iam.prepare(manifest, SETTINGS, cache, 1)

    assert read_split_names(cache) == ("train", "validation", "test")
    found = read_split(cache, "train")
    assert found.inputs.dtype == np.uint8
    # A step is a column; an image of the wanted size is stored as it is.
    np.testing.assert_array_equal(found.inputs[:4], PIXELS.T)
    # Three times as wide: each column grey of its three equal ones, blurred by its neighbours.
    np.testing.assert_allclose(found.inputs[4:], PIXELS.T, atol=3)
    assert found.elapsed.tolist() == [0, 1, 1, 1, 0, 3, 3, 3]
    assert found.offsets.tolist() == [0, 4, 8]
    assert found.ids.tolist() == ["a/0.png", "train:1"]
    assert found.texts.tolist() == ["ba b", "é"]
    assert found.targets.tolist() == [3, 2, 1, 3, 4]
    assert found.target_offsets.tolist() == [0, 4, 5]
    attributes = read_attributes(cache)
    assert attributes.classes == (" ", "a", "b", "é")
    assert (attributes.task, attributes.elapsed_unit) == ("transcription", "pixels")
    assert read_split(cache, "test").targets.tolist() == [3, 0, 2]


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGB", "RGBA", "LA"])
def test_images_of_any_mode_become_grey(mode):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 5), "white").convert(mode).save(buffer, "PNG")
    columns, width = iam.decode_image(buffer.getvalue(), 4, 6, "here")
    assert columns.shape == (6, 4)
    assert columns.dtype == np.uint8
    assert (columns == 255).all()
    assert width == 9


def test_stretching_doubles_a_step_edge_linearly():
    columns, _ = iam.decode_image(png(np.array([[0, 200]], dtype=np.uint8)), 1, 4, "here")
    # New pixel centres lie at -0.25, 0.25, 0.75, 1.25 of the old: linear between 0 and 1.
    assert columns[:, 0].tolist() == [0, 50, 150, 200]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_cache_does_not_depend_on_the_number_of_threads(tmp_path, threads):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (300, 2, 4), dtype=np.uint8)
    train = [(png(picture), f"{i}", f"line {i}") for i, picture in enumerate(pictures)]
    iam.prepare(make_raw(tmp_path, train), SETTINGS, tmp_path / "cache.h5", threads)
    found = read_split(tmp_path / "cache.h5", "train")
    expected = np.concatenate([picture.T for picture in pictures])
    np.testing.assert_array_equal(found.inputs, expected)
    assert found.texts[299] == "line 299"


def test_a_limit_takes_lines_evenly_and_their_alphabet(tmp_path):
    train = [(png(PIXELS), f"{i}", character) for i, character in enumerate("abcdef")]
    manifest = make_raw(tmp_path, train, test=train)
    settings = iam.Settings(height=2, width=4, limit_train=3, limit_test=1)
    iam.prepare(manifest, settings, tmp_path / "cache.h5", 1)
    assert read_split(tmp_path / "cache.h5", "train").ids.tolist() == ["0", "2", "4"]
    assert read_split(tmp_path / "cache.h5", "test").ids.tolist() == ["0"]
    assert read_attributes(tmp_path / "cache.h5").classes == ("a", "c", "e")


GOOD = (png(PIXELS), "good", "ab")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((b"no image", "bad", "a"), "the image is not readable"),
        ((png(np.zeros((64, 512), np.uint8))[:60], "bad", "a"), "the image is not readable"),
        ((b"", "bad", "a"), "has no image"),
        ((None, "bad", "a"), "has no image"),
        ((png(PIXELS), "bad", ""), "has no transcription"),
        ((png(PIXELS), "bad", None), "has no transcription"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, message):
    manifest = make_raw(tmp_path, [GOOD], test=[GOOD, GOOD, row])
    with pytest.raises(InputError, match=message) as caught:
        iam.prepare(manifest, SETTINGS, tmp_path / "cache.h5", 2)
    assert caught.value.where.endswith("test.parquet, row 2 (bad)")
    assert not list(tmp_path.glob("*cache*"))


def test_other_files_are_refused(tmp_path):
    manifest = make_raw(tmp_path, [GOOD])
    write_parquet(tmp_path / "test.parquet", [])
    with pytest.raises(InputError, match="holds no line"):
        iam.prepare(manifest, SETTINGS, tmp_path / "cache.h5", 1)
    write_parquet(tmp_path / "test.parquet", [GOOD], ("picture", "text"))
    with pytest.raises(InputError, match="has the columns picture, text; expected image"):
        iam.prepare(manifest, SETTINGS, tmp_path / "cache.h5", 1)
    (tmp_path / "test.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match="not a readable parquet file"):
        iam.prepare(manifest, SETTINGS, tmp_path / "cache.h5", 1)


@pytest.mark.parametrize("values", [{"height": 0}, {"widht": 4}, {"limit_test": 0}])
def test_bad_settings_name_their_key(values):
    with pytest.raises(InputError, match=next(iter(values))):
        read_settings(iam.Settings, values)


@pytest.mark.parametrize("pattern", ["page{}/{}.png", "a{:02}-u-{}.png"])
def test_the_examples_are_of_different_documents(tmp_path, pattern):
    train = [
        (png(PIXELS + page), pattern.format(page, line), f"{page} {line}")
        for page in range(6)
        for line in range(3)
    ]
    manifest = make_raw(tmp_path, train)
    iam.prepare(manifest, SETTINGS, tmp_path / "cache.h5", 1)
    write_examples(tmp_path / "examples.npz", manifest, SETTINGS, tmp_path / "cache.h5")
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as example:
        texts = [example[f"text_{i}"].item() for i in range(5)]
        assert texts == ["0 0", "1 0", "2 0", "3 0", "4 0"]
        for page in range(5):
            assert example[f"id_{page}"].item() == pattern.format(page, 0)
            np.testing.assert_array_equal(example[f"image_{page}"], PIXELS + page)
    few = make_raw(tmp_path, train[:4])
    iam.prepare(few, SETTINGS, tmp_path / "cache.h5", 1)
    with pytest.raises(InputError, match="4 training lines, the figures need 5"):
        write_examples(tmp_path / "examples.npz", few, SETTINGS, tmp_path / "cache.h5")


@needs_mirror
def test_real_lines(tmp_path):
    files = {split: MIRROR / f"iam/data/{split}.parquet" for split in iam.SPLITS}
    manifest = make_manifest(tmp_path, "iam", files)
    # Narrow images: all 6,769 lines are read, and stay light.
    iam.prepare(manifest, iam.Settings(height=16, width=64), tmp_path / "cache.h5", 2)
    for split, lines in (("train", 5480), ("validation", 642), ("test", 647)):
        found = read_split(tmp_path / "cache.h5", split)
        assert len(found) == len(set(found.ids)) == lines
        texts = pq.read_table(files[split], columns=["text"])["text"].to_pylist()
        assert found.texts.tolist() == texts
        assert np.diff(found.target_offsets).tolist() == [len(text) for text in texts]
    assert len(read_attributes(tmp_path / "cache.h5").classes) == 84
