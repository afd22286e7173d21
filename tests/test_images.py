"""Images as people have them: of every suffix, with odd metadata, deep greys, very large, linked, among other files."""

from __future__ import annotations

import io
import os
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from made_sources import png, portraits
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.archive import Archive
from fsearch.indexer.sources.decode import FORMATS, RejectedImageError, decode, decode_whole, scale_grey, suffixes
from fsearch.indexer.sources.folder import Folder
from fsearch.indexer.sources.metadata_strip import without_metadata
from fsearch.indexer.sources.webdataset import WebDataset

RED = (200, 40, 30)
NEVER = {"EPS", "WMF", "PSD", "PCD", "FLI", "FITS", "ICNS", "MPEG", "GRIB", "BUFR", "HDF5", "BLP", "CUR", "DCX", "FTEX"}
NEVER |= {"GBR", "IM", "IPTC", "MSP", "PIXAR", "SUN", "XBM", "XPM"}  # programs, stubs, icons, and what no camera writes


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_every_suffix_that_pillow_decodes_is_taken_or_named_here() -> None:
    taken = suffixes()  # which registers the formats of further libraries
    for suffix, kind in Image.registered_extensions().items():
        if kind in Image.OPEN:
            assert (suffix in taken) == (kind in FORMATS) == (kind not in NEVER), (suffix, kind)
    assert {".jpg", ".jfif", ".jpe", ".mpo", ".jp2", ".pgm", ".tiff", ".qoi", ".tga"} <= suffixes()
    assert (".avif" in suffixes()) == ("avif" in features.get_supported())  # an older Pillow does not know the name


@pytest.mark.parametrize("kind", [k for k in FORMATS if k != "HEIF"])
def test_each_format_decodes(kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    image = decode(saved(Image.new("RGB", (48, 32), RED), kind))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - RED).max() < 6


def test_a_folder_of_many_suffixes_is_indexed_whole_and_the_rest_is_counted() -> None:
    folder = Path("photos")
    (folder / "deep").mkdir(parents=True)
    kinds = {"jpg": "JPEG", "JFIF": "JPEG", "jpe": "JPEG", "ppm": "PPM", "jp2": "JPEG2000", "tga": "TGA", "bmp": "BMP"}
    for i, (suffix, kind) in enumerate(kinds.items()):
        (folder / "deep" / f"{i}.{suffix}").write_bytes(saved(portraits()[i], kind))
    heic = ("a.HEIC", "b.heic") if ".heic" not in suffixes() else ()
    for name in (*heic, "notes.txt", "README", ".hidden.png"):
        (folder / name).write_bytes(b"\0\0\0\x18ftypheic")
    for hidden in (".thumbs", "@eaDir", "__MACOSX"):
        (folder / hidden).mkdir()
        (folder / hidden / "t.png").write_bytes(png(portraits()[8]))
    result = CliRunner().invoke(app, ["index", "photos"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "7 images found: 7 embedded"
    assert lines[1] == f"no image, left out: {'2 .heic, ' if heic else ''}1 without a suffix, 1 .txt"
    if heic:
        assert lines[2] == "HEIC images need the library pillow-heif: pip install pillow-heif"
    assert lines[-1] == "hidden, or a system's own, left out: 2 hidden files or folders, 1 @eaDir, 1 __MACOSX"
    source = Folder(folder)
    for key in ("@eaDir/t.png", ".thumbs/t.png", "__MACOSX/t.png"):
        with pytest.raises(RejectedImageError, match="no image of that key"):
            source.read(key)


def test_heic_with_its_library() -> None:
    pytest.importorskip("pillow_heif")
    assert np.abs(np.asarray(decode(saved(Image.new("RGB", (64, 64), RED), "HEIF")))[0, 0] - RED).max() < 8


def test_heic_without_its_library_names_it() -> None:
    if ".heic" in suffixes():
        pytest.skip("pillow-heif is installed")
    with pytest.raises(RejectedImageError, match="a HEIC image, which needs the library pillow-heif"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))


def jpeg_with(exif: bytes, image: Image.Image) -> bytes:
    raw = saved(image, "JPEG", quality=95)
    return raw[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + raw[2:]


def exif_of(*entries: tuple[int, int, bytes]) -> bytes:
    """A little-endian EXIF block of single values: tag, type, four bytes."""
    body = b"".join(struct.pack("<HHI", tag, kind, 1) + value for tag, kind, value in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0) + bytes(16)


TURNED = (0x112, 3, struct.pack("<HH", 6, 0))
ITXT, TEXT = PngInfo(), PngInfo()
ITXT.add_itxt("XML:com.adobe.xmp", "x" * 2_000_000, zip=True)
TEXT.add_text("parameters", "y" * 3_000_000, zip=True)
WIDE = Image.linear_gradient("L").resize((48, 32)).convert("RGB")
ODD = {  # data, and the size of the upright image
    "png, exif without a header": (
        saved(WIDE, "PNG", exif=b"Exif\0\0" + bytes.fromhex("0008000201120003")),
        (48, 32),
    ),
    "png, exif of random bytes": (saved(WIDE, "PNG", exif=os.urandom(300)), (48, 32)),
    "png, a profile of 2 MB": (saved(WIDE, "PNG", icc_profile=b"x" * 2_000_000), (48, 32)),
    "png, a profile that is none": (saved(WIDE, "PNG", icc_profile=b"no profile"), (48, 32)),
    "png, xmp of 2 MB": (saved(WIDE, "PNG", pnginfo=ITXT), (48, 32)),
    "png, text of 3 MB": (saved(WIDE, "PNG", pnginfo=TEXT), (48, 32)),
    "webp, exif of garbage": (saved(WIDE, "WEBP", exif=b"Exif\0\0garbage", lossless=True), (48, 32)),
    "jpeg, -1/0": (jpeg_with(exif_of(TURNED, (0x11A, 10, struct.pack("<I", 38))), WIDE), (32, 48)),
    "jpeg, a signed short": (jpeg_with(exif_of(TURNED, (0x128, 8, struct.pack("<hH", -1, 0))), WIDE), (32, 48)),
    "jpeg, a tag of unknown type": (jpeg_with(exif_of(TURNED, (0x9999, 77, bytes(4))), WIDE), (32, 48)),
    "jpeg, orientation 99": (jpeg_with(exif_of((0x112, 3, struct.pack("<HH", 99, 0))), WIDE), (48, 32)),
    "jpeg, orientation as text": (jpeg_with(exif_of((0x112, 2, b"6\0\0\0")), WIDE), (48, 32)),
    "jpeg, exif cut off": (jpeg_with(exif_of(TURNED)[:20], WIDE), (48, 32)),
    "jpeg, a profile that is none": (saved(WIDE, "JPEG", icc_profile=b"no profile", quality=95), (48, 32)),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_metadata_costs_no_pixel(odd: str) -> None:
    data, size = ODD[odd]
    found = decode_whole(data)
    assert found.size == found.image.size == size
    plain = WIDE if size == WIDE.size else WIDE.transpose(Image.Transpose.ROTATE_270)
    assert np.abs(np.asarray(found.image, int) - np.asarray(plain, int)).mean() < 3


def test_metadata_are_stripped_without_touching_the_scan() -> None:
    data, _ = ODD["jpeg, -1/0"]
    bare = without_metadata(data)
    assert bare is not None
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(bare))), np.asarray(Image.open(io.BytesIO(data))))
    assert without_metadata(saved(WIDE, "BMP")) is None
    assert without_metadata(b"\xff\xd8\xff") is None
    cut, _ = ODD["png, text of 3 MB"]
    with pytest.raises(RejectedImageError, match="damaged image"):
        decode(cut[:-40])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_undone_and_told(orientation: int, kind: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(WIDE, kind, exif=exif)
    found = decode_whole(data)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert found.size == expected.size
    assert np.array_equal(np.asarray(found.image), np.asarray(expected))
    if kind != "TIFF":  # Pillow turns these itself, and forgets the tag
        assert found.orientation == orientation


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 4095]], np.uint16), [0, 255]),  # 12 bits in 16
        (np.array([[0, 2048, 4000]], np.uint16), [0, 128, 249]),
        (np.array([[0, 1000]], np.uint16), [0, 249]),  # 10 bits
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[10, 255]], np.int32), [10, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 51.0, 255.0]], np.float32), [0, 51, 255]),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), [0, 128, 255]),  # normalised
        (np.array([[0, 1_000_000]], np.int32), [0, 255]),
        (np.array([[-1000, 0, 1000]], np.int32), [0, 128, 255]),  # Hounsfield units
        (np.array([[np.nan, 0.25, np.inf, 1.0]], np.float32), [64, 64, 255, 255]),
        (np.full((1, 2), np.nan, np.float32), [0, 0]),
        (np.zeros((1, 2), np.uint16), [0, 0]),
    ],
)
def test_deep_greys_by_the_stated_rule(values: np.ndarray, expected: list[int]) -> None:
    assert scale_grey(values)[0].tolist() == expected
    if values.dtype == np.uint16:
        assert np.asarray(decode(saved(Image.fromarray(values), "PNG")))[0, :, 0].tolist() == expected
    elif values.dtype != np.int32:
        assert np.asarray(decode(saved(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == expected


def test_a_photograph_of_108_megapixels_is_decoded_at_half_its_size() -> None:
    large = Image.new("L", (12_000, 9_000), 60)
    large.paste(220, (0, 0, 12_000, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode_whole(saved(large, "JPEG", quality=30, exif=exif))
    assert found.size == (9_000, 12_000)  # what is recorded, and boxes refer to
    assert found.image.size == (4_500, 6_000)
    assert found.image.getpixel((4_495, 3_000))[0] > 200  # the bright edge is on the right now
    with pytest.raises(RejectedImageError, match=r"12000 x 9000 pixels; the limit is 89,478,485 .*FSEARCH_MAX_PIXELS"):
        decode(saved(Image.new("1", (12_000, 9_000)), "PNG"))


def test_the_limit_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("RGB", (100, 100), RED), "PNG")
    monkeypatch.setenv("FSEARCH_MAX_PIXELS", "9999")
    with pytest.raises(RejectedImageError, match=r"100 x 100 pixels; the limit is 9,999 in all \(9,999 for JPEG\)"):
        decode(data)
    monkeypatch.setenv("FSEARCH_MAX_PIXELS", "10000")
    assert decode(data).size == (100, 100)


@pytest.fixture
def linked() -> Path:
    """A folder of links to files elsewhere, one to a folder elsewhere, one inside, and two that make circles."""
    Path("store/deep").mkdir(parents=True)
    Path("root").mkdir()
    for i in range(3):
        path = Path("store", f"{i}.png")
        path.write_bytes(png(portraits()[i]))
        os.symlink(path.resolve(), f"root/f{i}.png")
    Path("store/deep/3.png").write_bytes(png(portraits()[3]))
    os.symlink(Path("store").resolve(), "root/val")
    os.symlink(Path("store").resolve(), "root/again")
    os.symlink("..", "root/up")
    os.symlink(Path("store").resolve(), "store/deep/round")
    Path("root/own").mkdir()
    Path("root/own/4.png").write_bytes(png(portraits()[4]))
    os.symlink("own", "root/mine")
    return Path("root")


def test_links_are_followed_only_if_that_is_asked_for(linked: Path) -> None:
    ws = fsearch.open("w")
    report = ws.index(linked)
    assert (report.found, report.embedded, report.rejected) == (4, 1, 3)
    assert report.notes == ("2 links to folders outside are not followed; --allow-outside follows them",)
    reasons = set(ws.sql("SELECT reason FROM rejected")["reason"].to_pylist())
    assert reasons == {"a link that leads outside the image folder; --allow-outside follows it"}
    images = fsearch.images(linked, allow_outside=True)
    report = ws.index(images)
    keys = images.source.keys()
    assert keys is not None
    assert {k for k in keys if "/" not in k} == {"f0.png", "f1.png", "f2.png"}
    assert "own/4.png" in keys
    assert sorted(k.split("/", 1)[1] for k in keys if k.startswith(("val/", "again/"))) == [
        *("0.png", "1.png", "2.png", "deep/3.png")
    ]
    assert (report.found, report.rejected, report.missing) == (8, 0, 0)
    for item in images.source.items():
        assert images.source.read(item.key) == item.read()
    result = CliRunner().invoke(app, ["index", "root", "--allow-outside", "-w", "cli"])
    assert result.output.startswith("8 images found: 4 embedded") or "8 images found: 5 embedded" in result.output


def test_a_folder_of_nothing_but_links_says_what_to_do() -> None:
    Path("store").mkdir()
    Path("store/a.png").write_bytes(png(portraits()[0]))
    Path("root").mkdir()
    os.symlink(Path("store").resolve(), "root/val")
    with pytest.raises(BadInputError, match=r"no images in root .*1 links to folders outside .*--allow-outside"):
        fsearch.open("w").index("root")
    assert fsearch.open("w").index(fsearch.images("root", allow_outside=True)).embedded == 1


def tar(path: str, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz" if path.endswith("gz") else "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_an_archive_counts_what_it_leaves_out() -> None:
    source = Archive(Path(tar("a.tar", {"in/0.png": png(portraits()[0]), "in/a.txt": b"", "b.csv": b""})))
    assert source.keys() == ["in/0.png"]
    assert source.notes == ("no image, left out: 1 .txt, 1 .csv",)
    with pytest.raises(BadInputError, match=r"no images in the archive b\.tar; no image, left out: 1 \.txt"):
        Archive(Path(tar("b.tar", {"a.txt": b""}))).keys()


def roboflow(count: int = 12, before: str = "") -> dict[str, bytes]:
    """Three augmented versions of each photo, with a label file beside each."""
    members = {}
    for i in range(count):
        base = f"{before}IMG_{i // 3:03d}_jpg.rf.{i:08x}"
        members |= {f"{base}.jpg": saved(portraits()[i], "JPEG"), f"{base}.txt": b"0 0.5 0.5 0.2 0.2\n"}
    return members


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("before", ["", "./", "./train/"])
def test_dots_in_the_names_of_a_shard_cost_no_image(suffix: str, before: str) -> None:
    ws = fsearch.open("w")
    report = ws.index(fsearch.images(tar(f"s{suffix}", roboflow(before=before)), kind="webdataset"))
    assert (report.found, report.embedded, report.rejected) == (12, 12, 0)
    keys = ws.sql("SELECT key FROM images ORDER BY key")["key"].to_pylist()
    assert keys[0] == f"s{suffix}/{before.removeprefix('./')}IMG_000_jpg.rf.00000000"
    captions = ws.sql("SELECT DISTINCT caption FROM metadata")["caption"].to_pylist()
    assert captions == ["0 0.5 0.5 0.2 0.2"]
    source = WebDataset(f"s{suffix}")
    assert {i.key: i.read() for i in source.items()} == {k: source.read(k) for k in keys}


def test_members_of_a_sample_may_lie_anywhere_in_a_local_shard() -> None:
    members = [
        (f"{i}.{kind}", data)
        for kind in ("json", "png", "cls")
        for i, data in enumerate(
            [b'{"year": 3}'] * 4 if kind == "json" else [b"7"] * 4 if kind == "cls" else map(png, portraits()[:4])
        )
    ]
    ws = fsearch.open("w")
    report = ws.index(tar("s.tar", dict(members)))
    assert (report.found, report.embedded, report.rejected) == (4, 4, 0)
    assert ws.sql("SELECT DISTINCT label, year FROM metadata").to_pylist() == [{"label": 7, "year": 3}]


def test_further_images_of_a_sample_are_counted() -> None:
    members = {}
    for i in range(4):
        members |= {f"{i}.jpg": saved(portraits()[i], "JPEG"), f"{i}.seg.png": png(portraits()[9]), f"{i}.cls": b"1"}
    ws = fsearch.open("w")
    report = ws.index(tar("s.tar", members))
    assert (report.found, report.embedded) == (4, 4)
    assert report.notes == ("further images in samples, left out: 4 seg.png",)
    assert ws.index("s.tar").notes == report.notes


def test_a_tar_of_images_only_is_an_archive_whatever_their_names() -> None:
    images = {k: v for k, v in roboflow().items() if k.endswith("jpg")}
    report = fsearch.open("w").index(tar("s.tar", images))
    assert (report.found, report.embedded) == (12, 12)
