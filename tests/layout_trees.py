"""Small folders in every layout that `--data` may name, and some that are refused: for tests and docs/data.md."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from annotated_sets import make_coco, make_voc, make_yolo

NEU = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")


def put(root, *names):
    """Small images that are all different, at these paths."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng([number, *name.encode("utf-8", "surrogateescape")]).integers(
            0, 256, (4, 4), "u1"
        )
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return root


def write(root, text, *names):
    """Text files at these paths."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def numbered(*folders, count=4, start=1):
    return [f"{folder}/{k}.png" for folder in folders for k in range(start, start + count)]


def named(folder, *classes, count=4, start=1):
    return [f"{folder}/{name}_{k}.jpg" for name in classes for k in range(start, start + count)]


def voc(name):
    """A Pascal VOC file with one box of a class."""
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox>"
    return f"<annotation><object><name>{name}</name>{box}</object></annotation>"


def boxed(root, folder, *classes, count=4, start=1):
    """Annotations of images called CLASS_NUMBER."""
    for name in classes:
        write(root, voc(name), *(f"{folder}/{name}_{k}.xml" for k in range(start, start + count)))
    return root


def csv_table(root):
    put(root, *numbered("images", count=8))
    rows = "".join(f"images/{k}.png,{'ab'[k % 2]}\n" for k in range(1, 9))
    return write(root, f"path,label\n{rows}", "labels.csv") / "labels.csv"


def severstal(root):
    put(root, *(f"train_images/{k}.jpg" for k in range(10)))
    rows = "".join(f"{k}.jpg,{k % 2 + 1},1 2\n" for k in range(6))
    return write(root, f"ImageId,ClassId,EncodedPixels\n{rows}", "train.csv")


def mvtec_object(root):
    parts = numbered("train/good", count=6) + numbered("test/good", "test/crack", "test/cut")
    return put(root, *parts, *numbered("ground_truth/crack", "ground_truth/cut"))


def mvtec(root):
    for name in ("bottle", "metal_nut", "screw"):
        mvtec_object(root / name)
    return root


def neu_det(root):
    """As downloaded: the archive holds one folder."""
    for part, start, count in (("train", 1, 4), ("validation", 5, 2)):
        place = root / "NEU-DET" / part
        put(place, *(path for name in NEU for path in named(f"images/{name}", name, count=count, start=start)))
        boxed(place, "annotations", *NEU, count=count, start=start)
    return root


def neu_det_flat(root):
    put(root / "NEU-DET", *named("IMAGES", *NEU))
    boxed(root, "NEU-DET/ANNOTATIONS", *NEU)
    return root


def neu_det_validation(root):
    put(neu_det_flat(root) / "NEU-DET", *named("Validation_Images", *NEU, count=1, start=9))
    return root


def gc10_det(root):
    put(root, *numbered(*map(str, range(1, 11))))
    return write(root, voc("1_chongkong"), *(f"lable/{k}.xml" for k in range(8)))


def gc10_named(root):
    put(root, *numbered("01_punching_hole", "02_welding_line", "03_crescent_gap"))
    return write(root, voc("1_chongkong"), *(f"lable/{k}.xml" for k in range(8)))


def split_folders(root):
    return put(root, *numbered(*(f"{part}/{name}" for part in ("train", "val", "test") for name in ("dent", "ok"))))


def roboflow(root):
    write(root, "Exported.", "README.roboflow.txt", "README.dataset.txt")
    names = [f"{part}/{name}/{k}_jpg.rf.0{k}ab.jpg" for part in ("train", "valid", "test") for name in ("dent", "ok")
             for k in range(4)]  # fmt: skip
    return put(root, *names)


def training_testing(root):
    return put(root, *numbered(*(f"{part}/{name}" for part in ("Training", "Testing") for name in ("dent", "ok"))))


def train_dev_eval(root):
    return put(root, *numbered(*(f"{part}/{name}" for part in ("train", "dev", "eval") for name in ("dent", "ok"))))


def neu_cls(root):
    return put(root, *(f"{short}_{k}.bmp" for short in ("Cr", "In", "Pa", "PS", "RS", "Sc") for k in (1, 2, 10)))


def name_prefixes(root):
    return put(root, "readme.png", *(f"{name}{k}).png" for name in ("dent (", "scale (", "ok (") for k in range(1, 9)))


def class_folders(root):
    write(root, "{}", "ANNOTATIONS/1.json", "ANNOTATIONS/2.json")
    put(root, "overview.png", "__MACOSX/dent/1.png")
    return put(root, *numbered("dent", "Oxid-Fläche", "鉄"))


@dataclass(frozen=True)
class Tree:
    """A folder to make, and what it is read as.

    Attributes:
        title: what people call it.
        looks: its folders, as text.
        make: fills an empty folder, and returns what `--data` names.
        reader: the row of `DATASETS`; "" for a folder that is refused.
        options: of the command.
        overruled: whether `--layout class_folders` reads what is refused without it.
    """

    title: str
    looks: str
    make: Callable[[Path], Path | str]
    reader: str
    options: tuple[str, ...] = ()
    overruled: bool = False


TREES = (
    Tree("the demo", "made on the spot", lambda _: "demo", "demo"),
    Tree("a table", "labels.csv: path,label; the images below", csv_table, "csv"),
    Tree("Severstal", "train.csv, train_images/", severstal, "severstal"),
    Tree("the same with good images", "train.csv, train_images/", severstal, "severstal", ("--include-none",)),
    Tree("an object of MVTec", "train/good, test/good, test/crack, ..., ground_truth/", mvtec_object, "mvtec"),
    Tree("one of several objects", "bottle/, metal_nut/, screw/", mvtec, "mvtec", ("--object", "metal_nut")),
    Tree("NEU-DET", "NEU-DET/{train,validation}/{images/CLASS,annotations}/", neu_det, "neu_det"),
    Tree("NEU-DET, flat", "NEU-DET/{IMAGES,ANNOTATIONS}/, crazing_1.jpg", neu_det_flat, "neu_det"),
    Tree("the same with validation images", "and NEU-DET/Validation_Images/", neu_det_validation, "neu_det"),
    Tree("GC10-DET", "1/ ... 10/, lable/", gc10_det, "gc10_det"),
    Tree("GC10-DET, folders with names", "01_punching_hole/ ..., lable/", gc10_named, "gc10_det"),
    Tree("COCO", "{train,valid,test}/_annotations.coco.json beside the images", make_coco, "coco"),
    Tree("the same, boxes as samples", "", make_coco, "coco", ("--boxes", "crop")),
    Tree("YOLO", "{train,valid,test}/{images,labels}/, data.yaml", make_yolo, "yolo"),
    Tree("the same, boxes as samples", "", make_yolo, "yolo", ("--boxes", "crop")),
    Tree("Pascal VOC", "JPEGImages/, Annotations/", make_voc, "voc"),
    Tree("the same, boxes as samples", "", make_voc, "voc", ("--boxes", "crop")),
    Tree("NEU-DET, flat, boxes as samples", "", neu_det_flat, "neu_det", ("--boxes", "crop", "--min-box", "1")),
    Tree("parts of a split", "{train,val,test}/CLASS/", split_folders, "split_folders"),
    Tree("a folder export of Roboflow", "{train,valid,test}/CLASS/, README.roboflow.txt", roboflow, "split_folders"),
    Tree("other words for the parts", "{Training,Testing}/CLASS/", training_testing, "split_folders"),
    Tree("and others", "{train,dev,eval}/CLASS/", train_dev_eval, "split_folders"),
    Tree("NEU-CLS", "Cr_1.bmp, In_1.bmp, ... in one folder", neu_cls, "neu_cls"),
    Tree("classes in the names", "dent (1).png, ok (1).png, ... in one folder", name_prefixes, "name_prefixes"),
    Tree("a folder for each class", "dent/, Oxid-Fläche/, 鉄/, ANNOTATIONS/", class_folders, "class_folders"),
)  # fmt: skip


def data_sets(root):
    return put(
        root, *numbered(*(f"{name}/{defect}" for name in ("NEU", "X-SDD") for defect in ("dent", "ok", "scale")))
    )


def class_first(root):
    return put(root, *numbered(*(f"{name}/{part}" for name in ("dent", "ok") for part in ("training", "testing"))))


def only_images(root):
    put(root, *(f"images/IMG_{k}.jpg" for k in range(12)))
    return write(root, "", *(f"notes/{k}.txt" for k in range(12)))


def unlabelled_parts(root):
    return put(root, *numbered("train", "test"))


def part_beside_classes(root):
    return put(root, *numbered("dent", "ok", "scale", "Validation_Images"))


def other_files(root):
    put(root, *numbered("dent", "ok"))
    return write(root, "?", *(f"scale/{k}.heic" for k in range(7)))


def one_folder(root):
    return put(root, *(f"IMG_{k}.jpg" for k in range(12)))


REFUSED = (
    Tree("several data sets", "NEU/CLASS/, X-SDD/CLASS/", data_sets, "", overruled=True),
    Tree("the class first, then the part", "{dent,ok}/{training,testing}/", class_first, "", overruled=True),
    Tree("several objects, none named", "bottle/, metal_nut/, screw/", mvtec, ""),
    Tree("a folder of all images", "images/, notes/", only_images, ""),
    Tree("parts without class folders", "train/1.png, test/1.png", unlabelled_parts, "", overruled=True),
    Tree("a part beside classes", "dent/, ok/, scale/, Validation_Images/", part_beside_classes, "", overruled=True),
    Tree("a class of other files", "dent/, ok/, scale/*.heic", other_files, ""),
    Tree("images without any label", "IMG_1.jpg, ...", one_folder, ""),
)
