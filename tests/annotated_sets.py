"""Images with boxes, written as people download them: Pascal VOC, YOLO and COCO, in one folder or in parts."""

import json

import cv2
import numpy as np

CLASSES = ("crack", "hole", "spot")


def write_picture(path, size=(64, 48)):
    """A PNG or JPEG of noise that its name decides, `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = np.random.default_rng([*path.name.encode()]).integers(0, 256, (height, width, 3), "u1")
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def voc_text(boxes, name="x.png", size=(64, 48)):
    """A Pascal VOC file; a box is (label, x, y, width, height), of numbers or texts."""

    def corners(x, y, width, height):
        if isinstance(x, str):
            return x, y, width, height
        return x, y, x + width, y + height

    def entry(label, *numbers):
        values = zip(("xmin", "ymin", "xmax", "ymax"), corners(*numbers), strict=True)
        inside = "".join(f"<{key}>{value}</{key}>" for key, value in values)
        return f"<object><name>{label}</name><bndbox>{inside}</bndbox></object>"

    told = f"<filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height><depth>1</depth></size>"
    return f"<annotation>{told}{''.join(entry(*box) for box in boxes)}</annotation>"


def write_voc(image, boxes, place=None, size=(64, 48)):
    """An image, and its XML file beside it or in the folder `place`."""
    write_picture(image, size)
    target = (place or image.parent) / f"{image.stem}.xml"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(voc_text(boxes, image.name, size), encoding="utf-8")


def usual_boxes(number):
    """Two boxes of the class `number % 3`, which differ from image to image."""
    label = CLASSES[number % 3]
    return [(label, 2 + number % 5, 4, 20, 18), (label, 30, 10 + number % 7, 24, 30)]


def make_voc(root, count=9):
    """`JPEGImages/` and `Annotations/`."""
    for number in range(count):
        write_voc(root / "JPEGImages" / f"{number}.png", usual_boxes(number), root / "Annotations")
    return root


def yolo_line(box, size=(64, 48)):
    """The line of a box in pixels; the class is its number or a name of `CLASSES`."""
    label, x, y, width, height = box
    number = CLASSES.index(label) if label in CLASSES else label
    shares = ((x + width / 2) / size[0], (y + height / 2) / size[1], width / size[0], height / size[1])
    return " ".join([str(number), *(f"{share:.6f}" for share in shares)])


def write_yolo(image, text, boxes, size=(64, 48)):
    """An image and its text file."""
    write_picture(image, size)
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text("".join(f"{yolo_line(box, size)}\n" for box in boxes), encoding="utf-8")


def make_yolo(root, count=9):
    """`data.yaml`, and `images/` and `labels/` in `train/`, `valid/` and `test/`."""
    for part in ("train", "valid", "test"):
        for number in range(count):
            name = f"{part}{number}"
            image, text = (root / part / kind / name for kind in ("images", "labels"))
            write_yolo(image.with_suffix(".png"), text.with_suffix(".txt"), usual_boxes(number))
    (root / "data.yaml").write_text(f"train: ../train/images\nnc: 3\nnames: {list(CLASSES)}\n", encoding="utf-8")
    return root


def coco_text(images, boxes):
    """A COCO file of images {name: (width, height)} and boxes {name: [(label, x, y, width, height)]}."""
    numbers = {name: number for number, name in enumerate(images, start=1)}
    labels = sorted({box[0] for own in boxes.values() for box in own})
    return json.dumps(
        {
            "images": [
                {"id": number, "file_name": name, "width": images[name][0], "height": images[name][1]}
                for name, number in numbers.items()
            ],
            "annotations": [
                {"id": 0, "image_id": numbers[name], "category_id": labels.index(box[0]) + 7, "bbox": list(box[1:])}
                for name, own in boxes.items()
                for box in own
            ],
            "categories": [{"id": number, "name": label} for number, label in enumerate(labels, start=7)],
        }
    )


def make_coco(root, count=9):
    """Parts as Roboflow exports them: images beside `_annotations.coco.json`."""
    for part in ("train", "valid", "test"):
        names = [f"{part}{number}.png" for number in range(count)]
        for name in names:
            write_picture(root / part / name)
        boxes = {name: usual_boxes(number) for number, name in enumerate(names)}
        (root / part / "_annotations.coco.json").write_text(coco_text(dict.fromkeys(names, (64, 48)), boxes), "utf-8")
    return root
