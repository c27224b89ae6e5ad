"""What readers call the data sets of the catalogue.

They are in a module of their own so that showing a table imports neither pictures nor models.
"""

TITLES = {
    "food101": "Food-101",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "caltech101": "Caltech-101",
    "pets": "Oxford Pets",
    "stl10": "STL-10",
    "dtd": "DTD",
    "eurosat": "EuroSAT",
    "flowers102": "Flowers-102",
    "cars": "Stanford Cars",
    "sun397": "SUN397",
    "fgvc_aircraft": "FGVC Aircraft",
    "mnist": "MNIST",
    "gtsrb": "GTSRB",
    "voc2007": "VOC 2007",
    "imagenet": "ImageNet",
    "imagenetv2": "ImageNetV2",
    "imagenet-r": "ImageNet-R",
    "imagenet-a": "ImageNet-A",
    "imagenet-sketch": "ImageNet-Sketch",
}
